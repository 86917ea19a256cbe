"""RFC 5880: a test for each requirement on asynchronous mode, with the section that states it."""

import itertools

import pytest

from speaker.wire.bfd.packets import Diagnostic, Discard, Packet, State, build, parse
from speaker.wire.bfd.session import Session
from tests.speaker.wire.bfd.make import (
    OURS,
    SECOND,
    THEIRS,
    packet,
    parameters,
    sent,
    session_that_is,
    settled,
    until_sent,
)

UP, INIT, DOWN, ADMIN_DOWN = State.UP, State.INIT, State.DOWN, State.ADMIN_DOWN


def changed(place: int, byte: int) -> bytes:
    made = bytearray(build(packet(UP)))
    made[place] = byte
    return bytes(made)


class TestReception:
    """§6.8.6"""

    def test_another_version_is_discarded(self):
        assert parse(changed(0, 0 << 5)) is Discard.VERSION
        assert parse(changed(0, 2 << 5)) is Discard.VERSION

    def test_a_length_below_24_is_discarded(self):
        assert parse(changed(3, 23)) is Discard.LENGTH

    def test_with_authentication_a_length_below_26_is_discarded(self):
        made = bytearray(changed(1, UP << 6 | 4) + bytes(2))
        made[3] = 25
        assert parse(bytes(made)) is Discard.LENGTH

    def test_a_length_beyond_the_payload_is_discarded(self):
        assert parse(changed(3, 25)) is Discard.LENGTH
        assert isinstance(parse(changed(3, 25) + b"x"), Packet)

    def test_a_detect_multiplier_of_zero_is_discarded(self):
        assert parse(changed(2, 0)) is Discard.MULTIPLIER

    def test_the_multipoint_bit_is_discarded(self):
        assert parse(changed(1, UP << 6 | 1)) is Discard.MULTIPOINT

    def test_a_zero_my_discriminator_is_discarded(self):
        assert parse(build(packet(UP, mine=0))) is Discard.DISCRIMINATOR

    @pytest.mark.parametrize("state", [INIT, UP])
    def test_a_zero_your_discriminator_is_discarded_unless_the_peer_is_down(self, state):
        assert parse(build(packet(state, yours=0))) is Discard.STATE

    @pytest.mark.parametrize("state", [DOWN, ADMIN_DOWN])
    def test_a_zero_your_discriminator_counts_from_a_peer_that_is_down(self, state):
        assert isinstance(parse(build(packet(state, yours=0))), Packet)

    def test_authentication_that_is_not_in_use_is_discarded(self):
        made = bytearray(changed(1, UP << 6 | 4) + bytes(2))
        made[3] = 26
        assert parse(bytes(made)) is Discard.AUTHENTICATION

    def test_the_peers_discriminator_is_sent_back(self):
        session = session_that_is(DOWN)
        session.receive(packet(DOWN, yours=0, mine=0xABCD), 1.0)
        assert until_sent(session, 1.0)[1].your_discriminator == 0xABCD

    def test_an_admin_down_session_does_not_come_up(self):
        session = session_that_is(ADMIN_DOWN)
        for state in State:
            session.receive(packet(state, poll=True), 0.1)
        assert session.state is ADMIN_DOWN
        assert not any(each.is_final for each in sent(session, 0.1))

    @pytest.mark.parametrize(
        ("ours", "theirs", "then"),
        [
            (DOWN, ADMIN_DOWN, DOWN), (DOWN, DOWN, INIT), (DOWN, INIT, UP), (DOWN, UP, DOWN),
            (INIT, ADMIN_DOWN, DOWN), (INIT, DOWN, INIT), (INIT, INIT, UP), (INIT, UP, UP),
            (UP, ADMIN_DOWN, DOWN), (UP, DOWN, DOWN), (UP, INIT, UP), (UP, UP, UP),
        ],
    )  # fmt: skip
    def test_the_state_machine(self, ours, theirs, then):
        session = session_that_is(ours)
        session.receive(packet(theirs), 0.1)
        assert session.state is then

    @pytest.mark.parametrize("theirs", [ADMIN_DOWN, DOWN])
    def test_a_neighbour_that_signals_down_is_the_diagnostic(self, theirs):
        session = session_that_is(UP)
        session.receive(packet(theirs), 0.1)
        assert session.diagnostic is Diagnostic.NEIGHBOR_SIGNALED_DOWN
        assert until_sent(session, 0.1)[1].diagnostic == Diagnostic.NEIGHBOR_SIGNALED_DOWN

    @pytest.mark.parametrize("state", [DOWN, INIT, UP])
    def test_a_poll_is_answered_by_a_final_at_once(self, state):
        """§6.8.7 too: without regard to the transmission timer."""
        session = session_that_is(state)
        now = 0.01 if state is not DOWN else 0.0
        session.receive(packet(UP if state is UP else ADMIN_DOWN if state is DOWN else DOWN, poll=True), now)
        (first, *_) = sent(session, now)
        assert first.is_final
        assert not first.is_poll

    def test_one_final_for_each_poll(self):
        session = settled()
        session.receive(packet(UP, poll=True), 0.01)
        assert [each.is_final for each in sent(session, 0.01)] == [True]
        assert sent(session, 0.02) == []


