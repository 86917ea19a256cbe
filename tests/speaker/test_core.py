"""A node's core in virtual time: the order that makes it safe, and what interrupts it in each phase."""

from ipaddress import ip_network

import pytest

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.bgppeer import BGPPeerSpec
from crds.names import allocation_name
from speaker.bgp.routers import RouterReport
from speaker.cluster.state import Kind
from speaker.fencing import Hold
from speaker.inputs import AllRead, LeaseGone, LeaseSeen, LeasesListed, Observed, Renewed, Stop
from speaker.leaving import GOODBYE_SECONDS, LEAVE_SECONDS
from speaker.members.heartbeats import LISTEN_INTERVALS, HeartbeatOptions
from speaker.own.predecessor import Elsewhere, LastWord
from speaker.own.requests import Found, Own
from speaker.own.writer import SupersededError
from speaker.phases import Phase
from speaker.wire.messages import Interface, Interfaces
from tests.speaker.cores import OWN, World, another_process
from tests.speaker.make import BOOTED_BEFORE_SECONDS, allocation, at, node

A, B = "192.0.2.1", "192.0.2.2"
LISTEN_SECONDS = LISTEN_INTERVALS * HeartbeatOptions("/keys").interval_seconds(1)
PAUSE_SECONDS = 30.0

HELD_BACK = {
    Phase.RENEWING: "renewals",
    Phase.REGISTERING: "register",
    Phase.READING: "lists",
    Phase.LISTENING: "wire",
}
"""What keeps a speaker in each phase of its beginning, when it is not answered."""
READS = [Phase.READING, Phase.LISTENING, Phase.SERVING]


def in_phase(phase: Phase, *addresses: str) -> World:
    """A speaker that is kept in that phase of its beginning, or one that serves."""
    world = World()
    for address in addresses:
        world.allocate(address, uid=f"uid-{address}")
    if phase is Phase.LISTENING:  # a wire process that does not withdraw what is left of an earlier registration
        world.run(1.0)
        world.held.add("wire")
        world.observe(Kind.SPEAKER, OWN, None)
    elif phase in HELD_BACK:
        world.held.add(HELD_BACK[phase])
    world.run(1.0)
    assert world.core.phase is phase
    return world


def serving(*addresses: str) -> World:
    world = in_phase(Phase.SERVING, *addresses)
    assert world.answers == set(addresses)
    return world


def held() -> World:
    """A speaker that its promise keeps silent: it is cut off, and the others are not."""
    world = World("node-b", "node-c")
    for number in range(1, 20):
        world.allocate(f"192.0.2.{number}", uid=f"uid-192.0.2.{number}")
    world.run(10.0)
    assert world.core.phase is Phase.SERVING
    assert world.store.status["fencing"]["promised"]
    assert world.answers
    world.held.add("renewals")
    world.run(60.0, until=Phase.HELD)
    assert world.core.phase is Phase.HELD
    return world


def in_any_phase(phase: Phase) -> World:
    return held() if phase is Phase.HELD else in_phase(phase, A)


def since(world: World, entry: str) -> list[str]:
    """The journal after the last such entry."""
    return world.journal[len(world.journal) - world.journal[::-1].index(entry) :]


def in_order(journal: list[str], *entries: str) -> bool:
    """Whether the first of each comes in this order."""
    positions = [journal.index(entry) for entry in entries]
    return positions == sorted(positions)


# ---- the order


def test_it_renews_registers_reads_and_only_then_announces() -> None:
    world = serving(A)
    assert in_order(world.journal, "renewed", "look", "register", "read", "permit", f"announce {A}")
    assert world.store.status["incarnation"] == "one"
    assert world.core.standing().is_ready


