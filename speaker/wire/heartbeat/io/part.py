"""The heartbeats' sockets, and their share of the wire process's loop.

It decides nothing: what is sent and when is the sender's business, who is heard the receiver's, and what that means the
agent's.

    agent --Heartbeat, OwnState-------> sender ---> multicast on each interface, unicast to those not heard that way
    agent <--MemberChanges, AgeChanges-- receiver <-- a few packets a turn, so that ARP replies go between
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterable, Mapping

from speaker.wire.heartbeat.io.sockets import SegmentSockets, unicast_socket
from speaker.wire.heartbeat.packets import MAX_PACKET_BYTES, Dropped
from speaker.wire.heartbeat.receiver import UNICAST
from speaker.wire.heartbeat.sender import Sender, Settings
from speaker.wire.messages import AgeChanges, Heartbeat, MemberChanges, OwnState, WireReport, joined

# A packet costs about 25 µs, most of it HMAC and parsing: eight of them delay an ARP reply by 0.2 ms.
PACKETS_PER_TURN = 8
# To wake up costs more than a packet: the caches are cold. So in a large cluster packets are not taken in one by one
# but when we send ourselves, and after 100 ms at most, which is little beside the dead time; while somebody is missing
# one by one, since he may be back.
BATCH_SECONDS = 0.1
BATCH_FROM_PACKETS_PER_SECOND = 75
UNICASTS_PER_TURN = 8
# What a socket holds at most, by default (net.core.rmem_default is 212,992 bytes): no drain goes on for ever.
PACKETS_HELD = 1024
# This late, the process was stopped or starved: what waits in the sockets is the past speaking.
STALL_SECONDS = 0.25
REPORT_SECONDS = 2.0  # ages are of use for five seconds: crds.fencing.HEARD_SECONDS
# Of one message, with all that is known of them or with the ages alone: below 32 KB however long the names are.
REPORTED_MEMBERS, REPORTED_AGES = 16, 64
CROWDED_SECONDS = 0.1  # until we look again whether the agent reads
GOODBYES = 2  # a lost one would cost the members the dead time

_SENT, _FAILED, _RECEIVED, _DISCARDED = "sent", "failed", "received", "discarded"


class HeartbeatPart:
    """Registers itself with the epoll. `tell` takes a message for the agent; `is_crowded` whether it is behind."""

    def __init__(self, epoll: select.epoll, tell: Callable[[WireReport], None], is_crowded: Callable[[], bool]) -> None:
        self._sockets: dict[int, tuple[socket.socket, str]] = {}  # and the interface whose segment it hears
        # One for all sockets, inside that of the process: it tells which of them have something, with one system call.
        self._epoll = select.epoll()
        self.fd = self._epoll.fileno()
        self._outer = epoll
        self._outer.register(self.fd, select.EPOLLIN)
        self._tell = tell
        self._is_crowded = is_crowded
        self._sender = Sender()
        self._port = 0
        self._is_on = False
        self._order: Heartbeat | None = None  # as far as its parts have come
        self._segments: dict[str, SegmentSockets] = {}
        self._wanted: dict[str, int] = {}
        self._unicast_sockets: dict[int, socket.socket] = {}  # by family
        self._pending_unicasts: dict[str, str] = {}  # node -> address: who is yet to get the latest packet
        self._unicast_packet = b""
        self._permit_until = 0.0
        self._due_by = float("inf")
        self._is_batching = False
        self._batch_due = 0.0
        self._is_behind = False  # packets may be left unread
        self._refresh_due = 0.0
        self._to_refresh: list[str] = []
        kinds = (_SENT, _FAILED, _RECEIVED, _DISCARDED, *(kind.value for kind in Dropped))
        self._totals = dict.fromkeys(kinds, 0)

    # --- orders

    def configure(self, part: Heartbeat) -> str:
        """Take in one part of the configuration; the last one puts it in force. Returns what is wrong, or ""."""
        order = self._order = joined(self._order, part)
        if not order.is_last:
            return ""
        self._order = None
        settings = Settings(order.node, order.incarnation, order.keys, order.interval_seconds)
        try:
            self._sender.configure(settings, order.members, _boottime())
        except ValueError as error:
            return str(error)
        self._is_on = bool(order.keys)
        self._listen(order.port if order.keys else 0)
        if self._is_on:
            self._tell(MemberChanges({}))  # that nobody is heard is news too, the first time
        else:
            self._report_news()
        return ""

    def set_state(self, state: OwnState) -> None:
        self._sender.set_state(state, _boottime())

    def use(self, interfaces: Mapping[str, int]) -> None:
        """Be heard on these interfaces, by name and index, and no others."""
        if interfaces != self._wanted:
            self._wanted = dict(interfaces)
            self._sender.use(tuple(interfaces), _boottime())
            self._fit()

    def leave(self) -> None:
        """Say that this node announces nothing any more. Safe to repeat."""
        for _ in range(GOODBYES):
            now = _boottime()
            packet = self._sender.goodbye(now)
            if packet is not None:
                self._send(packet, now)
                while self._pending_unicasts:
                    self._send_unicasts()
        self._sender.stop()

    # --- the loop

    def on_readable(self) -> None:
        """Take in a few packets."""
        now = _boottime()
        self._notice_stall(now)
        self._take_in_some(now)

    def turn(self, permit_until: float) -> None:
        """Whatever is due. Costs next to nothing when nothing is."""
        if not self._is_on:
            return
        now = _boottime()
        self._notice_stall(now)
        if permit_until != self._permit_until:
            self._permit_until = permit_until
            self._sender.permit(permit_until, now)
        self._catch_up(now)
        if now >= self._sender.deadline(is_caught_up=not self._is_behind):
            packet = self._sender.due(now, is_caught_up=not self._is_behind)
            if packet is not None:
                self._send(packet, now)
        elif self._pending_unicasts:
            self._send_unicasts()
        self._report(now)
        self._due_by = self._deadline()

    def seconds_left(self) -> float:
        """How long `turn` may wait; infinite when heartbeats are off."""
        if not self._is_on:
            return float("inf")
        if self._pending_unicasts or self._is_behind or (self._sender.receiver.news and not self._is_crowded()):
            return 0.0
        return max(0.0, self._deadline() - _boottime())

    def _deadline(self) -> float:
        deadline = min(self._sender.deadline(), self._refresh_due)
        return min(deadline, self._batch_due) if self._is_batching else deadline

    def _catch_up(self, now: float) -> None:
        """Take in what waits, a few each turn: when a batch is due, and before anybody is taken for lost."""
        batch_due = (
            min(self._batch_due, self._sender.deadline()) if self._is_batching else self._sender.receiver.deadline()
        )
        if self._is_behind or now >= batch_due:
            self._take_in_some(now)
            self._batch_due = now + BATCH_SECONDS

    def _take_in_some(self, now: float) -> None:
        left = PACKETS_PER_TURN
        while left and (ready := self._epoll.poll(0)):
            for fd, _ in ready:
                left -= self._take_in(fd, left, now)
        self._is_behind = not left

    def _take_in(self, fd: int, most: int, now: float) -> int:
        """Returns how many packets there were."""
        source, via = self._sockets[fd]
        for number in range(most):
            try:
                packet = source.recv(MAX_PACKET_BYTES + 1)
            except OSError:  # BlockingIOError mostly; also what ICMP says of a packet we sent
                return number
            dropped = self._sender.receive(packet, via, now)
            self._totals[dropped.value if dropped else _RECEIVED] += 1
        return most

    def _choose_batching(self, now: float) -> None:
        receiver = self._sender.receiver
        rate = len(receiver.members) / self._sender.interval_seconds
        is_batching = rate >= BATCH_FROM_PACKETS_PER_SECOND and not receiver.is_searching(now)
        if is_batching != self._is_batching:
            self._is_batching = is_batching
            self._outer.modify(self.fd, 0 if is_batching else select.EPOLLIN)

    def totals(self) -> dict[str, int]:
        """Packets by what became of them, since the process started."""
        return self._totals

    def close(self) -> None:
        self._listen(0)
        self._outer.unregister(self.fd)
        self._epoll.close()

    def _notice_stall(self, now: float) -> None:
        """After a pause nobody is dead who could not be heard, and nobody alive because of what he sent long ago."""
        if now - self._due_by < STALL_SECONDS:
            return
        self._due_by = now
        for source, _ in self._sockets.values():
            with contextlib.suppress(OSError):
                for _ in range(PACKETS_HELD):
                    source.recv(1)
                    self._totals[_DISCARDED] += 1
        self._sender.resume(now)

    # --- sending

    def _send(self, packet: bytes, now: float) -> None:
        for segment in self._segments.values():
            self._count(segment.send(packet))
        self._choose_batching(now)
        self._unicast_packet = packet
        self._pending_unicasts |= {member.node: member.addresses[0] for member in self._sender.unicast(now)}
        self._send_unicasts()

    def _send_unicasts(self) -> None:
        for node in list(self._pending_unicasts)[:UNICASTS_PER_TURN]:
            address = self._pending_unicasts.pop(node)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                self._unicast_sockets[family].sendto(self._unicast_packet, (address, self._port))
            except (OSError, KeyError):
                self._count(False)
            else:
                self._count(True)

    def _count(self, was_sent: bool) -> None:
        self._totals[_SENT if was_sent else _FAILED] += 1

    # --- reports

    def _report(self, now: float) -> None:
        if self._is_crowded():
            self._refresh_due = max(self._refresh_due, now + CROWDED_SECONDS)
        elif self._sender.receiver.news:
            self._report_news()
        elif now >= self._refresh_due:
            self._refresh(now)

    def _report_news(self) -> None:
        """A part of what changed: the rest has its turn."""
        news = self._sender.receiver.news
        nodes = list(news)[:REPORTED_MEMBERS]
        for node in nodes:
            del news[node]
        if nodes:
            members = self._sender.receiver.members
            self._tell(MemberChanges({node: members[node].view() if node in members else None for node in nodes}))

    def _refresh(self, now: float) -> None:
        """The ages of everybody every two seconds, in parts."""
        members = self._sender.receiver.members
        if not self._to_refresh:
            self._to_refresh = list(members)
        nodes, self._to_refresh = self._to_refresh[:REPORTED_AGES], self._to_refresh[REPORTED_AGES:]
        self._refresh_due = now + REPORT_SECONDS * REPORTED_AGES / max(len(members), REPORTED_AGES)
        known = [members[node] for node in nodes if node in members]
        ages = {member.node: (member.contact, member.heard_at) for member in known if member.heard_since is not None}
        if ages:
            self._tell(AgeChanges(ages))

    # --- sockets

    def _listen(self, port: int) -> None:
        if port == self._port:
            return
        for segment in self._segments.values():
            self._forget(segment.sockets)
        self._forget(self._unicast_sockets.values())
        self._segments, self._unicast_sockets, self._pending_unicasts = {}, {}, {}
        self._port = port
        if port:
            for family in (socket.AF_INET, socket.AF_INET6):
                with contextlib.suppress(OSError):  # a node without IPv6
                    self._unicast_sockets[family] = self._watched(unicast_socket(family, port), UNICAST)
            self._fit()

    def _fit(self) -> None:
        """Open and close what the interfaces need."""
        for name, segment in list(self._segments.items()):
            if self._wanted.get(name) != segment.ifindex:
                self._forget(segment.sockets)
                del self._segments[name]
        for name, ifindex in self._wanted.items():
            if self._port and name not in self._segments:
                segment = self._segments[name] = SegmentSockets(name, ifindex, self._port)
                for source in segment.sockets:
                    self._watched(source, name)

    def _watched(self, source: socket.socket, via: str) -> socket.socket:
        self._sockets[source.fileno()] = (source, via)
        self._epoll.register(source.fileno(), select.EPOLLIN)
        return source

    def _forget(self, sources: Iterable[socket.socket]) -> None:
        for source in sources:
            del self._sockets[source.fileno()]
            self._epoll.unregister(source.fileno())
            source.close()


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
