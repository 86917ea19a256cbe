"""When a Lease counts as fresh: by what was seen, on our own clock, while we were in contact."""

from hypothesis import given
from hypothesis import strategies as st

from kube.lease.observer import LeaseObserver, ObservedTime


def test_a_lease_is_fresh_until_it_was_not_seen_to_change_for_its_duration() -> None:
    observer = LeaseObserver()
    for second in range(20):
        observer.contact(100.0 + second)
        if second <= 4:
            observer.observe("n1", "i1", f"r{second}", 100.0 + second)
    assert observer.age("n1", 119.0) == 15.0
    assert not observer.fresh("n1", 119.0, 6.0)
    assert observer.fresh("n1", 119.0, 60.0)
    assert not observer.fresh("n2", 119.0, 60.0)


def test_seeing_the_same_lease_again_is_no_sign_of_life() -> None:
    observer = LeaseObserver()
    for second in range(10):
        observer.observe("n1", "i1", "r0", 100.0 + second)
    assert not observer.fresh("n1", 109.0, 6.0)


def test_another_holder_is_a_sign_of_life() -> None:
    observer = LeaseObserver()
    for second in range(8):
        observer.observe("n1", "i1", "r0", 100.0 + second)
    observer.observe("n1", "i2", "r0", 108.0)
    assert observer.fresh("n1", 108.0, 6.0)


def test_a_released_or_deleted_lease_is_not_fresh() -> None:
    observer = LeaseObserver()
    observer.observe("n1", "i1", "r0", 100.0)
    observer.observe("n2", "i1", "r0", 100.0)
    observer.observe("n1", "", "r1", 100.1)
    observer.forget("n2")
    assert not observer.fresh("n1", 100.1, 6.0)
    assert not observer.fresh("n2", 100.1, 6.0)


def test_an_outage_makes_nobody_stale() -> None:
    observer = LeaseObserver()
    for second in range(5):
        observer.observe("n1", "i1", f"r{second}", 100.0 + second)
        observer.observe("n2", "i1", f"r{max(1, second)}", 100.0 + second)
    for second in (1, 3, 30, 3000):  # nothing is heard any more
        assert observer.fresh("n1", 104.0 + second, 6.0)
    observer.contact(4000.0)  # the server is back, the others are not yet
    assert observer.fresh("n1", 4002.9, 6.0)
    observer.contact(4002.5)
    observer.observe("n1", "i1", "r9", 4004.0)
    assert observer.fresh("n1", 4009.0, 6.0)


def test_who_stays_away_after_an_outage_goes_stale() -> None:
    observer = LeaseObserver()
    observer.observe("n1", "i1", "r0", 100.0)
    for second in range(20):
        observer.contact(500.0 + second)
    assert observer.age("n1", 519.0) == 16.0  # 3 seconds after the gap do not count
    assert not observer.fresh("n1", 519.0, 6.0)


ROUNDING = 1e-9
"""Seconds: sums of floats taken in another order."""


@given(st.lists(st.floats(0.0, 20.0), min_size=1, max_size=30))
def test_observed_time_never_runs_ahead_of_the_clock_and_contacts_never_turn_it_back(steps: list[float]) -> None:
    time, moment, latest = ObservedTime(), 100.0, 0.0
    for step in steps:
        moment += step
        time.contact(moment)
        at = time.at(moment)
        assert latest <= at <= moment - 100.0 + ROUNDING
        assert time.at(moment + 1000.0) <= at + time.gap_seconds + ROUNDING
        latest = at


@given(st.lists(st.floats(0.01, 2.9), min_size=1, max_size=30))
def test_in_unbroken_contact_observed_time_is_time(steps: list[float]) -> None:
    time, moment = ObservedTime(), 100.0
    time.contact(moment)
    for step in steps:
        moment += step
        assert abs(time.at(moment) - (moment - 100.0)) < 1e-6
        time.contact(moment)
