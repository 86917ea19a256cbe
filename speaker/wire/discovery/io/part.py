"""Router discovery as a part of the wire process: who routes on the links that the agent names, and that we do.

What a router that is heard means, the agent decides.

    agent --Discover----------> links <-- advertisements, solicitations, a few a turn
    agent <--LinkRouterChanges--- |   --> advertisements, solicitations, while the permit lasts
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Mapping
from functools import partial

from speaker.wire.deadlines import AT_ONCE, earliest, is_due
from speaker.wire.discovery.io.sockets import ALL_NODES, ALL_ROUTERS, LinkSocket
from speaker.wire.discovery.link import Link
from speaker.wire.discovery.packets import ADVERTISEMENT, SOLICITATION, advertisement, kind_of, solicitation
from speaker.wire.messages import Discover, LinkRouterChanges, RoutersOn
from speaker.wire.part import Agent, Handler, Permit, Poll

PACKETS_PER_TURN = 4
LINKS_PER_TURN = 8
RETRY_SECONDS = 1.0
REPORTED_LINKS = 32  # of one message


_WORDS = {
    errno.EADDRNOTAVAIL: "it has no link-local IPv6 address: is IPv6 switched off there?",
    errno.ENETUNREACH: "it has no link-local IPv6 address, or is down",
    errno.ENETDOWN: "it is down",
    errno.ENODEV: "this node has no such interface",
    errno.EPERM: "the speaker lacks the capability NET_RAW",
}


class _Watched:
    """A link by name, and its socket while there is one."""

    def __init__(self) -> None:
        self.link = Link()
        self.socket: LinkSocket | None = None
        self.fault = ""
        self.reported: RoutersOn | None = None

    def state(self) -> RoutersOn:
        return RoutersOn(tuple(socket.inet_ntop(socket.AF_INET6, one) for one in self.link.routers), self.fault)


class DiscoveryPart:
    """See speaker.wire.part.Part."""

    clock = time.CLOCK_MONOTONIC
    has_left = True

    def __init__(self, poll: Poll, agent: Agent, permit: Permit) -> None:
        self.orders: Mapping[type, Handler] = {Discover: self._on_discover}
        self._poll = poll
        self._agent = agent
        self._permit = permit
        self._links: dict[str, _Watched] = {}
        self._news: dict[str, None] = {}
        self._next: float | None = None
        self._is_kept_back = self._has_left = False

    def _on_discover(self, sequence: int, order: Discover) -> None:
        for name in [name for name in self._links if name not in order.links]:
            self._close(self._links.pop(name))
            self._news[name] = None
        for name in order.links:
            if name not in self._links:
                self._links[name] = _Watched()
                self._news[name] = None
        self._next = AT_ONCE
        self._agent.confirm(sequence)

    # --- the loop

    def turn(self, now: float) -> None:
        """What is due on some links, and reports. What is kept back for want of a permit goes when there is one."""
        if (self._is_kept_back or is_due(self._next, now)) and not self._has_left:
            self._send_due(now)
        if self._news and not self._agent.is_crowded:
            self._report()

    def deadline(self) -> float | None:
        if self._news and not self._agent.is_crowded:
            return AT_ONCE
        return None if self._is_kept_back or self._has_left else self._next

    def totals(self) -> dict[str, dict[str, int]]:
        return {}

    def leave(self, *, is_clean: bool) -> None:
        """Nothing is to be said: a lifetime of 0 is what all our advertisements say."""
        self._has_left = True

    def close(self) -> None:
        """Let go of all descriptors."""
        for watched in self._links.values():
            self._close(watched)

    def _send_due(self, now: float) -> None:
        self._is_kept_back = not self._permit.is_valid()
        left = LINKS_PER_TURN
        for name, watched in self._links.items():
            if left and is_due(watched.link.deadline(), now):
                left -= 1
                self._look_after(name, watched, now)
        self._next = earliest(*(watched.link.deadline() for watched in self._links.values()))

    def _look_after(self, name: str, watched: _Watched, now: float) -> None:
        """Without a permit it listens. A link without a socket, or with one that can't send, is tried again soon."""
        try:
            if watched.socket is None or (not self._is_kept_back and watched.socket.is_stale()):
                self._close(watched)
                self._open(name, watched)
            if not self._is_kept_back:
                self._send(watched, now)
            watched.fault = ""
        except OSError as error:
            watched.fault = _WORDS.get(error.errno or 0) or error.strerror or str(error)
            watched.link.failed(now, RETRY_SECONDS)
        self._note(name, watched)

    def _send(self, watched: _Watched, now: float) -> None:
        assert watched.socket is not None
        mac = watched.socket.mac()
        for kind in watched.link.due(now, _chance()):
            if kind == ADVERTISEMENT:
                watched.socket.send(advertisement(mac), ALL_NODES)
            else:
                watched.socket.send(solicitation(mac), ALL_ROUTERS)

    def _open(self, name: str, watched: _Watched) -> None:
        watched.socket = LinkSocket(name)
        self._poll.add(watched.socket.fd, partial(self._on_readable, name, watched, watched.socket))

    def _close(self, watched: _Watched) -> None:
        if watched.socket is not None:
            self._poll.remove(watched.socket.fd)
            watched.socket.close()
            watched.socket = None

    # --- packets and reports

    def _on_readable(self, name: str, watched: _Watched, source: LinkSocket) -> None:
        now = time.monotonic()
        for _ in range(PACKETS_PER_TURN):
            try:
                packet, sender, hop_limit = source.receive()
            except OSError:  # nothing more, or the interface is down or gone, which sending tells
                return
            kind = kind_of(packet, sender, hop_limit)
            if kind == ADVERTISEMENT:
                watched.link.heard(sender, now)
            elif kind == SOLICITATION:
                watched.link.solicited(now, _chance())
            self._next = AT_ONCE
            self._note(name, watched)

    def _note(self, name: str, watched: _Watched) -> None:
        if watched.state() != watched.reported:
            self._news[name] = None

    def _report(self) -> None:
        """A part of what changed: the rest has its turn."""
        changes: dict[str, RoutersOn | None] = {}
        for name in list(self._news)[:REPORTED_LINKS]:
            del self._news[name]
            watched = self._links.get(name)
            changes[name] = None
            if watched is not None:
                changes[name] = watched.reported = watched.state()
        self._agent.report(LinkRouterChanges(changes))


def _chance() -> float:
    return os.urandom(1)[0] / 255
