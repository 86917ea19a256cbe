"""Which family the routes of an UPDATE are of, as it is counted in ExaBGP's process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.bgp.exabgp.io import changed

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
    assert changed._family_name(body) == family


@given(st.binary(max_size=60))
def test_whatever_the_router_sends_is_of_some_family_or_none(body: bytes) -> None:
    assert changed._family_name(body) in ("ipv4", "ipv6", "")