@pytest.mark.parametrize("phase", HELD_BACK)
def test_nothing_is_announced_nor_permitted_before_that(phase) -> None:
    world = in_phase(phase, A)
    announced = world.journal.count(f"announce {A}")
    for _ in range(30):
        world.run(1.0)
        assert world.core.phase is phase
        assert not world.core.may_announce
        assert not world.is_permitted
        assert not world.core.standing().is_ready
        assert world.core.standing().waits_for
    assert world.journal.count(f"announce {A}") == announced
    world.answer(HELD_BACK[phase])
    world.run(5.0)
    assert world.answers == {A}


def test_a_renewal_that_was_sent_before_does_not_count() -> None:
    world = World(held=("renewals",))
    world.tell(Renewed(at(world.now).boottime))
    world.run(1.0)
    assert world.core.phase is Phase.RENEWING
    world.tell(Renewed(at(100.0).boottime + 0.1))
    world.run()
    assert world.core.phase is Phase.SERVING


def test_with_others_it_listens_to_them_before_it_announces() -> None:
    """One that lives and was not heard yet would be taken for dead."""
    world = World("node-b")
    world.allocate(A)
    world.run()
    assert world.core.phase is Phase.LISTENING
    world.run(LISTEN_SECONDS - 0.01)
    assert world.core.phase is Phase.LISTENING
    assert world.journal.count("order Heartbeat") >= 1
    world.run(0.02)
    assert world.core.phase is Phase.SERVING


def test_what_is_still_on_the_wire_from_before_leaves_before_anything_is_announced() -> None:
    world = in_phase(Phase.LISTENING, A)
    world.run(20.0)
    assert not {"permit", f"announce {A}"} & set(since(world, "silence"))
    world.answer("wire").run(1.0)
    assert in_order(since(world, "silence"), "order Withdraw", "permit", f"announce {A}")
    assert world.answers == {A}


def test_a_permit_is_extended_twice_a_second_and_lasts_a_few_seconds() -> None:
    world = serving(A)
    for _ in range(10):
        world.run(0.5)
        assert 1.0 < world.permit - world.now - BOOTED_BEFORE_SECONDS < 10.0


def test_a_large_cluster_is_decided_on_in_slices_with_a_permit_between_them() -> None:
    world = World()
    for number in range(250):
        world.allocate(f"192.0.{2 + number // 250}.{number + 1}")
    world.run(until=Phase.LISTENING)
    assert world.turn().has_more
    world.run()
    assert world.core.phase is Phase.SERVING


# ---- what is not believed


def read_anew(kept_in: Phase) -> tuple[World, int]:
    """A speaker that was removed and is kept in that phase of its next beginning; and the reading of before."""
    world = serving(A)
    old = world.reading
    assert old is not None
    world.held.add(HELD_BACK[kept_in])
    world.observe(Kind.SPEAKER, OWN, None)
    world.run(1.0)
    assert world.core.phase is kept_in
    assert world.reading != old
    return world, old


BEGINNING = [Phase.RENEWING, Phase.REGISTERING, Phase.READING]


@pytest.mark.parametrize("phase", BEGINNING)
@pytest.mark.parametrize("kind", [Kind.SPEAKER, Kind.NODE, Kind.ALLOCATION])
def test_late_news_of_an_earlier_reading_are_not_believed(phase, kind) -> None:
    world, old = read_anew(phase)
    cluster, known = world.core.cluster, dict(world.core.cluster.allocations)
    made = allocation(B) if kind is Kind.ALLOCATION else None
    world.tell(Observed(old, kind, made.name if made is not None else OWN, None, made))
    assert world.core.cluster is cluster
    assert world.core.phase is phase
    assert cluster.allocations == known
    world.answer(HELD_BACK[phase]).run(5.0)
    assert world.answers == {A}


@pytest.mark.parametrize("phase", BEGINNING)
def test_the_late_end_of_an_earlier_list_is_not_believed(phase) -> None:
    world, old = read_anew(phase)
    world.tell(AllRead(old))
    world.run(1.0)
    assert world.core.phase is phase


