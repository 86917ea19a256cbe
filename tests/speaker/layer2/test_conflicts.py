"""Strangers at our addresses: RFC 5227 §2.4, and what is told of them."""

from speaker.layer2.conflicts import (
    ASK_SECONDS,
    BELIEVE_SECONDS,
    DEFEND_INTERVAL_SECONDS,
    FORGET_SECONDS,
    MOST_CONFLICTS,
    SHOW_AGAIN_SECONDS,
    Claim,
    Conflicts,
)
from tests.speaker.make import NOW

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
