"""What speakers know of a cluster, and their own pure functions about one address: who may announce it, and why not.

The same functions as in each speaker (speaker.layer2.desired, speaker.cluster.causes), on what was read by this
command. What a node sees alone (its wire, its routers) is not in here: that is in the reports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from crds.addresses import IPAddress
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.l2advertisement import L2AdvertisementSpec
from crds.names import allocation_name
from kube.objects import ServiceKey
from speaker.cluster.causes import covering, faults_in_node, why_no_route
from speaker.cluster.endpoints import EndpointIndex, Placement
from speaker.cluster.faults import Fault
from speaker.cluster.objects import Allocation, NodeFacts, PoolFacts, SliceFacts, SpeakerFacts
from speaker.layer2.desired import Layer2View, Refrain, Silence


@dataclass
class Facts:
    """All by name. `allocations` and `slices`: those that were asked about, in full."""

    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    speakers: Mapping[str, SpeakerFacts] = field(default_factory=dict)
    pools: Mapping[str, PoolFacts] = field(default_factory=dict)
    l2_advertisements: Mapping[str, L2AdvertisementSpec] = field(default_factory=dict)
    bgp_advertisements: Mapping[str, BGPAdvertisementSpec] = field(default_factory=dict)
    allocations: Mapping[str, Allocation] = field(default_factory=dict)
    slices: Mapping[str, SliceFacts] = field(default_factory=dict)
    _views: dict[frozenset[str], Layer2View] = field(default_factory=dict, init=False)

    @cached_property
    def _endpoints(self) -> EndpointIndex:
        index = EndpointIndex()
        for name, one in self.slices.items():
            index.replace(name, None, one)
        return index

    def allocation(self, address: IPAddress) -> Allocation | None:
        """None where it was not read in full."""
        return self.allocations.get(allocation_name(address)) if self.allocations else None

    def candidates(self, alive: frozenset[str]) -> dict[str, SpeakerFacts]:
        """Speakers that announce, of those that live."""
        return {
            node: one
            for node, one in self.speakers.items()
            if node in alive and one.is_serving and not one.said_goodbye
        }

    def view(self, alive: frozenset[str]) -> Layer2View:
        """The cluster as each speaker sees it, and none in particular."""
        if alive not in self._views:
            self._views[alive] = self._view(self.candidates(alive))
        return self._views[alive]

    def _view(self, speakers: Mapping[str, SpeakerFacts]) -> Layer2View:
        return Layer2View(
            "",
            nodes=self.nodes,
            speakers={node: one.interfaces for node, one in speakers.items()},
            attached={node: one.attached for node, one in speakers.items()},
            pools={name: one.labels for name, one in self.pools.items()},
            advertisements=self.l2_advertisements,
            tiers={node: one.tier for node, one in speakers.items() if one.tier},
        )

    def placement(self, allocation: Allocation) -> Placement:
        """Where its ready endpoints are."""
        return self._endpoints.placement(self._services(allocation), allocation.is_ipv6)

    def _services(self, allocation: Allocation) -> list[ServiceKey]:
        return [holder.service for holder in allocation.holders]

    def cause(self, address: IPAddress, alive: frozenset[str]) -> Fault | None:
        """Why no node may announce it: on layer 2, or else by BGP. None where one may, or it is not known here."""
        allocation = self.allocation(address)
        if allocation is None:
            return None
        cause = self.view(alive).cause(allocation, self.placement(allocation))
        if cause is not None:
            return cause
        ads = self._covering(allocation)
        return why_no_route(allocation, self.placement(allocation), ads, self.nodes, self.candidates(alive))

    def _covering(self, allocation: Allocation) -> list[BGPAdvertisementSpec]:
        pool = self.pools.get(allocation.pool)
        return covering(allocation, pool.labels if pool else None, self.bgp_advertisements)

    def owner(self, address: IPAddress, alive: frozenset[str]) -> str | None:
        """The node that is to announce it on layer 2; None = none, or it is not known here."""
        allocation = self.allocation(address)
        if allocation is None:
            return None
        decision = self.view(alive).decide(allocation, self.placement(allocation))
        return decision.owner if isinstance(decision, Refrain) else None

    def _is_on_layer2(self, allocation: Allocation, alive: frozenset[str]) -> bool:
        decision = self.view(alive).decide(allocation, self.placement(allocation))
        return not (isinstance(decision, Refrain) and decision.silence is Silence.NO_ADVERTISEMENT)

    def why_not(self, node: str, address: IPAddress, alive: frozenset[str]) -> str:
        """What keeps that node from it; empty where nothing does."""
        allocation = self.allocation(address)
        if allocation is None or not self._is_on_layer2(allocation, alive):
            faults = list(faults_in_node(self.nodes.get(node)))
            return " and ".join(faults) or ("" if node in self.candidates(alive) else "has no live speaker")
        why = self.view(alive).why_not(node, allocation)
        if not why and allocation.is_local and not self.placement(allocation).admits(node):
            return "has no ready endpoint"
        return why