@pytest.mark.parametrize("phase", BEGINNING)
def test_late_leases_of_an_earlier_reading_are_not_believed(phase) -> None:
    world, old = read_anew(phase)
    world.tell(LeaseSeen(old, "node-x", "x", "2026-01-01T00:00:00Z"))
    assert world.core.members.view.liveness.alive(world.now) == {OWN}
    if world.reading is not None:
        world.tell(LeaseSeen(world.reading, "node-x", "x", "2026-01-01T00:00:00Z"))
        world.tell(LeasesListed(old, ()))
        world.tell(LeaseGone(old, "node-x"))
        assert world.core.members.view.liveness.alive(world.now) == {OWN, "node-x"}


def test_leases_of_the_present_reading_tell_who_lives() -> None:
    world = World("node-b")
    world.run(5.0)
    world.others = ()
    world.tell(LeaseSeen(world.reading, "node-x", "x", "2026-01-01T00:00:00Z"))
    assert "node-x" in world.core.members.view.liveness.alive(world.now)
    world.tell(LeaseSeen(world.reading, "node-x", "", "2026-01-01T00:00:00Z"))
    assert "node-x" not in world.core.members.view.liveness.alive(world.now)
    world.tell(LeaseSeen(world.reading, "node-x", "x", "2026-01-01T00:00:01Z"))
    world.tell(LeaseGone(world.reading, "node-x"))
    assert "node-x" not in world.core.members.view.liveness.alive(world.now)


# ---- somebody's word that this speaker is dead


@pytest.mark.parametrize("phase", [*READS, Phase.HELD])
@pytest.mark.parametrize("why", ["speaker gone", "another speaker", "goodbye", "node gone", "another node"])
def test_a_removal_silences_at_once_and_everything_is_done_again(phase, why) -> None:
    world = in_any_phase(phase)
    reading, count = world.reading, len(world.journal)
    world.held = {"lists"}
    match why:
        case "speaker gone":
            world.store.delete()
            world.observe(Kind.SPEAKER, OWN, None)
        case "another speaker":
            world.store.delete()
            world.store.create()
            world.observe(Kind.SPEAKER, OWN, world.own_facts(incarnation=""))
        case "goodbye":
            world.store.status["goodbye"] = True
            world.store.touch()
            world.observe(Kind.SPEAKER, OWN, world.own_facts(said_goodbye=True))
        case "node gone":
            world.observe(Kind.NODE, OWN, None)
        case "another node":
            world.node_uid = "another"
            world.observe(Kind.NODE, OWN, node(uid="another"))
    assert world.core.phase is Phase.RENEWING
    assert not world.core.may_announce
    batch = world.turn()
    assert batch.permit == 0.0
    assert batch.reading is None
    assert world.core.right.hold is Hold.REMOVED
    world.now += 0.01
    world.run(1.0)
    assert world.core.phase is Phase.READING
    assert world.reading != reading
    assert in_order(world.journal[count:], "read nothing", "renewed", "look", "register", "read")
    assert not world.is_permitted
    world.answer("lists").answer("wire").run(5.0)
    assert world.core.phase is Phase.SERVING
    assert world.is_permitted
    assert world.store.status["goodbye"] is False


def test_a_speaker_that_was_called_silent_says_anew_that_it_serves_and_announces_all_the_while() -> None:
    world = serving(A)
    told = [dict(one) for one in world.store.status["conditions"]]
    for one in world.store.status["conditions"]:
        if one["type"] == "Ready":
            one.update(status="Unknown", reason="NodeSilent")
    world.store.touch()
    reading = world.reading
    world.observe(Kind.SPEAKER, OWN, world.own_facts(is_called_silent=True))
    world.run(2.0)
    assert world.store.status["conditions"] == told
    assert (world.core.phase, world.reading) == (Phase.SERVING, reading)
    assert world.answers == {A}


