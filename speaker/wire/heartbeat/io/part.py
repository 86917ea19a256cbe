"""The heartbeats' sockets, and their share of the wire process's loop.

It decides nothing: what is sent and when is the sender's business, who is heard the receiver's, and what that means the
agent's.

    agent --Heartbeat, OwnState-------> sender ---> multicast on each interface, unicast to those not heard that way
    agent <--MemberChanges, AgeChanges-- receiver <-- a few packets a turn, so that ARP replies go between
    agent <--HeartbeatPort-------------- sockets  <-- another program has the port, or has it no more
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping

from speaker.wire.codec import joined
from speaker.wire.deadlines import AT_ONCE, earliest, is_due
from speaker.wire.heartbeat.io.sockets import Sockets
from speaker.wire.heartbeat.packets import MAX_PACKET_BYTES, Dropped
from speaker.wire.heartbeat.sender import Sender, Settings
from speaker.wire.messages import AgeChanges, Heartbeat, HeartbeatPort, MemberChanges, OwnState
from speaker.wire.part import Agent, Handler, Permit, Poll

# A packet costs 10 to 25 µs, by how warm the caches are: 16 of them delay an ARP reply by 0.4 ms at most. A turn costs
# as much as two or three packets.
PACKETS_PER_TURN = 16
# To wake up costs more than a packet: the caches are cold. So in a large cluster packets are not taken in one by one
# but when we send ourselves, and before anybody is taken for lost; while somebody is missing one by one, since he may
# be back. With 50 nodes that is with our own packets alone, five times a second. No more of them wait than half of what
# a socket holds: of packets of 1200 bytes, with what the kernel counts for each, that is some 160 (sockets.HELD_BYTES).
BATCH_SECONDS = 0.2
BATCH_PACKETS = 64
BATCH_FROM_PACKETS_PER_SECOND = 75
UNICASTS_PER_TURN = 8
# More than a socket holds (sockets.HELD_BYTES), however small they are: no drain goes on for ever.
PACKETS_HELD = 1024
# This late, the process was stopped or starved: what waits in the sockets is the past speaking.
STALL_SECONDS = 0.25
REPORT_SECONDS = 2.0  # ages are of use for five seconds: crds.fencing.HEARD_SECONDS
# Of one message, with all that is known of them or with the ages alone: below 32 KB however long the names are.
REPORTED_MEMBERS, REPORTED_AGES = 16, 64
PORT_RETRY_SECONDS = 5.0  # while another program has the port
CROWDED_SECONDS = 0.1  # until we look again whether the agent reads
GOODBYES = 2  # a lost one would cost the members the dead time

_SENT, _FAILED, _RECEIVED, _DISCARDED = "sent", "failed", "received", "discarded"


def batch_seconds(rate: float) -> float:
    """How long packets may wait in the sockets, where so many come a second."""
    return min(BATCH_SECONDS, BATCH_PACKETS / rate) if rate else BATCH_SECONDS


class HeartbeatPart:
    """See speaker.wire.part.Part."""

    clock = time.CLOCK_BOOTTIME  # members live on while this machine is suspended
    has_left = True

    def __init__(self, poll: Poll, agent: Agent, permit: Permit) -> None:
        self.orders: Mapping[type, Handler] = {Heartbeat: self._on_heartbeat, OwnState: self._on_own_state}
        self._poll = poll
        self._agent = agent
        self._permit = permit
        self._sockets = Sockets()
        self._sender = Sender()
        self._receiver = self._sender.receiver
        self._interfaces: Mapping[str, int] = {}
        self._is_on = False
        self._order: Heartbeat | None = None  # as far as its parts have come
        self._pending_unicasts: dict[str, str] = {}  # node -> address: the latest packet is yet to go there
        self._packet, self._packet_at = b"", 0.0
        self._permit_until = 0.0
        self._sent_at = 0.0  # the last packet that the kernel took
        self._next_turn = AT_ONCE  # also after an order and after packets, whatever came of them
        self._due_by: float | None = None
        self._is_batching = False
        self._batch_seconds = BATCH_SECONDS
        self._batch_due = 0.0
        self._is_behind = False  # packets may be left unread
        self._refresh_due = 0.0
        self._port_due = 0.0
        self._is_port_taken = False
        self._to_refresh: list[str] = []
        kinds = (_SENT, _FAILED, _RECEIVED, _DISCARDED, *(kind.value for kind in Dropped))
        self._totals = dict.fromkeys(kinds, 0)
        poll.add(self._sockets.fd, self._on_readable)

    def use(self, interfaces: Mapping[str, int]) -> None:
        """Be heard on these interfaces, by name and index, and no others."""
        if interfaces != self._interfaces:
            self._interfaces = dict(interfaces)
            self._sender.use(tuple(interfaces), _boottime())
            self._sockets.use(interfaces)
            self._next_turn = AT_ONCE

    # --- orders

    def _on_heartbeat(self, sequence: int, part: Heartbeat) -> None:
        """Take in one part of the configuration; the last one puts it in force."""
        order = self._order = joined(self._order, part)
        if order.is_last:
            self._order = None
            if fault := self._configure(order):
                self._agent.refuse(sequence, fault)
                return
        self._agent.confirm(sequence)

    def _configure(self, order: Heartbeat) -> str:
        """Returns what is wrong, or ""."""
        settings = Settings(order.node, order.incarnation, order.keys, order.interval_seconds)
        try:
            self._sender.configure(settings, order.members, _boottime())
        except ValueError as error:
            return str(error)
        self._is_on = bool(order.keys)
        self._permit.hear(self._sent_at + self._sender.lasting_seconds)
        self._next_turn = AT_ONCE
        if self._sockets.listen(order.port if order.keys else 0):
            self._pending_unicasts = {}
        if self._is_on:
            self._agent.report(MemberChanges({}))  # that nobody is heard is news too, the first time
        else:
            self._report_news()
        return ""

    def _on_own_state(self, _: int, state: OwnState) -> None:
        self._sender.set_state(state, _boottime())
        self._next_turn = AT_ONCE

    # --- the loop

    def turn(self, now: float) -> None:
        """A packet, unicasts left from the last one, packets that wait, reports."""
        if not self._is_on or (now < self._next_turn and self._permit.until == self._permit_until):
            return
        self._notice_stall(now)
        self._look_at_port(now)
        if self._permit.until != self._permit_until:
            self._permit_until = self._permit.until
            self._sender.permit(self._permit_until, now)
        self._catch_up(now)
        if is_due(self._sender.deadline(is_caught_up=not self._is_behind), now):
            packet = self._sender.due(now, is_caught_up=not self._is_behind)
            if packet is not None:
                self._send(packet, now)
        elif self._pending_unicasts:
            self._send_unicasts()
        self._report(now)
        self._due_by = self._next_turn = self._planned()
        if self._pending_unicasts or self._is_behind or (self._receiver.news and not self._agent.is_crowded):
            self._next_turn = AT_ONCE

    def deadline(self) -> float | None:
        """None when heartbeats are off."""
        return self._next_turn if self._is_on else None

    def totals(self) -> dict[str, dict[str, int]]:
        """Packets by what became of them, since the process started."""
        return {"heartbeats": self._totals}

    def leave(self, *, is_clean: bool) -> None:
        """Say that this node announces nothing any more, whether that was asked for or not."""
        for _ in range(GOODBYES):
            now = _boottime()
            packet = self._sender.goodbye(now)
            if packet is not None:
                self._send(packet, now)
                while self._pending_unicasts:
                    self._send_unicasts()
        self._sender.stop()
        self._permit.hear(0.0)

    def close(self) -> None:
        """Let go of all descriptors."""
        self._poll.remove(self._sockets.fd)
        self._sockets.close()

    def _planned(self) -> float:
        planned = min(self._refresh_due, self._batch_due) if self._is_batching else self._refresh_due
        sending = self._sender.deadline()
        return planned if sending is None else min(sending, planned)

    # --- packets that come

    def _on_readable(self) -> None:
        """Take in a few packets."""
        now = _boottime()
        self._notice_stall(now)
        self._take_in_some(now)
        self._next_turn = AT_ONCE

    def _catch_up(self, now: float) -> None:
        """Take in what waits, a few each turn: when a batch is due, and before anybody is taken for lost."""
        due = earliest(self._batch_due, self._sender.deadline()) if self._is_batching else self._receiver.deadline()
        if self._is_behind or is_due(due, now):
            self._take_in_some(now)
            self._batch_due = now + self._batch_seconds

    def _take_in_some(self, now: float) -> None:
        left = PACKETS_PER_TURN
        while left and (ready := self._sockets.ready()):
            for source, via in ready:
                left -= self._take_in(source, via, left, now)
        self._is_behind = not left

    def _take_in(self, source: socket.socket, via: str, most: int, now: float) -> int:
        """Returns how many packets there were."""
        for number in range(most):
            try:
                packet = source.recv(MAX_PACKET_BYTES + 1)
            except OSError:  # BlockingIOError mostly; also what ICMP says of a packet we sent
                return number
            dropped = self._sender.receive(packet, via, now)
            self._totals[dropped.value if dropped else _RECEIVED] += 1
        return most

    def _choose_batching(self, now: float) -> None:
        rate = len(self._receiver.members) / self._sender.interval_seconds
        is_batching = rate >= BATCH_FROM_PACKETS_PER_SECOND and not self._receiver.is_searching(now)
        self._batch_seconds = batch_seconds(rate)
        if is_batching != self._is_batching:
            self._is_batching = is_batching
            self._poll.mute(self._sockets.fd, is_batching)

    def _notice_stall(self, now: float) -> None:
        """After a pause of ours, a member that was not heard is not dead, and what it sent long ago proves no life."""
        if self._due_by is None or now - self._due_by < STALL_SECONDS:
            return
        self._due_by = now
        self._totals[_DISCARDED] += self._sockets.discard(PACKETS_HELD)
        self._sender.resume(now)

    # --- packets that go

    def _send(self, packet: bytes, now: float) -> None:
        results = list(self._sockets.multicast(packet))
        for was_sent in results:
            self._count(was_sent)
        self._note_sent(any(results), now)
        self._choose_batching(now)
        self._packet, self._packet_at = packet, now
        self._pending_unicasts |= {member.node: member.addresses[0] for member in self._sender.unicast(now)}
        self._send_unicasts()

    def _send_unicasts(self) -> None:
        for node in list(self._pending_unicasts)[:UNICASTS_PER_TURN]:
            was_sent = self._sockets.unicast(self._packet, self._pending_unicasts.pop(node))
            self._count(was_sent)
            self._note_sent(was_sent, self._packet_at)

    def _note_sent(self, was_sent: bool, now: float) -> None:
        """Members take us for alive for a while, from before the packet left; not after a goodbye."""
        if was_sent:
            self._sent_at = now
        self._permit.hear(self._sent_at + self._sender.lasting_seconds)

    def _count(self, was_sent: bool) -> None:
        self._totals[_SENT if was_sent else _FAILED] += 1

    # --- reports

    def _report(self, now: float) -> None:
        if self._agent.is_crowded:
            self._refresh_due = max(self._refresh_due, now + CROWDED_SECONDS)
        elif self._receiver.news:
            self._report_news()
        elif now >= self._refresh_due:
            self._refresh(now)

    def _look_at_port(self, now: float) -> None:
        """Say when another program has it, and when it has no more."""
        if self._sockets.is_taken and now >= self._port_due:
            self._sockets.retry()
            self._port_due = now + PORT_RETRY_SECONDS
        if self._sockets.is_taken != self._is_port_taken:
            self._is_port_taken = self._sockets.is_taken
            self._agent.report(HeartbeatPort(self._is_port_taken))

    def _report_news(self) -> None:
        """A part of what changed: the rest has its turn."""
        news, members = self._receiver.news, self._receiver.members
        nodes = list(news)[:REPORTED_MEMBERS]
        for node in nodes:
            del news[node]
        if nodes:
            views = {node: members[node].view() if node in members else None for node in nodes}
            self._agent.report(MemberChanges(views))

    def _refresh(self, now: float) -> None:
        """The ages of everybody every two seconds, in parts."""
        members = self._receiver.members
        if not self._to_refresh:
            self._to_refresh = list(members)
        nodes, self._to_refresh = self._to_refresh[:REPORTED_AGES], self._to_refresh[REPORTED_AGES:]
        self._refresh_due = now + REPORT_SECONDS * REPORTED_AGES / max(len(members), REPORTED_AGES)
        known = [members[node] for node in nodes if node in members]
        ages = {member.node: (member.contact, member.heard_at) for member in known if member.heard_since is not None}
        if ages:
            self._agent.report(AgeChanges(ages))


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
