"""How long what took: which fault an operation counts under, and when an address was taken over."""

import pytest

from bench.soak.timing import FaultSpan, Operation, by_fault, takeovers, unanswered
from bench.soak.verdict import Answer, Life, Sighting

ADDRESS = "192.0.2.1"
KILL, FREEZE = FaultSpan("kill", "node1", 100, 110), FaultSpan("freeze", "node2", 105, 120)


@pytest.mark.parametrize(
    ("began", "ended", "counts_under"),
    [(90, 99, "none"), (90, 101, "kill"), (113, 114, "freeze"), (101, 106, "several"), (123, 124, "none")],
)
def test_an_operation_counts_under_the_one_fault_that_was_there(began: float, ended: float, counts_under: str) -> None:
    (found,) = by_fault([Operation("given", began, ended)], [KILL, FREEZE])["given"]
    assert found == counts_under


def test_times_are_the_middle_and_the_worst() -> None:
    operations = [Operation("given", 0, seconds) for seconds in (1, 2, 9)]
    found = by_fault(operations, [])["given"]["none"]
    assert (found.count, found.p50, found.worst) == (3, 2, 9)


def test_a_takeover_is_from_the_fault_to_the_first_frame_of_another_node() -> None:
    frames = [Sighting("node1", ADDRESS, at) for at in (99, 99.9)]
    frames += [Sighting("node3", ADDRESS, 100.25), Sighting("node3", ADDRESS, 101)]
    found = takeovers([KILL], frames, [Life(ADDRESS, "uid", 50)])
    assert (found["kill"].count, found["kill"].worst) == (1, 0.25)


@pytest.mark.parametrize(
    ("frames", "life"),
    [
        ([("node2", 99.0), ("node3", 100.2)], Life(ADDRESS, "uid", 50)),  # another one had it
        ([("node1", 99.0), ("node1", 100.2)], Life(ADDRESS, "uid", 50)),  # nobody else came
        ([("node1", 99.0), ("node3", 115.0)], Life(ADDRESS, "uid", 50)),  # after the fault
        ([("node1", 99.0), ("node3", 105.0)], Life(ADDRESS, "uid", 50, 101)),  # of the next holder
        ([("node1", 60.0), ("node3", 105.0)], Life(ADDRESS, "uid", 50)),  # nobody knows whose it was at the fault
    ],
)
def test_what_tells_nothing_of_a_takeover_is_left_out(frames: list[tuple[str, float]], life: Life) -> None:
    assert takeovers([KILL], [Sighting(node, ADDRESS, at) for node, at in frames], [life]) == {}


def test_a_gap_is_from_the_last_connection_that_went_well_to_the_next_one() -> None:
    answers = [Answer(at, at, ADDRESS, service) for at, service in ((1, "a"), (2, None), (3, None), (4, "a"), (5, "a"))]
    (gap,) = unanswered(answers, {ADDRESS: [(0, 10)]})
    assert (gap.began, gap.ended) == (1, 4)
    assert unanswered(answers, {ADDRESS: [(2, 10)]}) == []