@pytest.mark.parametrize("phase", READS)
def test_a_successor_ends_this_process_in_each_phase(phase) -> None:
    world = in_phase(phase, A)
    another_process(world.store)
    with pytest.raises(SupersededError):
        world.observe(Kind.SPEAKER, OWN, world.own_facts(incarnation="two"))


def test_a_removal_that_a_write_alone_notices_counts_as_well() -> None:
    world = serving(A)
    world.store.delete()
    world.tell(Interfaces((Interface("eth0", 2, "02:00:00:00:00:99", True, True, ""),)))
    world.run(1.0)
    assert "silence" in world.journal
    world.run(5.0)
    assert world.core.phase is Phase.SERVING
    assert world.answers == {A}
    assert world.store.status["interfaces"][0]["mac"] == "02:00:00:00:00:99"


def test_what_was_confirmed_before_a_removal_is_confirmed_again_only_for_what_is_still_there() -> None:
    world = serving(A, B)
    world.release(A, f"uid-{A}")
    world.release(B, f"uid-{B}")
    world.run(1.0)
    assert world.released == {f"uid-{A}": 2, f"uid-{B}": 2}
    world.store.delete()
    del world.allocations[allocation_name(B)]
    world.observe(Kind.SPEAKER, OWN, None)
    world.run(5.0)
    assert world.released == {f"uid-{A}": 2}


# ---- pauses


@pytest.mark.parametrize("phase", [Phase.RENEWING, *READS, Phase.HELD])
def test_a_pause_in_any_phase_leads_to_a_renewal_and_a_registration_after_it(phase) -> None:
    world = in_any_phase(phase)
    world.now += PAUSE_SECONDS
    paused_until, count = at(world.now).boottime, len(world.journal)
    assert not world.is_permitted
    world.turn()
    assert not world.is_permitted
    assert world.core.right.must_register
    world.now += 0.01
    for what in tuple(world.held):
        world.answer(what)
    world.run(5.0)
    assert world.core.phase is Phase.SERVING
    assert in_order(world.journal[count:], "renewed", "register", "read", "permit")
    assert world.core.right._renewal >= paused_until


def test_a_pause_while_serving_withdraws_from_the_routers_too() -> None:
    world = serving(A)
    world.now += PAUSE_SECONDS
    batch = world.core.advance(at(world.now))
    assert batch.permit == 0.0
    assert batch.routers.is_silent
    assert batch.reading is None
    assert not world.core.may_announce


def test_an_outage_of_the_api_server_alone_moves_nothing() -> None:
    world = serving(A)
    world.held |= {"renewals", "status", "look"}
    world.run(600.0)
    assert world.answers == {A}


# ---- held by its promise


def test_held_by_its_promise_it_is_silent_and_may_not_announce() -> None:
    world = held()
    assert not world.is_permitted
    assert not world.core.may_announce
    announced = [entry for entry in world.journal if entry.startswith("announce")]
    world.allocate("192.0.2.200")
    world.run(5.0)
    assert world.core.phase is Phase.HELD
    assert [entry for entry in world.journal if entry.startswith("announce")] == announced
    assert world.permit == 0.0


def test_held_by_its_promise_it_goes_on_confirming_releases() -> None:
    world = held()
    world.release(A, f"uid-{A}")
    world.run(1.0)
    assert world.core.phase is Phase.HELD
    assert A not in world.table
    assert world.released == {f"uid-{A}": 2}


def test_an_outage_for_all_ends_that_without_another_registration() -> None:
    world = held()
    world.cut_off = {"node-b", "node-c"}
    for name in world.cut_off:
        world.contacts[name] = world.core._renewal_sent
    count = len(world.journal)
    world.run(2.0)
    assert world.core.phase is Phase.SERVING
    assert world.is_permitted
    assert "register" not in world.journal[count:]


def test_contact_that_comes_back_after_it_leads_to_another_registration() -> None:
    world = held()
    world.held.clear()
    count = len(world.journal)
    world.run(10.0)
    assert world.core.phase is Phase.SERVING
    assert in_order(world.journal[count:], "renewed", "register", "read", "permit")


