"""What to do with a received echo request (ping): reply or ignore. ICMP (RFC 792) and ICMPv6 (RFC 4443 §4).

Like arpresponder.py it sends nothing and knows no clock and no permit. Only a plain request is answered, as one packet;
all else is ignored without a word, as what hosts may do: with options or extension headers, in fragments, of a length
or with a checksum that is wrong, to or from what is not one host (RFC 1122 §3.2.1.3, §3.2.2; RFC 4443 §2.4 e).

The reply goes back to the MAC that the request came from, be it the asker's or a router's. It has the same TOS (RFC
1122 §3.2.2) or traffic class, identifier, sequence number and data, and a TTL of its own.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+-------------------------------+
    |     Type      |   Code = 0    |           Checksum            |   8 asks and 0 answers, of IPv6 128 and 129
    +---------------+---------------+-------------------------------+
    |          Identifier           |        Sequence number        |
    +-------------------------------+-------------------------------+
    |    Data ...
    +----
"""

from __future__ import annotations

from struct import Struct

from speaker.wire.neighbours.ndp import UNSPECIFIED
from speaker.wire.neighbours.table import Ignored, Interface, Table, is_host

# The longest frame that is answered: what most cards call jumbo.
MAX_FRAME_BYTES = 9216

_ETHERNET_BYTES = 14
_ICMP_BYTES = 8
_TTL = 64  # RFC 1700
_CHECKSUM_MODULUS = 0xFFFF
_MORE_AND_OFFSET = 0xBFFF  # all of that field but "don't fragment"

# MACs and EtherType; version and IHL, TOS, length, identification, flags and offset, TTL, protocol, checksum, source,
# destination; type, code
_IPV4 = Struct("!6s6sHBBHHHBBH4s4sBB")
_IPV4_HEADER = Struct("!BBHHHBBH4s4s")
_IPV4_BYTES = _ETHERNET_BYTES + _IPV4_HEADER.size
_IPV4_VERSION = 0x45  # and no options
_ICMP = 1
_ECHO_REQUEST, _ECHO_REPLY = 8, 0

# MACs and EtherType; version, class and label, length, next header, hop limit, source, destination; type, code
_IPV6 = Struct("!6s6sHIHBB16s16sBB")
_IPV6_HEADER = Struct("!IHBB16s16s")
_IPV6_BYTES = _ETHERNET_BYTES + _IPV6_HEADER.size
_VERSION_AND_CLASS = 0xFFF0_0000
_ICMPV6 = 58
_ECHO_REQUEST_6, _ECHO_REPLY_6 = 128, 129
_LOOPBACK_6 = bytes(15) + b"\x01"

_HEAD = Struct("!6s6sH")
_MESSAGE_HEAD = Struct("!BBH")


class EchoResponder:
    """The decision for one frame at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._identification = 0

    def answer_ipv4(self, interface: Interface, frame: bytearray, length: int) -> bytes | Ignored:
        """Decide about the first `length` bytes of a frame of EtherType 0x0800."""
        if length < _IPV4_BYTES + _ICMP_BYTES:
            return Ignored.MALFORMED
        mac, from_mac, ethertype, version, tos, total, _, fragment, _, protocol, _, asker, address, kind, code = (
            _IPV4.unpack_from(frame)
        )
        end = _ETHERNET_BYTES + total
        if (ethertype, version, protocol, kind, code) != (0x0800, _IPV4_VERSION, _ICMP, _ECHO_REQUEST, 0):
            return Ignored.MALFORMED
        if fragment & _MORE_AND_OFFSET or not _IPV4_BYTES + _ICMP_BYTES <= end <= length:
            return Ignored.MALFORMED
        message = bytes(frame[_IPV4_BYTES:end])
        if _sum(bytes(frame[_ETHERNET_BYTES:_IPV4_BYTES])) or _sum(message):
            return Ignored.MALFORMED
        fault = self._why_not(interface, mac, from_mac, asker, address)
        if fault is not None:
            return fault
        self._identification = (self._identification + 1) & 0xFFFF
        fields = (_IPV4_VERSION, tos, total, self._identification, 0, _TTL, _ICMP)
        checksum = _checksum(_IPV4_HEADER.pack(*fields, 0, address, asker))
        header = _IPV4_HEADER.pack(*fields, checksum, address, asker)
        return _frame(from_mac, interface.mac, 0x0800, header) + _reply(_ECHO_REPLY, b"", message)

    def answer_ipv6(self, interface: Interface, frame: bytearray, length: int) -> bytes | Ignored:
        """The same for a frame of EtherType 0x86DD."""
        if length < _IPV6_BYTES + _ICMP_BYTES:
            return Ignored.MALFORMED
        mac, from_mac, ethertype, first, payload, header_kind, _, asker, address, kind, code = _IPV6.unpack_from(frame)
        end = _IPV6_BYTES + payload
        if (ethertype, first >> 28, header_kind, kind, code) != (0x86DD, 6, _ICMPV6, _ECHO_REQUEST_6, 0):
            return Ignored.MALFORMED
        if payload < _ICMP_BYTES or end > length:
            return Ignored.MALFORMED
        message = bytes(frame[_IPV6_BYTES:end])
        pseudo = asker + address + payload.to_bytes(4, "big") + bytes((0, 0, 0, _ICMPV6))  # RFC 8200 §8.1
        if _sum(pseudo + message):
            return Ignored.MALFORMED
        fault = self._why_not(interface, mac, from_mac, asker, address)
        if fault is not None:
            return fault
        header = _IPV6_HEADER.pack(first & _VERSION_AND_CLASS, payload, _ICMPV6, _TTL, address, asker)
        return _frame(from_mac, interface.mac, 0x86DD, header) + _reply(_ECHO_REPLY_6, pseudo, message)

    def _why_not(
        self, interface: Interface, mac: bytes, from_mac: bytes, asker: bytes, address: bytes
    ) -> Ignored | None:
        table = self._table
        entry = table.held.get(address)
        if entry is None or not entry.answers_ping or interface.name not in entry.interfaces:
            return Ignored.NOT_OURS
        if mac != interface.mac:
            return Ignored.OTHER_HOST
        if from_mac in table.own_macs or asker in table.held:
            return Ignored.OWN
        if not is_host(from_mac) or not _is_asker(asker):
            return Ignored.BAD_SENDER
        return None


def _is_asker(address: bytes) -> bool:
    """Whether it can be the address of one other host. What is a network's broadcast address is not known here; the
    reply goes to one MAC in any case."""
    if len(address) == 4:
        return 0 < address[0] < 224 and address[0] != 127
    return address[0] != 0xFF and address not in (UNSPECIFIED, _LOOPBACK_6)


def _frame(to_mac: bytes, from_mac: bytes, ethertype: int, header: bytes) -> bytes:
    return _HEAD.pack(to_mac, from_mac, ethertype) + header


def _reply(kind: int, pseudo: bytes, request: bytes) -> bytes:
    """The same message with another type."""
    body = request[4:]
    checksum = _checksum(pseudo + _MESSAGE_HEAD.pack(kind, 0, 0) + body)
    return _MESSAGE_HEAD.pack(kind, 0, checksum) + body


def _checksum(text: bytes) -> int:
    """RFC 1071. Of the two zeros of one's complement the one that is right for nothing but zeros, too."""
    return -_sum(text) % _CHECKSUM_MODULUS or _CHECKSUM_MODULUS


def _sum(text: bytes) -> int:
    """0 of what carries its right checksum: see ndp.py."""
    if len(text) % 2:
        text += b"\0"
    return int.from_bytes(text, "big") % _CHECKSUM_MODULUS
