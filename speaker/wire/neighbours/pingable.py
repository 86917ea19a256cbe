"""Which addresses answer echo requests, and what follows: filters, and where a port is needed. No I/O.

An address is in here only while it is announced, and on the interfaces where it is.
"""

from __future__ import annotations

from speaker.wire.neighbours.cover import AddressCover
from speaker.wire.neighbours.filter import ETH_P_IP, ETH_P_IPV6, PING_PROGRAMS
from speaker.wire.neighbours.frames import IPV4_BYTES

Place = tuple[str, int]
"""An interface by name, and the EtherType of the packets."""


def ethertype_of(address: bytes) -> int:
    """Of the packets that are sent to it."""
    return ETH_P_IP if len(address) == IPV4_BYTES else ETH_P_IPV6


class Pingable:
    """Each step costs O(1), but for the few ranges of the filters."""

    def __init__(self) -> None:
        self.interfaces: dict[bytes, tuple[str, ...]] = {}
        """Of each address, where it is announced."""
        self._covers = {ethertype: AddressCover() for ethertype in PING_PROGRAMS}
        self._users: dict[Place, int] = {}
        self._stale: set[int] = set()  # EtherTypes whose filter no longer fits

    def hold(self, address: bytes, names: tuple[str, ...]) -> None:
        """Answer on exactly these interfaces. Idempotent."""
        self.drop(address)
        ethertype = ethertype_of(address)
        self.interfaces[address] = names
        if self._covers[ethertype].add(_last_32_bits(address)):
            self._stale.add(ethertype)
        for name in names:
            self._users[name, ethertype] = self._users.get((name, ethertype), 0) + 1

    def drop(self, address: bytes) -> None:
        """No more. Unknown ones are fine."""
        names = self.interfaces.pop(address, None)
        if names is None:
            return
        ethertype = ethertype_of(address)
        if self._covers[ethertype].remove(_last_32_bits(address)):
            self._stale.add(ethertype)
        for name in names:
            self._users[name, ethertype] -= 1
            if not self._users[name, ethertype]:
                del self._users[name, ethertype]

    @property
    def places(self) -> frozenset[Place]:
        """Where requests are to be heard."""
        return frozenset(self._users)

    def program(self, ethertype: int) -> bytes:
        """The filter for a port."""
        return PING_PROGRAMS[ethertype](self._covers[ethertype].ranges())

    def take_stale(self) -> set[int]:
        """The EtherTypes whose filter has to be replaced, once."""
        stale, self._stale = self._stale, set()
        return stale


def _last_32_bits(address: bytes) -> int:
    return int.from_bytes(address[-4:], "big")
