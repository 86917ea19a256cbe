"""The stages of an address: from those that speakers may know of, the one way out is the barrier."""

import pytest

from allocator.stage import EXPOSED, TRANSITIONS, Event, Stage, after


def ways(start: Stage) -> dict[Stage, list[Event]]:
    """How each stage can be reached, by the fewest events."""
    found: dict[Stage, list[Event]] = {start: []}
    edge = [start]
    for stage in edge:
        for event, following in TRANSITIONS[stage].items():
            if following not in found:
                found[following] = [*found[stage], event]
                edge.append(following)
    return found


def test_every_stage_can_be_reached_and_every_stage_leads_to_freedom() -> None:
    assert ways(Stage.RESERVED).keys() == set(Stage)
    for stage in Stage:
        assert Stage.WITHDRAWN in ways(stage)


def test_an_address_in_good_order_takes_this_way() -> None:
    assert ways(Stage.RECORDED)[Stage.WITHDRAWN] == [Event.MARK_SEEN, Event.BARRIER_PASSED, Event.RECORD_GONE]
    assert ways(Stage.RESERVED)[Stage.RECORDED] == [Event.RECORD_SEEN]


def test_what_speakers_may_know_is_hidden_by_the_barrier_or_by_a_sure_refusal_only() -> None:
    hiding = {
        (stage, event, following)
        for stage in EXPOSED
        for event, following in TRANSITIONS[stage].items()
        if following not in EXPOSED
    }
    assert hiding == {
        (Stage.PASSED, Event.RECORD_GONE, Stage.WITHDRAWN),
        (Stage.CREATED, Event.CREATE_REFUSED, Stage.RESERVED),
    }


def test_only_a_mark_passes_the_barrier() -> None:
    assert [stage for stage in Stage if after(stage, Event.BARRIER_PASSED) is Stage.PASSED] == [
        Stage.MARKED,
        Stage.PASSED,
    ]


@pytest.mark.parametrize("stage", Stage)
def test_another_mark_must_be_judged_by_itself(stage: Stage) -> None:
    assert after(stage, Event.MARK_SEEN) is Stage.MARKED
