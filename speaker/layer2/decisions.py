"""All that one node observes of the cluster, and which addresses a change of it makes worth deciding again.

A change of one allocation or EndpointSlice costs only the addresses concerned; a change of what all decisions rest on
(nodes, speakers alive, interfaces, pools, advertisements) costs all, in slices as small as the caller likes. Deciding
is level-based: however changes came and whatever was missed between two, the last state alone counts.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from crds.l2advertisement import L2AdvertisementSpec
from crds.names import allocation_name
from speaker.cluster.endpoints import NOWHERE, EndpointIndex, Placement
from speaker.cluster.faults import Fault
from speaker.cluster.heard import HeardPeer
from speaker.cluster.objects import Allocation, NodeFacts, PoolFacts, ServiceKey, SliceFacts, SpeakerFacts
from speaker.layer2.desired import Announce, Decision, Layer2View, Refrain, Silence

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


class Standing(NamedTuple):
    """A speaker that announces: on which interfaces it can, and how it ranks (speaker.cluster.heard.tier)."""

    interfaces: tuple[str, ...]
    tier: int


class Picture:
    """Fed by the informers' changes; None in the place of a new value means that the object is deleted."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._own_interfaces: tuple[str, ...] = ()
        self._alive: frozenset[str] = frozenset()
        self._heard: Mapping[str, HeardPeer] = {}
        self._own_tier = 0
        self._claims: Mapping[str, str] = {}
        self._node_of_mac: dict[str, str] = {}
        self._standings: dict[str, Standing] = {}
        self._nodes: dict[str, NodeFacts] = {}
        self._speakers: dict[str, SpeakerFacts] = {}
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

    @property
    def pools(self) -> Mapping[str, PoolFacts]:
        """By name."""
        return self._pools

    @property
    def endpoints(self) -> EndpointIndex:
        """Where the endpoints of Services are. To be read only."""
        return self._endpoints

    def node_of(self, mac: str) -> str | None:
        """The node with a speaker that has this hardware address; None = it is a stranger's."""
        return self._node_of_mac.get(mac)

    def is_speakers(self, mac: str) -> bool:
        """Whether that hardware address is one of a node's with a speaker."""
        return mac in self._node_of_mac

    def other_members(self) -> frozenset[str]:
        """The nodes but this one whose speakers announce and are of the best tier."""
        return frozenset(
            node for node, standing in self._standings.items() if not standing.tier and node != self._own_node
        )

    @property
    def has_allocations(self) -> bool:
        """Whether any address is in use that is not being given back."""
        return any(not each.is_releasing for each in self._allocations.values())

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
        old = self._speakers.pop(node, None)
        for mac in old.macs if old else ():
            self._node_of_mac.pop(mac, None)
        if new is not None:
            self._speakers[node] = new
            self._node_of_mac.update(dict.fromkeys(new.macs, node))
        self._restand()

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
            self._restand()

    def set_peers(self, alive: frozenset[str], heard: Mapping[str, HeardPeer]) -> None:
        """Who shows signs of life (the own node counts in any case), and what peers say of themselves by heartbeats,
        which is newer than what their Speaker objects say."""
        if alive != self._alive or heard is not self._heard:
            self._alive, self._heard = alive, heard
            self._restand()

    def set_own_tier(self, tier: int) -> None:
        """Where this node stands itself: see speaker.cluster.heard.tier."""
        if tier != self._own_tier:
            self._own_tier = tier
            self._restand()

    def set_claims(self, claims: Mapping[str, str]) -> None:
        """Addresses that another node was seen to announce, and which are left to it whatever the view says."""
        changed = self._claims.items() ^ claims.items()
        self._claims = claims
        for address in {address for address, _ in changed}:
            if (name := allocation_name(address)) in self._allocations:
                self._dirty[name] = None

    def set_own_interfaces(self, names: tuple[str, ...]) -> None:
        """As the wire process sees them now, which is sooner than the own Speaker object can tell."""
        if names != self._own_interfaces:
            self._own_interfaces = names
            self._restand()

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
        if isinstance(decision, Announce) and allocation.address in self._claims:
            decision = Refrain(Silence.OTHER_OWNER, self._claims[allocation.address])
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
                speakers={node: standing.interfaces for node, standing in self._standings.items()},
                pools={name: facts.labels for name, facts in self._pools.items()},
                advertisements=self._advertisements,
                tiers={node: standing.tier for node, standing in self._standings.items() if standing.tier},
            )
        return self._view

    def _restand(self) -> None:
        """Decisions change only when somebody's standing does: heartbeats say much that concerns none."""
        standings = {
            node: standing
            for node in self._alive
            if node in self._speakers and (standing := self._standing_of(node)) is not None
        }
        standings[self._own_node] = Standing(self._own_interfaces, self._own_tier)
        if standings != self._standings:
            self._standings = standings
            self._view_changed()

    def _standing_of(self, node: str) -> Standing | None:
        """None = it announces nothing."""
        facts, heard = self._speakers[node], self._heard.get(node)
        if heard is not None:
            return Standing(heard.interfaces, heard.tier) if heard.is_serving else None
        return Standing(facts.interfaces, facts.tier) if facts.is_serving and not facts.said_goodbye else None

    def silences(self) -> Counter[str]:
        """How many addresses this node announces ("Announced"), and how many it does not, by reason."""
        return Counter(
            "Announced" if isinstance(decision, Announce) else decision.silence.value
            for decision in self._decisions.values()
        )

    def faults(self, limit: int, is_elsewhere: Callable[[Allocation], bool] = lambda _: False) -> list[Fault]:
        """What keeps addresses off the network as far as this node sees, at most `limit` of them.

        `is_elsewhere`: whether an address is announced by other means than layer 2, so that nothing is amiss when no
        L2Advertisement covers it.
        """
        found = self.view().faults_in_advertisements()
        for name, decision in self._decisions.items():
            if len(found) >= limit:
                break
            if not isinstance(decision, Announce) and decision.silence in _NOBODY_CAN:
                allocation = self._allocations[name]
                if decision.silence is Silence.NO_ADVERTISEMENT and is_elsewhere(allocation):
                    continue
                fault = self.view().explain(allocation, self._placement(allocation))
                found += [fault] if fault else []
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
