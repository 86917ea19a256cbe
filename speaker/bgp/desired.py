"""Which routes this node advertises to a BGP peer: the rules, for one address, one prefix, or all at once. Pure.

Knows nothing of sessions, or of whether the speaker may announce at all (speaker.fencing). Every eligible node
advertises; there is no owner as on layer 2.

Rules where the API leaves room:
- Advertisements that give one prefix unite: communities add up; of localPref, med and asPathPrepend counts what the
  advertisement says whose name sorts first among those that set it. A difference is a fault.
- An address with the policy Local is never aggregated: the aggregate would draw its neighbours' traffic to a node
  without their endpoints. With Cluster an aggregate stands while any address in it is advertised.
- An address with the policy Cluster is advertised while some endpoint can take its traffic, wherever it is, and by an
  advertisement with advertiseWithoutEndpoints always.
- A weight goes with routes to addresses with the policy Local only: with Cluster all nodes are alike.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from crds.addresses import Family, IPAddress, family_of
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.community import CommunitySpec
from speaker.bgp.model import WELL_KNOWN_COMMUNITIES, LargeCommunity, PeerConfig, Prefix, Route, StandardCommunity
from speaker.bgp.prefixes import prefix_of
from speaker.bgp.surroundings import NOTHING_AROUND, Surroundings
from speaker.cluster.endpoints import Placement
from speaker.cluster.objects import Allocation, Labels, NodeFacts

BYTES_PER_SECOND_PER_ENDPOINT = 1e6
"""The link bandwidth of one ready endpoint. Only its ratio between nodes counts. One megabyte per second is an exact
32-bit float up to 1,024 endpoints on a node, and stays below 2^32 (where FRR 8 overflows) up to 4,294."""


class RouteSource(NamedTuple):
    """By which advertisements (their names, sorted) an address makes a route, and whether its policy is Local."""

    advertisements: tuple[str, ...]
    is_local: bool


Contributions = tuple[tuple[Prefix, RouteSource], ...]
"""The prefixes that one address makes routes of."""


@dataclass(frozen=True)
class PeerClass:
    """What of a peer decides which routes it gets, with which attributes. Peers of one class get the same.

    `advertisements`: the names of those that are for it. `next_hops`: what to name as next hop for each family that can
    be sent; None = the session's own address, and of IPv4 over IPv6 only where the router agrees (RFC 8950).
    """

    is_interior: bool
    advertisements: frozenset[str]
    next_hops: tuple[tuple[Family, IPAddress | None], ...]


@dataclass(frozen=True)
class Attributes:
    """A route without its prefix, next hop and weight."""

    local_pref: int | None
    med: int | None
    prepend: int
    communities: tuple[StandardCommunity, ...]
    large_communities: tuple[LargeCommunity, ...]
    is_weighted: bool


class BGPView:
    """What one node sees, prepared for deciding on many addresses. Nothing it is given may change later.

    `basis`: views with equal bases decide alike.
    """

    def __init__(
        self,
        own: NodeFacts | None,
        *,
        own_name: str,
        around: Surroundings = NOTHING_AROUND,
        pools: Mapping[str, Labels],
        advertisements: Mapping[str, BGPAdvertisementSpec],
        communities: Mapping[str, CommunitySpec],
    ) -> None:
        self._own = own
        self._own_name = own_name
        self._around = around
        self._pools = pools
        self._ads = {
            name: ad for name, ad in sorted(advertisements.items()) if own is not None and ad.selects_node(own.labels)
        }
        self._aliases = _aliases(communities)
        self._covering: dict[str, tuple[str, ...]] = {}
        self._sources: dict[RouteSource, RouteSource] = {}
        by_label = any(ad.ip_pool_selector is not None for ad in self._ads.values())
        self.basis = (self._ads, self._aliases, {pool: self._names(pool) for pool in pools} if by_label else None)

    @property
    def advertisements(self) -> Mapping[str, BGPAdvertisementSpec]:
        """Those that choose this node, in order of names."""
        return self._ads

    def contributions(self, allocation: Allocation, placement: Placement) -> Contributions:
        """The routes that this address is worth from this node, whoever gets them."""
        if allocation.is_releasing or not allocation.address:
            return ()
        if allocation.is_local and not placement.admits(self._own_name):
            return ()
        services = allocation.service_labels()
        names = [name for name in self._names(allocation.pool) if self._ads[name].covers_services(services)]
        if not allocation.is_local and placement.is_empty:
            names = [name for name in names if self._ads[name].advertise_without_endpoints]
        lengths = {self._length(allocation, name) for name in names}
        if len(lengths) == 1:
            return ((prefix_of(allocation.address, *lengths), self._source(names, allocation.is_local)),)
        return tuple(
            (
                prefix_of(allocation.address, length),
                self._source(self._of_length(allocation, names, length), allocation.is_local),
            )
            for length in sorted(lengths)
        )

    def _source(self, names: Iterable[str], is_local: bool) -> RouteSource:
        """One for all addresses alike."""
        made = RouteSource(tuple(names), is_local)
        return self._sources.setdefault(made, made)

    def peer_class(self, peer: PeerConfig) -> PeerClass:
        own = family_of(peer.peer_address)
        next_hops: list[tuple[Family, IPAddress | None]] = []
        for family in sorted(peer.families):
            next_hop = None if family == own or peer.is_on_a_link else self.next_hop(peer, family)
            if next_hop is not None or family == own or peer.offers_ipv6_next_hops:
                next_hops.append((family, next_hop))
        return PeerClass(
            is_interior=peer.is_interior,
            advertisements=frozenset(name for name, ad in self._ads.items() if not ad.peers or peer.name in ad.peers),
            next_hops=tuple(next_hops),
        )

    def next_hop(self, peer: PeerConfig, family: Family) -> IPAddress | None:
        """For sessions of the other family: that of the session's interface, since the router may reach no other, or
        else the node's first InternalIP. None = it has none."""
        interface = self._around.interface_to(peer.peer_address, peer.source_address)
        if interface is not None and (found := self._around.address_on(interface, family)) is not None:
            return found
        addresses = map(ip_address, self._own.addresses if self._own is not None else ())
        return next((one for one in addresses if family_of(one) == family and not one.is_link_local), None)

    def attributes(self, names: Iterable[str], peer_class: PeerClass) -> Attributes | None:
        """Of a route that these advertisements (sorted) give; None = none of them is for that peer."""
        ads = [self._ads[name] for name in names if name in peer_class.advertisements]
        if not ads:
            return None
        standard: set[StandardCommunity] = set()
        large: set[LargeCommunity] = set()
        for text in (text for ad in ads for text in ad.communities):
            match self.community(text):
                case (a, b):
                    standard.add((a, b))
                case (a, b, c):
                    large.add((a, b, c))
        return Attributes(
            local_pref=_first(ad.local_pref for ad in ads) if peer_class.is_interior else None,
            med=_first(ad.med for ad in ads),
            prepend=_first(ad.as_path_prepend or None for ad in ads) or 0,
            communities=tuple(sorted(standard)),
            large_communities=tuple(sorted(large)),
            is_weighted=any(ad.weight_by_endpoints for ad in ads),
        )

    def community(self, text: str) -> StandardCommunity | LargeCommunity | None:
        """None: no such name."""
        return WELL_KNOWN_COMMUNITIES.get(text) or _number(self._aliases.get(text, text))

    def desired(
        self, peer: PeerConfig, addresses: Iterable[tuple[Allocation, Placement, int | None]]
    ) -> dict[Prefix, Route]:
        """All that `peer` should have from this node: the rules in one piece. The numbers are endpoints on this node.

        Slow for many addresses: Decisions comes to the same, change by change, and is tested against this.
        """
        own = self._own
        if own is None or own.is_excluded or own.is_network_unavailable or own.is_out_of_service:
            return {}
        peer_class = self.peer_class(peer)
        sources: dict[Prefix, set[RouteSource]] = {}
        weights: dict[Prefix, int | None] = {}
        for allocation, placement, endpoints in addresses:
            for prefix, source in self.contributions(allocation, placement):
                sources.setdefault(prefix, set()).add(source)
                weights[prefix] = endpoints if source.is_local else None
        routes: dict[Prefix, Route] = {}
        for prefix, several in sources.items():
            attributes = self.attributes(united(several), peer_class)
            if attributes is not None and (route := route_of(prefix, attributes, peer_class, weights[prefix])):
                routes[prefix] = route
        return routes

    def _names(self, pool: str) -> tuple[str, ...]:
        names = self._covering.get(pool)
        if names is None:
            labels = self._pools.get(pool)
            names = tuple(name for name, ad in self._ads.items() if ad.covers_pool(pool, labels))
            self._covering[pool] = names
        return names

    def _of_length(self, allocation: Allocation, names: Iterable[str], length: int) -> tuple[str, ...]:
        return tuple(name for name in names if self._length(allocation, name) == length)

    def _length(self, allocation: Allocation, name: str) -> int:
        if allocation.is_local:
            return 128 if allocation.is_ipv6 else 32
        ad = self._ads[name]
        return ad.aggregation_length_v6 if allocation.is_ipv6 else ad.aggregation_length


