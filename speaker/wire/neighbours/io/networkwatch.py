"""Follows which networks and default gateways the usable interfaces have, and whether IPv6 is switched on there.

    kernel --news of addresses, routes--> events --may it matter?--> look: dumps on a socket of their own --> reaches

Nothing is looked at by the clock. Switching IPv6 off or on takes or gives the link-local address and the routes of its
groups, and the kernel tells that.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from speaker.wire import netlink
from speaker.wire.messages import Interface
from speaker.wire.neighbours.io.addresses import text_of
from speaker.wire.neighbours.io.port import attach_filter
from speaker.wire.neighbours.networks import GROUPS, Reading, may_matter, program, requests
from speaker.wire.part import Poll

DATAGRAM_BYTES = 8 * 1024  # some hundred entries: taken in within 0.2 ms
MOST_LOOKS = 10
"""How often it is read anew when something changes meanwhile, before what was read is told all the same."""


REPORTED_NETWORKS = 64
"""Of all interfaces together, to the agent and in the Speaker, which all other speakers read."""


class Reached(NamedTuple):
    """Of one interface. `networks`: an address and its prefix length, and the metric of the route there."""

    networks: tuple[tuple[str, int], ...]
    gateways: tuple[str, ...]
    ipv6: bool


class NetworkWatch:
    """`on_known` is called when `reached` was read anew."""

    def __init__(self, poll: Poll, on_known: Callable[[], object]) -> None:
        self.reached: Mapping[int, Reached] = {}
        """By interface index, as read last."""
        self.has_news = False
        """Whether `reached` changed since this was last set to False."""
        self._poll = poll
        self._on_known = on_known
        self._interfaces: Mapping[int, str] = {}
        self._dump: socket.socket | None = None
        self._requests: list[bytes] = []
        self._reading = Reading(())
        self._is_stale = False
        self._looks = 0
        self._events = _socket()
        attach_filter(self._events, program())
        self._events.bind((0, GROUPS))  # before anything is read, so that no change falls between
        poll.add(self._events.fileno(), self._on_event)

    def follow(self, interfaces: Mapping[int, str]) -> None:
        """These are to be followed, by index and name, and no others."""
        if interfaces != self._interfaces:
            self._interfaces = dict(interfaces)
            self._look()

    def described(self, interfaces: Iterable[Interface]) -> Iterator[Interface]:
        """The same with what is known of the usable ones. Nodes have few networks: what is beyond is left out."""
        room = REPORTED_NETWORKS
        for one in interfaces:
            reached = self.reached.get(one.ifindex) if one.usable else None
            if reached is not None:
                networks = reached.networks[:room]
                gateways = reached.gateways if room else ()
                room -= len(networks)
                one = one._replace(networks=networks, gateways=gateways, ipv6=reached.ipv6)
            yield one

    @property
    def is_known(self) -> bool:
        """Whether all that is followed has been read at least once."""
        return self.reached.keys() >= self._interfaces.keys()

    def close(self) -> None:
        self._events.close()
        if self._dump is not None:
            self._dump.close()

    def _on_event(self) -> None:
        try:
            datagram, sender = self._events.recvfrom(DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:  # ENOBUFS: news was lost
            self._look()
            return
        if sender[0] == 0 and may_matter(datagram, self._interfaces):
            self._look()

    def _look(self) -> None:
        """Read everything anew, after what is being read."""
        self._is_stale = True
        if self._dump is None:
            self._looks = 0
            self._begin()

    def _begin(self) -> None:
        self._is_stale = False
        self._looks += 1
        self._reading = Reading(self._interfaces)
        self._requests = requests()
        self._dump = _socket()
        self._poll.add(self._dump.fileno(), self._on_dump)
        self._dump.send(self._requests.pop(0))

    def _on_dump(self) -> None:
        """Take in one datagram."""
        if self._dump is None:
            return
        try:
            datagram, sender = self._dump.recvfrom(DATAGRAM_BYTES)
        except BlockingIOError:
            return
        if sender[0] != 0:
            return
        for kind, flags, _, body in netlink.messages(datagram):
            self._is_stale |= netlink.is_interrupted(flags)
            if not netlink.is_end(kind):
                self._reading.take(kind, body)
            elif self._requests:
                self._dump.send(self._requests.pop(0))
            else:
                self._end(self._dump)
                return

    def _end(self, dump: socket.socket) -> None:
        self._poll.remove(dump.fileno())
        dump.close()
        self._dump = None
        if self._is_stale and self._looks < MOST_LOOKS:
            self._begin()  # half of a change is none
            return
        found = {ifindex: self._reached(ifindex, name) for ifindex, name in self._interfaces.items()}
        self.has_news |= found != self.reached
        self.reached = found
        self._on_known()

    def _reached(self, ifindex: int, name: str) -> Reached:
        reach = self._reading.reach(ifindex)
        networks = tuple((f"{text_of(one.address)}/{one.length}", one.metric) for one in reach.networks)
        return Reached(networks, tuple(map(text_of, reach.gateways)), _has_ipv6(name))


def _socket() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)


def _has_ipv6(name: str) -> bool:
    """False also where the kernel has no IPv6, or has none on this interface (its MTU is less than 1280)."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6") as setting:
            return setting.read(1) == "0"
    except OSError:
        return False
