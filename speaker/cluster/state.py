"""All that one node observes of the cluster, as values; subscribers hear of each change. Pure.

    watches --> ClusterState --Change--> layer2.decisions, bgp.decisions
                             <--reads---

Holds what was seen last and decides nothing. It lives for one registration, so nothing in it is older than that.
"""

from collections.abc import Callable, Mapping, Set
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from crds.bfdprofile import BFDProfileSpec
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.bgppeer import BGPPeerSpec
from crds.community import CommunitySpec
from crds.l2advertisement import L2AdvertisementSpec
from kube.objects import ServiceKey
from speaker.cluster.endpoints import NOWHERE, EndpointIndex, Placement
from speaker.cluster.objects import (
    Allocation,
    NodeFacts,
    PoolFacts,
    SliceFacts,
    SpeakerFacts,
    as_its_speaker_sees,
)

Value = TypeVar("Value")


class Kind(Enum):
    """What can be observed, by its name in the API."""

    ALLOCATION = "IPAllocation"
    SLICE = "EndpointSlice"
    NODE = "Node"
    SPEAKER = "Speaker"
    POOL = "IPPool"
    L2_ADVERTISEMENT = "L2Advertisement"
    BGP_PEER = "BGPPeer"
    BGP_ADVERTISEMENT = "BGPAdvertisement"
    COMMUNITY = "Community"
    BFD_PROFILE = "BFDProfile"
    SECRET = "Secret"


class Change(NamedTuple):
    """An object changed from `old` to `new`; None = there is no object of that name.

    `services`: the Services whose endpoints changed; for an EndpointSlice only.
    """

    kind: Kind
    name: str
    old: Any
    new: Any
    services: Set[ServiceKey] = frozenset()


