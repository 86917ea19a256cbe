"""Whose turn it is, and how many have theirs in a second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.status.waitingline import WaitingLine, counts_settle_seconds
from crds.speakerreport import WRITES_PER_SECOND


def test_the_first_to_come_is_the_first_to_be_served_also_when_it_comes_again() -> None:
    line = WaitingLine[str](2)
    for one in ("a", "b", "a", "c"):
        line.join(one, 0.0)
    assert list(line.take(0.0, 0.0)) == ["a", "b"]
    assert list(line.take(0.4, 0.0)) == []
    assert list(line.take(0.5, 0.0)) == ["c"]
    assert not line


def test_each_waits_for_more_news_of_it() -> None:
    line = WaitingLine[str](20)
    line.join("a", 0.0)
    line.join("b", 1.0)
    assert list(line.take(1.9, 2.0)) == []
    assert list(line.take(2.0, 2.0)) == ["a"]
    line.leave("b")
    assert list(line.take(9.0, 2.0)) == []


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.integers(0, 9)), min_size=50, max_size=300))
def test_nobody_waits_for_ever_however_often_others_come(arrivals: list[tuple[float, int]]) -> None:
    line, now, served = WaitingLine[int](1), 0.0, []
    line.join(99, now)
    for gap, one in arrivals:
        now += gap
        line.join(one, now)
        served += line.take(now, 0.0)
    assert 99 in served[:1]
    assert len(served) <= now + 1


@pytest.mark.slow
def test_a_rolling_update_of_500_nodes_with_10_000_addresses_writes_as_much_as_is_said() -> None:
    """Each node takes a second, and all its addresses come and go."""
    line, written = WaitingLine[int](20), 0
    for second in range(500):
        for one in range(10_000):
            line.join(one, float(second))
        written += len(list(line.take(float(second), 25.0)))
    assert written <= 500 * 20 + 20


@pytest.mark.parametrize("nodes", [1, 3, 63, 503])
def test_what_many_nodes_report_in_their_turns_is_written_once(nodes: int) -> None:
    """All but the first are late."""
    line, written, look_seconds = WaitingLine[str](20), 0, 0.5
    reports = [number / WRITES_PER_SECOND + (1.5 if number else 0.0) for number in range(nodes)]
    for look in range(200):
        now = look * look_seconds
        if any(now - look_seconds < at <= now for at in reports):
            line.join("192.0.2.1", now)
        written += len(list(line.take(now, counts_settle_seconds(nodes))))
    assert written == 1
