"""The last steps of a speaker: their order, each of them once, and how long each may take."""

import pytest

from speaker.leaving import GOODBYE_SECONDS, LEAVE_SECONDS, Leaving
from speaker.own.writer import Goal

START = 100.0


def leaving(*, hands_over: bool = True) -> Leaving:
    made = Leaving()
    made.begin(START, hands_over=hands_over)
    return made


def stopping() -> Leaving:
    """Everything is handed over."""
    made = leaving()
    assert made.may_end(START, layer2=True, bgp=True)
    return made


def saying_goodbye() -> Leaving:
    """The wire process has ended."""
    made = stopping()
    assert made.takes_wire_stop()
    made.wire_stopped()
    assert made.may_say_goodbye(START, has_confirmed=True)
    return made


def giving_lease_back() -> Leaving:
    made = saying_goodbye()
    made.pass_time(START, Goal.SAID)
    assert made.takes_lease()
    return made


def test_before_it_is_asked_to_stop_nothing_ends() -> None:
    made = Leaving()
    made.pass_time(START + 1000, Goal.STATUS)
    assert not made.may_end(START + 1000, layer2=True, bgp=True)
    assert not made.may_say_goodbye(START + 1000, has_confirmed=True)
    assert not any((made.takes_wire_stop(), made.takes_lease(), made.is_over))
    assert made.deadline() is None


@pytest.mark.parametrize(("layer2", "bgp"), [(False, False), (False, True), (True, False)])
def test_it_waits_for_both_ways_to_announce_to_be_handed_over(layer2, bgp) -> None:
    made = leaving()
    assert made.deadline() == START + LEAVE_SECONDS
    assert not made.may_end(START + LEAVE_SECONDS - 0.01, layer2=layer2, bgp=bgp)
    assert not made.takes_wire_stop()


def test_layer_2_is_waited_for_no_longer_than_that_and_bgp_as_long_as_it_takes() -> None:
    made = leaving()
    assert not made.may_end(START + LEAVE_SECONDS, layer2=False, bgp=False)
    assert made.deadline() is None
    assert made.may_end(START + LEAVE_SECONDS + 60, layer2=False, bgp=True)


def test_one_that_announces_nothing_has_nothing_to_hand_over() -> None:
    made = leaving(hands_over=False)
    assert made.deadline() == START
    assert made.may_end(START, layer2=False, bgp=True)


def test_the_end_comes_once_and_the_wire_process_is_stopped_once() -> None:
    made = stopping()
    assert not made.may_end(START, layer2=True, bgp=True)
    assert made.takes_wire_stop()
    assert not made.takes_wire_stop()


def test_nothing_is_said_before_the_wire_process_has_ended() -> None:
    made = stopping()
    made.takes_wire_stop()
    made.pass_time(START + 1000, Goal.STATUS)
    assert not made.may_say_goodbye(START + 1000, has_confirmed=True)
    made.wire_stopped()
    assert made.may_say_goodbye(START + 1000, has_confirmed=True)
    assert not made.may_say_goodbye(START + 1000, has_confirmed=True)
    assert made.deadline() == START + 1000 + GOODBYE_SECONDS


def test_the_lease_is_given_back_after_the_goodbye_and_once() -> None:
    made = saying_goodbye()
    made.pass_time(START + 1, Goal.GOODBYE)
    assert not made.takes_lease()
    made.pass_time(START + 2, Goal.SAID)
    assert made.deadline() == START + 2 + GOODBYE_SECONDS
    assert made.takes_lease()
    assert not made.takes_lease()
    assert not made.is_over


@pytest.mark.parametrize("has_failed", [False, True])
def test_it_is_over_when_the_lease_was_given_back_or_that_failed(has_failed) -> None:
    made = giving_lease_back()
    made.lease_released(has_failed=has_failed)
    assert made.is_over
    assert made.has_failed is has_failed
    assert made.deadline() is None
    assert not made.takes_lease()


@pytest.mark.parametrize(("made", "goal"), [(saying_goodbye, Goal.GOODBYE), (giving_lease_back, Goal.SAID)])
def test_an_api_server_that_does_not_answer_is_given_up(made, goal) -> None:
    """Releases wait for this node then: whoever started it should know."""
    left = made()
    left.pass_time(START + GOODBYE_SECONDS - 0.01, goal)
    assert not left.is_over
    left.pass_time(START + GOODBYE_SECONDS, goal)
    assert left.is_over
    assert left.has_failed
    assert left.deadline() is None
