"""For how long an address that no report names may be announced all the same."""

from allocator.status.unreported import Unreported
from allocator.status.waitingline import COUNTS_SETTLE_SECONDS
from crds.speakerreport import MOST_ENTRIES, WRITES_PER_SECOND

NODES = 500
TURN_SECONDS = COUNTS_SETTLE_SECONDS + NODES / WRITES_PER_SECOND


def test_a_single_address_may_be_reported_until_each_node_has_had_a_turn() -> None:
    unreported = Unreported()
    assert unreported.seconds_left("a", NODES, 10.0) == TURN_SECONDS
    assert unreported.seconds_left("a", NODES, 10.0 + TURN_SECONDS - 1) == 1
    assert unreported.seconds_left("a", NODES, 10.0 + TURN_SECONDS) == 0


def test_of_thousands_the_last_may_come_after_as_many_turns_as_there_are_slices() -> None:
    unreported = Unreported()
    for number in range(5 * MOST_ENTRIES):
        unreported.seconds_left(number, NODES, 0.0)
    assert unreported.seconds_left(0, NODES, 0.0) == 6 * TURN_SECONDS
    for number in range(4 * MOST_ENTRIES):
        unreported.forget(number)
    assert unreported.seconds_left(4 * MOST_ENTRIES, NODES, 0.0) == 2 * TURN_SECONDS


def test_once_the_time_is_over_it_stays_so_and_holds_up_no_other() -> None:
    unreported = Unreported()
    for number in range(5 * MOST_ENTRIES):
        unreported.seconds_left(number, NODES, 0.0)
    for number in range(5 * MOST_ENTRIES):
        assert unreported.seconds_left(number, NODES, 1e6) == 0
    assert unreported.seconds_left("new", NODES, 1e6) == TURN_SECONDS
    assert unreported.seconds_left(1, NODES, 1e6) == 0


def test_one_that_was_reported_and_is_not_any_more_has_its_time_again() -> None:
    unreported = Unreported()
    unreported.seconds_left("a", NODES, 0.0)
    assert unreported.seconds_left("a", NODES, 1e6) == 0
    unreported.forget("a")
    assert unreported.seconds_left("a", NODES, 1e6) == TURN_SECONDS
