"""Owns the program that answers in the kernel, and its maps: what is answered for, on which interface, until when.

It decides nothing, and attaches nothing (attach.py). Who may be answered for, and how the program and the wire process
stand to each other, is in neighbours/io/kernel.py.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable

from speaker.wire.neighbours.bpf import maps
from speaker.wire.neighbours.bpf.io import calls
from speaker.wire.neighbours.bpf.program import program

_ONLY = bytes(4)  # the key of the only entry


class Responder:
    """All in it is silent at first: no permit, no interface, no address."""

    def __init__(self) -> None:
        """Raises calls.BpfError: the kernel is too old, or does not let us."""
        self._opened: list[int] = []
        try:
            self._open()
        except OSError:
            self._close_descriptors()
            raise
        self._entries: dict[int, int] = {}  # in the counters, by index of the interface
        self._last_table = 0
        self._own: frozenset[bytes] = frozenset()

    def _open(self) -> None:
        create = self._create
        self.maps = maps.Maps(
            permit=create(calls.ARRAY, 4, maps.PERMIT.size, 1, "berth_permit", calls.MAPPED),
            interfaces=create(calls.HASH, 4, maps.INTERFACE.size, maps.INTERFACES, "berth_ifaces"),
            addresses=create(
                calls.HASH,
                maps.ADDRESS.size,
                maps.FLAGS.size,
                maps.ADDRESSES,
                "berth_addresses",
                calls.NO_PREALLOCATION,
            ),
            own=create(calls.HASH, maps.MAC.size, maps.FLAGS.size, maps.OWN_MACS, "berth_own", calls.NO_PREALLOCATION),
            counters=create(calls.PERCPU_ARRAY, 4, maps.COUNTS.size, maps.INTERFACES, "berth_counters"),
        )
        try:
            self._page = mmap.mmap(self.maps.permit, mmap.PAGESIZE)
        except OSError as error:
            raise calls.BpfError(error.errno, f"cannot map the permit into memory: {error.strerror}") from None
        # One aligned store of 64 bits, so that no CPU ever sees half of a new deadline.
        self._deadline = ctypes.c_uint64.from_buffer(self._page)
        self.program = self._keep(calls.load_program(program(self.maps), name="berth_answers"))
        """To be attached at the entry of interfaces."""

    def set_deadline(self, until: float) -> None:
        """The program answers before this (CLOCK_BOOTTIME seconds), from now on; 0 = not any more. Costs no call."""
        self._deadline.value = maps.nanoseconds(until)

    # ---- interfaces

    def new_table(self) -> int:
        """The number of a table that is empty."""
        self._last_table += 1
        return self._last_table

    def use(self, ifindex: int, mac: bytes, table: int) -> bool:
        """Answer on this interface, with this MAC, for what is in the table. Idempotent. False: there are too many.

        Raises calls.BpfError.
        """
        entry = self._entries.get(ifindex)
        if entry is None:
            free = set(range(maps.INTERFACES)).difference(self._entries.values())
            if not free:
                return False
            entry = min(free)
            calls.put(self.maps.counters, maps.INDEX.pack(entry), bytes(maps.COUNTS.size * calls.possible_cpus()))
        calls.put(self.maps.interfaces, maps.INDEX.pack(ifindex), maps.INTERFACE.pack(mac, entry, table))
        self._entries[ifindex] = entry
        return True

    def leave(self, ifindex: int) -> None:
        """Answer nothing on it from now on. Unknown ones are fine. Raises calls.BpfError."""
        if self._entries.pop(ifindex, None) is not None:
            calls.remove(self.maps.interfaces, maps.INDEX.pack(ifindex))

    def replies(self, ifindex: int) -> tuple[int, int]:
        """How many ARP and NDP requests were answered there since it came into use. Raises calls.BpfError."""
        entry = self._entries.get(ifindex)
        if entry is None:
            return 0, 0
        size = maps.COUNTS.size
        read = calls.get(self.maps.counters, maps.INDEX.pack(entry), size * calls.possible_cpus()) or b""
        counts = [maps.COUNTS.unpack_from(read, at) for at in range(0, len(read), size)]
        return sum(arp for arp, _ in counts), sum(ndp for _, ndp in counts)

    # ---- addresses

    def put(self, table: int, address: bytes, *, is_answered: bool) -> bool:
        """Answer for it, or only know of it: see maps.py. Idempotent. False: there are too many.

        Raises calls.BpfError.
        """
        flags = maps.ANSWERED if is_answered else 0
        return calls.has_put(self.maps.addresses, maps.address_key(table, address), maps.FLAGS.pack(flags))

    def remove(self, table: int, address: bytes) -> bool:
        """Whether it was there. Programs that run at this moment may still answer: see barrier.py.

        Raises calls.BpfError.
        """
        return calls.remove(self.maps.addresses, maps.address_key(table, address))

    def set_own(self, macs: Iterable[bytes]) -> None:
        """The MACs of this machine, whose requests are left to the process. Raises calls.BpfError."""
        own = frozenset(macs)
        for mac in self._own - own:
            calls.remove(self.maps.own, maps.MAC.pack(mac))
        for mac in own - self._own:
            calls.has_put(self.maps.own, maps.MAC.pack(mac), maps.FLAGS.pack(1))
        self._own = own

    def close(self) -> None:
        """Answer nothing any more, and let go of everything."""
        self.set_deadline(0)
        del self._deadline
        self._page.close()
        self._close_descriptors()

    def _create(self, kind: int, key_bytes: int, value_bytes: int, entries: int, name: str, flags: int = 0) -> int:
        return self._keep(calls.create_map(kind, key_bytes, value_bytes, entries, name=name, flags=flags))

    def _keep(self, descriptor: int) -> int:
        self._opened.append(descriptor)
        return descriptor

    def _close_descriptors(self) -> None:
        while self._opened:
            os.close(self._opened.pop())