class TestDemandMode:
    """§6.6: obeyed, not asked for."""

    def test_we_never_ask_for_it(self):
        for state in State:
            session = session_that_is(state)
            session.receive(packet(UP, poll=True), 0.0)
            assert not any(each.is_demand for each in sent(session, 5.0))

    def test_periodic_packets_cease_while_both_are_up_and_the_peer_demands_it(self):
        session = settled()
        session.receive(packet(UP, demand=True), 0.1)
        assert sent(session, 0.9) == []
        session.receive(packet(UP, demand=True), 0.9)
        session.receive(packet(UP), 1.0)
        assert len(sent(session, 1.0)) == 1

    def test_they_do_not_cease_before_the_peer_is_up(self):
        session = session_that_is(INIT)
        session.receive(packet(DOWN, demand=True), 0.1)
        assert until_sent(session, 0.1)[0] < 2

    def test_a_poll_sequence_sends_all_the_same(self):
        session = settled()
        session.receive(packet(UP, demand=True), 0.1)
        session.configure(parameters(desired=400_000), 0.1)
        assert until_sent(session, 0.1)[1].is_poll


class TestTransmission:
    """§6.8.7"""

    def test_the_interval_is_the_greater_of_what_we_desire_and_the_peer_requires(self):
        for ours, theirs in ((300_000, 100_000), (100_000, 300_000)):
            session = settled(parameters(desired=ours))
            session.receive(packet(UP, required_min_rx=theirs), 0.0)
            first, _ = until_sent(session, 0.0)
            session.receive(packet(UP, required_min_rx=theirs), first)
            second, _ = until_sent(session, first)
            assert second - first == pytest.approx(0.3)

    def test_each_interval_is_shortened_by_up_to_a_quarter(self):
        for chance, seconds in ((0.0, 0.225), (1.0, 0.3), (0.5, 0.2625)):
            session = settled()
            first, _ = until_sent(session, 0.0, chance)
            assert until_sent(session, first)[0] - first == pytest.approx(seconds)

    def test_with_a_multiplier_of_one_it_is_75_to_90_percent(self):
        for chance, seconds in ((0.0, 0.225), (1.0, 0.27)):
            session = settled(parameters(multiplier=1))
            first, _ = until_sent(session, 0.0, chance)
            assert until_sent(session, first)[0] - first == pytest.approx(seconds)

    def test_a_new_interval_is_used_at_once(self):
        session = settled()
        slow = packet(UP, required_min_rx=SECOND, desired_min_tx=SECOND)
        session.receive(slow, 0.0)
        first, _ = until_sent(session, 0.0)
        session.receive(slow, first)
        session.receive(packet(UP), first + 0.1)
        assert until_sent(session, first)[0] - first == pytest.approx(0.3)

    def test_passive_it_sends_nothing_before_the_peer_is_heard(self):
        session = Session(OURS, parameters(is_passive=True), 0.0)
        assert sent(session, 100.0) == []
        assert session.deadline() is None
        session.receive(packet(DOWN, yours=0), 100.0)
        assert sent(session, 100.0)[0].state is INIT

    def test_passive_it_falls_silent_with_the_peer(self):
        session = settled(parameters(is_passive=True))
        sent(session, 5.0)
        assert session.state is DOWN
        assert sent(session, 100.0) == []

    def test_active_it_sends_first(self):
        session = Session(OURS, parameters(), 0.0)
        (first,) = sent(session, 0.0)
        assert (first.state, first.my_discriminator, first.your_discriminator) == (DOWN, OURS, 0)

    def test_a_peer_that_requires_no_packets_gets_none(self):
        session = settled()
        session.receive(packet(UP, required_min_rx=0), 0.1)
        assert sent(session, 0.9) == []

    def test_a_change_of_state_is_told_at_once(self):
        session = settled()
        before, _ = until_sent(session, 0.0)
        session.receive(packet(DOWN), before + 0.01)
        assert [each.state for each in sent(session, before + 0.01)] == [DOWN]

    def test_contents(self):
        session = settled(parameters(desired=250_000, required=350_000, multiplier=4))
        _, made = until_sent(session, 0.0)
        assert made == Packet(UP, 0, False, False, False, 4, OURS, THEIRS, 250_000, 350_000)


