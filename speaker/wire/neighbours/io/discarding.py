"""Keeps the kernel's rules and routes by which it discards echo requests that the wire process answers: discards.py.

On a thread of its own, as memberships.py: the kernel makes the caller wait for its lock (RTNL). What is to be there is
made so again once a minute, since other software takes away rules and routes that it does not know (systemd-networkd
does when it starts).
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import socket
import struct
from _queue import Empty, SimpleQueue  # `queue` would load threading: 0.3 MB
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from speaker.wire import netlink
from speaker.wire.neighbours import discards
from speaker.wire.neighbours.pingable import Place, ethertype_of
from speaker.wire.part import Poll

CHECK_SECONDS = 60.0
ANSWER_SECONDS = 5.0
LAST_SECONDS = 1.0
"""How long the end waits for the thread."""

_SOL_NETLINK, _STRICT_CHECK = 270, 12  # NETLINK_GET_STRICT_CHK, linux/netlink.h
_ERRNO = struct.Struct("=i")
_FORBIDDEN = "it needs the capability NET_ADMIN, to keep the kernel from forwarding the requests"


class Change(NamedTuple):
    """What is to be there from now on: rules at exactly these places; routes that come and go."""

    number: int
    places: frozenset[Place]
    added: Sequence[bytes]
    removed: Sequence[bytes]


Result = tuple[int, Mapping[int, str]]
"""The number of the change that was carried out last, and by EtherType why the kernel does not do it, in words."""


class Discarding:
    """Takes orders from the wire's loop, and never makes it wait. `on_result` is called on the loop."""

    def __init__(self, poll: Poll, on_result: Callable[[Result], None]) -> None:
        self._poll = poll
        self._on_result = on_result
        self._orders: SimpleQueue[Change | None] = SimpleQueue()
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._running = _thread.allocate_lock()
        self._has_begun = False
        poll.add(self._bell, self._on_bell)
        with contextlib.suppress(OSError), _Kernel() as kernel:
            if any(True for _ in kernel.rules()):  # left by a speaker that was killed
                self._begin()

    def order(self, change: Change) -> None:
        """Soon, in order. The thread begins with the first one: most nodes have none."""
        self._begin()
        self._orders.put(change)

    def close(self) -> None:
        """Take all away."""
        if self._has_begun:
            self._orders.put(None)
            self._running.acquire(timeout=LAST_SECONDS)
        self._poll.remove(self._bell)
        os.close(self._bell)

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._running.acquire()
            _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            _Discarder(self._orders, self._tell).run()
        finally:
            self._running.release()

    def _tell(self, result: Result) -> None:
        self._results.put(result)
        os.eventfd_write(self._bell, 1)

    def _on_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        result = None
        with contextlib.suppress(Empty):
            while True:
                result = self._results.get_nowait()
        if result is not None:
            self._on_result(result)


class _Discarder:
    """The thread."""

    def __init__(self, orders: SimpleQueue[Change | None], tell: Callable[[Result], None]) -> None:
        self._orders = orders
        self._tell = tell
        self._places: frozenset[Place] = frozenset()
        self._addresses: dict[bytes, None] = {}
        self._faults: dict[int, str] = {}
        self._number = 0

    def run(self) -> None:
        """Until the end is ordered."""
        self._clean()
        while True:
            try:
                change = self._orders.get(timeout=CHECK_SECONDS)
            except Empty:
                change = Change(self._number, self._places, tuple(self._addresses), ())
            if change is None:
                break
            self._carry_out(change)
        if self._places or self._addresses:
            self._clean()

    def _carry_out(self, change: Change) -> None:
        """Routes first: as soon as there is a rule, they count."""
        ended = self._places - change.places
        self._number, self._places = change.number, change.places
        for address in change.removed:
            self._addresses.pop(address, None)
        self._addresses.update(dict.fromkeys(change.added))
        self._remove(ended, change.removed)
        for ethertype in discards.FAMILIES:
            has_failed = ethertype in self._faults
            added = self._addresses if has_failed else change.added
            self._make(ethertype, [address for address in added if ethertype_of(address) == ethertype])
        self._tell((self._number, dict(self._faults)))

    def _make(self, ethertype: int, addresses: Sequence[bytes]) -> None:
        self._faults.pop(ethertype, None)
        try:
            with _Kernel() as kernel:
                for address in addresses:
                    kernel.order(discards.add_route(address))
                for name in sorted(name for name, of in self._places if of == ethertype):
                    kernel.order(discards.add_rule(ethertype, name), but=errno.EEXIST)
        except PermissionError:
            self._faults[ethertype] = _FORBIDDEN
        except OSError as error:
            self._faults[ethertype] = f"the kernel refuses to be kept from forwarding the requests: {error.strerror}"

    def _remove(self, places: frozenset[Place], addresses: Sequence[bytes]) -> None:
        """What is not there, or may not be removed, is left."""
        with contextlib.suppress(OSError), _Kernel() as kernel:
            for name, ethertype in places:
                kernel.order(discards.delete_rule(ethertype, name), but=errno.ENOENT)
            for address in addresses:
                kernel.order(discards.delete_route(address), but=errno.ESRCH)

    def _clean(self) -> None:
        """Remove all of ours, rules first."""
        with contextlib.suppress(OSError), _Kernel() as kernel:
            places = frozenset(kernel.rules())
            self._remove(places, list(kernel.routes()))


class _Kernel:
    """A netlink socket for one conversation. Raises OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._number = 0

    def __enter__(self) -> _Kernel:
        self._socket.settimeout(ANSWER_SECONDS)
        with contextlib.suppress(OSError):  # before Linux 4.20 all routes are listed
            self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        self._socket.bind((0, 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def order(self, request: discards.Request, *, but: int = 0) -> None:
        """Raises OSError for what the kernel refuses, but for that errno."""
        for _, body in self._ask(request):
            refused = _errno(body)
            if refused not in (0, but):
                raise OSError(refused, os.strerror(refused))

    def rules(self) -> Iterator[Place]:
        """Ours."""
        for ethertype in discards.FAMILIES:
            for kind, body in self._ask(discards.list_rules(ethertype)):
                if (name := discards.own_rule(kind, body)) is not None:
                    yield name, ethertype

    def routes(self) -> Iterator[bytes]:
        """Ours."""
        for ethertype in discards.FAMILIES:
            for kind, body in self._ask(discards.list_routes(ethertype)):
                if (address := discards.own_route(kind, body)) is not None:
                    yield address

    def _ask(self, request: discards.Request) -> Iterator[tuple[int, bytes]]:
        """All messages of the answer, its end included."""
        self._number += 1
        self._socket.send(netlink.request(request.kind, request.flags, self._number, request.body))
        while True:
            for kind, _, number, body in netlink.messages(self._socket.recv(1 << 16)):
                if number != self._number:
                    continue
                yield kind, body
                if netlink.is_end(kind):
                    return


def _errno(body: bytes) -> int:
    return -int(_ERRNO.unpack_from(body)[0]) if len(body) >= _ERRNO.size else 0
