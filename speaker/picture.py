"""All that one node observes of the cluster, and which addresses a change of it makes worth deciding again.

A change of one allocation or EndpointSlice costs only the addresses concerned; a change of what all decisions rest on
(nodes, speakers alive, interfaces, pools, advertisements) costs all, in slices as small as the caller likes. Deciding
is level-based: however changes came and whatever was missed between two, the last state alone counts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import TypeVar

from msgspec.structs import replace

from crds.l2advertisement import L2AdvertisementSpec
from speaker.desired import Announce, Complaint, Decision, Layer2View, Silence
from speaker.endpoints import NOWHERE, EndpointIndex, Placement
from speaker.observed import Allocation, NodeFacts, PoolFacts, ServiceKey, SliceFacts, SpeakerFacts

_Fact = TypeVar("_Fact")

_NOBODY_CAN = (Silence.NO_ADVERTISEMENT, Silence.NO_ENDPOINT, Silence.NO_NODE)


@dataclass(frozen=True, slots=True)
class Decided:
    """What this node should do about an address now."""

    allocation: Allocation
    decision: Decision


@dataclass(frozen=True, slots=True)
class Gone:
    """The IPAllocation is deleted. Another one, of the same name and address, may have come since."""

    allocation: Allocation


class Picture:
    """Fed by the caches' changes; None in the place of a new value means that the object is deleted."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._own_interfaces: tuple[str, ...] = ()
        self._alive: frozenset[str] = frozenset()
        self._nodes: dict[str, NodeFacts] = {}
        self._speakers: dict[str, SpeakerFacts] = {}
        self._speakers_macs: frozenset[str] | None = None
        self._pools: dict[str, PoolFacts] = {}
        self._advertisements: dict[str, L2AdvertisementSpec] = {}
        self._endpoints = EndpointIndex()
        self._allocations: dict[str, Allocation] = {}
        self._uids: set[str] = set()
        self._local_names: dict[ServiceKey, set[str]] = {}
        self._view: Layer2View | None = None
        self._gone: list[Allocation] = []
        self._urgent: dict[str, None] = {}
        self._dirty: dict[str, None] = {}
        self._decisions: dict[str, Decision] = {}
        self._unplaced: dict[str, None] = {}

    @property
    def allocations(self) -> Mapping[str, Allocation]:
        """By name."""
        return self._allocations

    @property
    def uids(self) -> Set[str]:
        """Of all allocations."""
        return self._uids

    @property
    def speakers(self) -> Mapping[str, SpeakerFacts]:
        """All there are, alive or not, by node."""
        return self._speakers

    @property
    def nodes(self) -> Mapping[str, NodeFacts]:
        """By name."""
        return self._nodes

    def is_speakers(self, mac: str) -> bool:
        """Whether that hardware address is one of a node's with a speaker."""
        if self._speakers_macs is None:
            self._speakers_macs = frozenset(one for facts in self._speakers.values() for one in facts.macs)
        return mac in self._speakers_macs

    @property
    def alive(self) -> frozenset[str]:
        """The nodes whose speakers show signs of life, as last told."""
        return self._alive

    @property
    def has_work(self) -> bool:
        """Whether `next_decisions` has something."""
        return bool(self._gone or self._urgent or self._dirty)

    def set_allocation(self, name: str, new: Allocation | None) -> None:
        """A release overtakes everything else that waits for a decision."""
        old = self._allocations.get(name)
        if old == new:
            return
        if old is not None and new is not None and self._is_only_announced(old, new):
            self._allocations[name] = new
            return
        if old is not None:
            self._unindex(old)
            self._uids.discard(old.uid)
            if new is None or new.uid != old.uid:
                self._gone.append(old)
        if new is None:
            for known in (self._allocations, self._decisions, self._unplaced, self._urgent, self._dirty):
                known.pop(name, None)
            return
        self._allocations[name] = new
        self._uids.add(new.uid)
        if new.is_local:
            for holder in new.holders:
                self._local_names.setdefault(holder.service, set()).add(name)
        (self._urgent if new.is_releasing else self._dirty)[name] = None

    def look_again(self, name: str) -> None:
        """Have that allocation decided anew, if it is still there."""
        if name in self._allocations:
            self._dirty[name] = None

    def set_slice(self, name: str, old: SliceFacts | None, new: SliceFacts | None) -> None:
        """`name` with its namespace. Only addresses of Services with the policy Local depend on it."""
        for service in self._endpoints.replace(name, old, new):
            self._dirty.update(dict.fromkeys(sorted(self._local_names.get(service, ()))))

    def set_node(self, name: str, new: NodeFacts | None) -> None:
        self._replace(self._nodes, name, new)

    def set_speaker(self, node: str, new: SpeakerFacts | None) -> None:
        self._speakers_macs = None
        self._replace(self._speakers, node, new)

    def set_pool(self, name: str, new: PoolFacts | None) -> None:
        self._replace(self._pools, name, new)

    def is_probed(self, allocation: Allocation) -> bool:
        """Whether its pool has addresses probed before their first announcement."""
        pool = self._pools.get(allocation.pool)
        return pool is not None and pool.is_probed

    def set_advertisement(self, name: str, new: L2AdvertisementSpec | None) -> None:
        self._replace(self._advertisements, name, new)

    def set_alive(self, nodes: frozenset[str]) -> None:
        """The nodes whose speakers show signs of life. The own one counts in any case."""
        if nodes != self._alive:
            self._alive = nodes
            self._view_changed()

    def set_own_interfaces(self, names: tuple[str, ...]) -> None:
        """As the wire process sees them now, which is sooner than the own Speaker object can tell."""
        if names != self._own_interfaces:
            self._own_interfaces = names
            self._view_changed()

    def next_decisions(self, limit: int) -> Iterator[Decided | Gone]:
        """Up to `limit` of each: deleted ones, then releases, then the rest. Take them all before the next call."""
        gone, self._gone = self._gone[:limit], self._gone[limit:]
        yield from map(Gone, gone)
        for waiting in (self._urgent, self._dirty):
            for name in [name for name, _ in zip(waiting, range(limit), strict=False)]:
                del waiting[name]
                yield self._decide(name)

    def _is_only_announced(self, old: Allocation, new: Allocation) -> bool:
        """Whether all that is new is that somebody announces it, which decides nothing but whether it is probed."""
        return not self.is_probed(new) and replace(old, was_announced=new.was_announced) == new

    def _decide(self, name: str) -> Decided:
        allocation = self._allocations[name]
        placement = self._placement(allocation)
        decision = self.view().decide(allocation, placement)
        self._decisions[name] = decision
        if placement.is_everywhere:
            self._unplaced[name] = None
        else:
            self._unplaced.pop(name, None)
        return Decided(allocation, decision)

    def _placement(self, allocation: Allocation) -> Placement:
        if not allocation.is_local:
            return NOWHERE
        return self._endpoints.placement([holder.service for holder in allocation.holders], allocation.is_ipv6)

    def view(self) -> Layer2View:
        """What decisions rest on; another one after each change of it."""
        if self._view is None:
            self._view = Layer2View(
                self._own_node,
                nodes=dict(self._nodes),
                speakers=self._living_speakers(),
                pools={name: facts.labels for name, facts in self._pools.items()},
                advertisements=self._advertisements,
            )
        return self._view

    def _living_speakers(self) -> dict[str, tuple[str, ...]]:
        living = {
            node: facts.interfaces
            for node, facts in self._speakers.items()
            if node in self._alive and facts.is_serving and not facts.said_goodbye
        }
        return living | {self._own_node: self._own_interfaces}

    def silences(self) -> Counter[str]:
        """How many addresses this node announces ("Announced"), and how many it does not, by reason."""
        return Counter(
            "Announced" if isinstance(decision, Announce) else decision.silence.value
            for decision in self._decisions.values()
        )

    def complaints(self, limit: int) -> list[Complaint]:
        """What keeps addresses off the network as far as this node sees, at most `limit` of them."""
        found = self.view().complaints_about_advertisements()
        for name, decision in self._decisions.items():
            if len(found) >= limit:
                break
            if not isinstance(decision, Announce) and decision.silence in _NOBODY_CAN:
                allocation = self._allocations[name]
                complaint = self.view().explain(allocation, self._placement(allocation))
                found += [complaint] if complaint else []
        return found[:limit]

    def unplaced(self) -> list[str]:
        """Addresses with the policy Local some of whose endpoints carry no nodeName."""
        return [self._allocations[name].address for name in self._unplaced]

    def _unindex(self, allocation: Allocation) -> None:
        for holder in allocation.holders if allocation.is_local else ():
            names = self._local_names.get(holder.service, set())
            names.discard(allocation.name)
            if not names:
                self._local_names.pop(holder.service, None)

    def _replace(self, known: dict[str, _Fact], name: str, new: _Fact | None) -> None:
        if known.get(name) == new:
            return
        if new is None:
            del known[name]
        else:
            known[name] = new
        self._view_changed()

    def _view_changed(self) -> None:
        self._view = None
        self._dirty.update(dict.fromkeys(self._allocations))
