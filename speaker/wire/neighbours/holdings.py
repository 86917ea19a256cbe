"""What is in force in the wire process: the addresses held, and all that follows from them.

The table that the responders read, the schedule of announcements, the ranges for the kernel's filters and the multicast
groups are changed together here, so that none is forgotten. No I/O: the wire process carries out what comes of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from speaker.wire.neighbours.cover import AddressCover
from speaker.wire.neighbours.filter import PROGRAMS
from speaker.wire.neighbours.frames import IPV4_BYTES, protocol_of
from speaker.wire.neighbours.groups import Groups
from speaker.wire.neighbours.schedule import AnnouncementSchedule
from speaker.wire.neighbours.table import Table


class Holdings:
    """Each step costs O(1), but for the few ranges of the filters."""

    def __init__(self) -> None:
        self.table = Table()
        self.schedule = AnnouncementSchedule()
        self.groups = Groups()
        self._covers = {protocol: AddressCover() for protocol in PROGRAMS}
        self._stale: set[int] = set()  # protocols whose filter no longer fits
        self._moved: list[tuple[bytes, str]] = []
        self._name_sets: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple for thousands of addresses

    def hold(self, address: bytes, names: tuple[str, ...], in_use: Collection[str], now: float) -> None:
        """Announce on exactly these interfaces; idempotent. On those `in_use` that are new a burst begins."""
        self.stop_hearing(address)
        self._set_handed_over(address, False)
        if address not in self.table.held and self._cover(address).add(_last_32_bits(address)):
            self._stale.add(protocol_of(address))
        added, gone = self.table.hold(address, self._name_sets.setdefault(names, names))
        self._leave(address, gone)
        self._move(address, added)
        for name in added:
            if len(address) != IPV4_BYTES:
                self.groups.hold(name, address)
            if name in in_use:
                self.schedule.start(address, name, now)

    def hand_over(self, address: bytes) -> None:
        """Another node takes it over: until it is held anew, or dropped, this process alone answers. Unknown ones are
        fine."""
        self._set_handed_over(address, True)

    def drop(self, address: bytes) -> None:
        """Nothing is answered or announced for it from now on. Unknown ones are fine."""
        if address not in self.table.held:
            return
        self._leave(address, self.table.drop(address))
        if self._cover(address).remove(_last_32_bits(address)):
            self._stale.add(protocol_of(address))

    def hear(self, address: bytes, names: tuple[str, ...]) -> None:
        """Let in what tells who has it on these interfaces, without answering for it. One that is held is left."""
        self.stop_hearing(address)
        if address in self.table.held:
            return
        self.table.probed[address] = names
        self._move(address, names)
        if self._cover(address).add(_last_32_bits(address)):
            self._stale.add(protocol_of(address))
        if len(address) != IPV4_BYTES:
            for name in names:
                self.groups.hold(name, address)

    def stop_hearing(self, address: bytes) -> None:
        """Undo `hear`. Unknown ones are fine."""
        names = self.table.probed.pop(address, None)
        if names is None:
            return
        self._move(address, names)
        if len(address) != IPV4_BYTES:
            for name in names:
                self.groups.drop(name, address)
        if self._cover(address).remove(_last_32_bits(address)):
            self._stale.add(protocol_of(address))

    def announce_again(self, addresses: Iterable[bytes], name: str, now: float) -> None:
        """Begin a burst for those of the addresses that are held on this interface."""
        for address in addresses:
            entry = self.table.held.get(address)
            if entry is not None and name in entry.interfaces:
                self.schedule.start(address, name, now)

    def take_programs(self) -> dict[int, bytes]:
        """The filters that have to be replaced, by protocol, once."""
        stale, self._stale = self._stale, set()
        return {protocol: PROGRAMS[protocol](self._covers[protocol].ranges()) for protocol in stale}

    def take_moved(self) -> list[tuple[bytes, str]]:
        """The addresses that are held, handed over or probed on an interface since the last call, or no longer are,
        once or more often."""
        moved, self._moved = self._moved, []
        return moved

    def _set_handed_over(self, address: bytes, is_handed_over: bool) -> None:
        entry = self.table.held.get(address)
        if entry is not None and entry.is_handed_over != is_handed_over:
            entry.is_handed_over = is_handed_over
            self._move(address, entry.interfaces)

    def _move(self, address: bytes, names: Iterable[str]) -> None:
        self._moved.extend((address, name) for name in names)

    def _leave(self, address: bytes, names: Iterable[str]) -> None:
        self._move(address, names)
        for name in names:
            self.schedule.cancel(address, name)
            if len(address) != IPV4_BYTES:
                self.groups.drop(name, address)

    def _cover(self, address: bytes) -> AddressCover:
        return self._covers[protocol_of(address)]


def _last_32_bits(address: bytes) -> int:
    """What the filters compare. IPv6 addresses of several networks may have them in common."""
    return int.from_bytes(address[-4:], "big")
