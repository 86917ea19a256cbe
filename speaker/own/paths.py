"""With which path attributes the routes of this node were sent, as its report says it. Pure.

Many routes have the same attributes, so these are entries of their own, and an address names them. So an address costs
its slice few bytes, whatever its communities are, and each of these entries is there as long as an address names it.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from crds.addresses import IPAddress
from speaker.own.entries import bgp_path
from speaker.own.slices import ENCODE, Key, Slices

MOST_PATHS = 256
"""That a report has. Addresses beyond name none."""
PATHS_OF_AN_ADDRESS = 4
FIELD = "bgpPaths"
_DIGEST_BYTES = 4
"""Two of MOST_PATHS are alike once in 100,000 nodes."""


class PathAttributes(NamedTuple):
    """What of routes is not their prefix (RFC 4271 §5), as it was sent to these peers, which are sorted.

    `prefix_length`: of an aggregate; None = they are of single addresses. `next_hop` None: each session's own address.
    `communities`: standard ones as 64512:100, then large ones as large:64512:1:2. `bandwidth`: the link bandwidth
    community, in bytes per second; None = there is none.
    """

    peers: tuple[str, ...]
    prefix_length: int | None = None
    next_hop: IPAddress | None = None
    local_pref: int | None = None
    med: int | None = None
    prepend: int = 0
    communities: tuple[str, ...] = ()
    bandwidth: int | None = None


@lru_cache(maxsize=MOST_PATHS)
def name_of(path: PathAttributes) -> str:
    """A digest: the same at each start, so a speaker that starts finds its words as they are."""
    return blake2b(ENCODE([str(one) for one in path]), digest_size=_DIGEST_BYTES).hexdigest()


class ReportedPaths:
    """Follows which address names which of them."""

    def __init__(self, slices: Slices) -> None:
        self._slices = slices
        self._of: dict[str, tuple[str, ...]] = {}
        self._count: Counter[str] = Counter()

    def use(self, address: str, paths: Iterable[PathAttributes]) -> tuple[str, ...]:
        """The address has these from now on: the names by which its entry says so."""
        before, names = self._of.pop(address, ()), list[str]()
        for path in sorted(paths, key=name_of)[:PATHS_OF_AN_ADDRESS]:
            name = name_of(path)
            if name not in self._count:
                if len(self._count) >= MOST_PATHS:
                    continue
                self._slices.put(Key(FIELD, name), bgp_path(name, **path._asdict()))
            self._count[name] += 1
            names.append(name)
        for name in before:
            self._count[name] -= 1
            if not self._count[name]:
                del self._count[name]
                self._slices.drop(Key(FIELD, name))
        if names:
            self._of[address] = tuple(names)
        return tuple(names)
