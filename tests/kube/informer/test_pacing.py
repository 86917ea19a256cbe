import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.backoff import Backoff
from kube.informer.pacing import Pacing, Step, WatchEnd


def ended(pacing: Pacing, end: WatchEnd, *, events: bool = False, lasted: float = 0.0) -> None:
    pacing.watch_ended(end, brought_events=events, lasted_seconds=lasted)


def watching() -> Pacing:
    pacing = Pacing()
    pacing.listed()
    return pacing


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_delays_are_never_zero_and_never_above_the_cap(attempt: int, randomness: float) -> None:
    backoff = Backoff(base_seconds=0.1, cap_seconds=10.0)
    assert 0.05 <= backoff.delay_seconds(attempt, randomness) <= 10.0


def test_delays_double_from_the_base() -> None:
    backoff = Backoff(base_seconds=0.1, cap_seconds=1.0)
    assert [backoff.delay_seconds(n, 0.999999) for n in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0], rel=1e-3)


def test_the_first_step_is_a_list_at_once_and_then_a_watch_at_once() -> None:
    pacing = Pacing()
    assert (pacing.step, pacing.pause_seconds(0.5)) == (Step.LIST, 0.0)
    pacing.listed()
    assert (pacing.step, pacing.pause_seconds(0.5)) == (Step.WATCH, 0.0)


def test_a_watch_that_the_server_ended_in_time_is_opened_again_at_once() -> None:
    pacing = watching()
    ended(pacing, WatchEnd.CLOSED, lasted=300)
    assert (pacing.step, pacing.pause_seconds(0.5)) == (Step.WATCH, 0.0)


def test_a_server_that_ends_each_watch_at_once_is_not_asked_at_full_speed() -> None:
    pacing = watching()
    for _ in range(20):
        ended(pacing, WatchEnd.CLOSED)
        assert pacing.pause_seconds(0.0) > 0
    assert pacing.pause_seconds(0.0) == 5.0


def test_a_broken_watch_is_resumed_after_a_short_pause() -> None:
    pacing = watching()
    ended(pacing, WatchEnd.BROKEN, events=True)
    assert pacing.step is Step.WATCH
    assert 0 < pacing.pause_seconds(0.9) <= 0.2


def test_breaks_without_a_single_event_lead_to_a_list() -> None:
    pacing = watching()
    for expected in [Step.WATCH] * 4 + [Step.LIST]:
        ended(pacing, WatchEnd.BROKEN)
        assert pacing.step is expected


def test_an_event_between_breaks_shows_that_resuming_works() -> None:
    pacing = watching()
    for _ in range(20):
        ended(pacing, WatchEnd.BROKEN)
        ended(pacing, WatchEnd.BROKEN, events=True)
        assert pacing.step is Step.WATCH


def test_one_silence_resumes_and_a_second_one_lists() -> None:
    pacing = watching()
    for expected in (Step.WATCH, Step.LIST):
        ended(pacing, WatchEnd.IDLE, lasted=90)
        assert pacing.step is expected


@pytest.mark.parametrize("end", [WatchEnd.GONE, WatchEnd.REFUSED])
def test_what_resuming_cannot_mend_leads_to_a_list(end: WatchEnd) -> None:
    pacing = watching()
    ended(pacing, end, events=True)
    assert pacing.step is Step.LIST
    assert pacing.pause_seconds(0.5) > 0


def test_a_list_that_works_and_a_watch_that_fails_do_not_take_turns_at_full_speed() -> None:
    pacing = watching()
    pauses = []
    for _ in range(10):
        ended(pacing, WatchEnd.GONE)
        pauses.append(pacing.pause_seconds(0.0))
        pacing.listed()
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5.0


def test_the_server_decides_when_it_says_how_long_to_wait() -> None:
    pacing = Pacing()
    pacing.list_failed(retry_after_seconds=7.0)
    assert pacing.pause_seconds(0.5) == 7.0
    pacing.list_failed()
    assert pacing.pause_seconds(0.5) < 1.0


def test_a_list_that_is_wanted_waits_for_no_backoff() -> None:
    pacing = Pacing()
    for _ in range(8):
        pacing.list_failed()
    pacing.want_list()
    assert (pacing.step, pacing.pause_seconds(0.9)) == (Step.LIST, 0.0)


def test_the_past_is_believed_when_the_server_insists() -> None:
    pacing = watching()
    for expected in (False, False, True):
        assert not pacing.may_go_back
        pacing.list_went_back()
        assert pacing.may_go_back is expected
    pacing.listed()
    assert not pacing.may_go_back