class TestTimers:
    """§6.8.3 and §6.5"""

    @pytest.mark.parametrize("state", [DOWN, INIT, ADMIN_DOWN])
    def test_we_desire_no_less_than_a_second_unless_up(self, state):
        session = settled() if state is ADMIN_DOWN else session_that_is(state)
        if state is ADMIN_DOWN:
            session.disable(0.0)
            sent(session, 0.0)
        theirs = packet(DOWN if state is INIT else ADMIN_DOWN, desired_min_tx=SECOND)
        session.receive(theirs, 0.0)
        first, made = until_sent(session, 0.0)
        assert (made.state, made.desired_min_tx) == (state, SECOND)
        session.receive(theirs, first)
        assert until_sent(session, first)[0] - first == pytest.approx(1.0)

    def test_coming_up_begins_a_poll_sequence(self):
        session = session_that_is(UP)
        _, made = until_sent(session, 0.0)
        assert (made.is_poll, made.desired_min_tx) == (True, 300_000)

    def test_it_goes_on_until_the_final_and_then_ends(self):
        session = session_that_is(UP)
        now = 0.0
        for _ in range(3):
            now, made = until_sent(session, now)
            assert made.is_poll
            session.receive(packet(UP), now)
        session.receive(packet(UP, final=True), now)
        assert not until_sent(session, now)[1].is_poll

    def test_it_rides_on_periodic_packets_only(self):
        session = settled()
        first, _ = until_sent(session, 0.0)
        session.receive(packet(UP, required_min_rx=100_000), first)
        session.configure(parameters(desired=200_000), first)
        second, made = until_sent(session, first)
        assert made.is_poll
        assert second - first == pytest.approx(0.2)

    def test_never_poll_and_final_together(self):
        session = session_that_is(UP)
        session.receive(packet(UP, poll=True), 5.0)
        assert not any(each.is_poll and each.is_final for each in sent(session, 5.0))

    def test_a_longer_transmit_interval_waits_for_the_end_of_the_poll_sequence(self):
        session = settled()
        now, _ = until_sent(session, 0.0)
        session.receive(packet(UP), now)
        session.configure(parameters(desired=600_000), now)
        then, made = until_sent(session, now)
        assert (made.is_poll, made.desired_min_tx) == (True, 600_000)
        assert then - now == pytest.approx(0.3)
        session.receive(packet(UP, final=True), then)
        assert until_sent(session, then)[0] - then == pytest.approx(0.6)

    def test_a_shorter_receive_interval_counts_for_detection_after_the_poll_sequence(self):
        session = settled(parameters(required=600_000))
        session.configure(parameters(required=400_000), 0.0)
        session.receive(packet(UP), 0.1)
        assert session.detection_deadline() == pytest.approx(0.1 + 1.8)
        session.receive(packet(UP, final=True), 0.2)
        assert session.detection_deadline() == pytest.approx(0.2 + 1.2)

    def test_a_longer_receive_interval_counts_at_once(self):
        session = settled()
        session.configure(parameters(required=600_000), 0.0)
        session.receive(packet(UP), 0.1)
        assert session.detection_deadline() == pytest.approx(0.1 + 1.8)

    def test_a_change_during_a_poll_sequence_takes_another_one(self):
        session = settled()
        session.configure(parameters(desired=600_000), 0.0)
        now, _ = until_sent(session, 0.0)
        session.configure(parameters(desired=900_000), now)
        session.receive(packet(UP, final=True), now)  # may be about the first change
        then, made = until_sent(session, now)
        assert (made.is_poll, made.desired_min_tx) == (True, 900_000)
        assert then - now == pytest.approx(0.3)
        session.receive(packet(UP, final=True), then)
        assert until_sent(session, then)[0] - then == pytest.approx(0.9)

    def test_a_final_that_nobody_asked_for_changes_nothing(self):
        session = settled()
        session.receive(packet(UP, final=True), 0.1)
        assert session.state is UP
        assert not until_sent(session, 0.1)[1].is_poll


