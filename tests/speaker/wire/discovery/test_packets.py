"""Router Advertisements and Solicitations as bytes: what counts, and what does not (RFC 4861 §6.1)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.discovery.packets import ADVERTISEMENT, SOLICITATION, advertisement, kind_of, solicitation

MAC = bytes.fromhex("020000000001")
ROUTER = bytes.fromhex("fe800000000000000000000000000001")
GLOBAL = bytes.fromhex("fd000000000000000000000000000001")


def test_ours_say_who_is_there_and_that_nobody_is_to_send_here_by_default() -> None:
    assert advertisement(MAC).hex() == "86000000" + "00000000" + "00000000" + "00000000" + "0101" + MAC.hex()
    assert solicitation(MAC).hex() == "85000000" + "00000000" + "0101" + MAC.hex()
    assert len(advertisement(b"")) == 16


def test_ours_count_with_others() -> None:
    for mac in (MAC, b"", bytes(6)):
        assert kind_of(advertisement(mac), ROUTER, 255) == ADVERTISEMENT
        assert kind_of(solicitation(mac), ROUTER, 255) == SOLICITATION


@pytest.mark.parametrize(
    ("packet", "source", "hop_limit"),
    [
        pytest.param(advertisement(MAC), ROUTER, 254, id="it was forwarded"),
        pytest.param(advertisement(MAC), GLOBAL, 255, id="not from a link-local address"),
        pytest.param(advertisement(MAC)[:15], ROUTER, 255, id="too short"),
        pytest.param(advertisement(MAC)[:-1], ROUTER, 255, id="an option is cut off"),
        pytest.param(advertisement(b"") + bytes(8), ROUTER, 255, id="an option of no length"),
        pytest.param(b"\x86\x01" + advertisement(MAC)[2:], ROUTER, 255, id="another code"),
        pytest.param(b"\x87" + advertisement(MAC)[1:], ROUTER, 255, id="another type"),
    ],
)
def test_what_is_not_valid_does_not_count(packet: bytes, source: bytes, hop_limit: int) -> None:
    assert kind_of(packet, source, hop_limit) == 0


@given(st.binary(max_size=64), st.binary(max_size=20), st.integers(-1, 255))
def test_nothing_that_comes_raises(packet: bytes, source: bytes, hop_limit: int) -> None:
    assert kind_of(packet, source, hop_limit) in (0, ADVERTISEMENT, SOLICITATION)