# ---- releases


def test_a_release_is_confirmed_when_the_wire_has_withdrawn_it() -> None:
    world = serving(A)
    world.held.add("wire")
    world.release(A, f"uid-{A}")
    world.run(5.0)
    assert world.table == {A}
    assert world.released == {}
    world.answer("wire").run(0.1)
    assert world.table == set()
    assert world.released == {f"uid-{A}": 2}


def test_a_release_of_what_was_never_here_is_confirmed_at_once() -> None:
    world = serving()
    world.release(A, "u1")
    world.run(0.1)
    assert world.released == {"u1": 2}


def test_no_release_is_confirmed_before_everything_is_read() -> None:
    """The rest of the list might say that the address is this node's by another object."""
    world = World(held=("lists",))
    world.run(1.0)
    world.release(A, "u1")
    world.run(5.0)
    assert world.core.phase is Phase.READING
    assert world.released == {}
    world.answer("lists").run(1.0)
    assert world.released == {"u1": 2}


def test_releases_are_confirmed_while_it_still_listens() -> None:
    world = World("node-b")
    world.release(A, "u1")
    world.run(LISTEN_SECONDS / 2)
    assert world.core.phase is Phase.LISTENING
    assert world.released == {"u1": 2}


def test_a_release_waits_for_the_routers_word() -> None:
    world = serving(A)
    peer = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.254"}
    world.observe(Kind.BGP_ADVERTISEMENT, "all", BGPAdvertisementSpec())
    world.observe(Kind.BGP_PEER, "tor", BGPPeerSpec.model_validate(peer))
    count = len(world.journal)
    world.run(1.0)
    assert in_order(world.journal[count:], "status", "peers tor")
    world.routes = {ip_network(A)}
    world.release(A, f"uid-{A}")
    world.run(5.0)
    assert world.table == set()
    assert world.released == {}
    world.routes = set()
    world.tell(RouterReport())
    world.run(0.1)
    assert world.released == {f"uid-{A}": 2}


# ---- leaving


@pytest.mark.parametrize("phase", [*HELD_BACK, Phase.SERVING, Phase.HELD])
def test_asked_to_stop_in_any_phase_it_ends_clean_and_in_order(phase) -> None:
    world = in_any_phase(phase)
    registered = phase not in (Phase.RENEWING, Phase.REGISTERING)
    world.stop()
    assert world.core.phase is Phase.LEAVING
    count = len(world.journal)
    if "wire" in world.held:
        world.answer("wire")
    if "register" in world.held:
        world.run(0.1)
        world.answer("register")
    world.run(LEAVE_SECONDS + 1.0)
    assert world.is_over
    assert not world.core.failed_to_say_goodbye
    assert not world.is_permitted
    assert world.table == set()
    assert in_order(world.journal[count:], "sessions stopped", "order Stop", "lease")
    if registered:
        assert in_order(world.journal[count:], "order Stop", "goodbye", "lease")
        assert world.store.status["goodbye"] is True


def test_one_that_is_asked_to_stop_before_it_registers_takes_no_predecessor_for_another_machine() -> None:
    world = in_phase(Phase.RENEWING)
    world.held.add("look")
    world.stop()
    world.run(LEAVE_SECONDS)
    (look,) = world.requests
    left = Own("uid", "1", "zero", last_word=LastWord(elsewhere=(Elsewhere("the machine that this is"),)))
    world.tell(Found(look, left))
    assert [notice.event for notice in world.turn().notices] == []


def test_a_speaker_that_never_announced_announces_nothing_on_its_way_out() -> None:
    world = in_phase(Phase.READING, A)
    world.stop()
    world.answer("lists")
    world.run(10.0)
    assert not any(entry.startswith("announce") for entry in world.journal)


