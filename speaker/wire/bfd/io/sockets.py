"""UDP sockets for BFD (RFC 5881 §4 and §5, RFC 5883 §4 and §5): how they are made, and how a packet came.

Decides nothing. A receiver hears all sessions of its kind and family; each session has a sender with a source port of
its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from speaker.wire.bfd.registry import Arrival, Path

SINGLE_HOP_PORT, MULTIHOP_PORT = 3784, 4784
SOURCE_PORTS = range(49152, 65536)
TTL = 255
# RFC 4594 §3.1: network control, so that a full link drops other packets first.
DSCP_CS6, PRIORITY_CONTROL = 0xC0, 6
BIND_ATTEMPTS = 32
# Packets are shorter: a longer one is cut, and its length field then says more than there is.
MAX_DATAGRAM_BYTES = 256
_ANCILLARY_BYTES = 128

_IP_TTL, _IP_PKTINFO, _IP_RECVTTL = 2, 8, 12  # linux/in.h: not in Python's socket module
_PKTINFO_IPV4 = struct.Struct("i4x4s")  # struct in_pktinfo
_PKTINFO_IPV6 = struct.Struct("16si")  # struct in6_pktinfo
_INT = struct.Struct("i")
_TTLS = {(socket.IPPROTO_IP, _IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)}


class Kind(NamedTuple):
    """What one receiver hears. `vrf`: the VRF device, "" = none."""

    family: int
    is_multihop: bool
    vrf: str

    @property
    def port(self) -> int:
        return MULTIHOP_PORT if self.is_multihop else SINGLE_HOP_PORT


def kind_of(path: Path) -> Kind:
    return Kind(socket.AF_INET if len(path.peer) == 4 else socket.AF_INET6, path.is_multihop, path.vrf)


def packed(address: str) -> bytes:
    """As bytes. Raises OSError when it is not an address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def receiver(kind: Kind) -> socket.socket:
    """Raises OSError, such as when another BFD daemon has the port: the port is not shared, or one would hear nothing.

    It belongs to the wildcard address, so addresses may come and go.
    """
    with _udp_socket(kind.family, kind.vrf) as made:
        if kind.family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
            made.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        made.bind(("", kind.port))
    return made


def receive(source: socket.socket, kind: Kind) -> tuple[bytes, Arrival]:
    """The next packet and how it came. Raises BlockingIOError when there is none."""
    datagram, ancillary, _, address = source.recvmsg(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
    ttl, ifindex, destination = -1, 0, b""
    for level, name, content in ancillary:
        if (level, name) in _TTLS:
            (ttl,) = _INT.unpack(content)
        elif (level, name) == (socket.IPPROTO_IP, _IP_PKTINFO):
            ifindex, destination = _PKTINFO_IPV4.unpack(content)
        elif (level, name) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            destination, ifindex = _PKTINFO_IPV6.unpack(content)
    sender = packed(address[0].partition("%")[0])
    return datagram, Arrival(kind.is_multihop, sender, destination, ifindex, kind.vrf, ttl)


class Sender:
    """Sends one session's packets, from one port (RFC 5881 §4), with TTL 255. Raises OSError when it can't be made."""

    def __init__(self, path: Path) -> None:
        kind = kind_of(path)
        self._interface = path.interface
        self._ifindex = scope = socket.if_nametoindex(path.interface) if path.interface else 0
        with _udp_socket(kind.family, path.interface or path.vrf) as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # what comes here is read by nobody
            _bind_somewhere(made, kind.family, path.local, scope)
        self._socket = made
        text = socket.inet_ntop(kind.family, path.peer)
        self._to = (text, kind.port) if kind.family == socket.AF_INET else (text, kind.port, 0, scope)

    def send(self, packet: bytes) -> bool:
        """Whether the kernel took it."""
        try:
            self._socket.sendto(packet, self._to)
        except OSError:
            return False
        return True

    def is_stale(self) -> bool:
        """Whether the interface that it sends on is gone, or another one now."""
        try:
            return bool(self._interface) and socket.if_nametoindex(self._interface) != self._ifindex
        except OSError:
            return True

    def close(self) -> None:
        self._socket.close()


def _bind_somewhere(made: socket.socket, family: int, local: bytes, scope: int) -> None:
    """To a random port: a known one would help who guesses (RFC 6056)."""
    host = socket.inet_ntop(family, local) if local else ""
    is_link_local = family == socket.AF_INET6 and local[:2] == b"\xfe\x80"
    for attempt in range(BIND_ATTEMPTS):
        port = SOURCE_PORTS[int.from_bytes(os.urandom(2), "big") % len(SOURCE_PORTS)]
        try:
            made.bind((host, port, 0, scope) if is_link_local else (host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or attempt + 1 == BIND_ATTEMPTS:
                raise
        else:
            return


@contextlib.contextmanager
def _udp_socket(family: int, device: str) -> Iterator[socket.socket]:
    """Not blocking, with the settings of all of them; closed when what is done with it fails."""
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PRIORITY, PRIORITY_CONTROL)
        if device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if family == socket.AF_INET:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_CS6)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_CS6)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL)
        yield made
    except BaseException:
        made.close()
        raise
