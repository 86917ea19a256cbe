"""Which routes this node advertises to a BGP peer: the whole of them, from what is observed. Pure.

Knows nothing of sessions, or of whether the speaker may announce at all (speaker.fencing). Every eligible node
advertises; there is no owner as on layer 2.

Rules where the API leaves room:
- Advertisements that give one prefix unite: communities add up; of localPref, med and asPathPrepend counts what the
  advertisement says whose name sorts first among those that set it. A difference is complained of.
- An address with the policy Local is never aggregated: the aggregate would draw its neighbours' traffic to a node
  without their endpoints. With Cluster an aggregate stands while any address in it is advertised.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.community import CommunitySpec
from crds.conditions import Reason
from speaker.bgp.model import (
    WELL_KNOWN_COMMUNITIES,
    LargeCommunity,
    PeerConfig,
    Prefix,
    Route,
    StandardCommunity,
    family_of,
)
from speaker.desired import Complaint
from speaker.endpoints import Placement
from speaker.observed import Allocation, Labels, NodeFacts


@dataclass
class Desired:
    """The whole adj-RIB-out for one peer, and what an operator should change."""

    routes: dict[Prefix, Route] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)


class BGPView:
    """What one node sees, prepared for deciding on many addresses. Nothing it is given may change later.

    `needs_endpoint`: addresses with the policy Cluster are advertised only while some endpoint can take traffic.
    """

    def __init__(
        self,
        own: NodeFacts | None,
        *,
        pools: Mapping[str, Labels],
        advertisements: Mapping[str, BGPAdvertisementSpec],
        communities: Mapping[str, CommunitySpec],
        own_name: str,
        needs_endpoint: bool = True,
    ) -> None:
        self._own = own
        self._own_name = own_name
        self._pools = pools
        self._advertisements = dict(sorted(advertisements.items()))
        self._aliases = _aliases(communities)
        self._needs_endpoint = needs_endpoint

    def desired(self, peer: PeerConfig, addresses: Iterable[tuple[Allocation, Placement]]) -> Desired:
        """What `peer` should have from this node."""
        givers: dict[Prefix, set[str]] = {}
        for allocation, placement in addresses:
            if not self._may_advertise(allocation, placement):
                continue
            for name, ad in self._advertisements.items():
                if self._covers(ad, allocation, peer):
                    givers.setdefault(_prefix(allocation, ad), set()).add(name)
        made = Desired()
        for prefix, names in givers.items():
            if family_of(prefix) in peer.families:
                made.routes[prefix] = self._route(prefix, sorted(names), peer)
        made.complaints = self._complaints(peer, givers)
        return made

    def _may_advertise(self, allocation: Allocation, placement: Placement) -> bool:
        if self._own is None or self._own.is_excluded or self._own.is_network_unavailable:
            return False
        if allocation.is_releasing or not allocation.address:
            return False
        if allocation.is_local:
            return placement.admits(self._own_name)
        return not (self._needs_endpoint and placement.is_empty)

    def _covers(self, ad: BGPAdvertisementSpec, allocation: Allocation, peer: PeerConfig) -> bool:
        if ad.peers and peer.name not in ad.peers:
            return False
        if ad.node_selector is not None and (self._own is None or not ad.node_selector.matches(self._own.labels)):
            return False
        services = ad.service_selector
        if services is not None and not any(services.matches(holder.labels) for holder in allocation.holders):
            return False
        return self._covers_pool(ad, allocation.pool)

    def _covers_pool(self, ad: BGPAdvertisementSpec, pool: str) -> bool:
        if not ad.ip_pools and ad.ip_pool_selector is None:
            return True
        labels = self._pools.get(pool)
        by_label = ad.ip_pool_selector is not None and labels is not None and ad.ip_pool_selector.matches(labels)
        return pool in ad.ip_pools or by_label

    def _route(self, prefix: Prefix, names: list[str], peer: PeerConfig) -> Route:
        ads = [self._advertisements[name] for name in names]
        standard: set[StandardCommunity] = set()
        large: set[LargeCommunity] = set()
        for text in (text for ad in ads for text in ad.communities):
            match self._community(text):
                case (a, b):
                    standard.add((a, b))
                case (a, b, c):
                    large.add((a, b, c))
        return Route(
            prefix,
            local_pref=_first(ad.local_pref for ad in ads) if peer.is_internal else None,
            med=_first(ad.med for ad in ads),
            prepend=_first(ad.as_path_prepend or None for ad in ads) or 0,
            communities=tuple(sorted(standard)),
            large_communities=tuple(sorted(large)),
        )

    def _community(self, text: str) -> StandardCommunity | LargeCommunity | None:
        """None: no such name."""
        return WELL_KNOWN_COMMUNITIES.get(text) or _number(self._aliases.get(text, text))

    def _complaints(self, peer: PeerConfig, givers: Mapping[Prefix, set[str]]) -> list[Complaint]:
        texts: set[str] = set()
        for name in set().union(*givers.values()):
            ad = self._advertisements[name]
            unknown = [text for text in ad.communities if self._community(text) is None]
            texts.update(f"BGPAdvertisement {name}: no Community defines {text}" for text in unknown)
            if ad.local_pref is not None and not peer.is_internal:
                texts.add(f"BGPAdvertisement {name}: localPref is not sent to {peer.name}, which is in another AS")
        for names in {tuple(sorted(names)) for names in givers.values()}:
            texts.update(self._differences(names))
        return [Complaint(Reason.InvalidSpec, text) for text in sorted(texts)]

    def _differences(self, names: tuple[str, ...]) -> Iterable[str]:
        ads = [self._advertisements[name] for name in names]
        said: dict[str, set[int | None]] = {
            "localPref": {ad.local_pref for ad in ads} - {None},
            "med": {ad.med for ad in ads} - {None},
            "asPathPrepend": {ad.as_path_prepend or None for ad in ads} - {None},
        }
        for attribute, values in said.items():
            if len(values) > 1:
                yield f"BGPAdvertisements {', '.join(names)} differ in {attribute} for one route: the first counts"


def _prefix(allocation: Allocation, ad: BGPAdvertisementSpec) -> Prefix:
    address = ip_address(allocation.address)
    if allocation.is_local:
        return ip_network(address)
    length = ad.aggregation_length if address.version == 4 else ad.aggregation_length_v6
    return ip_network(f"{address}/{length}", strict=False)


def _aliases(communities: Mapping[str, CommunitySpec]) -> dict[str, str]:
    """Of two objects that define a name, the one whose own name sorts first counts."""
    aliases: dict[str, str] = {}
    for _, spec in sorted(communities.items()):
        for alias in spec.communities:
            aliases.setdefault(alias.name, alias.value)
    return aliases


def _number(text: str) -> StandardCommunity | LargeCommunity | None:
    parts = text.removeprefix("large:").split(":")
    if not all(part.isdecimal() for part in parts):
        return None
    match [int(part) for part in parts]:
        case [a, b] if not text.startswith("large:"):
            return a, b
        case [a, b, c] if text.startswith("large:"):
            return a, b, c
        case _:
            return None


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)
