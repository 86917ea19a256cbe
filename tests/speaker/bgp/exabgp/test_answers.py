"""What a router answers to ROUTE-REFRESH, as it is told in ExaBGP's process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.bgp.exabgp.answers import MAX_ANSWER_OCTETS, Answers, family_name

ORIGIN = bytes((0x40, 1, 1, 0))
LONG_PATH = bytes((0x50, 2, 1, 0)) + bytes(256)


def update(attributes: bytes, routes: bytes = b"", withdrawn: bytes = b"") -> bytes:
    """RFC 4271 §4.3, without the header."""
    return len(withdrawn).to_bytes(2) + withdrawn + len(attributes).to_bytes(2) + attributes + routes


def about(type_: int, afi: int, safi: int) -> bytes:
    """RFC 4760 §3, §4."""
    value = afi.to_bytes(2) + bytes((safi, 0))
    return bytes((0x80, type_, len(value))) + value


@pytest.mark.parametrize(
    ("body", "family"),
    [
        (update(ORIGIN, bytes((32, 10, 0, 0, 1))), "ipv4"),
        (update(b"", withdrawn=bytes((32, 10, 0, 0, 1))), "ipv4"),
        (update(ORIGIN + about(14, 2, 1)), "ipv6"),
        (update(LONG_PATH + about(14, 2, 1)), "ipv6"),
        (update(about(15, 2, 1)), "ipv6"),
        (update(ORIGIN + about(14, 1, 1)), "ipv4"),
        (update(ORIGIN + about(14, 25, 70)), ""),
        (update(ORIGIN + bytes((0x80, 14, 9, 0))), ""),
    ],
)
def test_the_family_of_an_update(body: bytes, family: str) -> None:
    assert family_name(body) == family


@given(st.binary(max_size=60))
def test_whatever_the_router_sends_is_of_some_family_or_none(body: bytes) -> None:
    assert family_name(body) in ("ipv4", "ipv6", "")


UPDATE, ROUTE_REFRESH = 2, 5


def test_questions_and_answers_are_told_with_their_families_and_what_bounds_them_is_not_for_exabgp() -> None:
    told: list[str] = []
    answers = Answers(told.append)
    answers.begin("ipv6", 1.0)
    assert answers.take(ROUTE_REFRESH, bytes((0, 2, 1, 1)), 1.1)
    assert not answers.take(UPDATE, bytes(4), 1.1)
    assert answers.take(ROUTE_REFRESH, bytes((0, 2, 2, 1)), 1.2)
    assert not answers.take(ROUTE_REFRESH, bytes((0, 2, 0, 1)), 1.3), "the router's own question"
    assert told == ["refreshing ipv6", "refreshed ipv6", "end-of-rib ipv4", "refreshed-all ipv6"]


@pytest.mark.parametrize(("seconds", "is_told"), [(1.0, True), (11.0, False)])
def test_an_answer_that_is_too_large_is_told_once_and_what_comes_long_after_is_none(seconds, is_told) -> None:
    told: list[str] = []
    answers = Answers(told.append)
    answers.begin("ipv4", 0.0)
    routes = update(ORIGIN, bytes(4000))
    for _ in range(3 * MAX_ANSWER_OCTETS // len(routes)):
        assert not answers.take(UPDATE, routes, seconds)
    assert told[1:] == (["costly ipv4"] if is_told else [])
