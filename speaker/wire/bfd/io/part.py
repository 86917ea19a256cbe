"""All BFD sessions of this node, and their share of the wire process's loop.

It reads packets, finds their sessions, wakes each session when it wants to be woken, and reports how they stand. What a
lost path means, the agent decides.

    agent --Bfd-------> sessions <-- packets, a few a turn, so that ARP replies go between
    agent <--BfdChanges-- |  --> packets, a few a turn, while the permit lasts

Without a permit this node may not announce, and must not look alive to routers: its sessions are held down and say so
("path down"), which takes routes away that somebody may have failed to withdraw. AdminDown would not do: it tells the
router to go on as if there were no BFD (RFC 5882 §3.2). We say it only for a session that is no longer wanted, and
when the agent has us stop, after everything was withdrawn.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

from speaker.wire.bfd.agenda import Agenda
from speaker.wire.bfd.io.peer import Peer
from speaker.wire.bfd.io.receivers import Receivers
from speaker.wire.bfd.io.sockets import Sender, kind_of
from speaker.wire.bfd.packets import Discard, parse
from speaker.wire.bfd.registry import Arrival, Path, Registry
from speaker.wire.codec import joined
from speaker.wire.deadlines import AT_ONCE, earliest, is_due
from speaker.wire.messages import Bfd, BfdChanges, BfdSession, BfdState
from speaker.wire.part import Agent, Handler, Permit, Poll

SESSIONS_PER_TURN = 8
# A session is not lost while its packets wait to be read, but for no longer than this: a flood must not hide a loss.
UNREAD_SECONDS = 0.05
RETRY_SECONDS = 1.0
REPORTED_SESSIONS = 32  # of one message

_SENT, _FAILED, _RECEIVED = "sent", "failed", "received"


class BfdPart:
    """See speaker.wire.part.Part."""

    clock = time.CLOCK_BOOTTIME  # what was not heard while this machine was suspended was not heard
    has_left = True

    def __init__(self, poll: Poll, agent: Agent, permit: Permit) -> None:
        self.orders: Mapping[type, Handler] = {Bfd: self._on_bfd}
        self._agent = agent
        self._permit = permit
        self._receivers = Receivers(poll, self._on_packet)
        self._order: Bfd | None = None  # as far as its parts have come
        self._named: dict[str, Peer] = {}
        self._leaving: list[Peer] = []
        self._peers: dict[int, Peer] = {}  # those named and those leaving, by discriminator
        self._registry: Registry[Peer] = Registry(self._note_low_ttl)
        self._agenda = Agenda()
        self._news: dict[str, None] = {}
        self._is_permitted = False
        self._retry_at: float | None = None
        self._totals = dict.fromkeys((_SENT, _FAILED, _RECEIVED, *(kind.value for kind in Discard)), 0)

    # --- orders

    def _on_bfd(self, sequence: int, part: Bfd) -> None:
        """Take in one part of the sessions; the last one puts all in force."""
        order = self._order = joined(self._order, part)
        if order.is_last:
            self._order = None
            self._configure(order.sessions)
        self._agent.confirm(sequence)

    def _configure(self, wanted: Mapping[str, BfdSession]) -> None:
        """There are these sessions and no others."""
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
            peer = self._named[name] = self._peers[discriminator] = Peer(name, config, discriminator, now)
            if not self._is_permitted:
                peer.session.hold_down(now)
            self._news[name] = None
        else:
            peer.configure(config, now)
        self._plan(peer)

    def _dismiss(self, name: str) -> None:
        """It says AdminDown for a while. Another session for the same path need not wait for that."""
        peer = self._named.pop(name)
        self._news[name] = None
        if peer.sender is None:
            self._end(peer)
        else:
            peer.session.disable(_boottime())
            self._leaving.append(peer)
            self._plan(peer)

    def _end(self, peer: Peer) -> None:
        self._close_sender(peer)
        self._peers.pop(peer.session.discriminator, None)
        if peer in self._leaving:
            self._leaving.remove(peer)

    # --- the loop

    def turn(self, now: float) -> None:
        """Sessions, sockets to try again, reports."""
        if (now < self._permit.until) != self._is_permitted:
            self._follow_permit(now)
        if is_due(self._agenda.deadline(), now):
            self._wake_some(now)
        if is_due(self._retry_at, now):
            self._open_sockets()
        if self._news and not self._agent.is_crowded:
            self._report()

    def deadline(self) -> float | None:
        """Also when the permit ends."""
        if self._news and not self._agent.is_crowded:
            return AT_ONCE
        return earliest(self._retry_at, self._agenda.deadline(), self._permit.until if self._is_permitted else None)

    def totals(self) -> dict[str, dict[str, int]]:
        """Packets by what became of them: sent, failed (the kernel refused), received, and the kinds of Discard."""
        return {"bfd": self._totals}

    def leave(self, *, is_clean: bool) -> None:
        """AdminDown after everything was withdrawn, Down when the agent is gone."""
        now = _boottime()
        for peer in self._peers.values():
            if is_clean:
                peer.session.disable(now)
            else:
                peer.session.hold_down(now)
            self._transmit(peer, now)

    def close(self) -> None:
        """Let go of all descriptors."""
        for peer in list(self._peers.values()):
            self._end(peer)
        self._receivers.close_others(set())

    def _follow_permit(self, now: float) -> None:
        self._is_permitted = now < self._permit.until
        for peer in self._peers.values():
            if self._is_permitted:
                peer.session.release()
            else:
                peer.session.hold_down(now)
            self._plan(peer)
            self._note(peer)

    # --- packets

    def _on_packet(self, datagram: bytes, arrival: Arrival) -> None:
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
        found.session.receive(packet, _boottime())
        self._plan(found)
        self._note(found)

    def _plan(self, peer: Peer) -> None:
        if peer.sender is not None:
            self._agenda.plan(peer.session.discriminator, peer.session.deadline())

    def _wake_some(self, now: float) -> None:
        has_read_all = self._receivers.have_read_all()
        for discriminator in self._agenda.take_due(now, SESSIONS_PER_TURN):
            peer = self._peers.get(discriminator)
            if peer is not None:
                self._wake(peer, has_read_all=has_read_all)

    def _wake(self, peer: Peer, *, has_read_all: bool) -> None:
        now = _boottime()
        lost_at = peer.session.detection_deadline()
        if not has_read_all and lost_at is not None and lost_at <= now < lost_at + UNREAD_SECONDS:
            self._agenda.plan(peer.session.discriminator, now)
            return
        self._transmit(peer, now)
        self._note(peer)
        if peer.session.is_over(now):
            self._end(peer)
        else:
            self._plan(peer)

    def _transmit(self, peer: Peer, now: float) -> None:
        """Send what the session has to say. It says that it is alive only while the permit lasts, right now."""
        if now >= self._permit.until:
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

    def _replace_stale(self, peer: Peer, sender: Sender) -> None:
        """An interface that went and came back has the same name, and is another one to a socket."""
        if sender.is_stale():
            self._close_sender(peer)
            peer.fault = "its interface is gone"
            self._retry_at = _boottime()

    # --- reports

    def _note_low_ttl(self, peer: Peer, ttl: int) -> None:
        """The first one explains why a session does not come up; more of them explain no more."""
        if peer.low_ttl is None:
            peer.low_ttl = ttl
            self._note(peer)

    def _note(self, peer: Peer) -> None:
        if self._named.get(peer.name) is peer and peer.state() != peer.reported:
            self._news[peer.name] = None

    def _report(self) -> None:
        """A part of what changed: the rest has its turn."""
        changes: dict[str, BfdState | None] = {}
        for name in list(self._news)[:REPORTED_SESSIONS]:
            del self._news[name]
            peer = self._named.get(name)
            changes[name] = None
            if peer is not None:
                changes[name] = peer.reported = peer.state()
        self._agent.report(BfdChanges(changes))

    # --- sockets

    def _open_sockets(self) -> None:
        """Open what all sessions need, and close the rest. A socket that could not be opened is tried again."""
        self._retry_at = None
        wanted = {kind_of(peer.path) for peer in self._named.values() if peer.path is not None}
        faults = self._receivers.open(wanted)
        leaving = {kind_of(peer.path) for peer in self._leaving if peer.path is not None}
        self._receivers.close_others(wanted | leaving)
        for peer in self._named.values():
            if peer.sender is None and peer.path is not None:
                peer.fault = faults.get(kind_of(peer.path)) or self._open(peer, peer.path)
            if peer.path is not None and peer.fault:
                self._retry_at = _boottime() + RETRY_SECONDS
            self._note(peer)

    def _open(self, peer: Peer, path: Path) -> str:
        """Returns what is wrong, or ""."""
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
        self._plan(peer)
        return ""

    def _close_sender(self, peer: Peer) -> None:
        if peer.sender is not None:
            peer.sender.close()
            peer.sender = None
            self._agenda.drop(peer.session.discriminator)
            self._registry.remove(peer.session.discriminator)


def _name_of(ifindex: int) -> str:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(ifindex)
    return ""


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
