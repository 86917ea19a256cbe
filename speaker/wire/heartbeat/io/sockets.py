"""The UDP sockets of the heartbeats: how they are opened, bound, read and sent on. None of them ever blocks.

One per interface and family hears the group on that very segment; one per family hears what is sent to the node.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import select
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping

from speaker.wire.heartbeat.receiver import UNICAST

# RFC 4727 §2.4.2 and §3.3: for experiments, so nobody else's by assignment. Routers forward neither (link-local).
GROUP_IPV4 = "224.0.0.254"
GROUP_IPV6 = "ff02::114"
HOPS = 1
# RFC 4594 §3.1: network control, so that a full link drops other packets first.
DSCP_CS6, PRIORITY_CONTROL = 0xC0, 6

HELD_BYTES = 212_992
"""What is asked for, for packets that wait: the kernel gives the double of it, and no more than the double of
net.core.rmem_max, which has this value where nobody set it (socket(7)). A packet of 1200 bytes counts as 2.5 KB."""

# linux/in.h, linux/in6.h, linux/sockios.h: not in Python's socket module.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_SIOCGIFADDR = 0x8915


class Sockets:
    """All of them, on one port. `fd` is readable when one of them has something to read."""

    def __init__(self) -> None:
        # An epoll inside that of the process: it tells which of them have something, with one system call.
        self._epoll = select.epoll()
        self.fd = self._epoll.fileno()
        self._port = 0
        self._wanted: Mapping[str, int] = {}
        self._segments: dict[str, SegmentSockets] = {}
        self._unicast: dict[int, socket.socket] = {}  # by family
        self._taken: set[int] = set()  # families whose port another program has
        self._sources: dict[int, tuple[socket.socket, str]] = {}

    def listen(self, port: int) -> bool:
        """Use this port; 0 = none. Whether that is another one than before."""
        if port == self._port:
            return False
        for segment in self._segments.values():
            self._forget(segment.sockets)
        self._forget(self._unicast.values())
        self._segments, self._unicast = {}, {}
        self._port = port
        self._open_unicast()
        self._fit()
        return True

    @property
    def is_taken(self) -> bool:
        """Whether another program on this node has the port, for one of the sockets at least."""
        return bool(self._taken) or any(segment.is_taken for segment in self._segments.values())

    def retry(self) -> None:
        """Open what another program has kept from us, where it lets us now."""
        self._open_unicast()
        for name, segment in list(self._segments.items()):
            if segment.is_taken:
                self._forget(segment.sockets)
                del self._segments[name]
        self._fit()

    def use(self, interfaces: Mapping[str, int]) -> None:
        """Send and hear on these interfaces, by name and index, and no others."""
        self._wanted = dict(interfaces)
        self._fit()

    def multicast(self, packet: bytes) -> list[bool]:
        """Send it on each interface. Of each, whether the kernel took it."""
        return [segment.send(packet) for segment in self._segments.values()]

    def unicast(self, packet: bytes, address: str) -> bool:
        """Send it to that address. Whether the kernel took it."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._unicast[family].sendto(packet, (address, self._port))
        except (OSError, KeyError):
            return False
        return True

    def ready(self) -> list[tuple[socket.socket, str]]:
        """Those that have something to read, and the interface whose segment each hears (UNICAST: none)."""
        return [self._sources[fd] for fd, _ in self._epoll.poll(0)]

    def discard(self, most: int) -> int:
        """Throw away the packets that wait, at most `most` of each socket. Returns how many there were."""
        count = 0
        for source, _ in self._sources.values():
            with contextlib.suppress(OSError):
                for _ in range(most):
                    source.recv(1)
                    count += 1
        return count

    def close(self) -> None:
        self.listen(0)
        self._epoll.close()

    def _open_unicast(self) -> None:
        self._taken = set()
        missing = {socket.AF_INET, socket.AF_INET6} - self._unicast.keys() if self._port else ()
        for family in missing:
            try:
                self._unicast[family] = self._watched(unicast_socket(family, self._port), UNICAST)
            except OSError as error:  # others than this one: a node without IPv6
                if error.errno == errno.EADDRINUSE:
                    self._taken.add(family)

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
        self._sources[source.fileno()] = (source, via)
        self._epoll.register(source.fileno(), select.EPOLLIN)
        return source

    def _forget(self, sources: Iterable[socket.socket]) -> None:
        for source in sources:
            del self._sources[source.fileno()]
            self._epoll.unregister(source.fileno())
            source.close()


class SegmentSockets:
    """The group on one interface: heard by both families, sent by IPv4 where there is an address, else by IPv6."""

    def __init__(self, name: str, ifindex: int, port: int) -> None:
        self.ifindex = ifindex
        self._request = struct.pack("16s16x", name.encode())  # struct ifreq
        self.is_taken = False
        """Whether another program has the port."""
        self._ipv4 = self._opened(_group_socket_ipv4, name, port)
        self._ipv6 = self._opened(_group_socket_ipv6, name, port)
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

    def _opened(self, opening: Callable[[str, int, int], socket.socket], name: str, port: int) -> socket.socket | None:
        try:
            return opening(name, self.ifindex, port)
        except OSError as error:
            self.is_taken |= error.errno == errno.EADDRINUSE
            return None

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


def unicast_socket(family: int, port: int) -> socket.socket:
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
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, HELD_BYTES)
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
def _closed_on_failure(made: socket.socket) -> Iterator[None]:
    try:
        yield
    except OSError:
        made.close()
        raise
