"""Router Advertisements and Solicitations (RFC 4861 §4.1, §4.2) as ICMPv6 bytes: built, and told apart when they come.

No I/O, and no state. The kernel computes and checks the checksum (RFC 3542 §3.1), and keeps the IPv6 header to itself.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |  Type = 134   |   Code = 0    |           Checksum            |
    +---------------+---------------+-------------------------------+
    | Cur Hop Limit |     Flags     |        Router Lifetime        |   all 0 here: we are nobody's default router
    +---------------+---------------+-------------------------------+
    |                        Reachable Time                         |
    +---------------------------------------------------------------+
    |                         Retrans Timer                         |
    +---------------+---------------+-------------------------------+
    |  Option = 1   |  Length = 1   |                               |
    +---------------+---------------+   Our link-layer address      +
    |                                                               |
    +---------------------------------------------------------------+
"""

from __future__ import annotations

from struct import Struct

SOLICITATION, ADVERTISEMENT = 133, 134
HOP_LIMIT = 255

_ADVERTISEMENT = Struct("!BBHBBHII")
_SOLICITATION = Struct("!BBHI")
_SOURCE_LINK_LAYER_ADDRESS = 1  # §4.6.1


def advertisement(mac: bytes) -> bytes:
    """That there is a neighbour here which routes: no hosts' default router (lifetime 0), and nothing else."""
    return _ADVERTISEMENT.pack(ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0) + _source(mac)


def solicitation(mac: bytes) -> bytes:
    """To all routers: say that you are there."""
    return _SOLICITATION.pack(SOLICITATION, 0, 0, 0) + _source(mac)


def kind_of(packet: bytes, source: bytes, hop_limit: int) -> int:
    """SOLICITATION or ADVERTISEMENT; 0 for what is not to count (§6.1.1, §6.1.2)."""
    if hop_limit != HOP_LIMIT or len(packet) < _SOLICITATION.size or packet[1] != 0:
        return 0
    if packet[0] == SOLICITATION and _has_whole_options(packet, _SOLICITATION.size):
        return SOLICITATION
    is_whole = len(packet) >= _ADVERTISEMENT.size and _has_whole_options(packet, _ADVERTISEMENT.size)
    return ADVERTISEMENT if packet[0] == ADVERTISEMENT and is_whole and is_link_local(source) else 0


def is_link_local(address: bytes) -> bool:
    """fe80::/10 (RFC 4291 §2.5.6)."""
    return len(address) == 16 and address[0] == 0xFE and address[1] & 0xC0 == 0x80


def _source(mac: bytes) -> bytes:
    """Nothing where the link has no addresses of six octets."""
    return bytes([_SOURCE_LINK_LAYER_ADDRESS, 1]) + mac if len(mac) == 6 and any(mac) else b""


def _has_whole_options(packet: bytes, at: int) -> bool:
    """Each has a length, in units of 8 octets, which is not 0 (§4.6)."""
    while at < len(packet):
        length = 8 * packet[at + 1] if at + 1 < len(packet) else 0
        if not length or at + length > len(packet):
            return False
        at += length
    return True
