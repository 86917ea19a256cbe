"""Joins and leaves multicast groups, on a thread of its own: the kernel makes the caller wait for its lock (RTNL).

That lock is held for milliseconds and longer while containers come and go on a node, and no reply may wait for it. The
thread owns its sockets, and spends its time in system calls, outside the interpreter's lock.

A group is joined in two ways. By its Ethernet address, so that the network card lets its frames in; that works
whatever IPv6 is set to on the interface. And as an IPv6 group, so that the kernel reports it by MLD (RFC 3810), because
switches that snoop on MLD (RFC 4541) deliver a group's frames to those only that reported it; that needs IPv6 on the
interface, and where there is none we do without.
"""

from __future__ import annotations

import _thread
import contextlib
import socket
import struct
from _queue import SimpleQueue  # `queue` would load threading: 0.3 MB

from speaker.wire.neighbours.groups import Change, How

# linux/if_packet.h, not in Python's socket module.
_SOL_PACKET = 263
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP = 1, 2
_MULTICAST, _ALL_MULTICAST = 0, 2  # PACKET_MR_*
_PACKET_MREQ = struct.Struct("iHH8s")
_IPV6_MREQ = struct.Struct("16sI")

# A socket's memberships may take net.core.optmem_max bytes, 20 KB on older kernels and some 70 bytes each.
GROUPS_PER_SOCKET = 128


class Memberships:
    """Takes orders from the wire's loop, and never makes it wait."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[list[Change] | None] = SimpleQueue()
        self._has_begun = False

    def carry_out(self, changes: list[Change]) -> None:
        """Soon, in order. The thread begins with the first change: a node without IPv6 addresses has none."""
        if not changes:
            return
        if not self._has_begun:
            self._has_begun = True
            _thread.start_new_thread(_Joiner(self._orders).run, ())
        self._orders.put(changes)

    def close(self) -> None:
        """Leave all groups; the thread ends."""
        self._orders.put(None)


class _Joiner:
    """The thread's own: the sockets that hold the memberships."""

    def __init__(self, orders: SimpleQueue[list[Change] | None]) -> None:
        self._orders = orders
        self._packets: socket.socket | None = None
        self._sockets: list[_Holder] = []
        self._by_group: dict[tuple[int, bytes], _Holder] = {}

    def run(self) -> None:
        with contextlib.suppress(OSError):
            self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0 receives nothing
        while (changes := self._orders.get()) is not None:
            for change in changes:
                if change.how is How.MLD:
                    self._report(change)
                else:
                    self._hear(change)
        for one in self._sockets:
            one.socket.close()
        if self._packets is not None:
            self._packets.close()

    def _hear(self, change: Change) -> None:
        """A failure is ignored: the interface is gone, and its memberships with it."""
        if self._packets is None:
            return
        mac = b"\x33\x33" + change.group[12:] if change.how is How.MAC else b""
        kind = _MULTICAST if change.how is How.MAC else _ALL_MULTICAST
        option = _ADD_MEMBERSHIP if change.is_join else _DROP_MEMBERSHIP
        with contextlib.suppress(OSError):
            self._packets.setsockopt(_SOL_PACKET, option, _PACKET_MREQ.pack(change.ifindex, kind, len(mac), mac))

    def _report(self, change: Change) -> None:
        key, request = (change.ifindex, change.group), _IPV6_MREQ.pack(change.group, change.ifindex)
        with contextlib.suppress(OSError):
            if change.is_join:
                holder = self._holder_with_room()
                holder.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
                holder.groups += 1
                self._by_group[key] = holder
            elif key in self._by_group:
                holder = self._by_group.pop(key)
                holder.groups -= 1
                holder.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, request)

    def _holder_with_room(self) -> _Holder:
        for holder in reversed(self._sockets):
            if holder.groups < GROUPS_PER_SOCKET:
                return holder
        self._sockets.append(_Holder())
        return self._sockets[-1]


class _Holder:
    """A socket that nothing is sent from or received on."""

    def __init__(self) -> None:
        """Raises OSError: this kernel has no IPv6."""
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.groups = 0
