"""What layer 2 orders from the wire process, in which order, and what it makes of refusals and reports."""

import pytest

from crds.names import allocation_name
from speaker.layer2.conflicts import BELIEVE_SECONDS
from speaker.layer2.course import (
    ANNOUNCEMENTS_AT_A_TIME,
    PROBES_AT_A_TIME,
    WITHDRAWALS_AT_A_TIME,
    WireRefusedError,
)
from speaker.layer2.succession import HANDOVER_SECONDS
from speaker.members.election import owner
from speaker.notices import Count, Line
from speaker.wire.messages import (
    Announce,
    Answer,
    Ask,
    Conflict,
    Defend,
    HandOver,
    Member,
    Probe,
    Probed,
    Reannounce,
    UseInterfaces,
    Withdraw,
)
from tests.speaker.layer2.courses import Node, interface, mac
from tests.speaker.make import at

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
ETH0 = ("eth0",)
STRANGER = "02:00:00:00:00:66"


def serving(*addresses: str, **how) -> Node:
    """A node that announces these."""
    node = Node(**how)
    for address in addresses:
        node.allocate(address)
    node.run()
    assert node.announced() == set(addresses)
    return node


# ---- one order at a time, withdrawals first


def test_interfaces_come_first_and_then_announcements() -> None:
    node = Node()
    node.allocate(A)
    assert node.run() == [UseInterfaces(ETH0), Announce(((A, ETH0),))]
    assert node.announced() == {A}


def test_one_order_is_in_flight_at_a_time_beside_a_withdrawal_and_what_was_confirmed_counts_for_the_next() -> None:
    node = serving(A, B)
    node.release(A)
    node.allocate(C)
    node.decide()
    (first,) = node.take()
    assert first == Withdraw((A,))
    (second,) = node.take()
    assert second == Announce(((C, ETH0),))
    node.release(B)
    node.decide()
    assert node.take() == []
    node.confirm(first)
    assert node.take() == []
    node.confirm(second)
    assert node.take() == [Withdraw((B,))]


def test_a_take_over_does_not_wait_for_the_confirmation_of_a_withdrawal() -> None:
    node = serving(A, B)
    node.release(A)
    node.decide()
    (withdrawal,) = node.take()
    node.allocate(C)
    node.release(B)
    node.decide()
    (announcement,) = node.take()
    assert announcement == Announce(((C, ETH0),))
    node.confirm(withdrawal)
    assert node.take() == []
    node.confirm(announcement)
    assert node.take() == [Withdraw((B,))]


def test_what_is_wanted_again_while_it_is_withdrawn_is_announced_after_that() -> None:
    node = serving(A)
    node.course.interfaces_changed((interface("eth0"), interface("eth1")))
    node.run()
    node.release(A)
    node.decide()
    (withdrawal,) = node.take()
    node.course.interfaces_changed((interface("eth0"),))
    node.allocate(A, uid="another")
    node.decide()
    assert node.take() == []
    node.confirm(withdrawal)
    assert node.run() == [UseInterfaces(ETH0), Announce(((A, ETH0),))]


def test_an_announcement_is_told_only_when_it_is_confirmed() -> None:
    node = serving()
    node.allocate(A)
    node.decide()
    (order,) = node.take()
    assert node.announced() == set()
    node.confirm(order)
    assert node.announced() == {A}


def test_a_release_is_confirmed_only_when_its_withdrawal_is() -> None:
    node = serving(A)
    node.release(A, uid="u1")
    assert node.released() == {}
    node.decide()
    (order,) = node.take()
    assert node.released() == {}
    assert node.announced() == {A}
    node.now += 2
    node.confirm(order)
    assert node.announced() == set()
    assert node.released() == {"u1": 2}
    assert Count("withdrawn", (2.0,)) in node.notices.take()


def test_without_leave_to_announce_only_withdrawals_are_ordered() -> None:
    node = serving(A, probes=False)
    node.allocate(B)
    node.release(A)
    assert node.run(may_announce=False) == [Withdraw((A,))]
    assert node.run() == [Announce(((B, ETH0),))]


