"""NDP on the wire: golden bytes of a kernel, checksums, and the validity rules of RFC 4861 §7.1."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.ndp import Advertisement, Solicitation, build, parse

MAC, CLIENT_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("020000000002")


def ip(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


VIP, CLIENT, ROUTER = ip("2001:db8::10"), ip("2001:db8::2"), ip("fe80::1")
HEAD = ndp.head(MAC)

KERNEL_SOLICITATION = (
    "3333ff00001002000000000286dd"
    "6000000000203aff20010db8000000000000000000000002ff0200000000000000000001ff000010"
    "87001c090000000020010db80000000000000000000000100101020000000002"
)
KERNEL_PROBE = (
    "3333ff00001002000000000286dd"
    "6000000000203aff00000000000000000000000000000000ff0200000000000000000001ff000010"
    "8700f92d0000000020010db80000000000000000000000100e01c8c02e074ed0"
)
KERNEL_ADVERTISEMENT = (
    "02000000000202000000000a86dd"
    "6000000000203aff20010db800000000000000000000001020010db8000000000000000000000002"
    "88008a4c6000000020010db8000000000000000000000010020102000000000a"
)
KERNEL_ANSWER_TO_PROBE = (
    "33330000000102000000000a86dd"
    "6000000000203aff20010db8000000000000000000000010ff020000000000000000000000000001"
    "8800f9032000000020010db8000000000000000000000010020102000000000a"
)

macs = st.binary(min_size=6, max_size=6)
unicasts = st.binary(min_size=16, max_size=16).filter(lambda address: address[0] != 0xFF and any(address))


def words_sum(frame: bytes) -> int:
    """RFC 1071 word by word over the pseudo-header and the message: 0xFFFF when the checksum is right."""
    payload = frame[54:]
    text = frame[22:54] + len(payload).to_bytes(4, "big") + b"\0\0\0\x3a" + payload
    total = sum(int.from_bytes(text[at : at + 2], "big") for at in range(0, len(text), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def altered(frame: bytes, at: int, value: bytes, *, keep_checksum: bool = False) -> bytes:
    """The frame with other bytes, and a checksum that fits them."""
    changed = bytearray(frame)
    changed[at : at + len(value)] = value
    if not keep_checksum:
        changed[56:58] = b"\0\0"
        changed[56:58] = (0xFFFF - words_sum(bytes(changed))).to_bytes(2, "big")
    return bytes(changed)


def with_options(frame: bytes, options: bytes) -> bytes:
    """The frame with these options instead of its own."""
    changed = frame[:18] + (24 + len(options)).to_bytes(2, "big") + frame[20:78] + options
    return altered(changed, 0, b"")


SOLICITATION = ndp.solicitation(CLIENT_MAC, CLIENT, VIP)
PROBE = ndp.probe(CLIENT_MAC, VIP)
ADVERTISEMENT = build(Advertisement(CLIENT_MAC, MAC, VIP, CLIENT, VIP, MAC, is_solicited=True, is_override=True))
UNSOLICITED = ndp.unsolicited(HEAD, VIP)


class TestGolden:
    """Frames that Linux 6.18 sent, as a packet socket on the other end of the cable had them."""

    def test_a_solicitation(self):
        assert ndp.solicitation(CLIENT_MAC, CLIENT, VIP) == bytes.fromhex(KERNEL_SOLICITATION)

    def test_a_probe(self):
        """With a nonce (RFC 7527) behind it, which we send none of."""
        seen = parse(bytes.fromhex(KERNEL_PROBE))
        assert seen == parse(PROBE)
        assert seen.is_probe

    def test_the_answer_for_an_address_of_the_interface_of_a_host_is_ours_to_the_byte(self):
        assert ndp.reply(ndp.answer(HEAD, VIP), CLIENT_MAC, CLIENT) == bytes.fromhex(KERNEL_ADVERTISEMENT)

    def test_the_answer_to_a_probe_is_ours_to_the_byte(self):
        assert ndp.unsolicited(HEAD, VIP) == bytes.fromhex(KERNEL_ANSWER_TO_PROBE)


class TestRfc4861Section711:
    """Each reason to discard a solicitation in silence."""

    @pytest.mark.parametrize(
        "frame",
        [
            pytest.param(altered(SOLICITATION, 21, b"\xfe"), id="it crossed a router: hop limit not 255"),
            pytest.param(altered(SOLICITATION, 56, b"\x12\x34", keep_checksum=True), id="the checksum is wrong"),
            pytest.param(altered(SOLICITATION, 55, b"\x01"), id="the code is not 0"),
            pytest.param(altered(SOLICITATION[:70], 18, b"\x00\x10"), id="shorter than 24 octets"),
            pytest.param(altered(SOLICITATION, 62, ip("ff02::1")), id="the target is multicast"),
            pytest.param(with_options(SOLICITATION, bytes([1, 0]) + CLIENT_MAC), id="an option of length 0"),
            pytest.param(altered(PROBE, 38, VIP), id="a probe not to a solicited-node address"),
            pytest.param(with_options(PROBE, bytes([1, 1]) + CLIENT_MAC), id="a probe that tells a link-layer address"),
            pytest.param(with_options(SOLICITATION, bytes([14, 2]) + bytes(6)), id="an option cut off"),
            pytest.param(SOLICITATION[:-1], id="shorter than its length says"),
            pytest.param(altered(SOLICITATION, 14, b"\x40"), id="not version 6"),
            pytest.param(altered(SOLICITATION, 12, b"\x08\x00"), id="not IPv6"),
            pytest.param(altered(SOLICITATION, 20, b"\x00"), id="an extension header"),
        ],
    )
    def test_invalid(self, frame):
        assert parse(frame) is None

    def test_other_options_in_any_order_are_passed_over(self):
        options = bytes([14, 1]) + bytes(6) + bytes([1, 1]) + CLIENT_MAC + bytes([253, 2]) + bytes(14)
        assert parse(with_options(SOLICITATION, options)) == parse(SOLICITATION)

    def test_a_link_layer_address_that_is_no_ethernet_address_is_none(self):
        assert parse(with_options(SOLICITATION, bytes([1, 2]) + bytes(14))).sender_mac is None

    def test_the_reserved_field_is_passed_over(self):
        assert parse(altered(SOLICITATION, 58, b"\xff\xff\xff\xff")) == parse(SOLICITATION)

    def test_what_follows_the_packet_is_passed_over(self):
        assert parse(SOLICITATION + b"trailer") == parse(SOLICITATION)


class TestRfc4861Section712:
    """Each reason to discard an advertisement in silence."""

    @pytest.mark.parametrize(
        "frame",
        [
            pytest.param(altered(UNSOLICITED, 21, b"\x40"), id="hop limit not 255"),
            pytest.param(altered(UNSOLICITED, 56, b"\x12\x34", keep_checksum=True), id="the checksum is wrong"),
            pytest.param(altered(UNSOLICITED, 55, b"\x01"), id="the code is not 0"),
            pytest.param(altered(UNSOLICITED, 62, ip("ff02::1")), id="the target is multicast"),
            pytest.param(altered(UNSOLICITED, 58, b"\x60"), id="solicited, and yet to a group"),
            pytest.param(with_options(UNSOLICITED, bytes([2, 0]) + MAC), id="an option of length 0"),
        ],
    )
    def test_invalid(self, frame):
        assert parse(frame) is None

    def test_flags_are_read(self):
        flags = {bits: parse(altered(ADVERTISEMENT, 58, bytes([bits])))[6:] for bits in (0x80, 0x40, 0x20)}
        assert flags == {0x80: (True, False, False), 0x40: (False, True, False), 0x20: (False, False, True)}


class TestAnswers:
    def test_a_reply_is_solicited_overrides_and_is_no_routers(self):
        seen = parse(ndp.reply(ndp.answer(HEAD, VIP), CLIENT_MAC, CLIENT))
        assert seen == Advertisement(CLIENT_MAC, MAC, VIP, CLIENT, VIP, MAC, False, True, True)

    def test_an_unsolicited_one_goes_to_all_nodes_and_overrides_section_7_2_6(self):
        assert parse(UNSOLICITED) == Advertisement(
            bytes.fromhex("333300000001"), MAC, VIP, ip("ff02::1"), VIP, MAC, False, False, True
        )

    def test_the_group_of_an_address_rfc_4291_section_2_7_1(self):
        assert ndp.solicited_node(ip("4037::1:800:200e:8c6c")) == ip("ff02::1:ff0e:8c6c")
        assert ndp.solicited_node_mac(ip("4037::1:800:200e:8c6c")) == bytes.fromhex("3333ff0e8c6c")

    @given(macs, unicasts, macs, unicasts)
    def test_the_checksum_is_that_of_the_words_one_by_one(self, mac, address, asker_mac, asker):
        for frame in (
            ndp.reply(ndp.answer(ndp.head(mac), address), asker_mac, asker),
            ndp.unsolicited(ndp.head(mac), address),
            ndp.solicitation(mac, asker, address),
            ndp.probe(mac, address),
        ):
            assert words_sum(frame) == 0xFFFF
            assert parse(frame) is not None


@given(macs, macs, unicasts, unicasts, unicasts, st.one_of(st.none(), macs))
def test_a_solicitation_comes_back_as_it_was(destination, source, sender, to, target, sender_mac):
    message = Solicitation(destination, source, sender, to, target, sender_mac)
    assert parse(build(message)) == message


@given(st.sampled_from([SOLICITATION, PROBE, ADVERTISEMENT]), st.integers(0, 85), st.integers(0, 255))
def test_one_byte_changed_is_never_taken_for_another_message(frame, at, value):
    """Only what the checksum leaves out: the MACs, and traffic class and flow label, may differ unnoticed."""
    at %= len(frame)
    changed = altered(frame, at, bytes([value]), keep_checksum=True)
    if frame[at] != value and at not in (*range(12), 14, 15, 16, 17):
        assert parse(changed) is None


@given(st.binary(max_size=200))
def test_junk_is_nothing(junk):
    assert parse(junk) is None
