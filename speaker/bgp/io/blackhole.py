"""Ends packets to addresses of an aggregate that nothing uses: they would follow the default route back to the router,
which would send them here again, until their TTL ends (RFC 4632 §5.1).

By rules of policy routing, and not by a blackhole route: that would also refuse what the node itself sends to addresses
in use. The kernel looks up the route of a local packet before kube-proxy translates its address; of a forwarded one
after that. In the order of priorities:

    19000  iif lo           goto 19003                          local packets: nothing changes
    19001  to AGGREGATE     lookup main, what is as specific    real routes within the aggregate go first
    19002  to AGGREGATE     blackhole
    19003                   nop

Ours are known by their protocol number, so those that a killed speaker left behind are found and removed. Level-based:
each time it is made so, whatever was done before. Formats: linux/fib_rules.h.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

import structlog

from speaker.wire import netlink

Prefix = IPv4Network | IPv6Network

PROTOCOL = 190
"""Taken by nobody in linux/rtnetlink.h or iproute2's list."""
LOCAL, SPECIFIC, BLACKHOLE, END = range(19000, 19004)
"""Priorities: far from those that the kernel gives to rules without one (32765 and less)."""
MOST_PREFIXES = 100
"""The kernel goes through the rules one by one for each packet."""
CHECK_SECONDS = 60.0
"""Other software takes away rules that it does not know: systemd-networkd, for one, when it starts."""
ANSWER_SECONDS = 5.0

_FORBIDDEN = "the speaker may not change rules: it needs the capability NET_ADMIN"
_LEFT = (
    "rules of an earlier speaker are left, which this one may not remove: on the node, remove those of protocol "
    f"{PROTOCOL} (ip rule del pref {BLACKHOLE} for each, with ip -6 too)"
)

_NETLINK_ROUTE = 0
_NEW_RULE, _DELETE_RULE, _GET_RULE = 32, 33, 34
_ERROR, _DONE = 2, 3
_ACKNOWLEDGE, _DUMP, _EXCLUSIVE, _CREATE = 0x4, 0x300, 0x200, 0x400
_TO_TABLE, _GOTO, _NOP, _BLACKHOLE = 1, 2, 3, 6
_TABLE_MAIN = 254
_DESTINATION, _INTERFACE, _TARGET, _PRIORITY, _SUPPRESS, _PROTOCOL = 1, 3, 4, 6, 14, 21
_RULE = struct.Struct("=BBBBBBBBI")  # family, destination and source length, TOS, table, two reserved, action, flags
_NUMBER = struct.Struct("=I")

log = structlog.get_logger()


class Rule(NamedTuple):
    """One rule of ours; its priority says what it does. `prefix` of length 0: for all destinations of that family."""

    priority: int
    prefix: Prefix


