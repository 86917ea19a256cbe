"""How the node's kernel is told to discard echo requests that the wire process answers. As bytes; no I/O.

A raw socket gets a copy. The kernel, which does not have the address, would forward the request as a router does: back
to the segment, with a redirect to the asker, and "host unreachable" three seconds later; or along its default route,
back to the router that it came from, until the TTL ends. So for ICMP that comes in by an interface where addresses
answer, a routing table of our own is looked up first, in which each of them is a blackhole:

    18999   iif eth0 ipproto icmp     lookup 7473       one rule for each interface and family (Linux 4.17)
            table 7473: blackhole 192.0.2.10

kube-proxy and CNIs translate addresses before the route is looked up. So what belongs to a connection of a Service
(such as "packet too big") is not concerned, nor is what the node itself and its pods send. An address that the kernel
has is in table local, which comes first.

Both are known by their protocol number, so that what a killed speaker left is found. Formats: linux/fib_rules.h,
linux/rtnetlink.h.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from speaker.wire import netlink
from speaker.wire.neighbours.filter import ETH_P_IP, ETH_P_IPV6

PROTOCOL = 203
"""Taken by nobody in linux/rtnetlink.h, by iproute2 or FRR; 190 is that of aggregates' blackholes."""
PRIORITY = 18999
"""Far from those that the kernel gives to rules without one (32765 and less)."""
TABLE = 7473

FAMILIES = {ETH_P_IP: 2, ETH_P_IPV6: 10}  # AF_INET, AF_INET6

_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_RULE, _DELETE_RULE, _GET_RULE = 32, 33, 34
_ACKNOWLEDGE, _REPLACE, _EXCLUSIVE, _CREATE, _DUMP = 0x4, 0x100, 0x200, 0x400, 0x300

_RULE = Struct("=BBBBBBBBI")  # family, destination and source length, TOS, table, two reserved, action, flags
_TO_TABLE = 1
_INTERFACE, _PRIORITY, _TABLE, _PROTOCOL, _IP_PROTOCOL = 3, 6, 15, 21, 22  # FRA_*
_IP_PROTOCOLS = {2: 1, 10: 58}  # ICMP, ICMPv6

_ROUTE = Struct("=BBBBBBBBI")  # family, destination and source length, TOS, table, protocol, scope, type, flags
_BLACKHOLE = 6  # RTN_BLACKHOLE
_DESTINATION, _ROUTE_TABLE = 1, 15  # RTA_*
_NUMBER = Struct("=I")


class Request(NamedTuple):
    """A message to the kernel, but for its sequence number."""

    kind: int
    flags: int
    body: bytes


def add_rule(ethertype: int, interface: str) -> Request:
    """Refused with EEXIST when there is one."""
    return Request(_NEW_RULE, _ACKNOWLEDGE | _CREATE | _EXCLUSIVE, _rule(FAMILIES[ethertype], interface))


def delete_rule(ethertype: int, interface: str) -> Request:
    """Refused with ENOENT when there is none."""
    return Request(_DELETE_RULE, _ACKNOWLEDGE, _rule(FAMILIES[ethertype], interface))


def add_route(address: bytes) -> Request:
    """Idempotent."""
    return Request(_NEW_ROUTE, _ACKNOWLEDGE | _CREATE | _REPLACE, _route(address))


def delete_route(address: bytes) -> Request:
    """Refused with ESRCH when there is none."""
    return Request(_DELETE_ROUTE, _ACKNOWLEDGE, _route(address))


def list_rules(ethertype: int) -> Request:
    """All rules of the family; `own_rule` tells which are ours."""
    return Request(_GET_RULE, _DUMP, _RULE.pack(FAMILIES[ethertype], 0, 0, 0, 0, 0, 0, 0, 0))


def list_routes(ethertype: int) -> Request:
    """The routes of our table alone, where the socket has NETLINK_GET_STRICT_CHK; `own_route` tells which are ours."""
    body = _ROUTE.pack(FAMILIES[ethertype], 0, 0, 0, 0, 0, 0, 0, 0)
    return Request(_GET_ROUTE, _DUMP, body + netlink.attribute(_ROUTE_TABLE, _NUMBER.pack(TABLE)))


def own_rule(kind: int, body: bytes) -> str | None:
    """The interface of a rule of ours, from a dump; None = somebody else's."""
    if kind != _NEW_RULE or len(body) < _RULE.size:
        return None
    found = dict(netlink.attributes(body[_RULE.size :]))
    if found.get(_PROTOCOL) != bytes((PROTOCOL,)) or netlink.number(found.get(_PRIORITY)) != PRIORITY:
        return None
    return found.get(_INTERFACE, b"").rstrip(b"\0").decode("utf-8", "replace")


def own_route(kind: int, body: bytes) -> bytes | None:
    """The address of a route of ours, from a dump; None = somebody else's."""
    if kind != _NEW_ROUTE or len(body) < _ROUTE.size:
        return None
    *_, protocol, _, route_type, _ = _ROUTE.unpack_from(body)
    found = dict(netlink.attributes(body[_ROUTE.size :]))
    if (protocol, route_type, netlink.number(found.get(_ROUTE_TABLE))) != (PROTOCOL, _BLACKHOLE, TABLE):
        return None
    return found.get(_DESTINATION)


def _rule(family: int, interface: str) -> bytes:
    return (
        _RULE.pack(family, 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
        + netlink.attribute(_PRIORITY, _NUMBER.pack(PRIORITY))
        + netlink.attribute(_INTERFACE, interface.encode() + b"\0")
        + netlink.attribute(_TABLE, _NUMBER.pack(TABLE))
        + netlink.attribute(_PROTOCOL, bytes((PROTOCOL,)))
        + netlink.attribute(_IP_PROTOCOL, bytes((_IP_PROTOCOLS[family],)))
    )


def _route(address: bytes) -> bytes:
    family = 2 if len(address) == 4 else 10
    return (
        _ROUTE.pack(family, 8 * len(address), 0, 0, 0, PROTOCOL, 0, _BLACKHOLE, 0)
        + netlink.attribute(_DESTINATION, address)
        + netlink.attribute(_ROUTE_TABLE, _NUMBER.pack(TABLE))
    )