class ClusterState:
    """Every setter is idempotent: it calls no subscriber when nothing changes. None as the new value means that the
    object is deleted."""

    def __init__(self) -> None:
        self.allocations: Mapping[str, Allocation] = {}
        """All mappings here are by name (a Speaker has its node's name), and to be read only."""
        self.nodes: Mapping[str, NodeFacts] = {}
        """As their speakers see them: what excludes one may be ignored there."""
        self._nodes_as_read: dict[str, NodeFacts] = {}
        self.speakers: Mapping[str, SpeakerFacts] = {}
        self.pools: Mapping[str, PoolFacts] = {}
        self.l2_advertisements: Mapping[str, L2AdvertisementSpec] = {}
        self.bgp_peers: Mapping[str, BGPPeerSpec] = {}
        self.bgp_advertisements: Mapping[str, BGPAdvertisementSpec] = {}
        self.communities: Mapping[str, CommunitySpec] = {}
        self.bfd_profiles: Mapping[str, BFDProfileSpec] = {}
        self.secrets: Mapping[str, Mapping[str, bytes]] = {}
        """The data of the Secrets that were asked for, all in Berth's namespace."""
        self.endpoints = EndpointIndex()
        self._uids: set[str] = set()
        self._held: dict[ServiceKey, tuple[str, ...]] = {}
        self._node_of_mac: dict[str, str] = {}
        self._observers: list[Callable[[Change], None]] = []

    def subscribe(self, observer: Callable[[Change], None]) -> None:
        """Call `observer` after each change, in the order of the changes. It must not change the state."""
        self._observers.append(observer)

    # ---- what is asked ----

    @property
    def uids(self) -> Set[str]:
        """Of all allocations."""
        return self._uids

    @property
    def has_allocations(self) -> bool:
        """Whether any address is in use that is not being given back."""
        return any(not each.is_releasing for each in self.allocations.values())

    def held_by(self, service: ServiceKey) -> tuple[str, ...]:
        """The names of the allocations that this Service holds."""
        return self._held.get(service, ())

    def node_of(self, mac: str) -> str | None:
        """The node with a speaker that has this hardware address; None = it belongs to no speaker."""
        return self._node_of_mac.get(mac)

    def is_speakers(self, mac: str) -> bool:
        """Whether that hardware address belongs to a node with a speaker."""
        return mac in self._node_of_mac

    def is_probed(self, allocation: Allocation) -> bool:
        """Whether its pool has addresses probed before their first announcement."""
        pool = self.pools.get(allocation.pool)
        return pool is not None and pool.is_probed

    def placement(self, allocation: Allocation) -> Placement:
        """Where its endpoints are; nowhere when the policy is not Local, since then it does not matter."""
        if not allocation.is_local:
            return NOWHERE
        return self.endpoints.placement([holder.service for holder in allocation.holders], allocation.is_ipv6)

    def ready_nodes(self, allocation: Allocation) -> frozenset[str]:
        """The nodes that have a ready endpoint for it, whatever its policy."""
        return self.endpoints.ready_nodes([holder.service for holder in allocation.holders], allocation.is_ipv6)

    def serving_nodes(self, allocation: Allocation) -> frozenset[str]:
        """Those, and the ones where an endpoint serves until it ends."""
        return self.endpoints.serving_nodes([holder.service for holder in allocation.holders], allocation.is_ipv6)

    # ---- what is observed ----

    def set_allocation(self, name: str, new: Allocation | None) -> None:
        old = self.allocations.get(name)
        if old == new:
            return
        if old is not None:
            self._uids.discard(old.uid)
        if new is not None:
            self._uids.add(new.uid)
        self._hold(name, old, new)
        self._set(self.allocations, Kind.ALLOCATION, name, new)

    def set_slice(self, name: str, old: SliceFacts | None, new: SliceFacts | None) -> None:
        """`name` with its namespace. `old`: what was set last; the caller keeps it."""
        services = self.endpoints.replace(name, old, new)
        if services:
            self._tell(Change(Kind.SLICE, name, old, new, services))

    def set_node(self, name: str, new: NodeFacts | None) -> None:
        if new is None:
            self._nodes_as_read.pop(name, None)
            self._set(self.nodes, Kind.NODE, name, None)
            return
        self._nodes_as_read[name] = new
        self._set(self.nodes, Kind.NODE, name, as_its_speaker_sees(new, self.speakers.get(name)))

    def set_speaker(self, node: str, new: SpeakerFacts | None) -> None:
        old = self.speakers.get(node)
        for mac in old.macs if old else ():
            self._node_of_mac.pop(mac, None)
        if new is not None:
            self._node_of_mac.update(dict.fromkeys(new.macs, node))
        self._set(self.speakers, Kind.SPEAKER, node, new)
        if (read := self._nodes_as_read.get(node)) is not None:
            self.set_node(node, read)

    def set_pool(self, name: str, new: PoolFacts | None) -> None:
        self._set(self.pools, Kind.POOL, name, new)

    def set_l2_advertisement(self, name: str, new: L2AdvertisementSpec | None) -> None:
        self._set(self.l2_advertisements, Kind.L2_ADVERTISEMENT, name, new)

    def set_bgp_peer(self, name: str, new: BGPPeerSpec | None) -> None:
        self._set(self.bgp_peers, Kind.BGP_PEER, name, new)

    def set_bgp_advertisement(self, name: str, new: BGPAdvertisementSpec | None) -> None:
        self._set(self.bgp_advertisements, Kind.BGP_ADVERTISEMENT, name, new)

    def set_community(self, name: str, new: CommunitySpec | None) -> None:
        self._set(self.communities, Kind.COMMUNITY, name, new)

    def set_bfd_profile(self, name: str, new: BFDProfileSpec | None) -> None:
        self._set(self.bfd_profiles, Kind.BFD_PROFILE, name, new)

    def set_secret(self, name: str, new: Mapping[str, bytes] | None) -> None:
        self._set(self.secrets, Kind.SECRET, name, new)

    def take(self, kind: Kind, name: str, old: Any, new: Any) -> None:
        """Set an object of any kind. `old` matters for EndpointSlices only."""
        if kind is Kind.SLICE:
            self.set_slice(name, old, new)
        else:
            _SETTERS[kind](self, name, new)

    def _set(self, known: Mapping[str, Value], kind: Kind, name: str, new: Value | None) -> None:
        old = known.get(name)
        if old == new:
            return
        assert isinstance(known, dict)
        if new is None:
            del known[name]
        else:
            known[name] = new
        self._tell(Change(kind, name, old, new))

    def _hold(self, name: str, old: Allocation | None, new: Allocation | None) -> None:
        if old is not None and new is not None and old.holders == new.holders:
            return
        for holder in old.holders if old is not None else ():
            names = tuple(each for each in self._held.pop(holder.service, ()) if each != name)
            if names:
                self._held[holder.service] = names
        for holder in new.holders if new is not None else ():
            self._held[holder.service] = (*self._held.get(holder.service, ()), name)

    def _tell(self, change: Change) -> None:
        for observer in self._observers:
            observer(change)


_SETTERS: Mapping[Kind, Callable[[ClusterState, str, Any], None]] = {
    Kind.ALLOCATION: ClusterState.set_allocation,
    Kind.NODE: ClusterState.set_node,
    Kind.SPEAKER: ClusterState.set_speaker,
    Kind.POOL: ClusterState.set_pool,
    Kind.L2_ADVERTISEMENT: ClusterState.set_l2_advertisement,
    Kind.BGP_PEER: ClusterState.set_bgp_peer,
    Kind.BGP_ADVERTISEMENT: ClusterState.set_bgp_advertisement,
    Kind.COMMUNITY: ClusterState.set_community,
    Kind.BFD_PROFILE: ClusterState.set_bfd_profile,
    Kind.SECRET: ClusterState.set_secret,
}
