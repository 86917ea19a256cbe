"""Strangers at our addresses: RFC 5227 §2.4, and what is told of them."""

from speaker.cluster.state import Kind
from speaker.layer2.conflicts import (
    ASK_SECONDS,
    BELIEVE_SECONDS,
    DEFEND_INTERVAL_SECONDS,
    FORGET_SECONDS,
    GOES_ON_SECONDS,
    MOST_CONFLICTS,
    SHOW_AGAIN_SECONDS,
    Claim,
    Conflicts,
)
from speaker.wire.messages import Conflict
from tests.speaker.cores import OWN, World
from tests.speaker.make import NOW, node, speaker

CLAIM = Claim("192.0.2.10", "eth0", "02:00:00:00:00:66")
OTHER_MAC = Claim("192.0.2.10", "eth0", "02:00:00:00:00:67")


def nobody(mac: str) -> bool:
    return False


def test_the_first_claim_is_defended_and_none_within_the_interval() -> None:
    """RFC 5227 §2.4 (c): not a second time within DEFEND_INTERVAL, or two such hosts would never stop."""
    conflicts = Conflicts()
    assert conflicts.seen(CLAIM, 100.0, NOW)
    assert not conflicts.seen(CLAIM, 100.1, NOW)
    assert not conflicts.seen(OTHER_MAC, 100.0 + DEFEND_INTERVAL_SECONDS - 0.1, NOW)
    assert conflicts.seen(CLAIM, 100.0 + DEFEND_INTERVAL_SECONDS, NOW)
    assert not conflicts.seen(CLAIM, 101.0 + DEFEND_INTERVAL_SECONDS, NOW)


def test_a_stream_of_claims_is_defended_once_in_each_interval() -> None:
    conflicts = Conflicts()
    defences = 0
    for second in range(60):
        defences += conflicts.seen(CLAIM, float(second), NOW)
        conflicts.believed(float(second), nobody)
    assert defences == 60 / DEFEND_INTERVAL_SECONDS


def test_each_address_and_each_interface_is_defended_for_itself() -> None:
    conflicts = Conflicts()
    assert conflicts.seen(CLAIM, 0.0, NOW)
    assert conflicts.seen(Claim("192.0.2.11", "eth0", CLAIM.mac), 0.0, NOW)
    assert conflicts.seen(Claim("192.0.2.10", "eth1", CLAIM.mac), 0.0, NOW)


def test_an_address_that_was_only_probed_is_not_defended() -> None:
    assert not Conflicts().seen(CLAIM, 0.0, NOW, is_announced=False)


def test_a_conflict_is_told_once_it_is_believed_and_until_the_machine_is_gone() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    assert conflicts.believed(0.0, nobody) == []
    (entry,) = conflicts.believed(BELIEVE_SECONDS, nobody)
    assert entry == {
        "address": "192.0.2.10",
        "mac": "02:00:00:00:00:66",
        "interface": "eth0",
        "announced": True,
        "firstSeen": NOW,
        "lastSeen": NOW,
        "count": 1,
    }
    assert conflicts.believed(FORGET_SECONDS - 0.1, nobody) == [entry]
    assert conflicts.believed(FORGET_SECONDS, nobody) == []
    assert len(conflicts) == 0


def test_a_machine_that_turns_out_to_be_a_speaker_was_no_conflict() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    assert conflicts.believed(BELIEVE_SECONDS, lambda mac: mac == CLAIM.mac) == []
    assert conflicts.silent(ASK_SECONDS) == []


def test_a_busy_rogue_does_not_make_a_write_a_second() -> None:
    conflicts = Conflicts()
    told = []
    for second in range(int(SHOW_AGAIN_SECONDS * 2)):
        conflicts.seen(CLAIM, float(second), NOW)
        told += [entry for entry in conflicts.believed(float(second), nobody) if entry not in told]
    assert [entry["count"] for entry in told] == [2, 32]


def test_another_machine_at_the_address_is_told_at_once() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    conflicts.believed(2.0, nobody)
    conflicts.seen(OTHER_MAC, 3.0, NOW)
    assert conflicts.believed(3.0, nobody)[0]["mac"] == OTHER_MAC.mac


def test_a_silent_machine_is_asked_now_and_then_and_its_answer_keeps_the_conflict() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    assert conflicts.silent(ASK_SECONDS - 0.1) == []
    assert conflicts.silent(ASK_SECONDS) == [CLAIM]
    assert conflicts.silent(ASK_SECONDS + 0.5) == []
    conflicts.seen(CLAIM, ASK_SECONDS + 0.6, NOW)
    assert conflicts.silent(2 * ASK_SECONDS) == []
    assert conflicts.silent(2 * ASK_SECONDS + 0.6) == [CLAIM]
    assert len(conflicts.believed(FORGET_SECONDS, nobody)) == 1


def test_one_that_does_not_answer_is_asked_three_times() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    asked = 0
    for half_seconds in range(600):
        asked += len(conflicts.silent(half_seconds / 2))
        conflicts.believed(half_seconds / 2, nobody)
    assert asked == 4  # the fourth is on its way when the machine is given up
    assert len(conflicts) == 0


