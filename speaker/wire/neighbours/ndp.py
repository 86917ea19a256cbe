"""NDP for IPv6 over Ethernet, as bytes: parse solicitations and advertisements, build both, with their checksums.

It decides nothing and keeps no state. Only what RFC 4861 §7.1.1 and §7.1.2 call valid is parsed. A § alone is
of RFC 4861.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+   byte
    |   Ethernet destination (6), source (6), EtherType = 0x86DD    |   0, 6, 12
    +-------+---------------+---------------------------------------+
    |  = 6  | Traffic class |              Flow label               |  14
    +-------+---------------+-------+---------------+---------------+
    |        Payload length         |   Next = 58   |  Hops = 255   |  18, 20, 21
    +-------------------------------+---------------+---------------+
    |                      Source address (16)                      |  22
    +---------------------------------------------------------------+
    |                   Destination address (16)                    |  38
    +---------------+---------------+-------------------------------+
    | Type 135, 136 |   Code = 0    |           Checksum            |  54, 55, 56
    +-+-+-+---------+---------------+-------------------------------+
    |R|S|O|                       Reserved                          |  58, flags in an advertisement only
    +-+-+-+---------------------------------------------------------+
    |                      Target address (16)                      |  62
    +---------------+---------------+-------------------------------+
    | Option 1 or 2 |  Length = 1   |   Link-layer address (6)      |  78, 80
    +---------------+---------------+                               +
    |                                                               |  86
    +---------------------------------------------------------------+

Option 1 is the sender's link-layer address, in solicitations; option 2 the target's, in advertisements. Options come
in any order and number, each 8 octets times its length. Extension headers are left out: no stack sends these messages
with any, and RFC 6980 forbids the one (fragments) that an attacker would use.

The checksum (RFC 4443 §2.3) is the one's complement of a one's complement sum of 16-bit words. That sum is what the
whole, read as one number, leaves when divided by 0xFFFF, since 0x10000 leaves 1: two operations on integers.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

# The longest frame looked at: options such as those of SEND (RFC 3971) fill an Ethernet frame.
MAX_FRAME_BYTES = 1514

UNSPECIFIED = bytes(16)
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
ALL_NODES_MAC = bytes.fromhex("333300000001")
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")  # /104, RFC 4291 §2.7.1
_SOLICITED_NODE_MAC = bytes.fromhex("3333ff")  # RFC 2464 §7

_SOLICITATION, _ADVERTISEMENT = 135, 136
_SOURCE_OPTION, _TARGET_OPTION = 1, 2
_ROUTER, _SOLICITED, _OVERRIDE = 0x80, 0x40, 0x20
_ICMPV6 = 58
_CHECKSUM_MODULUS = 0xFFFF

_HEADERS_BYTES = 54
_FIXED_BYTES = 78  # up to the options

# destination, source, EtherType, version, length..hops, source, destination, type and code, checksum, flags, target
_FRAME = Struct("!6s6s2sB3x4s16s16s2s2xB3x16s")

_IPV6 = b"\x86\xdd"
# A solicitation as most stacks write it: no traffic class, no flow label, one option.
USUAL_BYTES = 86
USUAL_HEADER = b"\x86\xdd\x60\0\0\0\0\x20\x3a\xff"  # 32 bytes, ICMPv6, 255 hops
USUAL_KIND = b"\x87\0"
USUAL_OPTION = b"\x01\x01"
# destination, source, USUAL_HEADER, source address, USUAL_KIND, target, USUAL_OPTION, its MAC
USUAL_FIELDS = Struct("!6s6s10s16s16x2s6x16s2s6s")
_USUAL_SUMMED = Struct("!22x64s")
_USUAL_PSEUDO_HEADER = 32 + _ICMPV6
_from_bytes = int.from_bytes  # most significant first


class Solicitation(NamedTuple):
    """A valid Neighbor Solicitation (§4.3). MACs are 6 bytes, IPv6 addresses 16."""

    destination: bytes
    source: bytes
    sender: bytes
    to: bytes
    target: bytes
    sender_mac: bytes | None
    """From the option; None when there is none."""

    @property
    def is_probe(self) -> bool:
        """RFC 4862 §5.4.2: asks whether an address is in use, before it is used."""
        return self.sender == UNSPECIFIED


class Advertisement(NamedTuple):
    """A valid Neighbor Advertisement (§4.4)."""

    destination: bytes
    source: bytes
    sender: bytes
    to: bytes
    target: bytes
    target_mac: bytes | None
    is_router: bool = False
    is_solicited: bool = False
    is_override: bool = False


class Head(NamedTuple):
    """What all advertisements from one MAC have in common."""

    start: bytes
    """From the Ethernet source to the hops."""
    option: bytes
    checksum: int
    """Of the parts that are the same in all, not folded."""


Answer = tuple[bytes, int, bytes]
"""What all answers about one address from one MAC have in common: all before the asker's address but for the Ethernet
destination, the sum of all that the checksum covers but for the asker's address, and all after the checksum."""

