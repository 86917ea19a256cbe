"""Blackhole routes in the node's kernel, one for each aggregate that this node advertises (RFC 4632 §5.1 wants that).

A packet to an address of the aggregate that nothing uses would follow the default route back to the router, which would
send it here again, until its TTL ends. Whatever is more specific, or of a better metric, goes before the blackhole.

Ours are known by their protocol number, so those that a killed speaker left behind are found and removed. Level-based:
each time it is made so, whatever was done before. Linux rtnetlink(7).
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

import structlog

Prefix = IPv4Network | IPv6Network

PROTOCOL = 190
"""Taken by nobody in linux/rtnetlink.h or iproute2's list."""
METRIC = 2**31 - 1
TABLE_MAIN = 254
ANSWER_SECONDS = 5.0

_NETLINK_ROUTE, _SOL_NETLINK, _GET_STRICT_CHECK = 0, 270, 12
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _DUMP, _REPLACE, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x400
_BLACKHOLE = 6
_DESTINATION, _PRIORITY = 1, 6
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, destination and source length, TOS, table, protocol, scope, type, flags
_ATTRIBUTE = struct.Struct("=HH")

log = structlog.get_logger()


class Blackholes:
    """`is_wanted` False: it touches nothing, as for who has no right to."""

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
            return
        try:
            while True:
                self._try(self._prefixes)
                await self._changed.wait()
                self._changed.clear()
        finally:
            self._try(frozenset())

    def _try(self, prefixes: frozenset[Prefix]) -> None:
        before = self.fault
        try:
            have_exactly(prefixes)
            self.fault = ""
        except PermissionError:
            self.fault = "the speaker may not change routes: it needs the capability NET_ADMIN"
        except OSError as error:
            self.fault = f"the kernel refuses: {error.strerror or error}"
        if self.fault and self.fault != before:
            log.warning("no blackhole routes for aggregates", why=self.fault)


def have_exactly(prefixes: frozenset[Prefix]) -> None:
    """Make the kernel's blackhole routes of ours these, and no others. Raises OSError, with the others still done."""
    with _Kernel() as kernel:
        present = frozenset(kernel.ours())
        errors: list[OSError] = []
        for prefix, kind, flags in (
            *((prefix, _DELETE_ROUTE, 0) for prefix in present - prefixes),
            *((prefix, _NEW_ROUTE, _CREATE | _REPLACE) for prefix in prefixes - present),
        ):
            try:
                kernel.order(kind, flags, prefix)
            except OSError as error:
                errors.append(error)
    if errors:
        raise errors[0]


class _Kernel:
    """A netlink socket for one conversation."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> "_Kernel":
        self._socket.settimeout(ANSWER_SECONDS)
        self._socket.bind((0, 0))
        try:  # without it (Linux < 4.20) the whole table comes, and is sifted here
            self._socket.setsockopt(_SOL_NETLINK, _GET_STRICT_CHECK, 1)
        except OSError:
            log.debug("the kernel does not sift routes")
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ours(self) -> Iterator[Prefix]:
        """The blackhole routes with our protocol number in the main table."""
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _ROUTE.pack(family, 0, 0, 0, TABLE_MAIN, PROTOCOL, 0, _BLACKHOLE, 0)
            for kind, answer in self._ask(_GET_ROUTE, _DUMP, body):
                if kind == _NEW_ROUTE and (prefix := _own_prefix(answer)) is not None:
                    yield prefix

    def order(self, kind: int, flags: int, prefix: Prefix) -> None:
        """Make or delete one. Raises OSError."""
        family = socket.AF_INET if prefix.version == 4 else socket.AF_INET6
        body = _ROUTE.pack(family, prefix.prefixlen, 0, 0, TABLE_MAIN, PROTOCOL, 0, _BLACKHOLE, 0)
        body += _attribute(_DESTINATION, prefix.network_address.packed) + _attribute(
            _PRIORITY, struct.pack("=I", METRIC)
        )
        for _ in self._ask(kind, flags | _ACKNOWLEDGE, body):
            pass

    def _ask(self, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """All messages of the answer, to its end. Raises OSError for what the kernel refuses."""
        self._sequence += 1
        length = _HEADER.size + len(body)
        self._socket.sendall(_HEADER.pack(length, kind, flags | _REQUEST, self._sequence, 0) + body)
        while True:
            for answer_kind, sequence, answer in _messages(self._socket.recv(1 << 16)):
                if sequence != self._sequence:
                    continue
                if answer_kind in (_ERROR, _DONE):
                    number = -struct.unpack_from("=i", answer)[0] if len(answer) >= 4 else 0
                    if number:
                        raise OSError(number, os.strerror(number))
                    return
                yield answer_kind, answer


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, sequence number and body."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
        yield kind, sequence, data[at + _HEADER.size : at + length]
        at += max(_HEADER.size, (length + 3) & ~3)


def _own_prefix(route: bytes) -> Prefix | None:
    family, length, _, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(route)
    if (table, protocol, kind) != (TABLE_MAIN, PROTOCOL, _BLACKHOLE):
        return None
    size = 4 if family == socket.AF_INET else 16
    address = bytes(size)
    at = _ROUTE.size
    while at + _ATTRIBUTE.size <= len(route):
        attribute_length, attribute = _ATTRIBUTE.unpack_from(route, at)
        if attribute == _DESTINATION:
            address = route[at + _ATTRIBUTE.size : at + attribute_length]
        at += max(_ATTRIBUTE.size, (attribute_length + 3) & ~3)
    return ip_network((address, length))


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
