"""What the informers of an allocator hold, as one value that is passed on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from allocator.objects import Advertisement, StoredAllocation, StoredHelper, StoredPeer
from allocator.release.confirmations import Confirmation
from allocator.release.speakers import SpeakerState
from allocator.status.slices import Slice
from crds.types import IPPool
from kube.informer.store import ObjectKey
from kube.objects import EndpointSlice, Namespace, Node, Service, ServiceCIDR


@dataclass(frozen=True)
class Observed:
    """Live views: they change with the informers, and nobody else changes them."""

    services: Mapping[ObjectKey, Service] = field(default_factory=dict)
    namespaces: Mapping[ObjectKey, Namespace] = field(default_factory=dict)
    pools: Mapping[ObjectKey, IPPool] = field(default_factory=dict)
    allocations: Mapping[ObjectKey, StoredAllocation] = field(default_factory=dict)
    speakers: Mapping[ObjectKey, SpeakerState] = field(default_factory=dict)
    confirmations: Mapping[ObjectKey, Confirmation] = field(default_factory=dict)
    nodes: Mapping[ObjectKey, Node] = field(default_factory=dict)
    api_endpoints: Mapping[ObjectKey, EndpointSlice] = field(default_factory=dict)
    """Of Service default/kubernetes."""
    service_cidrs: Mapping[ObjectKey, ServiceCIDR] = field(default_factory=dict)
    l2_advertisements: Mapping[ObjectKey, Advertisement] = field(default_factory=dict)
    bgp_advertisements: Mapping[ObjectKey, Advertisement] = field(default_factory=dict)
    peers: Mapping[ObjectKey, StoredPeer] = field(default_factory=dict)
    profiles: Mapping[ObjectKey, StoredHelper] = field(default_factory=dict)
    communities: Mapping[ObjectKey, StoredHelper] = field(default_factory=dict)
    slices: Mapping[ObjectKey, Slice] = field(default_factory=dict)

    def advertisements(self) -> list[Advertisement]:
        """Of both kinds."""
        return [*self.l2_advertisements.values(), *self.bgp_advertisements.values()]