def test_nothing_is_said_before_the_wire_process_has_withdrawn_everything_and_ended() -> None:
    world = serving(A)
    world.held.add("wire")
    world.stop()
    world.run(20.0)
    assert "order Stop" in world.journal
    assert "goodbye" not in world.journal
    assert world.permit == 0.0
    assert not world.is_over
    world.answer("wire").run(1.0)
    assert world.is_over
    assert world.store.status["goodbye"] is True


def test_it_answers_until_others_have_taken_over_for_a_few_seconds_at_most() -> None:
    world = World("node-b")
    for number in range(1, 20):
        world.allocate(f"192.0.2.{number}")
    world.run(10.0)
    mine = set(world.answers)
    assert mine
    world.stop()
    world.run(1.0)
    assert world.answers == mine
    world.run(LEAVE_SECONDS)
    assert world.is_over


def test_a_release_that_is_asked_for_while_it_leaves_is_confirmed_when_all_is_withdrawn() -> None:
    world = World("node-b")
    for number in range(1, 20):
        world.allocate(f"192.0.2.{number}", uid=f"uid-{number}")
    world.run(10.0)
    world.stop()
    world.run(0.5)
    address = min(world.answers)
    uid = f"uid-{address.rpartition('.')[2]}"
    world.release(address, uid)
    assert world.released == {}
    world.run(LEAVE_SECONDS + 1.0)
    assert world.is_over
    assert world.released == {uid: 2}


def test_an_api_server_that_hears_no_goodbye_is_given_up() -> None:
    world = serving(A)
    world.held.add("goodbye")
    world.stop()
    world.run(1.0)
    assert not world.is_over
    world.run(GOODBYE_SECONDS)
    assert world.is_over
    assert world.core.failed_to_say_goodbye


def test_a_status_that_is_under_way_when_it_stops_is_not_taken_for_the_goodbye() -> None:
    world = serving(A)
    world.held.add("status")
    world.tell(Interfaces((Interface("eth0", 2, "02:00:00:00:00:99", True, True, ""),)))
    world.run(1.0)
    assert world.requests
    world.stop()
    world.run(1.0)
    world.answer("status")
    world.run(5.0)
    assert world.is_over
    assert world.store.status["goodbye"] is True


def test_what_looks_like_a_fence_while_it_leaves_silences_it_and_it_ends() -> None:
    world = World("node-b")
    for number in range(1, 20):
        world.allocate(f"192.0.2.{number}")
    world.run(10.0)
    world.stop()
    world.run(0.5)
    assert world.answers
    world.observe(Kind.NODE, OWN, None)
    assert world.turn().permit == 0.0
    assert world.core.phase is Phase.LEAVING
    world.run(LEAVE_SECONDS + 1.0)
    assert world.is_over


def test_it_is_asked_to_stop_once() -> None:
    world = serving(A)
    world.stop()
    world.tell(Stop())
    world.run(10.0)
    assert world.is_over
    assert world.journal.count("order Stop") == 1


def test_once_everything_is_withdrawn_nothing_is_read_and_what_still_comes_is_too_late_to_matter() -> None:
    world = serving(A)
    reading = world.reading
    assert reading is not None
    world.held.add("goodbye")
    world.stop()
    world.run(1.0)
    assert world.reading is None
    world.tell(Observed(reading, Kind.SPEAKER, OWN, None, world.own_facts(incarnation="two")))
    world.answer("goodbye").run(1.0)
    assert world.is_over
    assert not world.core.failed_to_say_goodbye


def test_what_was_to_be_tried_again_is_not_waited_for_once_everything_is_withdrawn() -> None:
    """A deadline that has passed, and of which nobody takes notice, would keep a processor busy."""
    world = serving(A)
    world.core.bgp.bfd_refused("no", at(world.now))
    world.held.add("goodbye")
    world.stop()
    world.run(GOODBYE_SECONDS + 1.0)
    assert world.is_over
