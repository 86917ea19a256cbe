"""How much of the CPU the wire process takes before all others."""

from speaker.wire.share import LARGEST_SHARE, LOOK_SECONDS, PAUSE_SECONDS, Share

SMALL, LARGE = LARGEST_SHARE - 0.01, LARGEST_SHARE + 0.01


def after(seconds: float, share: float, *, used: Share, since: float = 0.0, took: float = 0.0) -> float:
    """Look as often as it is due, with the same share all the time. Returns for how long it was not small."""
    now, large = since, 0.0
    while now < since + seconds:
        now += LOOK_SECONDS
        took += share * LOOK_SECONDS
        used.look(now, took)
        large += 0.0 if used.is_small else LOOK_SECONDS
    return large


def test_a_small_share_stays_before_all_others() -> None:
    assert after(60.0, SMALL, used=Share(0.0, 0.0)) == 0.0


def test_a_large_share_is_one_among_others_from_the_first_look_on() -> None:
    share = Share(0.0, 0.0)
    assert not share.look(LOOK_SECONDS, SMALL * LOOK_SECONDS)
    assert share.look(2 * LOOK_SECONDS, (SMALL + LARGE) * LOOK_SECONDS)
    assert not share.is_small


def test_it_comes_back_once_the_share_was_small_for_the_whole_pause() -> None:
    share = Share(0.0, 0.0)
    share.look(LOOK_SECONDS, LOOK_SECONDS)
    assert abs(after(60.0, 0.0, used=share, since=LOOK_SECONDS, took=LOOK_SECONDS) - PAUSE_SECONDS) < 2 * LOOK_SECONDS


def test_what_takes_all_it_gets_has_a_tenth_of_the_time_before_others() -> None:
    """Among others it may get nothing, which looks small."""
    share = Share(0.0, 0.0)
    now = took = before_others = 0.0
    for _ in range(1000):
        now += LOOK_SECONDS
        if share.is_small:
            took += LOOK_SECONDS
            before_others += LOOK_SECONDS
        share.look(now, took)
    assert before_others < 0.1 * now


def test_a_long_sleep_does_not_save_up_for_later() -> None:
    share = Share(0.0, 0.0)
    share.look(100.0, 0.0)
    assert share.look(100.0 + LOOK_SECONDS, LOOK_SECONDS)
