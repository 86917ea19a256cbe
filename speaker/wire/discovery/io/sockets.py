"""ICMPv6 sockets for router discovery: one for each link, which hears and sends nothing on another one.

Decides nothing. The kernel has its own view of what comes: it takes part in nothing here.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct

from speaker.wire.discovery.packets import ADVERTISEMENT, HOP_LIMIT, SOLICITATION

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
# Packets that are longer are cut: what is cut off are options, which are not looked at, but then have no end.
MAX_PACKET_BYTES = 1500
_ANCILLARY_BYTES = 64

_ICMPV6_FILTER = 1  # linux/icmpv6.h: in its set of 256 bits, 1 = not let in
_SIOCGIFHWADDR = 0x8927  # linux/sockios.h
_INT, _GROUP, _REQUEST = struct.Struct("i"), struct.Struct("16sI"), struct.Struct("16sH6s8x")
_ETHERNET = 1  # ARPHRD_ETHER


class LinkSocket:
    """Raises OSError when it can't be made: the interface is not there, or has no IPv6."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._index = socket.if_nametoindex(name)
        made = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
        try:
            made.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, _let_in(SOLICITATION, ADVERTISEMENT))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index)
            group = _GROUP.pack(socket.inet_pton(socket.AF_INET6, ALL_ROUTERS), self._index)
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        except BaseException:
            made.close()
            raise
        self._socket = made

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def receive(self) -> tuple[bytes, bytes, int]:
        """A packet, its source address, and its hop limit (-1: unknown). Raises BlockingIOError when there is none."""
        packet, ancillary, _, address = self._socket.recvmsg(MAX_PACKET_BYTES, _ANCILLARY_BYTES)
        hop_limit = -1
        for level, name, content in ancillary:
            if (level, name) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                (hop_limit,) = _INT.unpack(content)
        return packet, socket.inet_pton(socket.AF_INET6, address[0].partition("%")[0]), hop_limit

    def send(self, packet: bytes, to: str) -> None:
        """Raises OSError when the kernel does not take it: no link-local address, no carrier, no interface."""
        self._socket.sendto(packet, (to, 0, 0, self._index))

    def mac(self) -> bytes:
        """As it is now; empty where the link is no Ethernet."""
        with contextlib.suppress(OSError):
            answer = fcntl.ioctl(self._socket, _SIOCGIFHWADDR, _REQUEST.pack(self._name.encode(), 0, b""))
            _, kind, address = _REQUEST.unpack(answer)
            return bytes(address) if kind == _ETHERNET else b""
        return b""

    def is_stale(self) -> bool:
        """Whether the interface is gone, or another one has its name."""
        try:
            return socket.if_nametoindex(self._name) != self._index
        except OSError:
            return True

    def close(self) -> None:
        self._socket.close()


def _let_in(*kinds: int) -> bytes:
    kept_out = (1 << 256) - 1
    for kind in kinds:
        kept_out &= ~(1 << kind)
    words = [kept_out >> at & 0xFFFF_FFFF for at in range(0, 256, 32)]
    return struct.pack("8I", *words)