def route_of(prefix: Prefix, attributes: Attributes, peer_class: PeerClass, endpoints: int | None) -> Route | None:
    """`endpoints`: how many are on this node, where they count. None: the peer can't be sent routes of that family."""
    for family, next_hop in peer_class.next_hops:
        if family == family_of(prefix):
            is_weighted = attributes.is_weighted and endpoints is not None
            return Route(
                prefix,
                next_hop,
                attributes.local_pref,
                attributes.med,
                attributes.prepend,
                attributes.communities,
                attributes.large_communities,
                BYTES_PER_SECOND_PER_ENDPOINT * endpoints if is_weighted and endpoints else None,
            )
    return None


def united(sources: Iterable[RouteSource]) -> tuple[str, ...]:
    """All the advertisements that give a prefix, sorted."""
    match list(sources):
        case [only]:
            return only.advertisements
        case several:
            return tuple(sorted({name for source in several for name in source.advertisements}))


def _aliases(communities: Mapping[str, CommunitySpec]) -> dict[str, str]:
    """Of two objects that define a name, the one whose own name sorts first counts."""
    aliases: dict[str, str] = {}
    for _, spec in sorted(communities.items()):
        for alias in spec.communities:
            aliases.setdefault(alias.name, alias.value)
    return aliases


def _number(text: str) -> StandardCommunity | LargeCommunity | None:
    """RFC 1997: two numbers of 16 bits. RFC 8092: three of 32."""
    parts = text.removeprefix("large:").split(":")
    if not all(part.isdecimal() and len(part) <= 10 for part in parts):
        return None
    match [int(part) for part in parts]:
        case [a, b] if not text.startswith("large:") and max(a, b) < 2**16:
            return a, b
        case [a, b, c] if text.startswith("large:") and max(a, b, c) < 2**32:
            return a, b, c
        case _:
            return None


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)