class Blackholes:
    """`is_wanted` False: there are to be none. What a killed speaker left is removed once, if that may be done."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        self.fault = ""
        """Why they can't be had, in words; "" when all is well."""
        self._is_wanted = is_wanted
        self._prefixes: frozenset[Prefix] = frozenset()
        self._changed = asyncio.Event()

    def set(self, prefixes: frozenset[Prefix]) -> None:
        """Have exactly these, soon."""
        if prefixes != self._prefixes:
            self._prefixes = prefixes
            self._changed.set()

    async def run(self) -> None:
        """Until cancelled; then there are none any more. Raises nothing for what the kernel refuses: see `fault`."""
        if not self._is_wanted:
            self._try(frozenset())
            return
        try:
            while True:
                self._try(self._prefixes)
                try:
                    async with asyncio.timeout(CHECK_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    continue
                self._changed.clear()
        finally:
            self._try(frozenset())

    def _try(self, prefixes: frozenset[Prefix]) -> None:
        before = self.fault
        try:
            have_exactly(frozenset(sorted(prefixes, key=_order)[:MOST_PREFIXES]))
            too_many = len(prefixes) - MOST_PREFIXES
            self.fault = f"{too_many} aggregates are too many to have one each" if too_many > 0 else ""
        except PermissionError:
            self.fault = _FORBIDDEN if self._is_wanted else _LEFT
        except OSError as error:
            self.fault = f"the kernel refuses: {error.strerror or error}"
        if self.fault and self.fault != before:
            log.warning("no blackholes for aggregates", why=self.fault)


def have_exactly(prefixes: frozenset[Prefix]) -> None:
    """Make the kernel's rules of ours those for these prefixes. Raises OSError at the first that it refuses.

    At every moment a blackhole has the rules beside it that keep it from what it is not for.
    """
    wanted = set(_rules(prefixes))
    with _Kernel() as kernel:
        present = list(kernel.ours())
        for rule in sorted(present, key=lambda rule: _STEPS[rule.priority], reverse=True):
            if rule not in wanted or present.count(rule) > 1:
                present.remove(rule)
                kernel.order(_DELETE_RULE, 0, rule)
        for rule in sorted(wanted.difference(present), key=lambda rule: _STEPS[rule.priority]):
            kernel.order(_NEW_RULE, _CREATE | _EXCLUSIVE, rule)


_STEPS = {END: 0, LOCAL: 1, SPECIFIC: 2, BLACKHOLE: 3}
"""In which order rules are made; they go in the opposite one."""


def _rules(prefixes: Iterable[Prefix]) -> Iterator[Rule]:
    """None for the default route: there is nothing less specific that leads back."""
    for prefix in prefixes:
        if prefix.prefixlen:
            everything = ip_network("0.0.0.0/0" if prefix.version == 4 else "::/0")
            yield from (Rule(LOCAL, everything), Rule(END, everything), Rule(SPECIFIC, prefix), Rule(BLACKHOLE, prefix))


class _Kernel:
    """A netlink socket for one conversation."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> "_Kernel":
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.bind((0, 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ours(self) -> Iterator[Rule]:
        """All rules with our protocol number."""
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind, answer in self._ask(_GET_RULE, _DUMP, _RULE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
                if kind == _NEW_RULE and (rule := _own_rule(answer)) is not None:
                    yield rule

    def order(self, kind: int, flags: int, rule: Rule) -> None:
        """Make or delete one. Raises OSError."""
        for _ in self._ask(kind, flags | _ACKNOWLEDGE, _body(rule)):
            pass

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """All messages of the answer, to its end. Raises OSError for what the kernel refuses."""
        self._sequence += 1
        self._socket.sendall(netlink.request(kind, flags, self._sequence, body))
        while True:
            for answer_kind, _, sequence, answer in netlink.messages(self._socket.recv(1 << 16)):
                if sequence != self._sequence:
                    continue
                if answer_kind in (_ERROR, _DONE):
                    number = -struct.unpack_from("=i", answer)[0] if len(answer) >= 4 else 0
                    if number:
                        raise OSError(number, os.strerror(number))
                    return
                yield answer_kind, answer


def _body(rule: Rule) -> bytes:
    priority, prefix = rule
    family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
    action = {LOCAL: _GOTO, SPECIFIC: _TO_TABLE, BLACKHOLE: _BLACKHOLE, END: _NOP}[priority]
    table = _TABLE_MAIN if priority == SPECIFIC else 0
    body = _RULE.pack(family, prefix.prefixlen, 0, 0, table, 0, 0, action, 0)
    body += netlink.attribute(_PRIORITY, _NUMBER.pack(priority)) + netlink.attribute(_PROTOCOL, bytes((PROTOCOL,)))
    if prefix.prefixlen:
        body += netlink.attribute(_DESTINATION, prefix.network_address.packed)
    if priority == LOCAL:
        body += netlink.attribute(_INTERFACE, b"lo\0") + netlink.attribute(_TARGET, _NUMBER.pack(END))
    if priority == SPECIFIC:
        body += netlink.attribute(_SUPPRESS, _NUMBER.pack(prefix.prefixlen - 1))
    return body


def _own_rule(message: bytes) -> Rule | None:
    """None: somebody else's, or none that we would make."""
    if len(message) < _RULE.size:
        return None
    family, length, *_ = _RULE.unpack_from(message)
    attributes = dict(netlink.attributes(message[_RULE.size :]))
    priority = netlink.number(attributes.get(_PRIORITY))
    if attributes.get(_PROTOCOL) != bytes((PROTOCOL,)) or priority not in _STEPS:
        return None
    destination = attributes.get(_DESTINATION, bytes(4 if family == socket.AF_INET else 16))
    try:
        return Rule(priority, ip_network((destination, length)))
    except ValueError:
        return None


def _order(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen
