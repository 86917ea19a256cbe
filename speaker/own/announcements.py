"""What the report says of each address that this node announces: by which protocols, where, since when. Pure.

Layer 2 and BGP announce independently; an address has one entry for both.
"""

from collections.abc import Iterable
from functools import lru_cache

from speaker.own.entries import announcement
from speaker.own.paths import PathAttributes, ReportedPaths
from speaker.own.slices import ReportedMap


class Announcements:
    """Keeps `entries` as the status should show them. Times are RFC 3339, and known here: an entry that the API server
    refused is among `entries` no more."""

    def __init__(self, entries: ReportedMap) -> None:
        self._entries = entries
        self._interfaces: dict[str, tuple[str, ...]] = {}
        self._peers: dict[str, tuple[str, ...]] = {}
        self._paths: dict[str, tuple[str, ...]] = {}
        self._since: dict[str, str] = {}
        self._reported_paths = ReportedPaths(entries.slices)

    def on_layer2(self, address: str, interfaces: tuple[str, ...], now: str) -> None:
        """The wire process answers for the address on these interfaces."""
        self._interfaces[address] = interfaces
        self._write(address, now)

    def off_layer2(self, address: str) -> None:
        if self._interfaces.pop(address, None) is not None:
            self._write(address, "")  # what remains has its time already

    def on_bgp(self, address: str, peers: Iterable[str], now: str, paths: Iterable[PathAttributes] = ()) -> None:
        """These peers were sent a route to the address, with these attributes; no peer = it is not announced by BGP."""
        sent = _sorted(tuple(peers))
        named = self._reported_paths.use(address, paths if sent else ())
        if sent != self._peers.get(address, ()) or named != self._paths.get(address, ()):
            _put(self._peers, address, sent)
            _put(self._paths, address, named)
            self._write(address, now)

    def _write(self, address: str, now: str) -> None:
        interfaces, peers = self._interfaces.get(address), self._peers.get(address)
        if interfaces is None and peers is None:
            self._since.pop(address, None)
            self._entries.drop(address)
            return
        since = self._since.setdefault(address, now)
        self._entries.put(
            address,
            announcement(since, interfaces=interfaces or (), peers=peers or (), paths=self._paths.get(address, ())),
        )


def _put(into: dict[str, tuple[str, ...]], address: str, names: tuple[str, ...]) -> None:
    if names:
        into[address] = names
    else:
        into.pop(address, None)


@lru_cache(maxsize=256)
def _sorted(names: tuple[str, ...]) -> tuple[str, ...]:
    """One value for all addresses that are announced to the same peers."""
    return tuple(sorted(names))
