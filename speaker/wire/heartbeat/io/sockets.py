"""The UDP sockets of the heartbeats: how they are opened, bound and sent on. None of them ever blocks.

One per interface and family hears the group on that very segment; one per family hears what is sent to the node.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterator

# RFC 4727 §2.4.2 and §3.3: for experiments, so nobody else's by assignment. Routers forward neither (link-local).
GROUP_IPV4 = "224.0.0.254"
GROUP_IPV6 = "ff02::114"
HOPS = 1
# RFC 4594 §3.1: network control, so that a full link drops other packets first.
DSCP_CS6, PRIORITY_CONTROL = 0xC0, 6

# linux/in.h, linux/in6.h, linux/sockios.h: not in Python's socket module.
_IP_MULTICAST_ALL, _IPV6_MULTICAST_ALL = 49, 29
_SIOCGIFADDR = 0x8915


class SegmentSockets:
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
