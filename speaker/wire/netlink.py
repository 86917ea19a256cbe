"""rtnetlink messages as bytes: what all have in common, those about links, and which links the speaker can use.

It opens no socket: the wire process does, and applies what is parsed here. Formats: linux/rtnetlink.h, linux/if_link.h.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
    |                            Length                             |
    +-------------------------------+-------------------------------+
    |             Type              |             Flags             |   struct nlmsghdr
    +-------------------------------+-------------------------------+
    |                        Sequence number                        |
    +---------------------------------------------------------------+
    |                            Port id                            |
    +---------------+---------------+-------------------------------+
    |    Family     |     (pad)     |         Hardware type         |
    +---------------+---------------+-------------------------------+   struct ifinfomsg
    |                       Interface index                         |
    +---------------------------------------------------------------+
    |                        Device flags                           |
    +---------------------------------------------------------------+
    |                         Change mask                           |
    +-------------------------------+-------------------------------+
    |       Attribute length        |        Attribute type         |   struct rtattr, each padded to 4 bytes,
    +-------------------------------+-------------------------------+   lengths without the padding
    |                     Attribute value ...                       |
    +---------------------------------------------------------------+

Numbers are in host order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import NamedTuple

_MESSAGE = Struct("=IHHII")
_LINK = Struct("=BxHiII")
_ATTRIBUTE = Struct("=HH")
_NUMBER = Struct("=I")
_SIGNED = Struct("=i")

ADDRESS = Struct("=BBBBI")
"""linux/if_addr.h, struct ifaddrmsg: family, prefix length, flags, scope, index of the interface; attributes follow."""
NEW_ADDRESS, DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22  # RTM_*ADDR
IFA_ADDRESS, IFA_LOCAL = 1, 2

GROUP_LINK = 1  # RTMGRP_LINK, for bind()

_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18  # RTM_*LINK
_ERROR, _DONE = 2, 3  # NLMSG_ERROR, NLMSG_DONE
_FLAG_REQUEST, _FLAG_INTERRUPTED, _FLAG_DUMP = 0x1, 0x10, 0x300  # NLM_F_REQUEST, _DUMP_INTR, _DUMP
ACKNOWLEDGE, ONLY_NEW, CREATE = 0x4, 0x200, 0x400  # NLM_F_ACK, _EXCL, _CREATE
_EXTENSIONS, _SKIP_STATISTICS = 29, 8  # IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS

_MAC, _NAME, _MASTER, _LINK_INFO, _SLAVE_KIND = (
    1,
    3,
    10,
    18,
    4,
)  # IFLA_ADDRESS, _IFNAME, _MASTER, _LINKINFO, _INFO_SLAVE_KIND
_CARRIER_CHANGES, _EVENT = 35, 44  # IFLA_CARRIER_CHANGES, IFLA_EVENT
# Of IFLA_EVENT_*: a bond uses another of its ports; a driver (bond, team, virtual machine that was moved) asks that
# neighbours be told anew; multicast groups are to be reported anew.
_MOVED_EVENTS = frozenset({3, 4, 5})  # BONDING_FAILOVER, NOTIFY_PEERS, IGMP_RESEND
_TYPE_MASK = 0x3FFF  # NLA_TYPE_MASK: the two upper bits are flags

# linux/if.h, net/if_arp.h
_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING, _IFF_NOARP, _IFF_LOWER_UP = 0x1, 0x8, 0x40, 0x80, 0x10000
_ETHERNET = 1  # ARPHRD_ETHER


class Link(NamedTuple):
    """One network interface."""

    ifindex: int
    name: str
    mac: bytes
    flags: int
    hardware_type: int
    master: int
    """Index of the bridge, bond, team or VRF it belongs to; 0 if none."""
    slave_kind: str
    """What it is to its master: `bridge`, `bond`, `vrf` ...; empty if none."""
    carrier_changes: int = 0
    """How often the carrier came or went. Links that go and come quickly may be told only by this count."""


class LinkChanged(NamedTuple):
    """The link is there, and looks like this now.

    `has_moved`: its frames take another way into the network from now on, though the link may look the same. The kernel
    announces its own addresses again at this; nobody but us announces ours.
    """

    link: Link
    has_moved: bool = False


class LinkGone(NamedTuple):
    """The link is not there any more (in this network namespace)."""

    ifindex: int


class DumpDone(NamedTuple):
    """All links have been told. If interrupted, something changed meanwhile: dump again."""

    interrupted: bool


class Failed(NamedTuple):
    """The kernel refused our request with this errno."""

    errno: int


Message = LinkChanged | LinkGone | DumpDone | Failed


def dump_request(sequence: int) -> bytes:
    """Ask for all links, without their statistics."""
    body = _LINK.pack(0, 0, 0, 0, 0) + attribute(_EXTENSIONS, _NUMBER.pack(_SKIP_STATISTICS))
    return dump(_GET_LINK, sequence, body)


def addresses_request(sequence: int) -> bytes:
    """Ask for all addresses."""
    return dump(_GET_ADDRESS, sequence, ADDRESS.pack(0, 0, 0, 0, 0))


def dump(kind: int, sequence: int, body: bytes) -> bytes:
    """Ask for all there is of a kind."""
    return request(kind, _FLAG_DUMP, sequence, body)


def request(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A message to the kernel."""
    return _MESSAGE.pack(_MESSAGE.size + len(body), kind, flags | _FLAG_REQUEST, sequence, 0) + body