class TestDetection:
    """§6.8.4"""

    @pytest.mark.parametrize(
        ("required", "theirs", "multiplier", "seconds"),
        [(300_000, 100_000, 3, 0.9), (100_000, 300_000, 3, 0.9), (300_000, 300_000, 5, 1.5)],
    )
    def test_the_time_is_the_peers_multiplier_times_the_agreed_interval(self, required, theirs, multiplier, seconds):
        session = settled(parameters(required=required, multiplier=9))
        session.receive(packet(UP, multiplier=multiplier, desired_min_tx=theirs), 1.0)
        assert session.detection_deadline() == pytest.approx(1.0 + seconds)

    @pytest.mark.parametrize("state", [INIT, UP])
    def test_silence_for_the_detection_time_is_down(self, state):
        session = session_that_is(state)
        sent(session, 0.89)
        assert session.state is state
        (made, *_) = sent(session, 0.91)
        assert made.state is DOWN
        assert made.diagnostic == Diagnostic.DETECTION_TIME_EXPIRED

    def test_a_packet_just_in_time_is_enough(self):
        session = settled()
        now = 0.0
        for _ in range(20):
            now += 0.89
            session.receive(packet(UP), now)
            sent(session, now)
        assert session.state is UP

    def test_the_peers_discriminator_is_forgotten_with_it(self):
        """§6.8.1"""
        session = settled()
        assert sent(session, 1.0)[0].your_discriminator == 0

    @pytest.mark.parametrize("state", [DOWN, ADMIN_DOWN])
    def test_also_while_it_is_down(self, state):
        session = session_that_is(state)
        session.receive(packet(ADMIN_DOWN), 0.0)
        made = sent(session, 10.0) + sent(session, 20.0)
        assert all(each.your_discriminator == 0 for each in made)

    def test_a_peer_that_required_no_packets_and_vanished_is_sent_to_again(self):
        """§6.8.18"""
        session = settled()
        session.receive(packet(UP, required_min_rx=0), 0.0)
        assert sent(session, 1.0)[0].state is DOWN
        assert len(sent(session, 2.1)) == 1


class TestAdministration:
    """§6.8.16, §6.8.18"""

    def test_disabled_it_says_admin_down_at_once(self):
        session = settled()
        session.disable(0.1)
        (made,) = sent(session, 0.1)
        assert (made.state, made.diagnostic) == (ADMIN_DOWN, Diagnostic.ADMINISTRATIVELY_DOWN)

    def test_and_goes_on_for_the_peers_detection_time(self):
        session = settled()
        session.disable(0.0)
        last = 0.0
        for now in itertools.takewhile(lambda at: at < 30, itertools.count(0.0, 0.01)):
            if now % 0.5 < 0.01:
                session.receive(packet(DOWN), now)
            for made in sent(session, now):
                assert made.state is ADMIN_DOWN
                last = now
        assert 2.0 <= last <= 4.5  # 3 times the second that it is slowed down to, and a last one
        assert session.is_over(30)

    def test_enabled_again_it_begins_anew(self):
        session = session_that_is(ADMIN_DOWN)
        session.enable(1.0)
        assert session.state is DOWN
        session.receive(packet(DOWN), 1.1)
        assert session.state is INIT

    def test_held_down_it_says_so_and_does_not_come_up(self):
        session = settled()
        session.hold_down(0.1)
        (made,) = sent(session, 0.1)
        assert (made.state, made.diagnostic) == (DOWN, Diagnostic.PATH_DOWN)
        for state in (DOWN, INIT, UP):
            session.receive(packet(state), 0.2)
            assert session.state is DOWN
        session.release()
        session.receive(packet(DOWN), 0.3)
        assert session.state is INIT


class TestFailure:
    """What withdraws routes (RFC 5882 §3.2, §4.1): the loss of a path that was up, and nothing else."""

    def test_a_path_that_never_was_up_has_not_failed(self):
        session = session_that_is(INIT)
        sent(session, 5.0)
        assert (session.state, session.has_failed) == (DOWN, False)

    def test_silence_and_a_peers_down_are_failures_until_it_is_up_again(self):
        for fail in (lambda session: sent(session, 5.0), lambda session: session.receive(packet(DOWN), 5.0)):
            session = settled()
            fail(session)
            assert session.has_failed
            session.receive(packet(DOWN), 6.0)
            assert session.has_failed
            session.receive(packet(INIT), 6.0)
            assert (session.state, session.has_failed) == (UP, False)

    def test_a_peer_that_disables_bfd_says_nothing_of_the_path(self):
        session = settled()
        session.receive(packet(ADMIN_DOWN), 0.1)
        assert (session.state, session.has_failed) == (DOWN, False)

    def test_nor_do_we_when_we_may_not_announce(self):
        session = settled()
        session.hold_down(0.1)
        assert not session.has_failed

    def test_the_reason_is_told_in_words(self):
        session = settled()
        session.receive(packet(DOWN, diagnostic=Diagnostic.DETECTION_TIME_EXPIRED), 0.1)
        assert session.reason.startswith("the peer signalled")
        assert "nothing was heard" in session.reason
        strange = settled()
        strange.receive(packet(DOWN, diagnostic=31), 0.1)
        assert "31" in strange.reason
