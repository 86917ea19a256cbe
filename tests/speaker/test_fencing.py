"""When a speaker may have anything on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.fencing import PERMIT_SECONDS, AnnouncementRight, Hold, Limits, Peers, Permit, Promise, should_promise

LIMITS = Limits(fence_after_seconds=60, pause_seconds=6, margin_seconds=6)
SILENT_AFTER = 54.0
ALONE = Peers()


def serving(now=100.0):
    right = AnnouncementRight(LIMITS)
    right.tick(now, renewal_sent=None, is_bound=False, peers=ALONE)
    right.registered(began=now - 1)
    return right


def tick(right, now, *, renewal_sent=100.0, is_bound=False, peers=ALONE):
    return right.tick(now, renewal_sent=renewal_sent, is_bound=is_bound, peers=peers)


def test_nothing_is_permitted_before_the_first_registration() -> None:
    right = AnnouncementRight(LIMITS)
    assert tick(right, 100) is Hold.STARTING
    right.registered(began=99)
    assert tick(right, 100.5) == Permit(100.5 + PERMIT_SECONDS)


def test_a_permit_is_extended_at_each_tick_whether_or_not_the_api_server_answers() -> None:
    """Not bound by a promise: an outage of the API server moves nothing."""
    right = serving()
    now = 100.0
    while now < 100_000:
        now += 5
        assert tick(right, now, renewal_sent=100) == Permit(now + PERMIT_SECONDS)


def test_a_pause_longer_than_the_limit_ends_the_permit_until_registered_anew() -> None:
    right = serving(100)
    assert isinstance(tick(right, 106), Permit)
    assert tick(right, 112.5) is Hold.PAUSED
    assert tick(right, 113) is Hold.PAUSED
    right.registered(began=112.6)
    assert isinstance(tick(right, 113.5), Permit)


def test_a_registration_that_began_before_the_pause_was_noticed_heals_nothing() -> None:
    right = serving(100)
    tick(right, 200)
    right.registered(began=199.9)
    assert tick(right, 200.5) is Hold.PAUSED
    right.registered(began=200)
    assert tick(right, 200.6) is Hold.PAUSED


def test_the_first_registration_does_not_outlast_a_pause_in_it() -> None:
    right = AnnouncementRight(LIMITS)
    tick(right, 100)
    tick(right, 190)
    right.registered(began=101)
    assert right.hold is Hold.PAUSED


def test_a_removed_speaker_is_silent_until_registered_anew() -> None:
    right = serving(100)
    right.lose(Hold.REMOVED, 103)
    assert tick(right, 103.5) is Hold.REMOVED
    right.registered(began=104)
    assert isinstance(tick(right, 105), Permit)


def test_a_stopping_speaker_never_speaks_again() -> None:
    right = serving(100)
    right.lose(Hold.STOPPING, 101)
    right.registered(began=102)
    right.lose(Hold.REMOVED, 103)
    assert tick(right, 103.5) is Hold.STOPPING


def test_who_promised_and_is_cut_off_falls_silent_a_margin_before_the_fence() -> None:
    right = serving(100)
    for now in range(100, 154):
        permit = tick(right, now, is_bound=True)
        assert isinstance(permit, Permit)
        assert permit.until <= 100 + SILENT_AFTER
    assert tick(right, 154, is_bound=True) is Hold.CUT_OFF


def test_a_renewal_alone_does_not_give_the_word_back() -> None:
    right = serving(100)
    for now in range(100, 158):
        tick(right, now, is_bound=True)
    assert tick(right, 158, is_bound=True, renewal_sent=157.9) is Hold.CUT_OFF
    right.registered(began=158)
    assert isinstance(tick(right, 158.5, is_bound=True, renewal_sent=157.9), Permit)


def test_a_promise_without_any_renewal_permits_nothing() -> None:
    assert tick(serving(100), 100.5, is_bound=True, renewal_sent=None) is Hold.CUT_OFF


def test_who_hears_a_majority_say_that_they_are_cut_off_too_keeps_announcing() -> None:
    """The API server is down for all; nobody can release anything."""
    others = frozenset("bcde")
    right = serving(100)
    for now in range(100, 300):
        permit = tick(right, now, is_bound=True, peers=Peers(others, frozenset("bc"), frozenset("bc")))
        assert permit == Permit(now + PERMIT_SECONDS)
    assert tick(right, 301, is_bound=True, peers=Peers(others, frozenset("bc"), frozenset("b"))) is Hold.CUT_OFF


@pytest.mark.parametrize(
    ("known", "heard", "promises"),
    [
        ("", "", False),  # alone: worth nothing, and wrong as soon as others have joined unseen
        ("b", "", False),
        ("b", "b", True),
        ("bc", "b", True),
        ("bcd", "b", False),
        ("bcd", "bc", True),
        ("bc", "xy", False),  # strangers do not count
        ("", "b", False),
    ],
)
def test_it_promises_only_when_it_hears_a_strict_majority(known, heard, promises) -> None:
    assert should_promise(Peers(frozenset(known), frozenset(heard))) is promises


def test_a_promise_binds_from_its_sending_until_it_is_taken_back_for_sure() -> None:
    promise = Promise()
    assert not promise.is_binding
    promise.sending(True)
    assert promise.is_binding
    promise.sending(False)
    assert promise.is_binding
    promise.confirmed(False)
    assert not promise.is_binding
    promise.sending(False)
    assert not promise.is_binding
    promise.sending(True)
    promise.confirmed(True)
    assert promise.is_binding


@pytest.mark.parametrize("limits", [(60, 2, 6), (10, 9, 2)])
def test_limits_that_contradict_each_other_are_refused(limits) -> None:
    with pytest.raises(ValueError, match=r"pause|silent"):
        Limits(*limits)


SPEAKERS = st.frozensets(st.sampled_from("abcdefg"), min_size=1)


@given(SPEAKERS, st.data())
def test_an_island_that_keeps_announcing_leaves_no_majority_to_fence_it(speakers, data) -> None:
    """Whatever the partition: those who say that they are cut off have no fresh Lease."""
    fresh = data.draw(st.frozensets(st.sampled_from(sorted(speakers))))
    for speaker in speakers - fresh:
        others = speakers - {speaker}
        heard = data.draw(st.frozensets(st.sampled_from(sorted(speakers)))) - {speaker}
        peers = Peers(others, heard, heard - fresh)
        if peers.majority_is_cut_off():
            assert not 2 * len(fresh) > len(speakers)


EVENTS = st.lists(
    st.tuples(
        st.floats(0.1, 30),
        st.sampled_from(["tick", "renew", "register", "remove"]),
        st.booleans(),
        st.frozensets(st.sampled_from("bcd")),
    ),
    max_size=60,
)


@given(EVENTS)
def test_no_permit_outlasts_a_promise_and_none_is_given_on_old_knowledge(events) -> None:
    right = AnnouncementRight(LIMITS)
    now, renewal, last_tick, registered_at, lost_at = 0.0, None, None, None, 0.0
    for step, kind, is_bound, cut_off in events:
        now += step
        match kind:
            case "renew":
                renewal = now
            case "register":
                right.registered(began=now)
                registered_at = now
            case "remove":
                right.lose(Hold.REMOVED, now)
                lost_at = now
        if last_tick is not None and now - last_tick > LIMITS.pause_seconds:
            lost_at = now
        last_tick = now
        peers = Peers(frozenset("bcd"), cut_off, cut_off)
        answer = right.tick(now, renewal_sent=renewal, is_bound=is_bound, peers=peers)
        if isinstance(answer, Permit):
            assert registered_at is not None
            assert registered_at > lost_at
            assert now < answer.until <= now + PERMIT_SECONDS
            if is_bound and 2 * (1 + len(cut_off)) <= 4:
                assert answer.until <= renewal + SILENT_AFTER
