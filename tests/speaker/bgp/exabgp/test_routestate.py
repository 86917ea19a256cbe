"""The table of a prefix's states, read as a whole: what each event may and may not do, in whatever state."""

import pytest

from speaker.bgp.exabgp.routestate import TRANSITIONS, WRITTEN, RouteEvent, RouteState, next_state

OBSERVED = [event for event in RouteEvent if event not in WRITTEN]
STATES = list(RouteState)


def moves(*events: RouteEvent) -> list[tuple[RouteState, RouteEvent, RouteState]]:
    return [
        (state, event, next_state(state, event))
        for state in STATES
        for event in events
        if event in TRANSITIONS[state] or event not in WRITTEN
    ]


def test_every_state_has_a_row_and_no_row_has_an_entry_that_changes_nothing() -> None:
    assert list(TRANSITIONS) == STATES
    assert [
        (state, event) for state, row in TRANSITIONS.items() for event, after in row.items() if after is state
    ] == []


def test_every_state_can_be_reached_and_left() -> None:
    reached = {RouteState.Absent}
    for _ in STATES:
        reached |= {after for state in reached for after in TRANSITIONS[state].values()}
    assert reached == set(STATES)
    assert all(TRANSITIONS.values())


ABOUT = {
    RouteEvent.AnnounceWritten: "held exposed in-flight",
    RouteEvent.WithdrawWritten: "held in-flight",
    RouteEvent.NewRefused: "held exposed in-flight",
    RouteEvent.OtherRefused: "in-flight",
    RouteEvent.AnnounceSent: "exposed sent in-flight unacknowledged",
    RouteEvent.WithdrawSent: "sent in-flight unacknowledged",
    RouteEvent.ProbePassed: "in-flight unacknowledged",
    RouteEvent.Acknowledged: "exposed unacknowledged",
    RouteEvent.SessionUp: "exposed in-flight",
    RouteEvent.SessionUpMeanwhile: "exposed in-flight",
    RouteEvent.SessionLost: "exposed sent in-flight unacknowledged",
    RouteEvent.ExaBgpEnded: "held",
}


@pytest.mark.parametrize("event", RouteEvent)
def test_an_event_changes_only_the_facts_that_it_is_about(event: RouteEvent) -> None:
    for state, _, after in moves(event):
        assert set(state.value.split()) ^ set(after.value.split()) <= set(ABOUT[event].split()), state


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (RouteEvent.AnnounceWritten, ["Absent", "Announced", "Withdrawn", "Stray"]),
        (RouteEvent.WithdrawWritten, ["Held", "Announced"]),
        (RouteEvent.NewRefused, ["Held", "Announcing", "Announced", "Replacing", "Reannouncing"]),
        (RouteEvent.OtherRefused, ["Replacing"]),
        (RouteEvent.ProbePassed, ["Retracting"]),
        (RouteEvent.Acknowledged, ["Reannouncing", "Withdrawn"]),
        (RouteEvent.SessionUp, ["Held"]),
        (RouteEvent.SessionUpMeanwhile, ["Absent"]),
        (RouteEvent.ExaBgpEnded, ["Held"]),
    ],
)
def test_an_event_changes_only_the_states_that_it_can_happen_in(event: RouteEvent, changed: list[str]) -> None:
    assert [state.name for state, _, after in moves(event) if after is not state] == changed


def test_what_was_sent_is_in_flight_while_it_is_withdrawn_and_what_was_not_needs_a_probe() -> None:
    assert next_state(RouteState.Announced, RouteEvent.WithdrawWritten) is RouteState.Withdrawing
    assert next_state(RouteState.Held, RouteEvent.WithdrawWritten) is RouteState.Absent
    assert next_state(RouteState.Retracting, RouteEvent.AnnounceSent) is RouteState.Withdrawing


def test_a_refused_announcement_is_in_flight_no_more() -> None:
    assert not any(after.is_in_flight for state, _, after in moves(RouteEvent.NewRefused) if state.is_held)


def test_only_an_acknowledgement_a_lost_session_or_a_refusal_ends_what_a_router_may_have() -> None:
    ends = {event for state, event, after in moves(*RouteEvent) if state.is_exposed and not after.is_exposed}
    assert ends == {RouteEvent.Acknowledged, RouteEvent.SessionLost, RouteEvent.NewRefused}


