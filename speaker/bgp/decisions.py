"""Which routes this node advertises to which BGP peers, decided anew when something changes that they depend on. Pure.

After a change of one allocation, or of the endpoints of one Service, only the prefixes concerned are decided again.
After a change of what all routes depend on (peers, advertisements, communities, pools, the own node) all are, in slices
as small as the caller likes; each route stays what it was until its turn comes. BGPView has the rules; this only spares
repeating them.

    ClusterState --Change--> Decisions --RouteSource--> Aggregates
                                 |
                                 +-- route of a class --> PeerTable --Changes--> speaker.bgp.course

Knows nothing of sessions, of what routers have, or of whether the speaker may announce.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import islice

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.bgppeer import BGPPeerSpec
from speaker.bgp.aggregates import Aggregates
from speaker.bgp.desired import Attributes, BGPView, Contributions, PeerClass, RouteSource, route_of
from speaker.bgp.drain import Drain
from speaker.bgp.faults import Findings, faults_in
from speaker.bgp.model import PeerConfig, Prefix, Route
from speaker.bgp.moves import Moves
from speaker.bgp.passwords import Passwords
from speaker.bgp.peertable import Changes, PeerTable
from speaker.bgp.prefixes import address_of, is_host
from speaker.bgp.surroundings import Surroundings
from speaker.bgp.weights import Weights
from speaker.cluster.faults import Fault
from speaker.cluster.objects import Allocation, Labels, NodeFacts
from speaker.cluster.state import Change, ClusterState, Kind
from speaker.moment import earliest
from speaker.proxies.readiness import Readiness
from speaker.wire.messages import BfdSession

_ALL_REST_ON = frozenset(
    (Kind.POOL, Kind.BGP_PEER, Kind.BGP_ADVERTISEMENT, Kind.COMMUNITY, Kind.BFD_PROFILE, Kind.SECRET)
)


class Decisions:
    """Follows `cluster`: to observe is cheap and decides nothing, `update` does. `drain_seconds`: see Drain.
    `passwords`: those that were read already. `proxies`: None = they are never waited for."""

    def __init__(
        self,
        own_node: str,
        cluster: ClusterState,
        *,
        drain_seconds: float,
        passwords: Passwords | None = None,
        proxies: Readiness | None = None,
    ) -> None:
        self._own_node = own_node
        self._cluster = cluster
        self._moves = Moves(own_node, cluster, proxies if proxies is not None else Readiness(own_node))
        self._own: NodeFacts | None = None
        self._around = Surroundings()
        self._view = self._new_view()
        self._is_stale = True
        self._urgent: dict[str, None] = {}
        self._dirty: dict[str, None] = {}
        self._peers = PeerTable(passwords if passwords is not None else Passwords())
        self._failed: frozenset[str] = frozenset()
        self._drain = Drain(drain_seconds)
        self._decided: dict[str, Allocation] = {}
        self._contributions: dict[str, Contributions] = {}
        self._sources: Counter[tuple[int, RouteSource]] = Counter()
        """Of all contributions, with the IP version."""
        self._aggregates = Aggregates()
        self._weights = Weights()
        self._attributes: dict[tuple[str, ...], dict[PeerClass, Attributes | None]] = {}
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
        self._covering: dict[str, list[BGPAdvertisementSpec]] = {}
        self._faults: list[Fault] | None = None
        self._blackhole_fault = ""
        cluster.subscribe(self.observe)

    def observe(self, change: Change) -> None:
        """Something changed in the cluster."""
        if change.kind is Kind.ALLOCATION:
            self._allocation_changed(change.name, change.new)
        elif change.kind is Kind.SLICE and self._peers:
            for service in change.services:  # it may be the last endpoint that is gone
                self._urgent.update(dict.fromkeys(self._cluster.held_by(service)))
        elif change.kind is Kind.NODE:
            self._is_stale |= self._cluster.nodes.get(self._own_node) != self._own
        elif change.kind in _ALL_REST_ON:
            self._is_stale = True
            self._covering.clear()

    def set_failed(self, peers: frozenset[str]) -> None:
        """The peers whose BFD session has failed: they are to have no route."""
        self._failed = peers
        self._peers.show(is_silent=self._drain.is_silent, failed=peers)

    def set_surroundings(self, around: Surroundings) -> None:
        """What the host says of who the peers are."""
        if around != self._around:
            self._around = around
            self._is_stale = True

    def set_blackhole_fault(self, fault: str) -> None:
        """Why there are no blackholes for aggregates, which is a fault; "" = there are."""
        if fault != self._blackhole_fault:
            self._blackhole_fault = fault
            self._faults = None

    def _allocation_changed(self, name: str, new: Allocation | None) -> None:
        """A withdrawal overtakes everything else that waits."""
        if self._peers:
            (self._urgent if new is None or new.is_releasing else self._dirty)[name] = None

    @property
    def all_peers(self) -> Collection[BGPPeerSpec]:
        """Those of the cluster, for this node or others."""
        return self._cluster.bgp_peers.values()

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the Secrets with passwords of this node's peers."""
        own = self._cluster.nodes.get(self._own_node)
        if own is None:
            return frozenset()
        return frozenset(
            spec.password_secret_ref.name
            for spec in self._cluster.bgp_peers.values()
            if spec.password_secret_ref is not None
            and (spec.node_selector is None or spec.node_selector.matches(own.labels))
        )

    @property
    def has_work(self) -> bool:
        """Whether `update` has something to do at once."""
        return self._is_stale or bool(self._urgent or self._dirty)

    def deadline(self) -> float | None:
        """When to call `update` though nothing changed."""
        return earliest(self._weights.deadline(), self._drain.deadline())

    def update(self, now: float, limit: int) -> None:
        """Decide again what changed, on at most `limit` allocations. `now`: monotonic seconds."""
        if self._is_stale:
            self._is_stale = False
            self._rebuild()
        self._drain.update(self._own, now)
        self._peers.show(is_silent=self._drain.is_silent, failed=self._failed)
        self._dirty.update(dict.fromkeys(self._weights.due(now)))
        aggregates: dict[Prefix, None] = {}
        for waiting in (self._urgent, self._dirty):
            for name in list(islice(waiting, limit)):
                del waiting[name]
                limit -= 1
                self._decide(name, now, aggregates)
        if aggregates:
            self._faults = None
        for prefix in aggregates:
            self._set(prefix, self._aggregates.advertisements(prefix), None)
        if not self.has_work:
            self._peers.all_decided()

    @property
    def peers(self) -> Mapping[str, PeerConfig]:
        """Those that this node is to have a session with."""
        return self._peers.configs

    @property
    def links(self) -> frozenset[str]:
        """The interfaces on which peers of this node are to be found by router discovery."""
        return self._peers.links

    @property
    def without_ipv4_next_hop(self) -> frozenset[str]:
        """See PeerTable."""
        return self._peers.without_ipv4_next_hop

    @property
    def bfd(self) -> Mapping[str, BfdSession]:
        """The BFD sessions to have, by peer."""
        return self._peers.bfd

    @property
    def is_draining(self) -> bool:
        """The own node was excluded a moment ago: its routes stay, and are to carry GRACEFUL_SHUTDOWN."""
        return self._drain.is_draining

    def routes(self, peer: str) -> Mapping[Prefix, Route]:
        """What that peer is to have, as far as it is decided."""
        return self._peers.routes(peer)

    def take_changes(self) -> Mapping[str, Changes]:
        """See PeerTable."""
        return self._peers.take_changes()

    def has_route(self, prefix: Prefix) -> bool:
        """Whether any peer is to have one to exactly this prefix."""
        return self._peers.has_route(prefix)

    def addresses_of(self, prefix: Prefix) -> Collection[str]:
        """The addresses that a peer is to have this route for, in canonical spelling. Keep a copy, not this."""
        if not self._peers.has_route(prefix):
            return ()
        return {address_of(prefix)} if is_host(prefix) else self._aggregates.addresses(prefix)

    @property
    def aggregates(self) -> frozenset[Prefix]:
        """The prefixes that a peer is to have and that are not of one address. Traffic to what is not in use in them
        would go round in circles between router and node: a blackhole on the node ends that."""
        return frozenset(filter(self._peers.has_route, self._aggregates))

    def lengths(self, version: int) -> frozenset[int]:
        """The lengths of all prefixes that a peer ever was to have, of IPv4 or IPv6."""
        return frozenset(self._lengths[version])

    def covers(self, allocation: Allocation) -> bool:
        """Whether some BGPAdvertisement chooses the address, for this node or others."""
        ads = self._covering.get(allocation.pool)
        if ads is None:
            labels = self._pool_labels().get(allocation.pool)
            ads = [ad for ad in self._cluster.bgp_advertisements.values() if ad.covers_pool(allocation.pool, labels)]
            self._covering[allocation.pool] = ads
        services = allocation.service_labels()
        return any(ad.covers_services(services) for ad in ads)

    def faults(self, limit: int) -> list[Fault]:
        """What an operator should change, as far as this node sees; sorted by object, at most `limit`."""
        if self._faults is None:
            self._faults = faults_in(self._findings())
        return self._faults[:limit]

    def _findings(self) -> Findings:
        return Findings(
            node=self._own_node,
            view=self._view,
            specs=self._cluster.bgp_peers,
            pools=self._pool_labels(),
            profiles=self._cluster.bfd_profiles.keys(),
            peers=self._peers.described(),
            about_peers=self._peers.faults,
            sources=self._sources.keys(),
            unions=self._aggregates.unions(),
            blackhole_fault=self._blackhole_fault,
        )

    def _rebuild(self) -> None:
        """Find out which peers there are, and what all routes depend on. Decides no route."""
        self._covering.clear()
        self._attributes.clear()
        self._faults = None
        self._own = self._cluster.nodes.get(self._own_node)
        before, self._view = self._view, self._new_view()
        is_other = self._peers.resolve(self._cluster, self._own_node, self._view, self._around)
        if not self._peers:
            self._forget_all()
        elif is_other or self._view.basis != before.basis:
            self._dirty.update(dict.fromkeys(self._cluster.allocations))

    def _new_view(self) -> BGPView:
        return BGPView(
            self._own,
            own_name=self._own_node,
            around=self._around,
            pools=self._pool_labels(),
            advertisements=self._cluster.bgp_advertisements,
            communities=self._cluster.communities,
        )

    def _pool_labels(self) -> dict[str, Labels]:
        return {name: facts.labels for name, facts in self._cluster.pools.items()}

    def _forget_all(self) -> None:
        """Without a peer nothing costs anything."""
        for known in (self._urgent, self._dirty, self._decided, self._contributions, self._sources):
            known.clear()
        self._aggregates.clear()
        self._weights = Weights()

    def _decide(self, name: str, now: float, aggregates: dict[Prefix, None]) -> None:
        """Decide on one allocation. The aggregates that it touches are noted, to be decided once."""
        before, allocation = self._decided.pop(name, None), self._cluster.allocations.get(name)
        if allocation is not None:
            self._decided[name] = allocation
        old = self._contributions.pop(name, ())
        new = self._contributions_of(allocation, has_route=bool(old))
        kept = [prefix for prefix, _ in new]
        for prefix, source in old:
            if before is not None and not is_host(prefix):
                self._aggregates.leave(prefix, source, before.address)
                aggregates[prefix] = None
            elif prefix not in kept:
                self._set(prefix, (), None)
        weight = self._weight(name, allocation, new, now)
        for prefix, source in new:
            if allocation is not None and not is_host(prefix):
                self._aggregates.join(prefix, source, allocation.address)
                aggregates[prefix] = None
            else:
                self._set(prefix, source.advertisements, weight)
        if new:
            self._contributions[name] = new
        self._count(old, -1)
        self._count(new, +1)

    def _count(self, contributions: Contributions, number: int) -> None:
        """Faults depend on which sources there are, and not on how many addresses have them."""
        for prefix, source in contributions:
            key = (prefix.version, source)
            before = self._sources[key]
            self._sources[key] = before + number
            if not before + number:
                del self._sources[key]
            if not before or not before + number:
                self._faults = None

    def _contributions_of(self, allocation: Allocation | None, *, has_route: bool) -> Contributions:
        if allocation is None:
            return ()
        services = [holder.service for holder in allocation.holders]
        placement = self._cluster.endpoints.placement(services, allocation.is_ipv6)
        return self._view.contributions(allocation, self._moves.placement(allocation, placement, has_route=has_route))

    def look_again(self, name: str) -> None:
        """Decide that allocation again, if it still exists."""
        if self._peers and name in self._cluster.allocations:
            self._dirty[name] = None

    def _weight(self, name: str, allocation: Allocation | None, contributions: Contributions, now: float) -> int | None:
        """What to say of how many endpoints are here; None = nothing."""
        ads = self._view.advertisements
        is_weighted = any(
            source.is_local and any(ads[each].weight_by_endpoints for each in source.advertisements)
            for _, source in contributions
        )
        if allocation is None or not is_weighted:
            self._weights.forget(name)
            return None
        services = [holder.service for holder in allocation.holders]
        wanted = self._cluster.endpoints.weight(services, allocation.is_ipv6, self._own_node)
        return self._weights.settle(name, wanted, now)

    def _set(self, prefix: Prefix, advertisements: tuple[str, ...], weight: int | None) -> None:
        """Have each peer's route to that prefix as these advertisements make it; none of them = no route."""
        for peer_class, ribs in self._peers.classes:
            attributes = self._attributes_for(peer_class, advertisements) if advertisements else None
            route = route_of(prefix, attributes, peer_class, weight) if attributes is not None else None
            if route is not None:
                self._lengths[prefix.version].add(prefix.prefixlen)
            for rib in ribs:
                rib.set(prefix, route)

    def _attributes_for(self, peer_class: PeerClass, advertisements: tuple[str, ...]) -> Attributes | None:
        known = self._attributes.setdefault(advertisements, {})
        if peer_class not in known:
            known[peer_class] = self._view.attributes(advertisements, peer_class)
        return known[peer_class]
