"""All BFD sessions of this node, and their share of the wire process's loop.

It reads packets, finds their sessions, wakes each session when it wants to be woken, and tells the agent how they
stand. What a lost path means is the agent's business.

    agent --bfd--> sessions <-- packets, a few a turn, so that ARP replies go between
    agent <--bfd-state-- |  --> packets, a few a turn, while the permit lasts

Without a permit this node may not announce, and must not look alive to routers: its sessions are held down and say so
("path down"), which takes routes away that somebody may have failed to withdraw. AdminDown would not do: it tells the
router to go on as if there were no BFD (RFC 5882 §3.2). That is said only for a session that is no longer wanted, and
when everything was withdrawn and the process is told to stop.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from speaker.wire.bfd.io.sockets import Kind, Sender, kind_of, packed, receive, receiver
from speaker.wire.bfd.packets import Discard, State, parse
from speaker.wire.bfd.registry import Path, Registry
from speaker.wire.bfd.session import Parameters, Session
from speaker.wire.messages import Bfd, BfdChanges, BfdSession, BfdState, WireReport, joined

# A packet costs about 20 µs to take in, and as much to send.
PACKETS_PER_TURN = 4
SESSIONS_PER_TURN = 8
# A session is not lost while its packets wait to be read, but for no longer than this: a flood must not hide a loss.
UNREAD_SECONDS = 0.05
RETRY_SECONDS = 1.0
# Of one message: below 32 KB however long the reasons are.
REPORTED_SESSIONS = 32
NAMES = {State.ADMIN_DOWN: "AdminDown", State.DOWN: "Down", State.INIT: "Init", State.UP: "Up"}

_SENT, _FAILED, _RECEIVED = "sent", "failed", "received"
_NEVER = float("inf")


class Sessions:
    """Registers its sockets with the epoll. `tell` takes a message for the agent; `is_crowded` whether it is behind."""

    def __init__(self, epoll: select.epoll, tell: Callable[[WireReport], None], is_crowded: Callable[[], bool]) -> None:
        self.fds: dict[int, tuple[socket.socket, Kind]] = {}
        """The receivers, by descriptor."""
        self._epoll = epoll
        self._tell = tell
        self._is_crowded = is_crowded
        self._order: Bfd | None = None  # as far as its parts have come
        self._named: dict[str, _Peer] = {}
        self._leaving: list[_Peer] = []
        self._registry: Registry[_Peer] = Registry(self._note_low_ttl)
        self._agenda: list[tuple[float, int]] = []  # when, and whose discriminator
        self._peers: dict[int, _Peer] = {}
        self._news: dict[str, None] = {}
        self._permit_until = 0.0
        self._is_permitted = False
        self._retry_at = _NEVER
        self._totals = dict.fromkeys((_SENT, _FAILED, _RECEIVED, *(kind.value for kind in Discard)), 0)

    # --- orders

    def configure(self, part: Bfd) -> None:
        """Take in one part of the sessions; the last one puts all in force: there are these and no others."""
        order = self._order = joined(self._order, part)
        if not order.is_last:
            return
        self._order = None
        wanted = order.sessions
        for name, peer in list(self._named.items()):
            config = wanted.get(name)
            if config is None or not peer.can_become(config):
                self._dismiss(name)
        for name, config in wanted.items():
            self._want(name, config)
        self._open_sockets()

    def _want(self, name: str, config: BfdSession) -> None:
        now = _boottime()
        peer = self._named.get(name)
        if peer is None:
            discriminator = self._registry.new_discriminator(os.urandom)
            peer = self._named[name] = self._peers[discriminator] = _Peer(name, config, discriminator, now)
            if not self._is_permitted:
                peer.session.hold_down(now)
            self._news[name] = None
        else:
            peer.config = config
            peer.session.configure(_parameters(config), now)
        self._schedule(peer)

    def _dismiss(self, name: str) -> None:
        """Its peer is told for a while; another session for the same path need not wait for that."""
        peer = self._named.pop(name)
        self._news[name] = None
        if peer.sender is None:
            self._end(peer)
        else:
            peer.session.disable(_boottime())
            self._leaving.append(peer)
            self._schedule(peer)

    def _end(self, peer: _Peer) -> None:
        self._close_sender(peer)
        self._peers.pop(peer.session.discriminator, None)
        if peer in self._leaving:
            self._leaving.remove(peer)

    def leave(self, *, is_clean: bool) -> None:
        """Last words: AdminDown after everything was withdrawn, Down when the agent is gone. Safe to repeat."""
        now = _boottime()
        for peer in self._peers.values():
            if is_clean:
                peer.session.disable(now)
            else:
                peer.session.hold_down(now)
            self._transmit(peer, now)

    # --- the loop

    def on_readable(self, fd: int) -> bool:
        """Take in a few packets. Whether none is left."""
        source, kind = self.fds[fd]
        now = _boottime()
        try:
            for _ in range(PACKETS_PER_TURN):
                self._take(*receive(source, kind), now)
        except BlockingIOError:
            return True
        except OSError:  # what ICMP says of something we sent; not from these sockets, but it costs nothing
            return True
        return False

    def _take(self, datagram: bytes, arrival: Any, now: float) -> None:
        packet = parse(datagram)
        if isinstance(packet, Discard):
            self._totals[packet.value] += 1
            return
        found = self._registry.find(packet, arrival, _name_of)
        if isinstance(found, Discard):
            self._totals[found.value] += 1
            return
        self._totals[_RECEIVED] += 1
        found.low_ttl = None
        found.session.receive(packet, now)
        self._schedule(found)
        self._note(found)

    def turn(self, permit_until: float) -> None:
        """Whatever is due. Costs next to nothing when nothing is."""
        now = _boottime()
        self._permit_until = permit_until
        if (now < permit_until) != self._is_permitted:
            self._permit(now < permit_until, now)
        if self._agenda and self._agenda[0][0] <= now:
            self._wake_some(now)
        if now >= self._retry_at:
            self._open_sockets()
        if self._news and not self._is_crowded():
            self._report()

    def seconds_left(self) -> float:
        """How long `turn` may wait; infinite when there is nothing to do."""
        if self._news and not self._is_crowded():
            return 0.0
        due = min(self._retry_at, self._agenda[0][0] if self._agenda else _NEVER)
        if self._is_permitted:
            due = min(due, self._permit_until)
        return max(0.0, due - _boottime()) if due < _NEVER else _NEVER

    def totals(self) -> dict[str, int]:
        """Packets by what became of them: sent, failed (the kernel refused), received, and the kinds of Discard."""
        return self._totals

    def close(self) -> None:
        for peer in list(self._peers.values()):
            self._end(peer)
        self._close_receivers(set())

    def _permit(self, is_permitted: bool, now: float) -> None:
        self._is_permitted = is_permitted
        for peer in self._peers.values():
            if is_permitted:
                peer.session.release()
            else:
                peer.session.hold_down(now)
            self._schedule(peer)
            self._note(peer)

    # --- who is woken when

    def _schedule(self, peer: _Peer) -> None:
        """Earlier than it was going to be woken, if it wants that. Whoever is woken too early says so."""
        deadline = peer.session.deadline()
        if peer.sender is not None and deadline < peer.wake_at:
            peer.wake_at = deadline
            heapq.heappush(self._agenda, (deadline, peer.session.discriminator))

    def _wake_some(self, now: float) -> None:
        has_read_all = all([self.on_readable(fd) for fd in self.fds])
        for _ in range(SESSIONS_PER_TURN):
            if not self._agenda or self._agenda[0][0] > now:
                return
            when, discriminator = heapq.heappop(self._agenda)
            peer = self._peers.get(discriminator)
            if peer is not None and peer.wake_at == when:
                peer.wake_at = _NEVER
                self._wake(peer, has_read_all=has_read_all)

    def _wake(self, peer: _Peer, *, has_read_all: bool) -> None:
        now = _boottime()
        silent_since = peer.session.detection_at()
        if not has_read_all and silent_since <= now < silent_since + UNREAD_SECONDS:
            peer.wake_at = now
            heapq.heappush(self._agenda, (now, peer.session.discriminator))
            return
        self._transmit(peer, now)
        self._note(peer)
        if peer.session.is_over(now):
            self._end(peer)
        else:
            self._schedule(peer)

    def _transmit(self, peer: _Peer, now: float) -> None:
        """What the session has to say. That it is alive is said only while the permit lasts, right now."""
        if now >= self._permit_until:
            peer.session.hold_down(now)
        while peer.sender is not None:
            packet = peer.session.due(now, os.urandom(1)[0] / 255)
            if packet is None:
                return
            if peer.sender.send(packet):
                self._totals[_SENT] += 1
            else:
                self._totals[_FAILED] += 1
                self._replace_stale(peer, peer.sender)

    def _replace_stale(self, peer: _Peer, sender: Sender) -> None:
        """An interface that went and came back has the same name, and is another one to a socket."""
        if sender.is_stale():
            self._close_sender(peer)
            peer.fault = "its interface is gone"
            self._retry_at = _boottime()

    # --- reports

    def _note_low_ttl(self, peer: _Peer, ttl: int) -> None:
        """The first one explains why a session does not come up; more of them tell nothing."""
        if peer.low_ttl is None:
            peer.low_ttl = ttl
            self._note(peer)

    def _note(self, peer: _Peer) -> None:
        if self._named.get(peer.name) is peer and peer.view() != peer.told:
            self._news[peer.name] = None

    def _report(self) -> None:
        """A part of what changed: the rest has its turn."""
        views: dict[str, BfdState | None] = {}
        for name in list(self._news)[:REPORTED_SESSIONS]:
            del self._news[name]
            peer = self._named.get(name)
            views[name] = None if peer is None else peer.tell()
        self._tell(BfdChanges(views))

    # --- sockets

    def _open_sockets(self) -> None:
        """What all sessions need. What could not be opened is tried again."""
        self._retry_at = _NEVER
        wanted = {kind_of(peer.path) for peer in self._named.values() if peer.path is not None}
        faults = self._open_receivers(wanted)
        self._close_receivers(wanted | {kind_of(peer.path) for peer in self._leaving if peer.path is not None})
        for peer in self._named.values():
            if peer.sender is None and peer.path is not None:
                peer.fault = faults.get(kind_of(peer.path)) or self._open(peer, peer.path)
            if peer.path is not None and peer.fault:
                self._retry_at = _boottime() + RETRY_SECONDS
            self._note(peer)

    def _open(self, peer: _Peer, path: Path) -> str:
        rival = self._registry.rival(path)
        if rival is not None and rival in self._leaving:
            self._end(rival)
            rival = self._registry.rival(path)
        if rival is not None:
            return f"runs between the same addresses as {rival.name}"
        try:
            peer.sender = Sender(path)
        except OSError as error:
            return f"no socket to send from: {error.strerror or error}"
        self._registry.add(peer.session.discriminator, path, peer)
        self._schedule(peer)
        return ""

    def _close_sender(self, peer: _Peer) -> None:
        if peer.sender is not None:
            peer.sender.close()
            peer.sender = None
            peer.wake_at = _NEVER
            self._registry.remove(peer.session.discriminator)

    def _open_receivers(self, kinds: set[Kind]) -> dict[Kind, str]:
        faults = {}
        for kind in kinds - {kind for _, kind in self.fds.values()}:
            try:
                made = receiver(kind)
            except OSError as error:
                faults[kind] = f"UDP port {kind.port}: {error.strerror}"
            else:
                self.fds[made.fileno()] = (made, kind)
                self._epoll.register(made.fileno(), select.EPOLLIN)
        return faults

    def _close_receivers(self, kept: set[Kind]) -> None:
        for fd, (source, kind) in list(self.fds.items()):
            if kind not in kept:
                del self.fds[fd]
                self._epoll.unregister(fd)
                source.close()


class _Peer:
    """One session, and what it needs here. `path` is None, and `fault` says why, when its addresses make no sense."""

    def __init__(self, name: str, config: BfdSession, discriminator: int, now: float) -> None:
        self.name = name
        self.config = config
        self.session = Session(discriminator, _parameters(config), now)
        self.sender: Sender | None = None
        self.wake_at = _NEVER
        self.told: BfdState | None = None
        self.low_ttl: int | None = None  # of a packet that did not count, since one that did
        self.path, self.fault = _path(config)

    def can_become(self, config: BfdSession) -> bool:
        """Whether it stays the same session: only its timers and role may change."""
        return config == self.config or (self.path is not None and _path(config)[0] == self.path)

    def view(self) -> BfdState:
        session = self.session
        return BfdState(
            NAMES[session.state],
            NAMES[session.remote_state],
            session.since,
            session.has_failed,
            session.reason,
            session.detect_milliseconds,
            session.transmit_milliseconds,
            self.fault or self._hint(),
        )

    def _hint(self) -> str:
        if self.low_ttl is None or self.path is None or self.session.state is State.UP:
            return ""
        return f"the peer's packets come with TTL {self.low_ttl}, and count only from {self.path.minimum_ttl} up"

    def tell(self) -> BfdState:
        self.told = self.view()
        return self.told


def _parameters(config: BfdSession) -> Parameters:
    return Parameters(
        config.transmit_interval_milliseconds * 1000,
        config.receive_interval_milliseconds * 1000,
        config.detect_multiplier,
        config.is_passive,
    )


def _path(config: BfdSession) -> tuple[Path | None, str]:
    try:
        peer, local = packed(config.peer_address), packed(config.source_address) if config.source_address else b""
    except (OSError, ValueError):
        return None, f"not an address: {config.peer_address} or {config.source_address}"
    if local and len(local) != len(peer):
        return None, "the addresses are of different families"
    if peer[:2] == b"\xfe\x80" and len(peer) == 16 and not config.interface:
        return None, "a link-local address needs an interface"
    interface = "" if config.is_multihop else config.interface
    minimum_ttl = config.minimum_ttl if config.is_multihop else 255
    return Path(config.is_multihop, peer, local, interface, config.vrf, minimum_ttl), ""


def _name_of(ifindex: int) -> str:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(ifindex)
    return ""


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