Message = Solicitation | Advertisement


def solicited_node(address: bytes) -> bytes:
    """The group that an address is asked for at (RFC 4291 §2.7.1): shared by all with the same last 24 bits."""
    return _SOLICITED_NODE + address[13:]


def solicited_node_mac(address: bytes) -> bytes:
    """That group's Ethernet address (RFC 2464 §7)."""
    return _SOLICITED_NODE_MAC + address[13:]


def has_usual_checksum(frame: bytearray) -> bool:
    """Whether the first 86 bytes, in the usual form, add up."""
    return (_from_bytes(_USUAL_SUMMED.unpack_from(frame)[0]) + _USUAL_PSEUDO_HEADER) % _CHECKSUM_MODULUS == 0


def parse(frame: bytes | bytearray | memoryview) -> Message | None:
    """The valid message in an Ethernet frame, or None. What follows the IPv6 packet (padding, trailers) is ignored."""
    if len(frame) < _FIXED_BYTES:
        return None
    destination, source, ethertype, version, lengths, sender, to, kind, flags, target = _FRAME.unpack_from(frame)
    payload_bytes = int.from_bytes(lengths[:2], "big")
    end = _HEADERS_BYTES + payload_bytes
    if ethertype != _IPV6 or version >> 4 != 6 or lengths[2:] != b"\x3a\xff":
        return None
    if end < _FIXED_BYTES or end > len(frame) or target[0] == 0xFF or kind[1]:
        return None
    if not _is_summed_up(bytes(frame[22:end]), payload_bytes):
        return None
    options = _options(bytes(frame[_FIXED_BYTES:end]))
    if options is None:
        return None
    if kind[0] == _SOLICITATION:
        solicitation = Solicitation(destination, source, sender, to, target, options.get(_SOURCE_OPTION))
        return solicitation if _is_valid_solicitation(solicitation) else None
    if kind[0] == _ADVERTISEMENT and not (to[0] == 0xFF and flags & _SOLICITED):
        bits = (bool(flags & bit) for bit in (_ROUTER, _SOLICITED, _OVERRIDE))
        return Advertisement(destination, source, sender, to, target, options.get(_TARGET_OPTION), *bits)
    return None


def _is_valid_solicitation(seen: Solicitation) -> bool:
    """§7.1.1: a probe goes to the solicited-node address, and carries no link-layer address."""
    return not seen.is_probe or (seen.to[:13] == _SOLICITED_NODE and seen.sender_mac is None)


def _is_summed_up(text: bytes, payload_bytes: int) -> bool:
    """`text`: from the source address to the end. The other parts of the pseudo-header (RFC 8200 §8.1) are added."""
    if len(text) % 2:
        text += b"\0"
    return (int.from_bytes(text, "big") + payload_bytes + _ICMPV6) % _CHECKSUM_MODULUS == 0


def _options(text: bytes) -> dict[int, bytes] | None:
    """MACs in link-layer address options by kind, the first of each; None when one has the length 0, or is cut off."""
    macs: dict[int, bytes] = {}
    at = 0
    while at < len(text):
        if at + 2 > len(text) or not text[at + 1] or at + 8 * text[at + 1] > len(text):
            return None
        if text[at + 1] == 1:  # 8 octets: the length of Ethernet's (RFC 2464 §6)
            macs.setdefault(text[at], text[at + 2 : at + 8])
        at += 8 * text[at + 1]
    return macs


