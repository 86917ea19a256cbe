"""Whose word counts for a withdrawal: the router's BGP process where it answers, and else its TCP."""

from crds.addresses import Family
from crds.speaker import Acknowledger
from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.events import Refresh
from speaker.bgp.exabgp.refreshproof import TRIAL_SECONDS, RefreshProof
from speaker.bgp.exabgp.session import CLOCK_MARGIN_SECONDS, CONFIRM_SECONDS, STUCK_SECONDS, RouterSession
from speaker.bgp.model import Route
from tests.speaker.bgp.exabgp.test_session import PEER, V4, advertise

HOLD_SECONDS = 90
PATIENCE_SECONDS = HOLD_SECONDS + int(CONFIRM_SECONDS)


def session_that_is_up(now: float, offer: Refresh) -> RouterSession:
    session = RouterSession(PEER, now)
    session.exabgp_started(now)
    session.handle(events.Negotiated(HOLD_SECONDS, PEER.families, refresh=offer), now)
    answered(session, now)
    session.handle(events.Up(), now)
    return session


def answered(session: RouterSession, now: float) -> list[str]:
    """What is written, but for queries. TCP has everything."""
    lines = session.next_lines(now)
    for line in lines:
        if line.startswith("unacknowledged"):
            session.handle(events.Unacknowledged(0), now)
        session.handle(events.Answer(True), now)
    return [line for line in lines if not line.startswith(("unacknowledged", "pace", "accept", "announce eor"))]


def withdrawn(session: RouterSession, now: float) -> list[str]:
    advertise(session, now, Route(V4))
    session.change({V4: None})
    lines = answered(session, now)
    session.handle(events.Sent(withdrawn=(V4,)), now)
    return lines


def test_a_withdrawal_counts_when_the_router_has_begun_to_answer_what_was_asked_after_it() -> None:
    session = session_that_is_up(1000.0, Refresh.Enhanced)
    assert withdrawn(session, 1001.0)[1:] == ["refresh ipv4"]
    session.handle(events.RefreshSent(Family.IPv4), 1001.0)
    answered(session, 1003.0)
    assert session.may_be_heard(V4), "TCP has it, which is not enough"
    session.handle(events.RefreshBegun(Family.IPv4), 1003.0)
    assert not session.may_be_heard(V4)
    assert session.view().withdrawals_acknowledged_by is Acknowledger.Process


def test_an_answer_to_what_was_asked_before_a_withdrawal_says_nothing_of_it() -> None:
    session = session_that_is_up(1000.0, Refresh.Enhanced)
    withdrawn(session, 1001.0)
    session.handle(events.RefreshSent(Family.IPv4), 1001.0)
    session.change({V4: Route(V4)})
    answered(session, 1001.1)
    session.handle(events.Sent(announced=(V4,)), 1001.1)
    session.change({V4: None})
    assert "refresh ipv4" not in answered(session, 1001.2), "one at a time"
    session.handle(events.Sent(withdrawn=(V4,)), 1001.2)
    session.handle(events.RefreshBegun(Family.IPv4), 1001.3)
    assert session.may_be_heard(V4)
    assert answered(session, 1001.3) == ["refresh ipv4"]
    session.handle(events.RefreshSent(Family.IPv4), 1001.3)
    session.handle(events.RefreshBegun(Family.IPv4), 1001.4)
    assert not session.may_be_heard(V4)


def test_a_router_that_is_slow_to_answer_is_nudged_less_and_less_often() -> None:
    session = session_that_is_up(1000.0, Refresh.Enhanced)
    withdrawn(session, 1001.0)
    session.handle(events.RefreshSent(Family.IPv4), 1001.0)
    assert answered(session, 1001.0005) == []
    nudges, now = [], 1001.0005
    while now < 1004.0:
        now = session.deadline()
        nudges += [now for line in answered(session, now) if line == "nudge"]
    assert [round(later - 1001.0, 3) for later in nudges[:4]] == [0.001, 0.003, 0.007, 0.015]
    assert 10 <= len(nudges) <= 14


def test_a_process_that_hangs_is_told_until_when_it_may_keep_the_route_and_its_session_ends_after_a_hold_time() -> None:
    session = session_that_is_up(1000.0, Refresh.Enhanced)
    withdrawn(session, 1001.0)
    session.handle(events.RefreshSent(Family.IPv4), 1001.0)
    session.handle(events.RefreshBegun(Family.IPv4), 1001.0)
    withdrawn(session, 1002.0)
    session.handle(events.RefreshSent(Family.IPv4), 1002.0)
    answered(session, 1002.0 + STUCK_SECONDS)
    session.pass_time(1002.0 + STUCK_SECONDS)
    assert session.view().kept_until == 1002.0 + PATIENCE_SECONDS + HOLD_SECONDS + CLOCK_MARGIN_SECONDS
    for second in range(PATIENCE_SECONDS):
        assert session.overdue(1002.0 + second) is None
        answered(session, 1002.0 + second)
    assert session.may_be_heard(V4)
    assert "BGP process" in session.overdue(1002.1 + PATIENCE_SECONDS)


