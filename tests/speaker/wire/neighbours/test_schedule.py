"""When announcements go out: the burst, the refresh, the pace, and what a withdrawal cancels."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours.schedule import (
    BURST_OFFSETS_SECONDS,
    FRAMES_PER_TURN,
    REFRESH_SECONDS,
    TURN_SECONDS,
    Announcement,
    AnnouncementSchedule,
    Form,
)

VIP, OTHER_VIP = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 11])
IPV6_VIP = bytes.fromhex("20010db8000000000000000000000010")
STARTED = 1000.0


def run(schedule: AnnouncementSchedule, start: float, end: float) -> list[tuple[float, Announcement]]:
    """Call `due` at each deadline from start to end, as the wire process does."""
    sent: list[tuple[float, Announcement]] = []
    now = start
    while True:
        deadline = schedule.deadline()
        if deadline is None or deadline > end:
            return sent
        now = max(now, deadline)
        sent.extend((now, announcement) for announcement in schedule.due(now))


def test_nothing_is_due_before_an_address_is_taken_over():
    schedule = AnnouncementSchedule()
    assert schedule.deadline() is None
    assert schedule.due(STARTED) == []


def test_a_take_over_is_announced_at_once_in_both_forms():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    assert schedule.deadline() == STARTED
    assert schedule.due(STARTED) == [Announcement(VIP, "eth0", Form.REQUEST), Announcement(VIP, "eth0", Form.REPLY)]


def test_the_burst_goes_out_at_its_times_in_both_forms():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    sent = run(schedule, STARTED, STARTED + 10)
    for form in Form:
        times = [now - STARTED for now, announcement in sent if announcement.form is form]
        assert [round(time, 2) for time in times] == list(BURST_OFFSETS_SECONDS)


def test_rfc_5227_section_2_3_two_announcements_two_seconds_apart():
    assert 0.0 in BURST_OFFSETS_SECONDS
    assert 2.0 in BURST_OFFSETS_SECONDS


def test_after_the_burst_one_frame_a_minute_in_alternating_form():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    burst_end = STARTED + 5
    run(schedule, STARTED, burst_end)
    sent = run(schedule, burst_end, burst_end + 4 * REFRESH_SECONDS)
    assert [announcement.form for _, announcement in sent] == [Form.REQUEST, Form.REPLY] * 2
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(sent)]
    assert all(abs(gap - REFRESH_SECONDS) < 0.01 for gap in gaps)


def test_an_ipv6_address_has_the_same_burst_in_its_one_form_and_the_same_refresh():
    schedule = AnnouncementSchedule()
    schedule.start(IPV6_VIP, "eth0", STARTED)
    sent = run(schedule, STARTED, STARTED + 5)
    assert [round(now - STARTED, 2) for now, _ in sent] == list(BURST_OFFSETS_SECONDS)
    assert len(run(schedule, STARTED + 5, STARTED + 5 + 4 * REFRESH_SECONDS)) == 4


def test_withdrawing_an_address_cancels_its_pending_announcements():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    schedule.start(OTHER_VIP, "eth0", STARTED)
    schedule.due(STARTED)
    schedule.cancel(VIP, "eth0")
    sent = run(schedule, STARTED, STARTED + 200)
    assert {announcement.address for _, announcement in sent} == {OTHER_VIP}


def test_withdrawing_during_the_refresh_ends_it():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    run(schedule, STARTED, STARTED + 100)
    schedule.cancel(VIP, "eth0")
    assert run(schedule, STARTED + 100, STARTED + 1000) == []
    assert schedule.deadline() is None


def test_cancelling_on_one_interface_leaves_the_other():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    schedule.start(VIP, "eth1", STARTED)
    schedule.cancel(VIP, "eth0")
    assert {announcement.interface for _, announcement in run(schedule, STARTED, STARTED + 10)} == {"eth1"}


def test_taking_over_again_begins_one_new_burst_and_not_two():
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    run(schedule, STARTED, STARTED + 0.5)
    schedule.cancel(VIP, "eth0")
    schedule.start(VIP, "eth0", STARTED + 1)
    sent = run(schedule, STARTED + 1, STARTED + 10)
    assert len(sent) == 2 * len(BURST_OFFSETS_SECONDS)
    assert len(schedule) == 1


def test_stages_keep_their_distance_after_a_pause():
    """No permit for a while: what was missed is not sent all at once."""
    schedule = AnnouncementSchedule()
    schedule.start(VIP, "eth0", STARTED)
    sent = run(schedule, STARTED + 30, STARTED + 40)
    times = [round(now - STARTED - 30, 2) for now, announcement in sent if announcement.form is Form.REQUEST]
    assert times == list(BURST_OFFSETS_SECONDS)


@pytest.mark.slow
def test_five_thousand_take_overs_are_paced_and_everybody_has_one_frame_before_anybody_has_the_second():
    schedule = AnnouncementSchedule()
    vips = [number.to_bytes(4, "big") for number in range(5000)]
    for vip in vips:
        schedule.start(vip, "eth0", STARTED)
    turns = defaultdict(list)
    for now, announcement in run(schedule, STARTED, STARTED + 20):
        turns[now].append(announcement)
    assert max(len(frames) for frames in turns.values()) <= FRAMES_PER_TURN
    times = sorted(turns)
    assert all(later - earlier >= TURN_SECONDS * 0.999 for earlier, later in pairwise(times))
    sent = [announcement for now in times for announcement in turns[now]]
    assert [announcement.address for announcement in sent[:5000]] == vips
    assert Counter(announcement.address for announcement in sent) == dict.fromkeys(vips, 2 * len(BURST_OFFSETS_SECONDS))


def test_the_refresh_of_many_addresses_is_spread_out():
    schedule = AnnouncementSchedule()
    for number in range(1000):
        schedule.start(number.to_bytes(4, "big"), "eth0", STARTED)
    run(schedule, STARTED, STARTED + 30)
    refreshed = run(schedule, STARTED + 30, STARTED + 30 + REFRESH_SECONDS)
    assert len(refreshed) == 1000
    assert max(Counter(now for now, _ in refreshed).values()) == 1


def test_skipping_a_cancelled_crowd_takes_bounded_steps_and_ends():
    schedule = AnnouncementSchedule()
    for number in range(5000):
        schedule.start(number.to_bytes(4, "big"), "eth0", STARTED)
        schedule.cancel(number.to_bytes(4, "big"), "eth0")
    schedule.start(VIP, "eth0", STARTED)
    sent = run(schedule, STARTED, STARTED + 0.05)
    assert [announcement.address for _, announcement in sent] == [VIP, VIP]


@given(st.lists(st.tuples(st.sampled_from("sc."), st.integers(0, 3), st.floats(0, 3)), max_size=60))
def test_no_frame_is_ever_due_for_an_address_that_is_not_held(steps):
    """Against the plainest model: a set of held addresses."""
    schedule, held, now = AnnouncementSchedule(), set(), STARTED
    for action, number, pause in steps:
        vip = bytes([192, 0, 2, number])
        if action == "s":
            schedule.start(vip, "eth0", now)
            held.add(vip)
        elif action == "c":
            schedule.cancel(vip, "eth0")
            held.discard(vip)
        now += pause
        assert {announcement.address for announcement in schedule.due(now)} <= held
    sent = {announcement.address for _, announcement in run(schedule, now, now + 2 * REFRESH_SECONDS)}
    assert sent == held
