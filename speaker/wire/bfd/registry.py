"""To which session a packet belongs (RFC 5880 §6.3): by our discriminator; by addresses before the peer knows that.

No I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from speaker.wire.bfd.packets import Discard, Packet

GTSM_TTL = 255  # RFC 5881 §5

T = TypeVar("T")


class Path(NamedTuple):
    """Between which addresses a session runs; "" = any. Addresses are bytes, and RFC 5881 and 5883 do not mix."""

    is_multihop: bool
    peer: bytes
    local: bytes
    interface: str
    vrf: str
    minimum_ttl: int

    def overlaps(self, other: Path) -> bool:
        """Whether a packet could fit both."""
        return self[:2] == other[:2] and self.vrf == other.vrf and _agree(self, other)


class Arrival(NamedTuple):
    """How a packet came: from and to which address, on which interface, and with which TTL (-1: unknown)."""

    is_multihop: bool
    source: bytes
    destination: bytes
    ifindex: int
    vrf: str
    ttl: int


class Registry(Generic[T]):
    """The sessions of this node, each with its path. `on_low_ttl` hears of packets that their TTL alone discards."""

    def __init__(self, on_low_ttl: Callable[[T, int], None]) -> None:
        self._on_low_ttl = on_low_ttl
        self._by_discriminator: dict[int, tuple[Path, T]] = {}
        self._by_peer: dict[tuple[bool, bytes], list[tuple[Path, T]]] = {}

    def new_discriminator(self, dice: Callable[[int], bytes]) -> int:
        """Nonzero, unique on this node, and hard to guess (§6.8.1, §9). `dice(n)` returns n random bytes."""
        while True:
            number = int.from_bytes(dice(4), "big")
            if number and number not in self._by_discriminator:
                return number

    def rival(self, path: Path) -> T | None:
        """A session whose first packets could not be told from those of this path."""
        rivals = self._by_peer.get((path.is_multihop, path.peer), ())
        return next((session for other, session in rivals if path.overlaps(other)), None)

    def add(self, discriminator: int, path: Path, session: T) -> None:
        self._by_discriminator[discriminator] = (path, session)
        self._by_peer.setdefault((path.is_multihop, path.peer), []).append((path, session))

    def remove(self, discriminator: int) -> None:
        path, session = self._by_discriminator.pop(discriminator)
        rest = self._by_peer[path.is_multihop, path.peer]
        rest.remove((path, session))
        if not rest:
            del self._by_peer[path.is_multihop, path.peer]

    def find(self, packet: Packet, arrival: Arrival, name_of: Callable[[int], str]) -> T | Discard:
        """The session, or why there is none. `name_of` gives the name of an interface by its index.

        With our discriminator in it, a packet may come from anywhere, as §6.3 has it: only its kind and TTL count.
        """
        if packet.your_discriminator:
            found = self._by_discriminator.get(packet.your_discriminator)
        else:
            found = next(self._by_addresses(arrival, name_of), None)
        if found is None or found[0].is_multihop != arrival.is_multihop:
            return Discard.SESSION
        path, session = found
        if arrival.ttl < (path.minimum_ttl if path.is_multihop else GTSM_TTL):
            self._on_low_ttl(session, arrival.ttl)
            return Discard.TTL
        return session

    def _by_addresses(self, arrival: Arrival, name_of: Callable[[int], str]) -> Iterator[tuple[Path, T]]:
        for path, session in self._by_peer.get((arrival.is_multihop, arrival.source), ()):
            is_local = path.local in (b"", arrival.destination)
            if is_local and path.vrf == arrival.vrf and path.interface in ("", name_of(arrival.ifindex)):
                yield path, session


def _agree(one: Path, other: Path) -> bool:
    local = one.local == other.local or not one.local or not other.local
    return local and (one.interface == other.interface or not one.interface or not other.interface)
