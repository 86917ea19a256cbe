"""BGPAdvertisement: which addresses become routes, to which peers, with which attributes."""

from typing import Annotated, ClassVar

from pydantic import Field

from crds.advertisement import AdvertisementSpec, AdvertisementStatus, ColumnText
from crds.kind import AGE, Column, CustomKind, degraded_column, ready_column
from crds.markers import Format, Items, ListSet
from crds.meta import BerthObject
from crds.rules import CommunityValue, ObjectName

Unsigned32 = Annotated[int, Field(ge=0, le=4294967295), Format("int64")]


class BGPAdvertisementSpec(AdvertisementSpec):
    """Which addresses, to which peers, with which route attributes."""

    peers: Annotated[tuple[ObjectName, ...], Items(maximum=256), ListSet()] = ()
    """Advertise only to these BGPPeers. Empty: to all."""
    aggregation_length: Annotated[int, Field(ge=0, le=32), Format("int32")] = 32
    """The prefix length of IPv4 routes; less than 32 covers neighbouring addresses by one route."""
    aggregation_length_v6: Annotated[int, Field(ge=0, le=128), Format("int32")] = Field(
        128, alias="aggregationLengthV6"
    )
    """The prefix length of IPv6 routes; less than 128 covers neighbouring addresses by one route."""
    local_pref: Unsigned32 | None = None
    """LOCAL_PREF of the routes, for sessions within one AS or confederation (RFC 4271, RFC 5065). Higher is
    preferred."""
    med: Unsigned32 | None = None
    """MULTI_EXIT_DISC of the routes (RFC 4271). Lower is preferred."""
    as_path_prepend: Annotated[int, Field(ge=0, le=16), Format("int32")] = 0
    """How many times more the own AS number is put before the path, so that routers prefer other ways. Not
    for sessions within one AS or confederation, where it would count for nothing."""
    communities: Annotated[tuple[CommunityValue, ...], Items(maximum=64), ListSet()] = ()
    """Communities of the routes: standard (64512:100), large (large:64512:1:2), well-known by name (no-export,
    no-advertise, no-export-subconfed, no-peer, graceful-shutdown, blackhole), or aliases from Community objects."""
    weight_by_endpoints: bool = False
    """Whether to add a link bandwidth in proportion to the node's ready endpoints, so that routers spread traffic of
    Services with externalTrafficPolicy Local by endpoints and not by nodes."""
    advertise_without_endpoints: bool = False
    """Whether to advertise addresses with externalTrafficPolicy Cluster also while no endpoint is ready: clients are
    then refused by a node. Not set: the route goes with the last ready endpoint, and the next router answers."""


class BGPAdvertisementStatus(AdvertisementStatus):
    """What Berth made of the advertisement."""

    peers: ColumnText = ""
    """The BGPPeers that it names, as a text for tables; * for all."""


class BGPAdvertisement(BerthObject):
    """Advertises addresses as routes to BGP peers, from every eligible node."""

    KIND: ClassVar[CustomKind] = CustomKind(
        kind="BGPAdvertisement",
        plural="bgpadvertisements",
        short_names=("bgpad",),
        columns=(
            Column("Pools", ".status.pools", description="IPPools by name; * for all."),
            Column("Peers", ".status.peers", description="BGPPeers; * for all."),
            Column("Communities", ".spec.communities", description="Communities of the routes.", priority=1),
            ready_column(),
            degraded_column(),
            AGE,
        ),
    )

    kind: str = "BGPAdvertisement"
    spec: BGPAdvertisementSpec = BGPAdvertisementSpec()
    """Which addresses, to which peers, with which route attributes."""
    status: BGPAdvertisementStatus = BGPAdvertisementStatus()
    """What Berth made of the advertisement; written by the allocator."""
