"""Addresses that no pool gives out by themselves, and by whom: of nodes, of the API server, of networks and gateways.

Who says so is a source (a Node, say); each replaces what it said before, and costs what it changes. Knows no pools.
Networks of cluster IPs are not in here: they are cut out of the pools (allocator.space.pools).
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from crds.addresses import IPAddress
from crds.ippool import KeptOutReason

UNLESS_LISTED = frozenset({KeptOutReason.Gateway, KeptOutReason.NetworkEnd})
"""A pool that lists such an address by itself gives it out all the same."""

_RANK = {reason: rank for rank, reason in enumerate(KeptOutReason)}


class KeptBy(NamedTuple):
    """Why an address is kept out. `of`: the node that has it, or the network; as a person reads it.

    What many sources say of one address is the same value, as far as possible.
    """

    reason: KeptOutReason
    of: str

    def __str__(self) -> str:
        return _WORDS[self.reason].format(self.of)


_WORDS: Mapping[KeptOutReason, str] = {
    KeptOutReason.NodeAddress: "an address of node {}",
    KeptOutReason.APIServer: "an address of the API server ({})",
    KeptOutReason.ClusterIP: "an address for cluster IPs ({})",
    KeptOutReason.ExternalIP: "an external IP of Service {}",
    KeptOutReason.Reserved: "reserved for Service {}",
    KeptOutReason.Gateway: "the default gateway of {}",
    KeptOutReason.NetworkEnd: "an end of network {}",
}


def what_to_ask_for(address: IPAddress, kept: KeptBy) -> str:
    """Advice to who wants the address, or has it."""
    if kept.reason in UNLESS_LISTED:
        return f"ask for another address (berth.dev/ips), or list {address} by itself in the pool's addresses"
    return "ask for another address (berth.dev/ips)"


Entries = Mapping[IPAddress, KeptBy]
NOTHING: Entries = MappingProxyType({})


class _Said:
    """What all sources say of one address. Any number of Services may name it: a step is a search in a sorted list."""

    __slots__ = ("_counts", "_order")

    def __init__(self) -> None:
        self._counts: dict[KeptBy, int] = {}
        """How many sources say the same: of the end of a network hundreds of nodes do."""
        self._order: list[tuple[int, str, KeptBy]] = []

    @property
    def is_empty(self) -> bool:
        return not self._order

    @property
    def reasons(self) -> tuple[KeptBy | None, KeptBy | None]:
        """The strongest, and that beside external IPs: for a Service that names the address that one counts."""
        return self.strongest(None), self.strongest(KeptOutReason.ExternalIP)

    def strongest(self, but: KeptOutReason | None) -> KeptBy | None:
        """The first by reason and name, of any other reason than that one."""
        at = 0
        if but is not None and self._order and self._order[0][2].reason is but:
            at = bisect_left(self._order, (_RANK[but] + 1,))
        return self._order[at][2] if at < len(self._order) else None

    def add(self, one: KeptBy) -> None:
        if one not in self._counts:
            insort(self._order, (_RANK[one.reason], one.of, one))
        self._counts[one] = self._counts.get(one, 0) + 1

    def remove(self, one: KeptBy) -> None:
        """Raises KeyError when nobody says so."""
        self._counts[one] -= 1
        if not self._counts[one]:
            del self._counts[one]
            del self._order[bisect_left(self._order, (_RANK[one.reason], one.of))]


class KeptOut:
    """What all sources say together. Of several reasons for an address the strongest counts, then the first by name."""

    def __init__(self) -> None:
        self._by_source: dict[str, Entries] = {}
        self._by_address: dict[IPAddress, _Said] = {}

    def __iter__(self) -> Iterator[IPAddress]:
        return iter(self._by_address)

    def of(self, address: IPAddress, but: KeptOutReason | None = None) -> KeptBy | None:
        """None when nobody keeps it out, or for that one reason alone."""
        said = self._by_address.get(address)
        return None if said is None else said.strongest(but)

    def put(self, source: str, entries: Entries) -> list[IPAddress]:
        """Replace what this source says. Returns the addresses of which it is another one now who keeps them out, with
        or without external IPs."""
        before = self._by_source.pop(source, NOTHING)
        if entries:
            self._by_source[source] = entries
        if not before:
            return [address for address, new in entries.items() if self._change(address, None, new)]
        touched = [one for one in before.keys() | entries.keys() if before.get(one) != entries.get(one)]
        return [address for address in touched if self._change(address, before.get(address), entries.get(address))]

    def _change(self, address: IPAddress, old: KeptBy | None, new: KeptBy | None) -> bool:
        said = self._by_address.get(address)
        if said is None:
            said = self._by_address[address] = _Said()
        before = said.reasons
        if new is not None:
            said.add(new)
        if old is not None:
            said.remove(old)
        if said.is_empty:
            del self._by_address[address]
        return said.reasons != before
