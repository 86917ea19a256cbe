"""When a speaker may have anything on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.fencing import HEARD_SECONDS, WITNESSES, margin_seconds, outlived_after_seconds
from speaker.fencing import (
    WIRE_PERMIT_SECONDS,
    AnnouncementRight,
    Contact,
    Hold,
    Limits,
    MemberContacts,
    Permit,
    Promise,
    choose_witnesses,
    own_contact,
    promise_to_make,
)

LIMITS = Limits(fence_after_seconds=60, pause_seconds=6, margin_seconds=6)
SILENT_AFTER = 54.0
ALONE = MemberContacts()
FREE = frozenset()
FIVE = frozenset({frozenset("abcde")})
"""The promise of `a`, which the tests are about."""


def heard(now, known="bcde", **contacts):
    """MemberContacts that are heard now, each with when its last contact began."""
    return MemberContacts(frozenset(known), {node: Contact(began, now) for node, began in contacts.items()})


def serving(now=100.0):
    right = AnnouncementRight("a", LIMITS)
    tick(right, now)
    right.registered(now)
    return right


def tick(right, now, *, renewal_sent=100.0, promises=FREE, members=ALONE):
    return right.tick(now, renewal_sent=renewal_sent, promises=promises, members=members)


def test_nothing_is_permitted_before_the_first_registration() -> None:
    right = AnnouncementRight("a", LIMITS)
    assert tick(right, 100) is Hold.STARTING
    right.registered(renewal_sent=99)
    assert tick(right, 100.5) == Permit(100.5 + WIRE_PERMIT_SECONDS)


def test_a_permit_is_extended_at_each_tick_whether_or_not_the_api_server_answers() -> None:
    """Not bound by a promise: an outage of the API server moves nothing."""
    right = serving()
    now = 100.0
    while now < 100_000:
        now += 5
        assert tick(right, now, renewal_sent=100) == Permit(now + WIRE_PERMIT_SECONDS)


def test_a_pause_longer_than_the_limit_ends_the_permit_until_registered_anew() -> None:
    right = serving(100)
    assert isinstance(tick(right, 106), Permit)
    assert tick(right, 112.5) is Hold.PAUSED
    assert tick(right, 113) is Hold.PAUSED
    right.registered(renewal_sent=112.6)
    assert isinstance(tick(right, 113.5, renewal_sent=112.6), Permit)


def test_a_renewal_sent_before_the_loss_was_noticed_heals_nothing() -> None:
    right = serving(100)
    tick(right, 200)
    right.registered(renewal_sent=199.9)
    assert tick(right, 200.5) is Hold.PAUSED
    right.registered(renewal_sent=200)
    assert tick(right, 200.6) is Hold.PAUSED


def test_the_first_registration_does_not_outlast_a_pause_in_it() -> None:
    right = AnnouncementRight("a", LIMITS)
    tick(right, 100)
    tick(right, 190)
    right.registered(renewal_sent=101)
    assert right.hold is Hold.PAUSED


def test_a_removed_speaker_is_silent_until_registered_anew() -> None:
    right = serving(100)
    right.lose(Hold.REMOVED, 103)
    assert tick(right, 103.5) is Hold.REMOVED
    right.registered(renewal_sent=104)
    assert isinstance(tick(right, 105, renewal_sent=104), Permit)


def test_a_stopping_speaker_never_speaks_again() -> None:
    right = serving(100)
    right.lose(Hold.STOPPING, 101)
    right.registered(renewal_sent=102)
    right.lose(Hold.REMOVED, 103)
    assert tick(right, 103.5) is Hold.STOPPING


def test_who_promised_and_is_cut_off_falls_silent_a_margin_before_the_fence() -> None:
    right = serving(100)
    for now in range(100, 154):
        permit = tick(right, now, promises=FIVE)
        assert isinstance(permit, Permit)
        assert permit.until <= 100 + SILENT_AFTER
    assert tick(right, 154, promises=FIVE) is Hold.CUT_OFF


def cut_off_until(right, end, **others):
    for now in range(100, end):
        tick(right, now, promises=FIVE, **others)


def test_contact_that_comes_back_too_late_does_not_give_the_word_back() -> None:
    right = serving(100)
    cut_off_until(right, 158)
    assert not right.must_register
    assert tick(right, 158, promises=FIVE, renewal_sent=157.9) is Hold.CUT_OFF
    assert right.must_register
    right.registered(renewal_sent=157.9)
    assert right.must_register
    right.registered(renewal_sent=158.1)
    assert isinstance(tick(right, 158.5, promises=FIVE, renewal_sent=158.1), Permit)


def test_contact_that_comes_back_during_a_pause_that_passes_the_deadline_is_too_late() -> None:
    right = serving(100)
    cut_off_until(right, 153)
    assert tick(right, 158, promises=FIVE, renewal_sent=157.9) is Hold.CUT_OFF
    assert right.must_register


def test_a_promise_taken_back_after_the_deadline_is_taken_back_too_late() -> None:
    right = serving(100)
    cut_off_until(right, 153)
    assert tick(right, 158) is Hold.CUT_OFF
    assert right.must_register


def test_a_promise_without_any_renewal_permits_nothing() -> None:
    assert tick(serving(100), 100.5, promises=FIVE, renewal_sent=None) is Hold.CUT_OFF


def test_when_the_api_server_is_down_for_all_everybody_keeps_announcing() -> None:
    """A majority lost it when we did; nobody can release anything. A lost heartbeat silences for that moment only."""
    right = serving(100)
    for now in range(100, 300):
        permit = tick(right, now, promises=FIVE, members=heard(now, b=101.0, c=99.0))
        assert permit == Permit(now + WIRE_PERMIT_SECONDS)
    assert tick(right, 301, promises=FIVE, members=heard(301, b=101.0)) is Hold.CUT_OFF
    assert tick(right, 302, promises=FIVE, members=heard(302, b=101.0, c=99.0)) == Permit(302 + WIRE_PERMIT_SECONDS)


def test_after_an_outage_for_all_nobody_needs_to_register_anew() -> None:
    right = serving(100)
    cut_off_until(right, 200, members=heard(200, b=101.0, c=99.0))
    back = heard(201, b=101.0, c=99.0)
    assert isinstance(tick(right, 201, promises=FIVE, renewal_sent=200.5, members=back), Permit)


def test_witnesses_that_had_contact_long_after_us_silence_us_however_long_ago_that_was() -> None:
    right = serving(100)
    late = 100 + outlived_after_seconds(60)
    for now in (160.0, 1000.0):
        assert tick(right, now, promises=FIVE, members=heard(now, b=late, c=late, d=99.0)) in (
            Hold.CUT_OFF,
            Hold.PAUSED,
        )


def test_what_was_heard_long_ago_does_not_count() -> None:
    right = serving(150)
    old = MemberContacts(frozenset("bcde"), {node: Contact(100.0, 150.0) for node in "bcde"})
    assert isinstance(tick(right, 150 + HEARD_SECONDS, promises=FIVE, members=old), Permit)
    assert tick(right, 150.1 + HEARD_SECONDS, promises=FIVE, members=old) is Hold.CUT_OFF


def test_only_witnesses_of_the_promise_count() -> None:
    """Others may have joined, or be cut off with us: the allocator does not count them either."""
    right = serving(150)
    members = heard(156, known="bcdexyz", b=100.0, x=100.0, y=100.0, z=100.0)
    assert tick(right, 156, promises=FIVE, members=members) is Hold.CUT_OFF


def test_every_promise_that_may_be_in_force_must_allow_it() -> None:
    members = heard(156, b=100.0, c=100.0)
    assert isinstance(tick(serving(150), 156, promises=FIVE, members=members), Permit)
    both = FIVE | {frozenset("adexy")}
    assert tick(serving(150), 156, promises=both, members=members) is Hold.CUT_OFF


@pytest.mark.parametrize(
    ("known", "hears", "promised"),
    [
        ("", "", None),
        ("b", "b", None),  # nobody is left to outvote one of two
        ("bc", "", None),
        ("bc", "b", "abc"),
        ("bcd", "b", None),
        ("bcd", "bc", "abcd"),
        ("bc", "xy", None),  # strangers do not count
    ],
)
def test_it_promises_only_when_it_hears_a_strict_majority(known, hears, promised) -> None:
    members = heard(100.0, known, **dict.fromkeys(hears, 100.0))
    made = promise_to_make("a", members, LIMITS, present=None, renewal_sent=99.0, now=100.0)
    assert made == (frozenset(promised) if promised else None)


@pytest.mark.parametrize("renewal_sent", [None, 70.0])
@pytest.mark.parametrize("present", [None, frozenset("abc")])
def test_without_contact_a_promise_is_neither_made_nor_changed(renewal_sent, present) -> None:
    members = heard(100.0, "bcd", b=100.0, c=100.0, d=100.0)
    assert promise_to_make("a", members, LIMITS, present=present, renewal_sent=renewal_sent, now=100.0) == present


def test_a_large_cluster_has_a_fixed_choice_of_witnesses_that_few_changes_reach() -> None:
    known = {f"n{number}" for number in range(500)}
    chosen = choose_witnesses("n0", known)
    assert len(chosen) == WITNESSES
    assert "n0" in chosen
    gone = next(iter(chosen - {"n0"}))
    assert len(chosen & choose_witnesses("n0", known - {gone})) == WITNESSES - 1
    assert choose_witnesses("n1", known) != chosen


def test_a_process_that_has_not_renewed_yet_counts_from_its_start() -> None:
    assert own_contact(None, started=50.0) == 50.0
    assert own_contact(60.0, started=50.0) == 60.0


def test_a_promise_binds_from_its_sending_until_a_later_one_has_arrived_for_sure() -> None:
    one, other = frozenset("abc"), frozenset("abd")
    promise = Promise()
    assert not promise.binding
    promise.sending(one)
    assert promise.binding == {one}
    promise.sending(None)
    assert promise.binding == {one}
    promise.confirmed(None)
    assert not promise.binding
    promise.sending(one)
    promise.confirmed(one)
    promise.sending(other)
    assert promise.binding == {one, other}
    promise.confirmed(other)
    assert promise.binding == {other}


def test_a_promise_that_came_and_went_between_two_ticks_is_taken_in_by_the_second() -> None:
    promise = Promise()
    assert not promise.take_binding()
    promise.sending(frozenset("abc"))
    promise.confirmed(frozenset("abc"))
    promise.sending(None)
    promise.confirmed(None)
    assert promise.take_binding() == {frozenset("abc")}
    assert not promise.take_binding()


@pytest.mark.parametrize("limits", [(60, 2, 6), (10, 9, 2)])
def test_limits_that_contradict_each_other_are_refused(limits) -> None:
    with pytest.raises(ValueError, match=r"pause|silent"):
        Limits(*limits)


@pytest.mark.parametrize("fence", [10, 60, 3600])
def test_the_figures_of_both_sides_fit_together(fence) -> None:
    """A permit given at the deadline has run out before the fence; and an outage for all is found out before it."""
    assert margin_seconds(fence) >= WIRE_PERMIT_SECONDS
    assert 0 < outlived_after_seconds(fence) < fence - margin_seconds(fence)


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
    right = AnnouncementRight("a", LIMITS)
    now, renewal, last_tick, registered_at, lost_at = 0.0, None, None, None, 0.0
    for step, kind, is_bound, cut_off in events:
        now += step
        match kind:
            case "renew":
                renewal = now
            case "register":
                renewal = now
                right.registered(renewal_sent=now)
                registered_at = now
            case "remove":
                right.lose(Hold.REMOVED, now)
                lost_at = now
        if last_tick is not None and now - last_tick > LIMITS.pause_seconds:
            lost_at = now
        last_tick = now
        members = MemberContacts(frozenset("bcd"), {node: Contact(-1.0, now) for node in cut_off})
        promises = frozenset({frozenset("abcd")}) if is_bound else FREE
        answer = right.tick(now, renewal_sent=renewal, promises=promises, members=members)
        if isinstance(answer, Permit):
            assert registered_at is not None
            assert registered_at > lost_at
            assert now < answer.until <= now + WIRE_PERMIT_SECONDS
            if is_bound and 2 * (1 + len(cut_off)) <= 4:
                assert answer.until <= renewal + SILENT_AFTER