def test_many_conflicts_take_no_more_room_than_the_status_has() -> None:
    conflicts = Conflicts()
    for number in range(MOST_CONFLICTS + 10):
        conflicts.seen(Claim(f"192.0.{2 + number // 256}.{number % 256}", "eth0", CLAIM.mac), 0.0, NOW)
    assert len(conflicts.believed(5.0, nobody)) == MOST_CONFLICTS


def test_an_address_that_is_ours_no_longer_is_no_conflict() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    conflicts.drop(CLAIM.address)
    assert conflicts.believed(2.0, nobody) == []


OURS = Claim("192.0.2.10", "eth0", "02:00:00:00:00:02", "node-b")


def everybody(mac: str) -> bool:
    return True


def test_what_one_of_our_nodes_claims_is_a_conflict_only_when_it_goes_on() -> None:
    """A take-over is over by then."""
    conflicts = Conflicts()
    assert not conflicts.seen(OURS, 0.0, NOW), "it is never defended against"
    conflicts.seen(OURS, GOES_ON_SECONDS - 0.1, NOW)
    assert conflicts.believed(GOES_ON_SECONDS + 5.0, everybody) == []
    conflicts.seen(OURS, GOES_ON_SECONDS, NOW)
    (entry,) = conflicts.believed(GOES_ON_SECONDS, everybody)
    assert (entry["mac"], entry["node"]) == (OURS.mac, "node-b")
    assert conflicts.believed(GOES_ON_SECONDS + FORGET_SECONDS, everybody) == []


def test_after_one_claim_it_is_asked_and_its_answer_shows_that_it_goes_on() -> None:
    conflicts = Conflicts()
    conflicts.seen(OURS, 0.0, NOW)
    assert conflicts.silent(ASK_SECONDS) == [OURS]
    conflicts.seen(OURS, ASK_SECONDS, NOW)
    assert len(conflicts.believed(ASK_SECONDS, everybody)) == 1


def test_two_nodes_that_take_over_one_after_the_other_are_no_conflict() -> None:
    conflicts = Conflicts()
    conflicts.seen(OURS, 0.0, NOW)
    conflicts.seen(Claim(OURS.address, "eth0", "02:00:00:00:00:03", "node-c"), GOES_ON_SECONDS, NOW)
    assert conflicts.believed(GOES_ON_SECONDS, everybody) == []


def test_an_address_that_is_not_owned_meanwhile_is_nobodys_conflict_with_a_node() -> None:
    conflicts = Conflicts()
    conflicts.seen(OURS, 0.0, NOW)
    conflicts.drop_nodes(OURS.address)
    conflicts.seen(OURS, GOES_ON_SECONDS, NOW)
    assert conflicts.believed(GOES_ON_SECONDS, everybody) == []
    conflicts.seen(CLAIM, 20.0, NOW)
    conflicts.drop_nodes(CLAIM.address)
    assert len(conflicts.believed(20.0 + BELIEVE_SECONDS, nobody)) == 1, "a stranger's goes on"


def test_a_stranger_is_not_hidden_by_a_take_over() -> None:
    conflicts = Conflicts()
    conflicts.seen(CLAIM, 0.0, NOW)
    conflicts.seen(OURS, 1.0, NOW)
    (entry,) = conflicts.believed(BELIEVE_SECONDS, nobody)
    assert entry["mac"] == CLAIM.mac


def test_a_node_that_goes_on_claiming_an_address_of_ours_is_told_by_its_name() -> None:
    """Its kernel has the address, or its speaker does not know better."""
    world = World()
    world.allocate(OURS.address)
    world.run(3.0)
    world.observe(Kind.SPEAKER, "node-b", speaker(mac=OURS.mac, is_serving=False))
    claim = Conflict(OURS.address, "eth0", OURS.mac)
    world.tell(claim)
    world.run(GOES_ON_SECONDS)
    assert world.core.draft.wanted("conflicts") == []
    world.tell(claim)
    world.run(1.0)
    (entry,) = world.core.draft.wanted("conflicts")
    assert (entry["mac"], entry["node"], entry["announced"]) == (OURS.mac, "node-b", True)
    assert world.answers == {OURS.address}


def test_a_node_that_takes_over_an_address_is_told_of_by_nobody() -> None:
    world = World()
    world.allocate(OURS.address)
    world.run(3.0)
    world.observe(Kind.SPEAKER, "node-b", speaker(mac=OURS.mac, is_serving=False))
    claim = Conflict(OURS.address, "eth0", OURS.mac)
    world.tell(claim)
    world.observe(Kind.NODE, OWN, node(is_excluded=True))
    world.run(GOES_ON_SECONDS)
    world.observe(Kind.NODE, OWN, node())
    world.run(1.0)
    world.tell(claim)
    world.run(3.0)
    assert world.answers == {OURS.address}
    assert world.core.draft.wanted("conflicts") == []
