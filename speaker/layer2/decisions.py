"""Which addresses this node is to announce on layer 2, decided anew when something changes that they depend on. Pure.

After a change of one allocation or EndpointSlice only the addresses concerned are decided again. After a change of what
all decisions depend on (nodes, live speakers, interfaces, pools, advertisements) all are, in slices as small as the
caller likes. Deciding is level-based: only the last state counts, however the changes came and whatever was missed.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from crds.names import allocation_name
from speaker.cluster.causes import covering, faults_in_node, why_no_route
from speaker.cluster.faults import Fault
from speaker.cluster.networks import Attached
from speaker.cluster.objects import Allocation
from speaker.cluster.state import Change, ClusterState, Kind
from speaker.cluster.tiers import tier, tier_of
from speaker.layer2.causes import Causes
from speaker.layer2.desired import Announce, Decision, Layer2View, Refrain, Silence
from speaker.layer2.nearness import Rank, Way
from speaker.layer2.takeovers import OwnerChange, WhyNot
from speaker.own.entries import Entry, fault
from speaker.wire.messages import Member

_NOBODY_CAN = (Silence.NO_ADVERTISEMENT, Silence.NO_ENDPOINT, Silence.NO_NODE)
_NO_ROUTES: Mapping[Way, Rank] = {}
_ALL_REST_ON = frozenset((Kind.NODE, Kind.POOL, Kind.L2_ADVERTISEMENT))


@dataclass(frozen=True, slots=True)
class Decided:
    """What this node should do about an address now."""

    allocation: Allocation
    decision: Decision
    owner_before: str | None = None
    """The other node that owned what this one is to announce now, as this one saw it; None = none did."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The IPAllocation was deleted. Another one of the same name and address may have been created since."""

    allocation: Allocation


class Candidate(NamedTuple):
    """A speaker that announces: on which interfaces it can, how it ranks (speaker.cluster.tiers.tier), and what its
    interfaces are attached to. The last is as its Speaker says, also of this node: so all see the same."""

    interfaces: tuple[str, ...]
    tier: int
    attached: Mapping[str, Attached]


