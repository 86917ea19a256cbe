"""Which networks and default gateways each interface has: read from the kernel's addresses and routes (rtnetlink).

It opens no socket. The kernel tells some changes of routes by nothing but another change (IPv4 routes go without a word
when an interface goes down, `ip route replace` names only the new one). So a message that may matter has all read anew,
and what is read replaces what was known. Formats: linux/if_addr.h, linux/rtnetlink.h; numbers are in host order.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+---------------+---------------+---------------+
    |    Family     | Prefix length |     Flags     |     Scope     |   struct ifaddrmsg,
    +---------------+---------------+---------------+---------------+   attributes follow
    |                        Interface index                        |
    +---------------------------------------------------------------+

    +---------------+---------------+---------------+---------------+
    |    Family     |  Dest length  | Source length |      TOS      |   struct rtmsg,
    +---------------+---------------+---------------+---------------+   attributes follow
    |     Table     |   Protocol    |     Scope     |     Type      |
    +---------------+---------------+---------------+---------------+
    |                             Flags                             |
    +---------------------------------------------------------------+
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import zip_longest
from struct import Struct
from typing import Any, NamedTuple

from speaker.wire import netlink

_ROUTE = Struct("=BBBBBBBBI")
_NEXT_HOP = Struct("=HBBi")  # struct rtnexthop
_HALF = Struct("=H")
_INSTRUCTION = Struct("=HBBI")  # struct sock_filter

# linux/rtnetlink.h: RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
GROUPS = 0x10 | 0x40 | 0x100 | 0x400

_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26  # RTM_*ROUTE
_INET, _INET6 = 2, 10
_HOST_LENGTH = {_INET: 32, _INET6: 128}

_IFA_SECOND, _IFA_DAD_FAILED = 0x01, 0x08  # IFA_F_SECONDARY (IPv4), which is IFA_F_TEMPORARY (IPv6); IFA_F_DADFAILED
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_TABLE, _RTA_VIA = 1, 4, 5, 6, 9, 15, 18
_UNICAST, _MULTICAST, _MAIN, _LOCAL = 1, 5, 254, 255  # RTN_UNICAST, RTN_MULTICAST, RT_TABLE_MAIN, RT_TABLE_LOCAL
# RTPROT_KERNEL, _BOOT, _STATIC, _RA, _DHCP. Routing daemons have numbers of their own, and up to a million routes.
_PROTOCOLS = (2, 3, 4, 9, 16)

MOST_NETWORKS = 8
"""Of one interface."""
MOST_GATEWAYS = 4
"""Of one interface."""
OTHER_TABLE = 1 << 32
"""What is added to the metric of a route that is not in the main table."""
NO_ROUTE = 1 << 33
"""In place of a metric: an address has this network, and no route leads there."""


class Network(NamedTuple):
    """A network that the interface is on: an address in it and its prefix length.

    `address`: the interface's own, or the network's where it has none there (an address of /128 by DHCPv6). `metric`:
    of the best route there by this interface; OTHER_TABLE, NO_ROUTE.
    """

    address: bytes
    length: int
    metric: int


class Reach(NamedTuple):
    """What an interface reaches without a router, and the routers by which it reaches the rest. IPv4 first."""

    networks: tuple[Network, ...] = ()
    gateways: tuple[bytes, ...] = ()


def requests() -> list[bytes]:
    """The dumps to ask for, one after the other."""
    routes = [netlink.dump(_GET_ROUTE, 1, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)) for family in (_INET, _INET6)]
    return [netlink.addresses_request(1), *routes]


def program() -> bytes:
    """A classic BPF program for the socket that hears of changes (an array of `struct sock_filter`).

    It leaves out what comes in thousands and says nothing of networks: addresses of a host alone (kube-proxy in IPVS
    mode) with the routes that the kernel makes for them, and routes of routing daemons. It keeps the route of all IPv6
    groups, which goes when IPv6 is switched off. Each step names the steps that it goes to, if true and if not; 0 is
    the next.
    """
    byte, half, equal, leave = 0x30, 0x28, 0x15, 0x06  # BPF_LD | BPF_ABS | BPF_B, BPF_H; BPF_JMP | JEQ; BPF_RET
    address, route, maker, drop, keep = 5, 10, 13, 14 + len(_PROTOCOLS), 15 + len(_PROTOCOLS)
    steps = [
        (half, 4, 0, 0),  # the message's type
        (equal, _as_loaded(netlink.NEW_ADDRESS), address, 0),
        (equal, _as_loaded(netlink.DELETE_ADDRESS), address, 0),
        (equal, _as_loaded(_NEW_ROUTE), route, 0),
        (equal, _as_loaded(_DELETE_ROUTE), route, keep),
        (byte, 17, 0, 0),  # an address: its prefix length
        (equal, 128, drop, 0),
        (equal, 32, 0, keep),
        (byte, 16, 0, 0),  # its family
        (equal, _INET, drop, keep),
        (byte, 23, 0, 0),  # a route: its type
        (equal, _UNICAST, maker, 0),
        (equal, _MULTICAST, maker, drop),
        (byte, 21, 0, 0),  # who made it
        *((equal, protocol, keep, 0) for protocol in _PROTOCOLS),
        (leave, 0, 0, 0),
        (leave, 0xFFFF_FFFF, 0, 0),
    ]
    return b"".join(
        _INSTRUCTION.pack(code, if_true and if_true - at - 1, if_false and if_false - at - 1, operand)
        for at, (code, operand, if_true, if_false) in enumerate(steps)
    )


def _as_loaded(kind: int) -> int:
    """BPF loads numbers in network order."""
    return int.from_bytes(_HALF.pack(kind), "big")


def may_matter(datagram: bytes, interfaces: Container[int]) -> bool:
    """Whether it is to be read anew after this news. What is of other interfaces, of pods, does not matter."""
    return any(_concerns(kind, body, interfaces) for kind, _, _, body in netlink.messages(datagram))


def _concerns(kind: int, body: bytes, interfaces: Container[int]) -> bool:
    if kind in (netlink.NEW_ADDRESS, netlink.DELETE_ADDRESS) and len(body) >= netlink.ADDRESS.size:
        return netlink.ADDRESS.unpack_from(body)[4] in interfaces
    if kind in (_NEW_ROUTE, _DELETE_ROUTE) and len(body) >= _ROUTE.size:
        found = dict(netlink.attributes(body[_ROUTE.size :]))
        return _RTA_MULTIPATH in found or netlink.number(found.get(_RTA_OIF)) in interfaces
    return False


class Reading:
    """What dumps say of these interfaces."""

    def __init__(self, interfaces: Container[int]) -> None:
        self._interfaces = interfaces
        self._addresses: dict[int, dict[tuple[bytes, int], tuple[int, bytes]]] = {}
        self._metrics: dict[int, dict[tuple[bytes, int], int]] = {}
        self._gateways: dict[int, set[tuple[int, bytes]]] = {}

    def take(self, kind: int, body: bytes) -> None:
        """One message of a dump, whatever it is about."""
        if kind == netlink.NEW_ADDRESS and len(body) >= netlink.ADDRESS.size:
            self._take_address(body)
        elif kind == _NEW_ROUTE and len(body) >= _ROUTE.size:
            self._take_route(body)

    def reach(self, ifindex: int) -> Reach:
        """What was read of one interface."""
        own, metrics = self._addresses.get(ifindex, {}), self._metrics.get(ifindex, {})
        networks = [
            Network(own.get(one, (0, one[0]))[1], one[1], metrics.get(one, NO_ROUTE)) for one in own.keys() | metrics
        ]
        networks.sort(key=lambda one: (one.metric, one.address, one.length))
        kept = _some_of_both(networks, MOST_NETWORKS)
        kept.sort(key=lambda one: (len(one.address), one.address, one.length))
        gateways = dict.fromkeys(address for _, address in sorted(self._gateways.get(ifindex, ())))
        named = _some_of_both(map(_Gateway, gateways), MOST_GATEWAYS)
        return Reach(tuple(kept), tuple(sorted((one.address for one in named), key=len)))

    def _take_address(self, body: bytes) -> None:
        family, length, flags, _, ifindex = netlink.ADDRESS.unpack_from(body)
        if ifindex not in self._interfaces or length in (0, _HOST_LENGTH.get(family, 0)) or flags & _IFA_DAD_FAILED:
            return
        found = dict(netlink.attributes(body[netlink.ADDRESS.size :]))
        address = found.get(netlink.IFA_LOCAL, found.get(netlink.IFA_ADDRESS, b""))
        if found.get(netlink.IFA_ADDRESS, address) == address and _is_ordinary(
            family, address
        ):  # else a peer's, far away
            networks = self._addresses.setdefault(ifindex, {})
            network, this = (_masked(address, length), length), (flags & _IFA_SECOND, address)
            networks[network] = min(networks.get(network, this), this)

    def _take_route(self, body: bytes) -> None:
        family, length, source_length, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(body)
        if kind != _UNICAST or protocol not in _PROTOCOLS or length == _HOST_LENGTH.get(family):
            return
        found = dict(netlink.attributes(body[_ROUTE.size :]))
        table = netlink.number(found.get(_RTA_TABLE)) or table
        if table == _LOCAL:
            return
        metric = netlink.number(found.get(_RTA_PRIORITY)) + (0 if table == _MAIN else OTHER_TABLE)
        for ifindex, gateway in _next_hops(found):
            if ifindex not in self._interfaces:
                continue
            if not length and len(gateway) in (4, 16):
                self._gateways.setdefault(ifindex, set()).add((metric, gateway))
            network = found.get(_RTA_DST, b"")
            if length and not source_length and not gateway and _is_ordinary(family, network):
                metrics = self._metrics.setdefault(ifindex, {})
                metrics[network, length] = min(metrics.get((network, length), metric), metric)


class _Gateway(NamedTuple):
    address: bytes


def _some_of_both(ranked: Iterable[Any], most: int) -> list[Any]:
    """The first of each family in turn, until there are so many: none keeps the other out."""
    families: dict[int, list[Any]] = {4: [], 16: []}
    for one in ranked:
        families[len(one.address)].append(one)
    turns = zip_longest(*families.values())
    return [one for turn in turns for one in turn if one is not None][:most]


def _next_hops(found: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """The interface and the gateway of each way, b"" = none: what it leads to is on the segment itself."""
    if _RTA_MULTIPATH not in found:
        yield netlink.number(found.get(_RTA_OIF)), found.get(_RTA_GATEWAY) or found.get(_RTA_VIA, b"")[2:]
        return
    data, at = found[_RTA_MULTIPATH], 0
    while at + _NEXT_HOP.size <= len(data):
        length, _, _, ifindex = _NEXT_HOP.unpack_from(data, at)
        if length < _NEXT_HOP.size:
            return
        way = dict(netlink.attributes(data[at + _NEXT_HOP.size : at + length]))
        yield ifindex, way.get(_RTA_GATEWAY) or way.get(_RTA_VIA, b"")[2:]
        at += (length + 3) & ~3


def _is_ordinary(family: int, address: bytes) -> bool:
    """An address that others may reach: neither of the loopback nor link-local, no group, and none unspecified."""
    if family == _INET and len(address) == 4:
        return 0 < address[0] < 224 and address[0] != 127 and address[:2] != b"\xa9\xfe"
    if family == _INET6 and len(address) == 16:
        return address[0] not in (0x00, 0xFF) and not (address[0] == 0xFE and address[1] & 0xC0 == 0x80)
    return False


def _masked(address: bytes, length: int) -> bytes:
    host_bits = max(8 * len(address) - length, 0)
    return (int.from_bytes(address, "big") >> host_bits << host_bits).to_bytes(len(address), "big")