def test_without_leave_nothing_is_probed() -> None:
    node = Node(probes=True)
    node.allocate(A)
    assert node.run(may_announce=False) == [UseInterfaces(ETH0)]
    assert [type(order) for order in node.run()] == [Probe]


def test_orders_have_a_bounded_size() -> None:
    node = serving()
    addresses = [f"192.0.{number // 250}.{number % 250 + 1}" for number in range(WITHDRAWALS_AT_A_TIME + 1)]
    for address in addresses:
        node.allocate(address)
    sizes = [len(order.entries) for order in node.run() if isinstance(order, Announce)]
    assert sizes == [ANNOUNCEMENTS_AT_A_TIME] * (len(addresses) // ANNOUNCEMENTS_AT_A_TIME) + [1]
    for address in addresses:
        node.release(address)
    assert [len(order.addresses) for order in node.run()] == [WITHDRAWALS_AT_A_TIME, 1]


def test_a_new_registration_withdraws_everything_before_anything_comes_back() -> None:
    node = serving(A, B)
    node.begin()
    node.allocate(A)
    node.decide()
    assert not node.course.is_complete
    assert node.run() == [Withdraw((A, B)), Announce(((A, ETH0),))]
    assert node.course.is_complete


def test_a_confirmation_from_before_a_new_registration_still_counts() -> None:
    node = serving(A)
    node.release(A, uid="u1")
    node.decide()
    (order,) = node.take()
    node.begin()
    node.release(A, uid="u1")
    assert node.released() == {}
    node.confirm(order)
    assert node.released() == {"u1": 2}


def test_another_allocation_of_the_same_address_stays_on_the_wire() -> None:
    node = serving()
    node.allocate(A, uid="u1")
    node.run()
    node.allocate(A, uid="u2")
    assert node.run() == []
    assert node.announced() == {A}


def test_once_the_wire_process_has_ended_nothing_is_announced_nor_heard() -> None:
    node = serving(A, B)
    node.release(A, uid="u1")
    node.course.stopped()
    assert node.announced() == set()
    assert node.released() == {"u1": 2}


# ---- refusals


def refuse(node: Node, order, message: str = "no") -> None:
    node.course.refused(order, message, at(node.now))


def refused_together(*addresses: str) -> Node:
    """A node whose first order to announce these was refused, since one of them can't be."""
    node = serving()
    for address in addresses:
        node.allocate(address)
    node.decide()
    (order,) = node.take()
    refuse(node, order)
    return node


def test_refused_announcements_are_tried_one_by_one_to_know_which() -> None:
    node = refused_together(A, B, C)
    for address in (A, B, C):
        (order,) = node.take()
        assert order == Announce(((address, ETH0),))
        if address == B:
            refuse(node, order, "too many")
        else:
            node.confirm(order)
    assert node.take() == []
    assert node.announced() == {A, C}
    (told,) = [line for line in node.notices.take() if getattr(line, "event", "") == "the wire refused"]
    assert told.fields == {"address": B, "error": "too many"}


def test_what_was_refused_counts_as_on_the_wire_until_it_is_withdrawn() -> None:
    node = refused_together(A)
    assert node.course.may_be_heard(A, at(0))
    node.release(A, uid="u1")
    assert node.released() == {}
    assert node.run() == [Withdraw((A,))]
    assert node.released() == {"u1": 2}


def test_what_was_refused_is_tried_again_when_the_interfaces_changed() -> None:
    node = refused_together(A)
    assert node.run() == []
    node.course.interfaces_changed((interface("eth0"), interface("eth1")))
    node.run()
    assert node.announced() == {A}


def test_withdrawals_go_before_what_is_tried_one_by_one_and_end_its_trial() -> None:
    node = refused_together(A, B)
    node.release(B)
    node.decide()
    assert node.run() == [Withdraw((B,)), Announce(((A, ETH0),))]
    assert node.announced() == {A}


def test_nothing_is_tried_one_by_one_without_leave_to_announce() -> None:
    node = refused_together(A, B)
    assert node.take(may_announce=False) == []
    assert node.run() == [Announce(((A, ETH0),)), Announce(((B, ETH0),))]


def test_a_new_registration_ends_what_is_tried_one_by_one() -> None:
    node = refused_together(A, B)
    node.begin()
    assert node.run() == [Withdraw((A, B))]


@pytest.mark.parametrize("order", [Withdraw((A,)), UseInterfaces(ETH0)])
def test_what_no_wire_process_has_a_reason_to_refuse_ends_the_speaker(order) -> None:
    node = serving(A)
    with pytest.raises(WireRefusedError, match="no such thing"):
        refuse(node, order, "no such thing")


def test_refused_probes_are_no_reason_to_hold_an_address_back() -> None:
    """The wire process will refuse to announce it too, and that is told."""
    node = Node(probes=True)
    node.allocate(A)
    node.confirm(*node.take())
    node.decide()
    (probe,) = node.take()
    assert isinstance(probe, Probe)
    refuse(node, probe)
    assert node.run() == [Announce(((A, ETH0),))]


# ---- probing


def probing(*addresses: str) -> tuple[Node, dict[str, int]]:
    """A node that probes for these, and the runs by address."""
    node = Node(probes=True)
    for address in addresses:
        node.allocate(address, uid=f"uid-{address}")
    runs = {entry[0]: entry[2] for order in node.run() if isinstance(order, Probe) for entry in order.entries}
    assert set(runs) == set(addresses)
    assert node.announced() == set()
    return node, runs


def test_what_nobody_answers_for_is_announced_after_its_probes() -> None:
    node, runs = probing(A, B)
    assert node.course.states() == {"Probing": 2}
    node.course.probed(Probed(A, runs[A], sent=3))
    assert node.run() == [Announce(((A, ETH0),))]
    assert node.course.states() == {"Probing": 1, "Announced": 1}
    assert Count("probed", ("Clear",)) in node.notices.take()


def test_what_a_stranger_answers_for_is_withheld_taken_off_and_told() -> None:
    node, runs = probing(A)
    node.course.answered(Answer(A, runs[A], "eth0", STRANGER, is_probe=False), at(node.now))
    assert node.run() == [Withdraw((A,))]
    node.now += BELIEVE_SECONDS
    node.course.tick(at(node.now))
    (entry,) = node.field("conflicts")
    assert (entry["address"], entry["mac"], entry["announced"]) == (A, STRANGER, False)
    assert node.announced() == set()


def test_what_a_speaker_that_owned_it_answers_for_needs_no_probes() -> None:
    address = owned_by_the_other()
    node = Node(others=("node-b",), probes=True)
    node.allocate(address, uid="u1")
    node.run()
    node.course.decisions.set_alive(frozenset({"node-a"}))
    (order,) = node.run()
    assert isinstance(order, Probe)
    node.course.answered(Answer(address, order.entries[0][2], "eth0", mac(2), is_probe=False), at(node.now))
    assert node.run() == [Announce(((address, ETH0),))]
    node.now += BELIEVE_SECONDS
    node.course.tick(at(node.now))
    assert node.field("conflicts") == []


def test_what_the_kernel_of_a_node_answers_for_is_withheld_and_told_with_the_node() -> None:
    address = next(a for n in range(1, 200) if owner(a := f"192.0.2.{n}", ("node-a", "node-b")) == "node-a")
    node = Node(others=("node-b",), probes=True)
    node.allocate(address, uid="u1")
    *_, order = node.run()
    assert isinstance(order, Probe)
    node.course.answered(Answer(address, order.entries[0][2], "eth0", mac(2), is_probe=False), at(node.now))
    assert node.run() == [Withdraw((address,))]
    for _ in range(2):
        node.now += BELIEVE_SECONDS
        node.course.tick(at(node.now))
        (entry,) = node.field("conflicts")
        assert (entry["address"], entry["mac"], entry["node"], entry["announced"]) == (address, mac(2), "node-b", False)
    assert node.announced() == set()


def test_a_release_of_what_is_only_probed_for_waits_for_the_end_of_the_probes() -> None:
    node, runs = probing(A)
    node.release(A, uid=f"uid-{A}")
    assert node.released() == {}
    assert node.run() == [Withdraw((A,))]
    assert node.released() == {f"uid-{A}": 2}
    node.course.probed(Probed(A, runs[A], sent=3))
    assert node.run() == []


def test_no_more_is_probed_at_a_time_than_the_wire_process_takes_in() -> None:
    node = Node(probes=True)
    for number in range(PROBES_AT_A_TIME + 1):
        node.allocate(f"192.0.2.{number + 1}")
    assert [len(order.entries) for order in node.run() if isinstance(order, Probe)] == [PROBES_AT_A_TIME, 1]


# ---- handing over


def owned_by_the_other(own: str = "node-a", other: str = "node-b") -> str:
    """An address that goes to the other node as soon as that one is there."""
    return next(a for n in range(1, 200) if owner(a := f"192.0.2.{n}", (own, other)) == other)


def handing_over() -> tuple[Node, str]:
    """A node that gives an address to another one which has just come."""
    address = owned_by_the_other()
    node = Node(others=("node-b",))
    node.course.decisions.set_alive(frozenset({"node-a"}))
    node.allocate(address, uid="u1")
    node.run()
    assert node.announced() == {address}
    node.course.decisions.set_alive(frozenset({"node-a", "node-b"}))
    return node, address


def test_what_another_node_takes_over_is_answered_for_until_its_frames_are_seen() -> None:
    node, address = handing_over()
    assert node.run() == [HandOver((address,))]
    assert not node.course.has_left
    assert node.course.deadline() == node.now + HANDOVER_SECONDS
    node.course.conflict(Conflict(address, "eth0", mac(2)), at(node.now))
    assert node.run() == [Withdraw((address,))]
    assert node.course.has_left
    assert node.course.deadline() is None


def test_a_successor_that_is_not_seen_is_waited_for_no_longer_than_that() -> None:
    node, address = handing_over()
    assert node.run() == [HandOver((address,))]
    node.now += HANDOVER_SECONDS - 0.01
    assert node.run() == []
    node.now = node.course.deadline()
    assert node.run() == [Withdraw((address,))]


def test_a_release_does_not_wait_for_a_successor() -> None:
    node, address = handing_over()
    node.run()
    node.release(address, uid="u1")
    assert node.run() == [Withdraw((address,))]
    assert node.released() == {"u1": 2}


def test_a_successor_that_announces_already_is_not_waited_for() -> None:
    node, address = handing_over()
    node.view.saw_claim(address, "node-b", node.now)
    assert node.run() == [Withdraw((address,))]


def lost_and_heard_again(node: Node, other: str) -> None:
    """The other's heartbeats were lost for a moment; it noticed nothing."""
    member = Member(incarnation="one", interfaces=ETH0)
    for heard in ({other: member}, {}, {other: member}):
        back = node.view.hear(heard, node.now)
        node.course.members_heard(bool(back), at(node.now), may_announce=True)


def test_a_successor_that_was_lost_for_a_moment_never_had_what_was_ours_all_along() -> None:
    node, _ = handing_over()
    lost_and_heard_again(node, "node-b")
    assert [order for order in node.run() if isinstance(order, Withdraw)] == []


def test_what_was_taken_from_a_node_that_comes_back_is_left_to_it_at_once() -> None:
    address = owned_by_the_other()
    node = Node(others=("node-b",))
    node.allocate(address, uid="u1")
    member = {"node-b": Member(incarnation="one", interfaces=ETH0)}
    node.view.hear(member, node.now)
    node.run()
    node.view.hear({}, node.now)
    node.course.members_heard(False, at(node.now), may_announce=True)
    node.course.decisions.set_alive(frozenset({"node-a"}))
    node.run()
    assert node.announced() == {address}
    node.course.members_heard(bool(node.view.hear(member, node.now)), at(node.now), may_announce=True)
    node.course.decisions.set_alive(frozenset({"node-a", "node-b"}))
    assert Withdraw((address,)) in node.run()


# ---- other machines


def test_a_stranger_is_defended_against_once_asked_when_silent_and_told() -> None:
    node = serving(A)
    for _ in range(3):
        node.course.conflict(Conflict(A, "eth0", STRANGER), at(node.now))
    assert node.take() == [Defend(A, "eth0")]
    node.now += BELIEVE_SECONDS
    node.course.tick(at(node.now))
    (entry,) = node.field("conflicts")
    assert (entry["address"], entry["mac"], entry["count"], entry["announced"]) == (A, STRANGER, 3, True)
    while not (asked := node.take()):
        node.now += 1
        assert node.now < 1000
        node.course.tick(at(node.now))
    assert asked == [Ask(A, "eth0", STRANGER)]


def test_a_conflict_about_what_is_released_is_over() -> None:
    node = serving(A)
    node.course.conflict(Conflict(A, "eth0", STRANGER), at(node.now))
    node.release(A)
    node.run()
    node.now += BELIEVE_SECONDS
    node.course.tick(at(node.now))
    assert node.field("conflicts") == []


def test_a_speakers_claim_is_never_defended_against_nor_told() -> None:
    node = serving(A, others=())
    node.course.conflict(Conflict(A, "eth0", mac(1)), at(node.now))
    assert node.take() == []
    node.now += BELIEVE_SECONDS
    node.course.tick(at(node.now))
    assert node.field("conflicts") == []
    assert Count("conflict_seen", (True,)) in node.notices.take()


def test_when_one_came_back_that_may_have_claimed_our_addresses_they_are_announced_again() -> None:
    node = serving(A, B)
    node.course.members_heard(True, at(node.now), may_announce=True)
    assert node.take() == [Reannounce((A, B))]
    node.course.members_heard(True, at(node.now), may_announce=False)
    node.course.members_heard(False, at(node.now), may_announce=True)
    assert node.take() == []


def test_orders_that_nobody_waits_for_go_out_while_another_one_is_in_flight() -> None:
    node = serving(A)
    node.allocate(B)
    node.decide()
    node.take()
    node.course.conflict(Conflict(A, "eth0", STRANGER), at(node.now))
    assert node.take() == [Defend(A, "eth0")]


def lost_to(address: str, *, own: str = "node-a", other: str = "node-b") -> Node:
    """A node that announces the address, and has lost the other one."""
    node = Node(own, others=(other,))
    node.course.decisions.set_alive(frozenset({own}))
    node.allocate(address)
    node.run()
    node.view.hear({other: Member("two", ETH0)}, node.now)
    node.view.hear({}, node.now)
    return node


def test_of_two_that_do_not_hear_each_other_the_one_that_ranks_lower_leaves_the_address() -> None:
    address = owned_by_the_other()
    node = lost_to(address)
    node.course.conflict(Conflict(address, "eth0", mac(2)), at(node.now))
    assert node.run() == [Withdraw((address,))]


def test_the_one_that_ranks_higher_announces_it_again() -> None:
    address = owned_by_the_other("node-b", "node-a")
    node = lost_to(address)
    node.course.conflict(Conflict(address, "eth0", mac(2)), at(node.now))
    assert node.run() == [Reannounce((address,))]
    assert node.announced() == {address}


# ---- interfaces


def test_that_the_kernel_was_to_answer_and_does_not_is_said_once() -> None:
    node = serving(A)
    refused = interface()._replace(why_not="Refused: the speaker lacks the capability BPF")
    for its_mac in ("02:00:00:00:00:aa", "02:00:00:00:00:bb"):
        node.course.interfaces_changed((refused._replace(mac=its_mac),))
    said = [one for one in node.notices.take() if isinstance(one, Line) and one.level == "warning"]
    assert [one.fields for one in said] == [{"interfaces": ("eth0",), "why": refused.why_not}]


def test_interfaces_that_come_and_go_are_told_and_used_if_they_can_carry_addresses() -> None:
    node = serving(A)
    node.notices.take()
    node.course.interfaces_changed((interface("eth0"), interface("veth1", usable=False)))
    assert node.run() == []
    node.course.interfaces_changed((interface("eth0"), interface("eth1")))
    assert node.run()[0] == UseInterfaces(("eth0", "eth1"))
    assert node.course.decisions.cluster.allocations.keys() == {allocation_name(A)}
    assert [entry["name"] for entry in node.field("interfaces")] == ["eth0", "eth1"]
    node.course.interfaces_changed(())
    assert node.run()[0] == UseInterfaces(())
    assert node.announced() == set()
