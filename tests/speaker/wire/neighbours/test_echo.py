"""Which echo requests are answered, and with what (RFC 792, RFC 1122 §3.2.2.6, RFC 4443 §4)."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker.wire.neighbours.echo import EchoResponder
from speaker.wire.neighbours.filter import ping6_program, ping_program
from speaker.wire.neighbours.table import Ignored, Table, interface
from tests.speaker.wire.neighbours.classicbpf import TO_ALL, TO_US, passes


def ip(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


MAC, CLIENT_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("020000000002")
ETH0 = interface("eth0", MAC)
VIP, CLIENT = ip("192.0.2.10"), ip("192.0.2.2")
VIP6, CLIENT6 = ip("2001:db8::10"), ip("2001:db8::2")
MESSAGE = bytes.fromhex("0102 0003") + b"abcdefg"  # identifier, sequence number, data of an odd length


def checksum(text: bytes) -> int:
    """RFC 1071, step by step."""
    total = 0
    for at in range(0, len(text), 2):
        total += int.from_bytes(text[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def summed(text: bytes, at: int, over: bytes = b"") -> bytes:
    """With its checksum at that place; `over` is summed, too."""
    return text[:at] + checksum(over + text[:at] + b"\0\0" + text[at + 2 :]).to_bytes(2, "big") + text[at + 2 :]


def icmp(message: bytes, kind: int = 8, code: int = 0) -> bytes:
    return summed(bytes([kind, code, 0, 0]) + message, 2)


def ipv4(payload: bytes, *, source: bytes = CLIENT, to: bytes = VIP, **fields: int) -> bytes:
    """`fields`: version (with the header's length), tos, total, fragment, ttl, protocol."""
    header = bytes([fields.get("version", 0x45), fields.get("tos", 0)])
    header += fields.get("total", 20 + len(payload)).to_bytes(2, "big") + b"\x12\x34"
    header += fields.get("fragment", 0x4000).to_bytes(2, "big") + bytes([fields.get("ttl", 63), 1, 0, 0])
    return summed(header + source + to, 10) + payload


def pseudo(source: bytes, to: bytes, length: int) -> bytes:
    return source + to + length.to_bytes(4, "big") + bytes([0, 0, 0, 58])


def ipv6(
    message: bytes, kind: int = 128, *, source: bytes = CLIENT6, to: bytes = VIP6, length: int | None = None
) -> bytes:
    payload = bytes([kind, 0, 0, 0]) + message
    payload = summed(payload, 2, pseudo(source, to, len(payload)))
    length = len(payload) if length is None else length
    return b"\x62\x81\x23\x45" + length.to_bytes(2, "big") + bytes([58, 63]) + source + to + payload


def ethernet(packet: bytes, *, to: bytes = MAC, source: bytes = CLIENT_MAC) -> bytes:
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return to + source + kind + packet


def table(*, answers_ping: bool = True) -> Table:
    made = Table()
    made.own_macs = frozenset({MAC})
    for address in (VIP, VIP6):
        made.hold(address, ["eth0"])
        made.held[address].answers_ping = answers_ping
    return made


def answer(frame: bytes, known: Table | None = None, name: str = "eth0") -> bytes | Ignored:
    responder = EchoResponder(known or table())
    its = interface(name, MAC)
    decide = responder.answer_ipv4 if frame[12:14] == b"\x08\x00" else responder.answer_ipv6
    return decide(its, bytearray(frame.ljust(60, b"\0")), max(60, len(frame)))


REQUEST, REQUEST6 = ethernet(ipv4(icmp(MESSAGE), tos=0x28)), ethernet(ipv6(MESSAGE))


def test_a_reply_has_the_data_and_the_type_of_service_of_the_request() -> None:
    reply = answer(REQUEST)
    assert isinstance(reply, bytes)
    assert reply[:14] == CLIENT_MAC + MAC + b"\x08\x00"
    header, message = reply[14:34], reply[34:]
    assert (header[0], header[1], int.from_bytes(header[2:4], "big")) == (0x45, 0x28, 20 + 4 + len(MESSAGE))
    assert header[6:8] == b"\0\0"
    assert (header[8], header[9]) == (64, 1)
    assert (header[12:16], header[16:20]) == (VIP, CLIENT)
    assert message[4:] == MESSAGE
    assert message[:2] == b"\0\0"
    assert checksum(header) == checksum(message) == 0


def test_a_reply_of_ipv6_has_the_data_and_the_traffic_class_of_the_request() -> None:
    reply = answer(REQUEST6)
    assert isinstance(reply, bytes)
    assert reply[:14] == CLIENT_MAC + MAC + b"\x86\xdd"
    assert reply[14:18] == b"\x62\x80\0\0"  # the flow label is the asker's
    assert (reply[20], reply[21], reply[22:38], reply[38:54]) == (58, 64, VIP6, CLIENT6)
    message = reply[54:]
    assert (message[:2], message[4:]) == (b"\x81\0", MESSAGE)
    assert checksum(pseudo(VIP6, CLIENT6, len(message)) + message) == 0


def test_each_reply_has_an_identification_of_its_own() -> None:
    responder = EchoResponder(table())
    frame = bytearray(REQUEST)
    replies = [responder.answer_ipv4(ETH0, frame, len(frame)) for _ in range(3)]
    assert len({reply[18:20] for reply in replies if isinstance(reply, bytes)}) == 3


def test_nothing_but_zeros_has_a_checksum_that_is_right() -> None:
    reply = answer(ethernet(ipv4(icmp(bytes(4)))))
    assert isinstance(reply, bytes)
    assert reply[34:] == b"\0\0\xff\xff" + bytes(4)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (ethernet(ipv4(icmp(MESSAGE), version=0x46)), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE), fragment=0x2000)), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE), fragment=0x0001)), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE), total=27)), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE), total=500)), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE, kind=13))), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE, code=1))), Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE)[:-1] + b"?")), Ignored.MALFORMED),
        (REQUEST[:24] + b"\0\0" + REQUEST[26:], Ignored.MALFORMED),
        (ethernet(ipv4(icmp(MESSAGE), to=ip("192.0.2.11"))), Ignored.NOT_OURS),
        (ethernet(ipv4(icmp(MESSAGE)), to=b"\xff" * 6), Ignored.OTHER_HOST),
        (ethernet(ipv4(icmp(MESSAGE)), source=MAC), Ignored.OWN),
        (ethernet(ipv4(icmp(MESSAGE), source=VIP)), Ignored.OWN),
        (ethernet(ipv4(icmp(MESSAGE)), source=b"\xff" * 6), Ignored.BAD_SENDER),
        (ethernet(ipv4(icmp(MESSAGE), source=ip("0.0.0.0"))), Ignored.BAD_SENDER),
        (ethernet(ipv4(icmp(MESSAGE), source=ip("127.0.0.1"))), Ignored.BAD_SENDER),
        (ethernet(ipv4(icmp(MESSAGE), source=ip("224.0.0.1"))), Ignored.BAD_SENDER),
        (ethernet(ipv4(icmp(MESSAGE), source=ip("255.255.255.255"))), Ignored.BAD_SENDER),
        (ethernet(ipv6(MESSAGE, kind=135)), Ignored.MALFORMED),
        (ethernet(ipv6(MESSAGE, length=7)), Ignored.MALFORMED),
        (ethernet(ipv6(MESSAGE, length=500)), Ignored.MALFORMED),
        (ethernet(ipv6(MESSAGE)[:-1] + b"?"), Ignored.MALFORMED),
        (ethernet(ipv6(MESSAGE, to=ip("2001:db8::11"))), Ignored.NOT_OURS),
        (ethernet(ipv6(MESSAGE, source=ip("::"))), Ignored.BAD_SENDER),
        (ethernet(ipv6(MESSAGE, source=ip("::1"))), Ignored.BAD_SENDER),
        (ethernet(ipv6(MESSAGE, source=ip("ff02::1"))), Ignored.BAD_SENDER),
        (ethernet(ipv6(MESSAGE)), None),
    ],
)
def test_what_is_not_one_plain_request_of_one_host_gets_no_answer(frame: bytes, why: Ignored | None) -> None:
    found = answer(frame)
    assert found is why or (why is None and isinstance(found, bytes))


