"""The table of phases: what it must say, whatever else it says."""

from itertools import pairwise

import pytest

from speaker.phases import TABLE, Cause, Deed, Phase, after, may

ORDER = (Phase.RENEWING, Phase.REGISTERING, Phase.READING, Phase.LISTENING, Phase.SERVING)


def reachable(start: Phase, *, without: Phase) -> set[Phase]:
    """The phases that can come after `start` when nothing goes by way of `without`."""
    found, waiting = set(), [start]
    while waiting:
        for phase in set(TABLE[waiting.pop()].ends.values()) - found - {without}:
            found.add(phase)
            waiting.append(phase)
    return found


def test_every_phase_has_a_row_and_every_row_but_the_first_is_led_to() -> None:
    assert set(TABLE) == set(Phase)
    assert {phase for row in TABLE.values() for phase in row.ends.values()} == set(Phase)
    assert next(iter(TABLE)) is Phase.RENEWING


def test_every_cause_leads_somewhere() -> None:
    assert {cause for row in TABLE.values() for cause in row.ends} == set(Cause)


@pytest.mark.parametrize("phase", Phase)
def test_nothing_is_announced_but_when_serving_and_when_leaving(phase) -> None:
    assert may(phase, Deed.ANNOUNCE) == (phase in (Phase.SERVING, Phase.LEAVING))


@pytest.mark.parametrize("phase", Phase)
def test_releases_are_confirmed_only_where_what_is_announced_is_decided(phase) -> None:
    assert not may(phase, Deed.CONFIRM) or may(phase, Deed.DECIDE)
    assert not may(phase, Deed.DECIDE) or may(phase, Deed.READ)
    assert not may(phase, Deed.ANNOUNCE) or may(phase, Deed.DECIDE)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.LEAVING])
def test_what_may_have_been_a_fence_starts_all_over_from_everywhere(phase) -> None:
    assert after(phase, Cause.MAY_BE_FENCED) is Phase.RENEWING


@pytest.mark.parametrize("skipped", ORDER[1:4])
def test_no_way_leads_past_a_step_of_the_beginning(skipped) -> None:
    """Renew, register, read, listen: each of them comes before it may announce, at each start; or it stops before."""
    assert Phase.SERVING not in reachable(Phase.RENEWING, without=skipped)
    assert Phase.HELD not in reachable(Phase.RENEWING, without=skipped)


def test_each_step_of_the_beginning_leads_to_the_next_and_to_no_later_one() -> None:
    for phase, following in pairwise(ORDER):
        assert set(TABLE[phase].ends.values()) == {Phase.RENEWING, Phase.LEAVING, following}


@pytest.mark.parametrize("phase", Phase)
def test_a_speaker_is_asked_to_stop_once_and_never_comes_back(phase) -> None:
    if phase is Phase.LEAVING:
        assert not TABLE[phase].ends
    else:
        assert after(phase, Cause.STOPPED) is Phase.LEAVING


def test_silence_by_its_promise_ends_without_a_new_registration_only_in_an_outage_for_all() -> None:
    assert after(Phase.SERVING, Cause.CUT_OFF) is Phase.HELD
    assert {cause for cause, phase in TABLE[Phase.HELD].ends.items() if phase is Phase.SERVING} == {
        Cause.OUTAGE_FOR_ALL
    }


@pytest.mark.parametrize("phase", Phase)
def test_people_are_told_what_it_waits_for_unless_it_serves(phase) -> None:
    assert bool(TABLE[phase].waits_for) == (phase is not Phase.SERVING)


def test_a_cause_that_can_not_come_is_an_error() -> None:
    with pytest.raises(KeyError):
        after(Phase.READING, Cause.COMPLETE)
