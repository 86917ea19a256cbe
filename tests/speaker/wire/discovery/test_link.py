"""Which routers are heard on a link, and when we advertise and solicit there, in virtual time."""

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.discovery.link import (
    AGAIN_SECONDS,
    BETWEEN_SECONDS,
    LEAST_SECONDS,
    MOST_ROUTERS,
    MOST_SECONDS,
    SOLICITATION_SECONDS,
    SOLICITATIONS,
    Link,
)
from speaker.wire.discovery.packets import ADVERTISEMENT, SOLICITATION

ONE, OTHER = bytes(15) + b"\1", bytes(15) + b"\2"
ROUND_SECONDS = SOLICITATIONS * SOLICITATION_SECONDS


def sent(link: Link, since: float, until: float, chance: float = 0.0) -> Iterator[tuple[float, int]]:
    """What is sent from then to then, and when."""
    now = since
    while now < until:
        yield from ((now, kind) for kind in link.due(now, chance))
        now = max(now + 0.001, link.deadline() or until)


def times(link: Link, kind: int, since: float, until: float, chance: float = 0.0) -> list[float]:
    return [at for at, what in sent(link, since, until, chance) if what == kind]


def test_we_advertise_at_once_then_soon_and_then_now_and_again() -> None:
    at = times(Link(), ADVERTISEMENT, 100.0, 130.0, chance=1.0)
    assert at == [100.0, 103.0, 106.0, 116.0, 126.0]


@given(st.floats(0, 1))
def test_the_time_between_two_of_ours_is_what_the_rfc_allows(chance: float) -> None:
    at = times(Link(), ADVERTISEMENT, 0.0, 200.0, chance)
    gaps = [later - earlier for earlier, later in pairwise(at[3:])]
    assert all(LEAST_SECONDS <= round(gap, 6) <= MOST_SECONDS for gap in gaps)


def test_who_asks_is_answered_soon_but_not_more_often_than_the_rfc_allows() -> None:
    link = Link()
    list(sent(link, 0.0, 7.0, 1.0))
    link.solicited(9.5, 0.5)
    assert times(link, ADVERTISEMENT, 9.5, 10.0) == [9.75]
    link.solicited(10.0, 0.5)
    assert times(link, ADVERTISEMENT, 10.0, 13.0) == [9.75 + BETWEEN_SECONDS]


def test_we_ask_three_times_and_no_more_once_a_router_is_heard() -> None:
    assert times(Link(), SOLICITATION, 0.0, 60.0) == [0.0, 4.0, 8.0]
    link = Link()
    list(sent(link, 0.0, 1.0))
    link.heard(ONE, 1.0)
    assert times(link, SOLICITATION, 1.0, 60.0) == []


def test_a_router_that_is_the_only_one_stays_however_silent() -> None:
    link = Link()
    link.heard(ONE, 1.0)
    list(sent(link, 1.0, 10_000.0))
    assert link.routers == (ONE,)


def test_a_router_that_answers_no_more_is_gone_when_another_one_is_there() -> None:
    link = Link()
    link.heard(ONE, 1.0)
    list(sent(link, 1.0, 100.0))
    link.heard(OTHER, 100.0)
    assert link.routers == (ONE, OTHER)
    assert times(link, SOLICITATION, 100.0, 100.0 + ROUND_SECONDS + 0.1) == [100.0, 104.0, 108.0]
    assert link.routers == (OTHER,)
    assert times(link, SOLICITATION, 113.0, 200.0) == []


def test_of_several_that_answer_all_stay_until_one_is_silent() -> None:
    link, now = Link(), 100.0
    link.heard(ONE, now)
    for answering in ((ONE, OTHER), (ONE, OTHER), (OTHER,), (OTHER,)):
        for router in answering:
            link.heard(router, now)
        list(sent(link, now, now + AGAIN_SECONDS + ROUND_SECONDS))
        now += AGAIN_SECONDS + ROUND_SECONDS
    assert link.routers == (OTHER,)


def test_many_routers_are_no_more_than_some() -> None:
    link = Link()
    for number in range(100):
        link.heard(number.to_bytes(16, "big"), 1.0)
    assert len(link.routers) == MOST_ROUTERS


def test_what_could_not_be_sent_is_tried_again() -> None:
    link = Link()
    link.due(10.0, 0.5)
    link.failed(10.0, 1.0)
    assert link.deadline() == 11.0
    assert set(link.due(11.0, 0.5)) == {ADVERTISEMENT, SOLICITATION}