def test_a_router_that_offers_to_answer_and_never_does_is_believed_by_its_tcp_after_a_while() -> None:
    session = session_that_is_up(1000.0, Refresh.Enhanced)
    withdrawn(session, 1001.0)
    session.handle(events.RefreshSent(Family.IPv4), 1001.0)
    answered(session, 1000.0 + TRIAL_SECONDS - 1)
    assert session.may_be_heard(V4)
    answered(session, 1000.0 + TRIAL_SECONDS + 2)
    assert not session.may_be_heard(V4)
    assert session.view().withdrawals_acknowledged_by is Acknowledger.TCP
    assert session.overdue(1000.0 + TRIAL_SECONDS + 3) is None
    session.handle(events.RefreshBegun(Family.IPv4), 1020.0)
    assert session.view().withdrawals_acknowledged_by is Acknowledger.Process, "late, as FRR with an update-delay"


def test_of_a_router_without_rfc_7313_only_a_second_end_of_rib_is_an_answer() -> None:
    session = session_that_is_up(1000.0, Refresh.Normal)
    withdrawn(session, 1001.0)
    session.handle(events.RefreshSent(Family.IPv4), 1001.0)
    answered(session, 1001.1)
    assert not session.may_be_heard(V4), "its TCP counts until it has answered once"
    session.handle(events.RouterEndOfRib(Family.IPv4), 1001.2)
    assert session.view().withdrawals_acknowledged_by is Acknowledger.TCP
    session.handle(events.RouterEndOfRib(Family.IPv4), 1001.3)
    assert session.view().withdrawals_acknowledged_by is Acknowledger.Process
    withdrawn(session, 1002.0)
    session.handle(events.RefreshSent(Family.IPv4), 1002.0)
    answered(session, 1004.1)
    assert session.may_be_heard(V4)
    session.handle(events.RouterEndOfRib(Family.IPv6), 1004.2)
    assert session.may_be_heard(V4)
    session.handle(events.RouterEndOfRib(Family.IPv4), 1004.2)
    assert not session.may_be_heard(V4)


def test_a_router_with_many_routes_for_us_is_asked_for_another_family_and_then_no_more() -> None:
    proof = RefreshProof()
    proof.came_up(Refresh.Enhanced, frozenset(Family), 1000.0)
    for family in (Family.IPv4, Family.IPv6):
        proof.want()
        assert proof.is_due
        assert proof.ask(1001.0) is family
        proof.was_sent(family, 1001.0)
        assert proof.begun(family)
        assert proof.is_required(2000.0)
        proof.costly(family)
        proof.costly(family)
    proof.want()
    assert not proof.is_due
    assert not proof.is_required(1001.0)


def test_one_that_has_many_routes_to_begin_with_is_asked_for_another_family_at_once() -> None:
    """It may never answer what it was asked meanwhile; where it does, that is no answer to what was asked after it."""
    proof = RefreshProof()
    proof.came_up(Refresh.Enhanced, frozenset(Family), 1000.0)
    proof.want()
    assert proof.ask(1001.0) is Family.IPv4
    proof.was_sent(Family.IPv4, 1001.0)
    proof.costly(Family.IPv4)
    assert proof.is_due
    assert proof.ask(1002.0) is Family.IPv6
    proof.was_sent(Family.IPv6, 1002.0)
    assert not proof.begun(Family.IPv4)
    assert proof.begun(Family.IPv6)
    assert proof.is_required(2000.0)


def test_a_router_that_offers_nothing_is_not_asked() -> None:
    session = session_that_is_up(1000.0, Refresh.Absent)
    assert len(withdrawn(session, 1001.0)) == 1
    answered(session, 1001.0)
    assert not session.may_be_heard(V4)


def test_what_a_router_begins_by_itself_is_no_answer() -> None:
    session = session_that_is_up(1000.0, Refresh.Enhanced)
    session.handle(events.RefreshBegun(Family.IPv4), 1001.0)
    assert session.view().withdrawals_acknowledged_by is Acknowledger.TCP
    withdrawn(session, 1001.0)
    session.handle(events.RefreshBegun(Family.IPv4), 1001.0)
    assert session.may_be_heard(V4), "the question has not been sent yet"


def test_what_comes_before_a_question_was_sent_is_no_answer_to_it() -> None:
    """Else the answer would be none any more when it comes, and nobody would ask again."""
    proof = RefreshProof()
    proof.came_up(Refresh.Normal, frozenset({Family.IPv4}), 1000.0)
    assert not proof.end_of_rib(Family.IPv4), "the first of a session"
    for asked in (1001.0, 1002.0):
        proof.want()
        proof.ask(asked)
        assert not proof.end_of_rib(Family.IPv4)
        proof.was_sent(Family.IPv4, asked)
        assert proof.end_of_rib(Family.IPv4)
    assert not proof.is_due