def is_end(kind: int) -> bool:
    """Of a dump. An error is one, too: a kernel without IPv6 has no routes of it."""
    return kind in (_DONE, _ERROR)


def error_of(kind: int, body: bytes) -> int | None:
    """What the kernel answered to a request: an errno, 0 where it did as asked; None for what is no answer."""
    return -int(_SIGNED.unpack_from(body)[0]) if kind == _ERROR and len(body) >= _SIGNED.size else None


def is_interrupted(flags: int) -> bool:
    """Whether something changed while it was read."""
    return bool(flags & _FLAG_INTERRUPTED)


def attribute(kind: int, value: bytes) -> bytes:
    """Padded to four bytes, which the length does not count."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def parse(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram. What is not about links, or broken off, is left out."""
    for kind, flags, _, body in messages(datagram):
        message = _message(kind, flags, body)
        if message is not None:
            yield message


def messages(datagram: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each whole message, whatever it is about."""
    at = 0
    while at + _MESSAGE.size <= len(datagram):
        length, kind, flags, sequence, _ = _MESSAGE.unpack_from(datagram, at)
        if length < _MESSAGE.size or at + length > len(datagram):
            return
        yield kind, flags, sequence, datagram[at + _MESSAGE.size : at + length]
        at += _padded(length)


def _message(kind: int, flags: int, body: bytes) -> Message | None:
    if kind == _DONE:
        return DumpDone(is_interrupted(flags))
    if errno := error_of(kind, body):
        return Failed(errno)
    if kind in (_NEW_LINK, _DELETE_LINK) and len(body) >= _LINK.size:
        family, hardware_type, ifindex, device_flags, _ = _LINK.unpack_from(body)
        if family != 0:  # AF_BRIDGE: a port joined or left a bridge, which is no news of the link itself
            return None
        if kind == _DELETE_LINK:
            return LinkGone(ifindex)
        values = dict(attributes(body[_LINK.size :]))
        return LinkChanged(
            _link(ifindex, device_flags, hardware_type, values), number(values.get(_EVENT)) in _MOVED_EVENTS
        )
    return None


def _link(ifindex: int, flags: int, hardware_type: int, values: dict[int, bytes]) -> Link:
    slave_kind = dict(attributes(values.get(_LINK_INFO, b""))).get(_SLAVE_KIND, b"")
    return Link(
        ifindex=ifindex,
        name=text(values.get(_NAME, b"")),
        mac=values.get(_MAC, b""),
        flags=flags,
        hardware_type=hardware_type,
        master=number(values.get(_MASTER)),
        slave_kind=text(slave_kind),
        carrier_changes=number(values.get(_CARRIER_CHANGES)),
    )


def number(value: bytes | None) -> int:
    """0 for an attribute that is missing, or has another length."""
    return int(_NUMBER.unpack(value)[0]) if value is not None and len(value) == _NUMBER.size else 0


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and value of each whole attribute."""
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += _padded(length)


def _padded(length: int) -> int:
    return (length + 3) & ~3


def text(value: bytes) -> str:
    """Of a string that ends with a zero."""
    return value.rstrip(b"\0").decode("utf-8", "replace")


def is_up(link: Link) -> bool:
    """Switched on, with carrier, and operational (RFC 2863)."""
    needed = _IFF_UP | _IFF_LOWER_UP | _IFF_RUNNING
    return link.flags & needed == needed


def why_not_usable(link: Link, is_excluded: Callable[[str], object]) -> str:
    """Why the speaker can't announce on this link: one CamelCase word, or "" if it can.

    A port of a bridge, bond or team is not used, its master is. A member of a VRF is an interface like any other.
    """
    if link.flags & _IFF_LOOPBACK:
        return "Loopback"
    if link.hardware_type != _ETHERNET or len(link.mac) != 6:
        return "NotEthernet"
    if is_excluded(link.name):
        return "Excluded"
    if link.flags & _IFF_NOARP:
        return "NoArp"
    if link.master and link.slave_kind != "vrf":
        return "Enslaved"
    if not link.flags & _IFF_UP:
        return "Down"
    return "" if is_up(link) else "NoCarrier"
