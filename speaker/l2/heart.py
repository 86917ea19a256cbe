"""The sockets of the heartbeats, and their share of the wire process's loop: gives pulse.py packets and sends its own.

One UDP socket per interface and family hears the group on that very segment; another hears what is sent to the node's
address. It decides nothing: who is heard is the roster's business, what that means the agent's.

    agent --heartbeat, say--> pulse --> multicast on each interface, unicast to those not heard so
    agent <--peers, counters-- roster <-- a few packets a turn, so that ARP replies go between
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from speaker.l2.heartbeat import MAX_PACKET_BYTES, Dropped
from speaker.l2.pulse import Pulse, Settings, Word
from speaker.l2.roster import UNICAST

# RFC 4727 §2.4.2 and §3.3: for experiments, so nobody else's by assignment. Routers forward neither (link-local).
GROUP_IPV4 = "224.0.0.254"
GROUP_IPV6 = "ff02::114"
HOPS = 1
# RFC 4594 §3.1: network control, so that a full link drops other packets first.
DSCP_CS6, PRIORITY_CONTROL = 0xC0, 6

# linux/in.h, linux/in6.h, linux/sockios.h: not in Python's socket module.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_SIOCGIFADDR = 0x8915

# A packet costs about 30 µs, most of it HMAC and parsing: four of them delay an ARP reply by little more than 0.1 ms.
PACKETS_PER_TURN = 4
UNICASTS_PER_TURN = 8
# What a socket holds at most, by default (net.core.rmem_default is 212,992 bytes): no drain goes on for ever.
PACKETS_HELD = 1024
# This late, the process was stopped or starved: what waits in the sockets is the past speaking.
STALL_SECONDS = 0.25
REPORT_SECONDS = 1.0
# Of one message: below 32 KB however long the names are.
REPORTED_PEERS = 16
GOODBYES = 2  # a lost one would cost the peers the dead time

_SENT, _FAILED, _RECEIVED, _DISCARDED = "sent", "failed", "received", "discarded"


class Heart:
    """Registers its sockets with the epoll. `tell` takes a message for the agent; `is_crowded` whether it is behind."""

    def __init__(
        self, epoll: select.epoll, tell: Callable[[dict[str, Any]], None], is_crowded: Callable[[], bool]
    ) -> None:
        self.fds: dict[int, tuple[socket.socket, str]] = {}
        """By descriptor: the socket, and the interface whose segment it hears."""
        self._epoll = epoll
        self._tell = tell
        self._is_crowded = is_crowded
        self._pulse = Pulse()
        self._port = 0
        self._is_on = False
        self._parts: dict[str, list[str]] = {}
        self._segments: dict[str, _Segment] = {}
        self._wanted: dict[str, int] = {}
        self._unicast: dict[int, socket.socket] = {}  # by family
        self._letters: dict[str, str] = {}  # node -> address: who is yet to get the latest packet
        self._letter = b""
        self._permit_until = 0.0
        self._due_by = float("inf")
        self._refresh_due = 0.0
        self._to_refresh: list[str] = []
        kinds = (_SENT, _FAILED, _RECEIVED, _DISCARDED, *(kind.value for kind in Dropped))
        self._totals = dict.fromkeys(kinds, 0)

    # --- orders

    def configure(self, order: Mapping[str, Any]) -> str:
        """Take in one part of the configuration; the last one puts it in force. Returns what is wrong, or ""."""
        if order["part"] == 0:
            self._parts = {}
        self._parts.update(order["peers"])
        if order["part"] + 1 < order["parts"]:
            return ""
        peers, self._parts = self._parts, {}
        keys = tuple(bytes.fromhex(key) for key in order["keys"])
        try:
            self._pulse.configure(
                Settings(order["node"], order["incarnation"], keys, order["interval"]), peers, _boottime()
            )
        except ValueError as error:
            return str(error)
        self._is_on = bool(keys)
        self._listen(order["port"] if keys else 0)
        if self._is_on:
            self._tell({"op": "peers", "peers": {}})  # that nobody is heard is news too, the first time
        else:
            self._report_news()
        return ""

    def say(self, order: Mapping[str, Any]) -> None:
        word = Word(order["contact"], order["serving"], order["member"], order["behind"], order["leaving"])
        self._pulse.say(word, _boottime())

    def use(self, interfaces: Mapping[str, int]) -> None:
        """Be heard on these interfaces, by name and index, and no others."""
        if interfaces != self._wanted:
            self._wanted = dict(interfaces)
            self._pulse.use(tuple(interfaces), _boottime())
            self._fit()

    def leave(self) -> None:
        """Say that this node announces nothing any more. Safe to repeat."""
        for _ in range(GOODBYES):
            now = _boottime()
            packet = self._pulse.goodbye(now)
            if packet is not None:
                self._send(packet, now)
                while self._letters:
                    self._send_letters()
        self._pulse.hush()

    # --- the loop

    def on_readable(self, fd: int) -> None:
        """Take in a few packets."""
        now = _boottime()
        self._notice_stall(now)
        source, via = self.fds[fd]
        with contextlib.suppress(OSError):  # BlockingIOError mostly; also what ICMP says of a packet we sent
            for _ in range(PACKETS_PER_TURN):
                dropped = self._pulse.receive(source.recv(MAX_PACKET_BYTES + 1), via, now)
                self._totals[dropped.value if dropped else _RECEIVED] += 1

    def turn(self, permit_until: float) -> None:
        """Whatever is due. Costs next to nothing when nothing is."""
        if not self._is_on:
            return
        now = _boottime()
        self._notice_stall(now)
        if permit_until != self._permit_until:
            self._permit_until = permit_until
            self._pulse.permit(permit_until, now)
        if now >= self._pulse.deadline():
            packet = self._pulse.due(now)
            if packet is not None:
                self._send(packet, now)
        elif self._letters:
            self._send_letters()
        if not self._is_crowded():
            self._report(now)
        self._due_by = min(self._pulse.deadline(), self._refresh_due)

    def seconds_left(self) -> float:
        """How long `turn` may wait; infinite when heartbeats are off."""
        if not self._is_on:
            return float("inf")
        if self._letters or (self._pulse.roster.news and not self._is_crowded()):
            return 0.0
        return max(0.0, min(self._pulse.deadline(), self._refresh_due) - _boottime())

    def totals(self) -> dict[str, int]:
        """Packets by what became of them, since the process started."""
        return self._totals

    def close(self) -> None:
        self._listen(0)

    def _notice_stall(self, now: float) -> None:
        """After a pause nobody is dead who could not be heard, and nobody alive because of what he sent long ago."""
        if now - self._due_by < STALL_SECONDS:
            return
        self._due_by = now
        for source, _ in self.fds.values():
            with contextlib.suppress(OSError):
                for _ in range(PACKETS_HELD):
                    source.recv(1)
                    self._totals[_DISCARDED] += 1
        self._pulse.resume(now)

    # --- sending

    def _send(self, packet: bytes, now: float) -> None:
        for segment in self._segments.values():
            self._count(segment.send(packet))
        self._letter = packet
        self._letters |= {peer.node: peer.addresses[0] for peer in self._pulse.unicast(now)}
        self._send_letters()

    def _send_letters(self) -> None:
        for node in list(self._letters)[:UNICASTS_PER_TURN]:
            address = self._letters.pop(node)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                self._unicast[family].sendto(self._letter, (address, self._port))
            except (OSError, KeyError):
                self._count(False)
            else:
                self._count(True)

    def _count(self, was_sent: bool) -> None:
        self._totals[_SENT if was_sent else _FAILED] += 1

    # --- reports

    def _report(self, now: float) -> None:
        if self._pulse.roster.news:
            self._report_news()
        elif now >= self._refresh_due:
            self._refresh(now)

    def _report_news(self) -> None:
        """A part of what changed: the rest has its turn."""
        news = self._pulse.roster.news
        nodes = list(news)[:REPORTED_PEERS]
        for node in nodes:
            del news[node]
        if nodes:
            self._tell_of(nodes)

    def _refresh(self, now: float) -> None:
        """Everybody once a second, in parts, for the ages."""
        if not self._to_refresh:
            self._to_refresh = [peer.node for peer in self._pulse.roster.peers.values() if peer.heard_since is not None]
        nodes, self._to_refresh = self._to_refresh[:REPORTED_PEERS], self._to_refresh[REPORTED_PEERS:]
        heard = max(len(self._pulse.roster.peers), REPORTED_PEERS)
        self._refresh_due = now + REPORT_SECONDS * REPORTED_PEERS / heard
        if nodes:
            self._tell_of(nodes)

    def _tell_of(self, nodes: Iterable[str]) -> None:
        peers = self._pulse.roster.peers
        views = {node: peers[node].view() if node in peers else None for node in nodes}
        self._tell({"op": "peers", "peers": {node: view and view._asdict() for node, view in views.items()}})

    # --- sockets

    def _listen(self, port: int) -> None:
        if port == self._port:
            return
        for segment in self._segments.values():
            self._forget(segment.sockets)
        self._forget(self._unicast.values())
        self._segments, self._unicast, self._letters = {}, {}, {}
        self._port = port
        if port:
            for family in (socket.AF_INET, socket.AF_INET6):
                with contextlib.suppress(OSError):  # a node without IPv6
                    self._unicast[family] = self._watched(_unicast_socket(family, port), UNICAST)
            self._fit()

    def _fit(self) -> None:
        """Open and close what the interfaces need."""
        for name, segment in list(self._segments.items()):
            if self._wanted.get(name) != segment.ifindex:
                self._forget(segment.sockets)
                del self._segments[name]
        for name, ifindex in self._wanted.items():
            if self._port and name not in self._segments:
                segment = self._segments[name] = _Segment(name, ifindex, self._port)
                for source in segment.sockets:
                    self._watched(source, name)

    def _watched(self, source: socket.socket, via: str) -> socket.socket:
        self.fds[source.fileno()] = (source, via)
        self._epoll.register(source.fileno(), select.EPOLLIN)
        return source

    def _forget(self, sources: Iterable[socket.socket]) -> None:
        for source in sources:
            del self.fds[source.fileno()]
            self._epoll.unregister(source.fileno())
            source.close()


class _Segment:
    """The group on one interface: heard by both families, sent by IPv4 where there is an address, else by IPv6."""

    def __init__(self, name: str, ifindex: int, port: int) -> None:
        self.ifindex = ifindex
        self._request = struct.pack("16s16x", name.encode())  # struct ifreq
        self._ipv4 = self._ipv6 = None
        with contextlib.suppress(OSError):
            self._ipv4 = _group_socket_ipv4(name, ifindex, port)
        with contextlib.suppress(OSError):
            self._ipv6 = _group_socket_ipv6(name, ifindex, port)
        self._to_ipv4, self._to_ipv6 = (GROUP_IPV4, port), (GROUP_IPV6, port, 0, ifindex)

    @property
    def sockets(self) -> list[socket.socket]:
        return [each for each in (self._ipv4, self._ipv6) if each is not None]

    def send(self, packet: bytes) -> bool:
        """Whether the kernel took it."""
        try:
            if self._ipv4 is not None and self._has_ipv4(self._ipv4):
                self._ipv4.sendto(packet, self._to_ipv4)
            elif self._ipv6 is not None:
                self._ipv6.sendto(packet, self._to_ipv6)
            else:
                return False
        except OSError:
            return False
        return True

    def _has_ipv4(self, any_socket: socket.socket) -> bool:
        try:
            fcntl.ioctl(any_socket, _SIOCGIFADDR, self._request)
        except OSError:
            return False
        return True


def _group_socket_ipv4(name: str, ifindex: int, port: int) -> socket.socket:
    made = _udp_socket(socket.AF_INET)
    with _closed_on_failure(made):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        made.bind((GROUP_IPV4, port))
        member = struct.pack("4s4si", socket.inet_aton(GROUP_IPV4), bytes(4), ifindex)  # struct ip_mreqn
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, member)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOPS)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    return made


def _group_socket_ipv6(name: str, ifindex: int, port: int) -> socket.socket:
    made = _udp_socket(socket.AF_INET6)
    with _closed_on_failure(made):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        made.bind((GROUP_IPV6, port, 0, ifindex))
        member = struct.pack("16si", socket.inet_pton(socket.AF_INET6, GROUP_IPV6), ifindex)  # struct ipv6_mreq
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, ifindex)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOPS)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    return made


def _unicast_socket(family: int, port: int) -> socket.socket:
    """Hears what is sent to any address of this node, and no group."""
    made = _udp_socket(family)
    with _closed_on_failure(made):
        made.bind(("", port))
    return made


def _udp_socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with _closed_on_failure(made):
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY_CONTROL)
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_CS6)
            made.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_CS6)
            with contextlib.suppress(OSError):  # Linux 4.20
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
    return made


@contextlib.contextmanager
def _closed_on_failure(made: socket.socket) -> Any:
    try:
        yield
    except OSError:
        made.close()
        raise


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
