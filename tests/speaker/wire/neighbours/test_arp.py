"""ARP packets against frames captured from a Linux kernel and from arping, and against scapy's reading of ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import ARP, Ether

from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours.arp import Arp

MAC_1, MAC_2 = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
IP_1, IP_2, VIP = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]), bytes([192, 0, 2, 77])

macs = st.binary(min_size=6, max_size=6)
addresses = st.binary(min_size=4, max_size=4)
arps = st.builds(Arp, macs, macs, st.booleans(), macs, addresses, macs, addresses)

# Captured on a veth between two namespaces: Linux 6.18, arping of iputils 20221126.
KERNEL_REQUEST = bytes.fromhex("ffffffffffff02000000000108060001080006040001020000000001c0000201000000000000c0000202")
KERNEL_REPLY = bytes.fromhex("02000000000102000000000208060001080006040002020000000002c0000202020000000001c0000201")
ARPING_UNSOLICITED_REPLY = bytes.fromhex(
    "ffffffffffff02000000000108060001080006040002020000000001c0000201020000000001c0000201"
)
ARPING_UNSOLICITED_REQUEST = bytes.fromhex(
    "ffffffffffff02000000000108060001080006040001020000000001c0000201ffffffffffffc0000201"
)
ARPING_PROBE = bytes.fromhex("ffffffffffff0200000000010806000108000604000102000000000100000000ffffffffffffc000024d")


def test_a_request_is_the_bytes_that_the_kernel_sends():
    assert packets.request(MAC_1, IP_1, IP_2) == KERNEL_REQUEST


def test_a_reply_is_the_bytes_that_the_kernel_sends():
    assert packets.reply(packets.reply_head(MAC_2), IP_2, MAC_1, IP_1) == KERNEL_REPLY


def test_a_gratuitous_reply_is_the_bytes_that_arping_sends():
    assert packets.gratuitous_reply(MAC_1, IP_1) == ARPING_UNSOLICITED_REPLY


def test_a_gratuitous_request_differs_from_arpings_in_the_ignored_target_mac_only():
    ours, theirs = packets.gratuitous_request(MAC_1, IP_1), ARPING_UNSOLICITED_REQUEST
    assert ours[:32] + ours[38:] == theirs[:32] + theirs[38:]
    assert ours[32:38] == bytes(6)


def test_a_probe_of_arping_is_read_as_a_probe():
    arp = packets.parse(ARPING_PROBE)
    assert arp is not None
    assert arp.is_probe
    assert not arp.is_gratuitous
    assert arp.target == VIP


def test_gratuitous_frames_of_arping_are_read_as_gratuitous():
    for frame in (ARPING_UNSOLICITED_REPLY, ARPING_UNSOLICITED_REQUEST):
        arp = packets.parse(frame)
        assert arp is not None
        assert arp.is_gratuitous
        assert not arp.is_probe


@pytest.mark.parametrize(
    ("frame", "operation", "destination", "sender_mac", "sender", "target_mac", "target"),
    [
        (packets.request(MAC_1, IP_1, VIP), 1, "ff:ff:ff:ff:ff:ff", MAC_1, IP_1, bytes(6), VIP),
        (packets.reply(packets.reply_head(MAC_2), VIP, MAC_1, IP_1), 2, MAC_1.hex(":"), MAC_2, VIP, MAC_1, IP_1),
        (packets.gratuitous_request(MAC_2, VIP), 1, "ff:ff:ff:ff:ff:ff", MAC_2, VIP, bytes(6), VIP),
        (packets.gratuitous_reply(MAC_2, VIP), 2, "ff:ff:ff:ff:ff:ff", MAC_2, VIP, MAC_2, VIP),
    ],
)
def test_scapy_reads_our_frames_as_they_were_meant(
    frame, operation, destination, sender_mac, sender, target_mac, target
):
    ether = Ether(frame)
    arp = ether[ARP]
    assert (ether.dst, ether.src, ether.type) == (destination, sender_mac.hex(":"), 0x0806)
    assert (arp.hwtype, arp.ptype, arp.hwlen, arp.plen, arp.op) == (1, 0x0800, 6, 4, operation)
    assert (arp.hwsrc, arp.hwdst) == (sender_mac.hex(":"), target_mac.hex(":"))
    assert (arp.psrc, arp.pdst) == (".".join(map(str, sender)), ".".join(map(str, target)))
    assert len(frame) == packets.FRAME_BYTES


@given(arps)
def test_what_was_built_is_parsed_back(arp):
    assert packets.parse(packets.build(arp)) == arp


@given(arps)
def test_scapy_agrees_with_our_parser(arp):
    theirs = Ether(packets.build(arp))
    assert theirs[ARP].hwsrc == arp.sender_mac.hex(":")
    assert theirs[ARP].psrc == ".".join(map(str, arp.sender))
    assert theirs[ARP].pdst == ".".join(map(str, arp.target))
    assert (theirs[ARP].op == 1) == arp.is_request


@given(arps, st.binary(max_size=60))
def test_padding_changes_nothing(arp, padding):
    assert packets.parse(packets.build(arp) + padding) == arp


@given(st.binary(max_size=200))
def test_junk_is_parsed_to_nothing_or_to_what_builds_the_same_bytes(junk):
    arp = packets.parse(junk)
    assert arp is None or packets.build(arp) == junk[: packets.FRAME_BYTES]


@given(arps, st.integers(12, 21), st.integers(1, 255))
def test_a_frame_of_any_other_kind_is_not_arp(arp, position, change):
    """EtherType, hardware and protocol type, lengths and operation must all be right."""
    frame = bytearray(packets.build(arp))
    frame[position] ^= change
    if frame[12:22] not in (packets.REQUEST, packets.REPLY):
        assert packets.parse(frame) is None


@given(arps, st.integers(0, packets.FRAME_BYTES - 1))
def test_a_frame_broken_off_is_not_arp(arp, length):
    assert packets.parse(packets.build(arp)[:length]) is None


def test_a_tagged_frame_is_not_arp():
    """802.1Q: 0x8100 and the tag stand where the EtherType was."""
    frame = packets.request(MAC_1, IP_1, VIP)
    assert packets.parse(frame[:12] + b"\x81\x00\x00\x05" + frame[12:]) is None