class Decisions:
    """Follows `cluster`. Setters take the rest: which speakers live, what they say of themselves, and this node's
    standing."""

    def __init__(self, own_node: str, cluster: ClusterState) -> None:
        self.cluster = cluster
        self._own_node = own_node
        self._own_interfaces: tuple[str, ...] = ()
        self._own_routes: Mapping[Way, Rank] = {}
        self._alive: frozenset[str] = frozenset()
        self._heard: Mapping[str, Member] = {}
        self._own_tier = 0
        self._claims: Mapping[str, str] = {}
        self._candidates: dict[str, Candidate] = {}
        self._view: Layer2View | None = None
        self._gone: list[Allocation] = []
        self._urgent: dict[str, None] = {}
        self._dirty: dict[str, None] = {}
        self._decisions: dict[str, Decision] = {}
        self._unplaced: dict[str, None] = {}
        self._amiss: dict[str, None] = {}
        """Those that nobody can announce here, but for those that were found to be announced by other means."""
        self.causes = Causes(own_node)
        cluster.subscribe(self.observe)

    def observe(self, change: Change) -> None:
        """Something changed in the cluster."""
        if change.kind is Kind.ALLOCATION:
            self._allocation_changed(change.name, change.old, change.new)
        elif change.kind is Kind.SLICE:
            self._endpoints_changed(change)
        elif change.kind is Kind.SPEAKER:
            self._refresh_candidates()
        elif change.kind in _ALL_REST_ON:
            self._view_changed()
        elif change.kind is Kind.BGP_ADVERTISEMENT:
            amiss = dict.fromkeys(filter(self._is_amiss, self._decisions))
            self._amiss.update(amiss)
            self._dirty.update(amiss)  # for what is told of it

    def other_members(self) -> frozenset[str]:
        """The other nodes whose speakers announce and are of the best tier."""
        return frozenset(node for node, one in self._candidates.items() if not one.tier and node != self._own_node)

    @property
    def alive(self) -> frozenset[str]:
        """The nodes whose speakers are alive, as last set."""
        return self._alive

    @property
    def has_work(self) -> bool:
        """Whether `next_decisions` has anything to decide."""
        return bool(self._gone or self._urgent or self._dirty)

    def _allocation_changed(self, name: str, old: Allocation | None, new: Allocation | None) -> None:
        """A release goes before everything else that waits for a decision."""
        if old is not None and new is not None and self._is_only_announced(old, new):
            return
        if old is not None and (new is None or new.uid != old.uid):
            self._gone.append(old)
        if new is None:
            if old is not None:
                self.causes.note(old.address, None)
            for known in (self._decisions, self._unplaced, self._amiss, self._urgent, self._dirty):
                known.pop(name, None)
        else:
            (self._urgent if new.is_releasing else self._dirty)[name] = None

    def _endpoints_changed(self, change: Change) -> None:
        """Only addresses of Services with the policy Local depend on them; and what is told of those that are to be
        announced by BGP."""
        for service in change.services:
            names = [name for name in self.cluster.held_by(service) if self._needs_endpoints(name)]
            self._dirty.update(dict.fromkeys(sorted(names)))

    def _needs_endpoints(self, name: str) -> bool:
        if self.cluster.allocations[name].is_local:
            return True
        return bool(self.cluster.bgp_advertisements) and name in self._decisions and self._is_amiss(name)

    def look_again(self, name: str) -> None:
        """Decide that allocation again, if it still exists."""
        if name in self.cluster.allocations:
            self._dirty[name] = None

    def set_alive(self, nodes: frozenset[str]) -> None:
        """Set the nodes whose speakers are alive. The own node counts in any case."""
        if nodes != self._alive:
            self._alive = nodes
            self._refresh_candidates()

    def set_members(self, alive: frozenset[str], heard: Mapping[str, Member]) -> None:
        """Who shows signs of life (the own node counts in any case), and what members say of themselves by heartbeats,
        which is newer than what their Speaker objects say."""
        if alive != self._alive or heard is not self._heard:
            self._alive, self._heard = alive, heard
            self._refresh_candidates()

    def set_own_tier(self, tier: int) -> None:
        """Where this node stands itself: see speaker.cluster.tiers.tier."""
        if tier != self._own_tier:
            self._own_tier = tier
            self._refresh_candidates()

    def set_claims(self, claims: Mapping[str, str]) -> None:
        """Set the addresses that another node was seen to announce: they are left to that node, whatever the view
        says."""
        changed = self._claims.items() ^ claims.items()
        self._claims = claims
        for address in {address for address, _ in changed}:
            if (name := allocation_name(address)) in self.cluster.allocations:
                self._dirty[name] = None

    def set_own_interfaces(self, names: tuple[str, ...], routes: Mapping[Way, Rank] = _NO_ROUTES) -> None:
        """Set the own interfaces as the wire process sees them, which is newer than the own Speaker object, and which
        of two interfaces on one network the kernel prefers."""
        if routes != self._own_routes:
            self._own_routes = routes
            self._view_changed()
        if names != self._own_interfaces:
            self._own_interfaces = names
            self._refresh_candidates()

    def next_decisions(self, limit: int) -> Iterator[Decided | Gone]:
        """Up to `limit` each of deleted ones, releases and the rest, in this order. Take all before the next call."""
        gone, self._gone = self._gone[:limit], self._gone[limit:]
        yield from map(Gone, gone)
        for waiting in (self._urgent, self._dirty):
            for name in [name for name, _ in zip(waiting, range(limit), strict=False)]:
                del waiting[name]
                yield self._decide(name)

    def _is_only_announced(self, old: Allocation, new: Allocation) -> bool:
        """Whether the only change is that some speaker announces it, which matters for probing alone."""
        return not self.cluster.is_probed(new) and replace(old, was_announced=new.was_announced) == new

    def _decide(self, name: str) -> Decided:
        allocation = self.cluster.allocations[name]
        placement = self.cluster.placement(allocation)
        decision = self.view().decide(allocation, placement)
        if isinstance(decision, Announce) and allocation.address in self._claims:
            decision = Refrain(Silence.OTHER_OWNER, self._claims[allocation.address])
        before, self._decisions[name] = self._decisions.get(name), decision
        if self._is_amiss(name):
            self._amiss[name] = None
        else:
            self._amiss.pop(name, None)
        is_told = self._is_amiss(name) and self.causes.is_to_be_told(allocation.address, self._candidates)
        self.causes.note(allocation.address, self._cause(allocation) if is_told else None)
        if placement.is_everywhere:
            self._unplaced[name] = None
        else:
            self._unplaced.pop(name, None)
        owner_before = before.owner if isinstance(before, Refrain) and isinstance(decision, Announce) else None
        return Decided(allocation, decision, owner_before)

    def _cause(self, allocation: Allocation) -> Fault | None:
        """Why nobody announces it, on layer 2 or by BGP."""
        cause = self.view().cause(allocation, self.cluster.placement(allocation))
        if cause is not None:
            return cause
        pool = self.cluster.pools.get(allocation.pool)
        ads = covering(allocation, pool.labels if pool else None, self.cluster.bgp_advertisements)
        services = [holder.service for holder in allocation.holders]
        placement = self.cluster.endpoints.placement(services, allocation.is_ipv6)
        return why_no_route(allocation, placement, ads, self.cluster.nodes, self._candidates)

    def _is_amiss(self, name: str) -> bool:
        decision = self._decisions[name]
        return not isinstance(decision, Announce) and decision.silence in _NOBODY_CAN

    def view(self) -> Layer2View:
        """What decisions depend on; a new value after each change."""
        if self._view is None:
            self._view = Layer2View(
                self._own_node,
                nodes=dict(self.cluster.nodes),
                speakers={node: one.interfaces for node, one in self._candidates.items()},
                attached={node: one.attached for node, one in self._candidates.items()},
                own_routes=self._own_routes,
                pools={name: facts.labels for name, facts in self.cluster.pools.items()},
                advertisements=self.cluster.l2_advertisements,
                tiers={node: one.tier for node, one in self._candidates.items() if one.tier},
            )
        return self._view

    def _refresh_candidates(self) -> None:
        """Decide again only when a candidate changed: most of what heartbeats say changes none."""
        candidates = {
            node: candidate
            for node in self._alive
            if node in self.cluster.speakers and (candidate := self._candidate(node)) is not None
        }
        own = self.cluster.speakers.get(self._own_node)
        candidates[self._own_node] = Candidate(self._own_interfaces, self._own_tier, own.attached if own else {})
        if candidates != self._candidates:
            self._candidates = candidates
            self._view_changed()

    def goes_on(self, node: str) -> bool:
        """Whether that node's speaker lives and does not leave, and the node can carry traffic: so it will answer for
        what it announced until it sees a successor."""
        candidate, facts = self._candidates.get(node), self.cluster.nodes.get(node)
        if (
            candidate is None
            or facts is None
            or candidate.tier >= tier(is_leaving=True, is_behind=False, is_member=True)
        ):
            return False
        return not (facts.is_network_unavailable or facts.is_out_of_service)

    def why_not(self, node: str, allocation: Allocation) -> WhyNot:
        """What keeps that node from an address that it owned, as in "node1 is not heard any more"."""
        faults = list(faults_in_node(self.cluster.nodes.get(node)))
        candidate = self._candidates.get(node)
        if faults:
            return WhyNot(OwnerChange.NODE_FAULT, " and ".join(faults))
        if node not in self.cluster.speakers or node not in self._alive:
            return WhyNot(OwnerChange.NOT_HEARD, "is not heard any more")
        if candidate is None:
            return WhyNot(OwnerChange.STOPPED, "has stopped, or does not serve yet")
        if candidate.tier >= tier(is_leaving=True, is_behind=False, is_member=True):
            return WhyNot(OwnerChange.STOPPING, "stops")
        if candidate.tier >= tier(is_leaving=False, is_behind=True, is_member=True):
            return WhyNot(OwnerChange.API_SERVER_LOST, "has lost the API server")
        if not candidate.interfaces:
            return WhyNot(OwnerChange.NO_INTERFACE, "has no usable interface")
        if allocation.is_local and not self.cluster.placement(allocation).admits(node):
            return WhyNot(OwnerChange.NO_ENDPOINT, "has no ready endpoint")
        return WhyNot(OwnerChange.PREFERRED, "comes after this node as things are now")

    def _candidate(self, node: str) -> Candidate | None:
        """None = that node announces nothing."""
        facts, heard = self.cluster.speakers[node], self._heard.get(node)
        if heard is not None:
            return Candidate(heard.interfaces, tier_of(heard), facts.attached) if heard.is_serving else None
        is_there = facts.is_serving and not facts.said_goodbye
        return Candidate(facts.interfaces, facts.tier, facts.attached) if is_there else None

    def silences(self) -> Counter[str]:
        """How many addresses this node announces ("Announced"), and how many it does not, by reason."""
        return Counter(
            "Announced" if isinstance(decision, Announce) else decision.silence.value
            for decision in self._decisions.values()
        )

    def faults(self, limit: int, is_elsewhere: Callable[[Allocation], bool] = lambda _: False) -> list[Fault]:
        """What keeps addresses off the network, as far as this node sees; at most `limit` faults.

        `is_elsewhere`: whether an address is announced by other means than layer 2, so that nothing is amiss when no
        L2Advertisement covers it. It may change with the allocation, IPPools and BGPAdvertisements, and then it is
        asked again: there may be thousands.
        """
        found = self.view().faults_in_advertisements()
        for name in list(self._amiss):
            if len(found) >= limit:
                break
            allocation, decision = self.cluster.allocations[name], self._decisions[name]
            is_covered = not (isinstance(decision, Refrain) and decision.silence is Silence.NO_ADVERTISEMENT)
            if not is_covered and is_elsewhere(allocation):
                del self._amiss[name]
                continue
            why = self.view().explain(allocation, self.cluster.placement(allocation))
            found += [why] if why else []
        return found[:limit]

    def served(self) -> frozenset[str]:
        """The addresses that some node announces on layer 2, as far as this one sees."""
        return frozenset(
            self.cluster.allocations[name].address
            for name, decision in self._decisions.items()
            if isinstance(decision, Announce) or decision.silence is Silence.OTHER_OWNER
        )

    def told_faults(self) -> list[Entry]:
        """What is wrong with L2Advertisements, if it is this node that tells: the first that lives, by name."""
        if min(self._candidates, default=self._own_node) != self._own_node:
            return []
        return [fault(one.object, one.reason.value, one.message) for one in self.view().faults_in_advertisements()]

    def unplaced(self) -> list[str]:
        """Addresses with the policy Local that have endpoints without a nodeName."""
        return [self.cluster.allocations[name].address for name in self._unplaced]

    def _view_changed(self) -> None:
        self._view = None
        self._dirty.update(dict.fromkeys(self.cluster.allocations))