def build(message: Message) -> bytes:
    """The frame, as usual stacks write it. `parse` gives the same message back."""
    if isinstance(message, Solicitation):
        kind, flags, option, mac = _SOLICITATION, 0, _SOURCE_OPTION, message.sender_mac
    else:
        kind, option, mac = _ADVERTISEMENT, _TARGET_OPTION, message.target_mac
        flags = message.is_router * _ROUTER | message.is_solicited * _SOLICITED | message.is_override * _OVERRIDE
    options = b"" if mac is None else bytes([option, 1]) + mac
    payload = bytes([kind, 0, 0, 0, flags, 0, 0, 0]) + message.target + options
    pseudo = message.sender + message.to + len(payload).to_bytes(4, "big") + bytes([0, 0, 0, _ICMPV6])
    checksum = -int.from_bytes(pseudo + payload, "big") % _CHECKSUM_MODULUS
    lengths = len(payload).to_bytes(2, "big") + bytes([_ICMPV6, 255])
    return (
        message.destination
        + message.source
        + _IPV6
        + b"\x60\0\0\0"
        + lengths
        + message.sender
        + message.to
        + payload[:2]
        + checksum.to_bytes(2, "big")
        + payload[4:]
    )


def solicitation(mac: bytes, sender: bytes, target: bytes) -> bytes:
    """Who has `target`, tell `sender` at `mac`."""
    to, to_mac = solicited_node(target), solicited_node_mac(target)
    return build(Solicitation(to_mac, mac, sender, to, target, mac))


def probe(mac: bytes, target: bytes) -> bytes:
    """RFC 4862 §5.4.2: does anybody have `target`?"""
    to, to_mac = solicited_node(target), solicited_node_mac(target)
    return build(Solicitation(to_mac, mac, UNSPECIFIED, to, target, None))


def question(mac: bytes, target: bytes, to: bytes) -> bytes:
    """Does the machine with the MAC `to` have `target`? It alone is asked, and answers us alone.

    A probe would not do: its answer goes to all nodes, who would take the other machine's word. So the sender is the
    link-local address that belongs to our MAC (RFC 4291, appendix A), whether the interface has it or not: the answer
    comes to our MAC all the same.
    """
    link_local = b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return build(Solicitation(to, mac, link_local, target, target, mac))


def head(mac: bytes) -> Head:
    """What is the same in all advertisements from the interface with this MAC."""
    option = bytes([_TARGET_OPTION, 1]) + mac
    fixed = int.from_bytes(bytes([_ADVERTISEMENT, 0]), "big") + int.from_bytes(option, "big") + 32 + _ICMPV6
    return Head(mac + USUAL_HEADER, option, fixed)


_ANSWER_FRAME = Struct("!6s32s16sHH28s")
_TYPE_AND_CODE = _ADVERTISEMENT << 8


def answer(head: Head, address: bytes) -> Answer:
    """Prebuilt for `reply`: `address` is at the MAC of `head`.

    Sent from `address` itself, as the kernel does for an address of its own interface. It is no router's address (R=0),
    whatever else the node forwards, and neither anycast nor proxied, so it overrides (O=1) what the asker knows.
    """
    return _prebuilt(head, address, _SOLICITED | _OVERRIDE)


def reply(answer: Answer, asker_mac: bytes, asker: bytes) -> bytes:
    """The answer, sent to the asker alone (§7.2.4). The hot path."""
    front, total, back = answer
    checksum = -(total + _from_bytes(asker)) % _CHECKSUM_MODULUS
    return _ANSWER_FRAME.pack(asker_mac, front, asker, _TYPE_AND_CODE, checksum, back)


def unsolicited(head: Head, address: bytes) -> bytes:
    """`address` is at the MAC of `head`, sent to all nodes, which replace what they knew (§7.2.6, O=1).

    The answer to a probe is the same frame (§7.2.4: the asker has no address yet).
    """
    return reply(_prebuilt(head, address, _OVERRIDE), ALL_NODES_MAC, ALL_NODES)


def _prebuilt(head: Head, address: bytes, flags: int) -> Answer:
    """The address stands in it twice: as source and as target."""
    total = (head.checksum + (flags << 8) + 2 * int.from_bytes(address, "big")) % _CHECKSUM_MODULUS
    return head.start + address, total, bytes([flags, 0, 0, 0]) + address + head.option
