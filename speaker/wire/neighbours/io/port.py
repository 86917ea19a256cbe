"""One raw socket on a network interface, for ARP, NDP or echo requests: its filter and its counters.

It decides neither what is answered (arpresponder.py, ndpresponder.py, echo.py) nor when (part.py).
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from collections.abc import Callable

from speaker.wire.neighbours.table import Interface

# linux/asm-generic/socket.h, linux/if_packet.h, linux/sockios.h: not in Python's socket module.
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_SIOCOUTQ = 0x5411

# The kernel doubles it. An ARP frame is charged 768 bytes to 2.3 KB (by driver), so 20,000 in a row fit with most
# drivers. Past net.core.rmem_max it needs CAP_NET_ADMIN; without that we have what the machine allows.
RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024

# What the kernel charges the socket for a frame that it holds is no less: its struct sk_buff and skb_shared_info alone
# are larger on 64-bit machines.
LEAST_CHARGE_BYTES = 512


class Counters:
    """Totals of one interface name and protocol; bumped on the hot path."""

    __slots__ = ("conflicts", "dropped", "failed", "gratuitous", "ignored", "probes", "received", "replies", "silenced")

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    conflicts: int
    dropped: int
    failed: int
    gratuitous: int
    ignored: int
    probes: int
    received: int
    replies: int
    silenced: int

    def totals(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class Port:
    """An open raw socket that gets the frames of one interface and EtherType which pass the filter. It never blocks."""

    __slots__ = ("_socket", "counters", "fd", "ifindex", "interface", "protocol", "receive_into", "send")

    def __init__(
        self,
        ifindex: int,
        interface: Interface,
        protocol: int,
        program: bytes,
        counters: Counters,
        buffer_bytes: int = RECEIVE_BUFFER_BYTES,
    ) -> None:
        """Raises OSError: no right to, or the interface is gone or was renamed meanwhile."""
        self.ifindex = ifindex
        self.interface = interface
        self.protocol = protocol
        self.counters = counters
        # Protocol 0 receives nothing: no frame can be queued before the filter stands and the socket is bound.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            self.filter(program)
            self._size_receive_buffer(buffer_bytes)
            self._socket.bind((interface.name, protocol))
            if self._socket.getsockname()[4] != interface.mac:
                raise OSError(f"{interface.name} is another interface now, or has another MAC")
        except OSError:
            self._socket.close()
            raise
        self.fd = self._socket.fileno()
        self.receive_into: Callable[[bytearray], int] = self._socket.recv_into
        self.send: Callable[[bytes], int] = self._socket.send

    def filter(self, program: bytes) -> None:
        """Replace the filter. Frames already queued passed the one before."""
        attach_filter(self._socket, program)

    def is_sent(self, frame: bytes) -> bool:
        """Send it; False, counted as failed, when the kernel refused."""
        try:
            self.send(frame)
        except OSError:
            self.counters.failed += 1
            return False
        return True

    @property
    def sent(self) -> int:
        """How many frames were sent so far. Only differences mean something."""
        return self.counters.replies + self.counters.gratuitous + self.counters.probes

    def has_sent_out(self, mark: int) -> bool:
        """Whether the driver has let go of all frames that were sent when `sent` was `mark`.

        What the kernel still holds is no more than what was sent since then: queues are first in, first out.
        """
        (held_bytes,) = struct.unpack("i", fcntl.ioctl(self._socket, _SIOCOUTQ, bytes(4)))
        return bool(held_bytes <= (self.sent - mark) * LEAST_CHARGE_BYTES)

    def count_drops(self) -> None:
        """Add what the kernel dropped for want of buffer since the last call."""
        self.counters.dropped += struct.unpack("II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]

    def close(self) -> None:
        self._socket.close()

    def _size_receive_buffer(self, size: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def attach_filter(to: socket.socket, program: bytes) -> None:
    """Let through only what passes this program (an array of `struct sock_filter`), from now on."""
    code = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("HP", len(program) // 8, ctypes.addressof(code))  # struct sock_fprog
    to.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
