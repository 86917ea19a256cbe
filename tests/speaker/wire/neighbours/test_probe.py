"""The times of RFC 5227 §2.1.1 and RFC 4862 §5.4, by a clock that jumps from one deadline to the next."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours.probe import (
    ANNOUNCE_WAIT_SECONDS,
    DUP_ADDR_DETECT_TRANSMITS,
    MAX_RTR_SOLICITATION_DELAY_SECONDS,
    PROBE_MAX_SECONDS,
    PROBE_MIN_SECONDS,
    PROBE_NUM,
    PROBE_WAIT_SECONDS,
    PROBES_PER_TURN,
    RETRANS_TIMER_SECONDS,
    TURN_SECONDS,
    ProbeSchedule,
)

ADDRESS, OTHER = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 11])
IPV6 = bytes.fromhex("20010db8000000000000000000000010")


def run(schedule: ProbeSchedule, until: float = 100.0) -> list[tuple[float, bytes, bool]]:
    """Every step with its time."""
    seen = []
    while (now := schedule.deadline()) is not None and now < until:
        seen += [(now, step.address, step.is_over) for step in schedule.due(now)]
    return seen


@given(st.integers(0, 10_000))
def test_rfc5227_2_1_1_three_probes_at_random_times_then_two_seconds_of_listening(seed: int) -> None:
    schedule = ProbeSchedule(random.Random(seed).random)
    schedule.start(ADDRESS, 10.0)
    *probes, (over, _, is_over) = run(schedule)
    times = [at for at, _, is_over in probes if not is_over]
    assert is_over
    assert len(times) == PROBE_NUM == 3
    assert 0 <= times[0] - 10.0 <= PROBE_WAIT_SECONDS
    for first, second in pairwise(times):
        assert PROBE_MIN_SECONDS <= second - first <= PROBE_MAX_SECONDS
    assert over - times[-1] == pytest.approx(ANNOUNCE_WAIT_SECONDS)


@given(st.integers(0, 10_000))
def test_rfc4862_5_4_2_neighbour_solicitations_retrans_timer_apart(seed: int) -> None:
    schedule = ProbeSchedule(random.Random(seed).random)
    schedule.start(IPV6, 10.0)
    *probes, (over, _, _) = run(schedule)
    times = [at for at, _, _ in probes]
    assert len(times) == DUP_ADDR_DETECT_TRANSMITS
    assert 0 <= times[0] - 10.0 <= MAX_RTR_SOLICITATION_DELAY_SECONDS
    for first, second in pairwise([*times, over]):
        assert second - first == pytest.approx(RETRANS_TIMER_SECONDS)


def test_a_cancelled_one_is_over_without_a_word_and_may_begin_anew() -> None:
    schedule = ProbeSchedule(lambda: 0.5)
    schedule.start(ADDRESS, 0.0)
    schedule.start(OTHER, 0.0)
    schedule.due(0.5)
    schedule.cancel(ADDRESS)
    assert ADDRESS not in schedule
    schedule.start(ADDRESS, 1.0)
    seen = run(schedule)
    assert [step[1] for step in seen].count(ADDRESS) == PROBE_NUM + 1
    assert seen[-1][0] == pytest.approx(1.0 + 0.5 + 1.5 * 2 + 2.0)
    assert schedule.deadline() is None


def test_starting_again_begins_anew() -> None:
    schedule = ProbeSchedule(lambda: 0.0)
    schedule.start(ADDRESS, 0.0)
    schedule.due(0.0)
    schedule.start(ADDRESS, 0.5)
    assert [round(at, 3) for at, _, _ in run(schedule)] == [0.5, 1.5, 2.5, 4.5]


def test_after_a_pause_probes_keep_their_distance() -> None:
    schedule = ProbeSchedule(lambda: 0.0)
    schedule.start(ADDRESS, 0.0)
    schedule.due(0.0)
    assert len(schedule.due(60.0)) == 1
    assert schedule.deadline() == 60.0 + PROBE_MIN_SECONDS


def test_thousands_at_once_come_a_few_at_a_time() -> None:
    schedule = ProbeSchedule(lambda: 0.0)
    for number in range(5000):
        schedule.start(number.to_bytes(4, "big"), 0.0)
    now = 0.0
    sent = 0
    while sent < 5000:
        steps = schedule.due(now)
        assert len(steps) <= PROBES_PER_TURN
        sent += len(steps)
        now += TURN_SECONDS
    assert now < 1.0