@pytest.mark.parametrize("frame", [REQUEST, REQUEST6])
def test_only_what_is_announced_there_and_told_to_answer_is(frame: bytes) -> None:
    assert answer(frame, table(answers_ping=False)) is Ignored.NOT_OURS
    assert answer(frame, name="eth1") is Ignored.NOT_OURS
    known = table()
    known.drop(VIP)
    known.drop(VIP6)
    assert answer(frame, known) is Ignored.NOT_OURS
    known.hold(VIP, ["eth0"])
    known.hold(VIP6, ["eth0"])
    assert answer(frame, known) is Ignored.NOT_OURS


@given(st.sampled_from([REQUEST, REQUEST6]), st.data())
def test_junk_is_taken(request_frame: bytes, data: st.DataObject) -> None:
    """Whatever is in it, no reply is longer than the request, and none goes anywhere but back."""
    frame = bytearray(request_frame)
    for at in data.draw(st.lists(st.integers(14, len(frame) - 1), max_size=3)):
        frame[at] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(frame)))
    responder = EchoResponder(table())
    for decide in (responder.answer_ipv4, responder.answer_ipv6):
        reply = decide(ETH0, frame, length)
        if isinstance(reply, bytes):
            assert len(reply) <= length
            assert reply[:12] == CLIENT_MAC + MAC


def four(*addresses: bytes) -> bytes:
    return ping_program(sorted((int.from_bytes(one, "big"),) * 2 for one in addresses))


def six(*addresses: bytes) -> bytes:
    return ping6_program(sorted((int.from_bytes(one[-4:], "big"),) * 2 for one in addresses))


@pytest.mark.parametrize(("code", "frame"), [(four(VIP), REQUEST), (six(VIP6), REQUEST6)])
def test_the_filter_lets_requests_for_our_addresses_pass_that_are_sent_to_us(code: bytes, frame: bytes) -> None:
    assert passes(code, frame, packet_type=TO_US)
    assert not passes(code, frame, packet_type=TO_ALL)
    assert not passes(code, frame, packet_type=TO_US, vlan=5)
    assert passes(code, frame, packet_type=TO_US, vlan=0xE000)


@pytest.mark.parametrize(
    "frame",
    [
        ethernet(ipv4(icmp(MESSAGE), to=ip("192.0.2.11"))),
        ethernet(ipv4(icmp(MESSAGE, kind=0))),
        ethernet(ipv4(icmp(MESSAGE), version=0x46)),
        ethernet(ipv4(icmp(MESSAGE), fragment=0x2000)),
        ethernet(ipv4(icmp(MESSAGE), fragment=0x00B9)),
        REQUEST[:23] + b"\x06" + REQUEST[24:],
        ethernet(ipv6(MESSAGE, to=ip("2001:db8::11"))),
        ethernet(ipv6(MESSAGE, kind=129)),
        REQUEST6[:20] + b"\x06" + REQUEST6[21:],
        REQUEST[:33],
        b"",
    ],
)
def test_the_filter_lets_nothing_else_pass(frame: bytes) -> None:
    for code in (four(VIP), six(VIP6), four(), six()):
        assert not passes(code, frame, packet_type=TO_US)