def test_an_acknowledgement_confirms_nothing_but_a_withdrawal_whose_update_was_reported() -> None:
    confirmed = [state for state, _, after in moves(RouteEvent.Acknowledged) if state.is_exposed > after.is_exposed]
    assert confirmed == [RouteState.Withdrawn]
    assert all(not after.is_unacknowledged for _, _, after in moves(RouteEvent.Acknowledged))


def test_a_refusal_hides_only_what_was_never_sent_in_the_session() -> None:
    hidden = [state for state, _, after in moves(RouteEvent.NewRefused) if state.is_exposed > after.is_exposed]
    assert hidden == [RouteState.Announcing]


def test_one_change_of_a_prefix_is_in_flight_at_a_time() -> None:
    for state in STATES:
        for event in WRITTEN:
            if state.is_in_flight:
                with pytest.raises(KeyError):
                    next_state(state, event)


def test_what_exabgp_holds_changes_by_commands_refusals_and_its_end_alone() -> None:
    changing = {event for state, event, after in moves(*RouteEvent) if state.is_held != after.is_held}
    assert changing == {*WRITTEN, RouteEvent.NewRefused, RouteEvent.ExaBgpEnded}
    assert all(after.is_held for _, _, after in moves(RouteEvent.AnnounceWritten))
    assert not any(after.is_held for _, _, after in moves(RouteEvent.WithdrawWritten, RouteEvent.NewRefused))


def test_a_withdrawal_is_written_of_whatever_exabgp_holds_and_nothing_is_in_flight_of() -> None:
    written = {state for state, _, _ in moves(RouteEvent.WithdrawWritten)}
    assert written == {state for state in STATES if state.is_held and not state.is_in_flight}


def test_what_is_announced_while_a_session_is_up_is_exposed_and_in_flight() -> None:
    after = [after for _, _, after in moves(RouteEvent.AnnounceWritten)]
    assert after
    assert all(state.is_exposed and state.is_in_flight for state in after)


def test_what_a_router_may_have_is_withdrawn_by_an_update_and_an_acknowledgement() -> None:
    """A command alone leaves it exposed; so does a probe."""
    for state, event, after in moves(RouteEvent.WithdrawWritten, RouteEvent.WithdrawSent, RouteEvent.ProbePassed):
        assert after.is_exposed == state.is_exposed, (state, event)


def test_an_update_that_announces_is_never_overlooked() -> None:
    for state, _, after in moves(RouteEvent.AnnounceSent):
        assert after.is_sent, state
        assert after.is_exposed, state
        assert not after.is_unacknowledged, state
        assert after.is_in_flight == (not after.is_held and state.is_in_flight), state


def test_an_update_that_withdraws_is_to_be_acknowledged_unless_exabgp_holds_the_route() -> None:
    for state, _, after in moves(RouteEvent.WithdrawSent):
        assert not after.is_sent, state
        assert after.is_unacknowledged == (state.is_unacknowledged or (state.is_exposed and not state.is_held)), state
        assert after.is_in_flight == (state.is_exposed and state.is_held), state


def test_a_probe_finds_only_what_was_never_announced_in_the_session() -> None:
    """What was is withdrawn by an UPDATE: the probe then was another session's."""
    found = [state for state, _, after in moves(RouteEvent.ProbePassed) if after is not state]
    assert found == [RouteState.Retracting]


def test_of_a_lost_session_nothing_is_left_but_what_exabgp_holds() -> None:
    for state, _, after in moves(RouteEvent.SessionLost):
        assert after is (RouteState.Held if state.is_held else RouteState.Absent)


def test_a_session_that_comes_up_carries_what_exabgp_holds_and_what_it_was_told_to_forget_too_late() -> None:
    rows = {state: next_state(state, RouteEvent.SessionUp) for state in (RouteState.Absent, RouteState.Held)}
    assert rows == {RouteState.Absent: RouteState.Absent, RouteState.Held: RouteState.Announcing}
    assert next_state(RouteState.Absent, RouteEvent.SessionUpMeanwhile) is RouteState.Retracting


def test_whatever_exabgp_does_has_an_answer_in_every_state() -> None:
    for state in STATES:
        for event in OBSERVED:
            assert next_state(state, event) in STATES


def test_what_is_not_absent_is_held_or_exposed() -> None:
    assert [state for state in STATES if not (state.is_held or state.is_exposed)] == [RouteState.Absent]
