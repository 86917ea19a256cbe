"""All that decides which routes this node advertises to which BGP peers, and what a change of it changes. Pure.

Follows the ClusterState. A change of one allocation, or of the endpoints of one Service, costs only the prefixes that
it touches; a change of what all routes rest on (peers, advertisements, communities, pools, the own node) costs all, in
slices as small as the caller likes, and each route stays what it was until its turn comes. BGPView has the rules; this
only spares repeating them.

Knows nothing of sessions, of what routers have, or of whether the speaker may announce.
"""

from collections.abc import Collection, Mapping
from itertools import chain

from crds.bgpadvertisement import BGPAdvertisementSpec
from speaker.bgp.bfdsessions import session_config
from speaker.bgp.desired import Attributes, BGPView, Given, Giving, Traits, is_host, route_of, united
from speaker.bgp.faults import Findings, faults_in
from speaker.bgp.model import PeerConfig, Prefix, Route
from speaker.bgp.peers import resolve_peer
from speaker.bgp.weights import Weights
from speaker.cluster.faults import Fault
from speaker.cluster.objects import Allocation, Labels, NodeFacts
from speaker.cluster.state import Change, ClusterState, Kind
from speaker.wire.messages import BfdSession

_ALL_REST_ON = frozenset(
    (Kind.POOL, Kind.BGP_PEER, Kind.BGP_ADVERTISEMENT, Kind.COMMUNITY, Kind.BFD_PROFILE, Kind.SECRET)
)

DRAIN_SECONDS = 5.0


class _Peer:
    """What one peer is to have. `is_decided`: all of it was at some time; `is_told`: the caller was given it."""

    def __init__(self, config: PeerConfig, traits: Traits) -> None:
        self.config = config
        self.traits = traits
        self.routes: dict[Prefix, Route] = {}
        self.changed: dict[Prefix, None] = {}
        self.is_shown = self.is_decided = self.is_told = False

    def set(self, prefix: Prefix, route: Route | None) -> None:
        if self.routes.get(prefix) == route:
            return
        if route is None:
            del self.routes[prefix]
        else:
            self.routes[prefix] = route
        self.changed[prefix] = None

    def show(self, is_shown: bool) -> None:
        if is_shown != self.is_shown:
            self.is_shown = is_shown
            self.tell_all()

    def tell_all(self) -> None:
        self.changed.update(dict.fromkeys(self.routes))


class BGPPicture:
    """To observe is cheap and decides nothing; `update` does. `drain_seconds`: how long routes stay, so that routers
    can move traffic away (RFC 8326), when the own node is excluded while it advertises.
    """

    def __init__(self, own_node: str, cluster: ClusterState, *, drain_seconds: float = DRAIN_SECONDS) -> None:
        self._own_node = own_node
        self._cluster = cluster
        self._drain_seconds = drain_seconds
        self._failed: frozenset[str] = frozenset()
        self._is_stale = True
        self._urgent: dict[str, None] = {}
        self._dirty: dict[str, None] = {}
        self._view = self._new_view(None)
        self._own: NodeFacts | None = None
        self._drain_until: float | None = None
        self._is_muted = True
        self._peers: dict[str, _Peer] = {}
        self._gone: dict[str, dict[Prefix, None]] = {}
        self._refused: list[Fault] = []
        self._covering: dict[str, list[BGPAdvertisementSpec]] = {}
        self._faults: list[Fault] | None = None
        self._blackhole_fault = ""
        self._configs: dict[str, PeerConfig] = {}
        self._bfd: dict[str, BfdSession] = {}
        self._alike: list[tuple[Traits, list[_Peer]]] = []
        self._attributes: dict[tuple[str, ...], dict[Traits, Attributes | None]] = {}
        self._seen: dict[str, Allocation] = {}
        self._giving: dict[str, Giving] = {}
        self._aggregates: dict[Prefix, dict[Given, set[str]]] = {}
        self._weights = Weights()
        self._lengths: dict[int, set[int]] = {4: set(), 6: set()}
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

    def set_failed(self, peers: frozenset[str]) -> None:
        """The peers whose BFD session has failed: they are to have no route."""
        self._failed = peers
        self._show()

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
        times = [self._weights.deadline(), self._drain_until if self.is_draining else None]
        return min((time for time in times if time is not None), default=None)

    def update(self, now: float, limit: int) -> None:
        """Decide again what changed, on at most `limit` allocations. `now`: monotonic seconds."""
        if self._is_stale:
            self._is_stale = False
            self._rebuild(now)
        self._mute(now)
        self._dirty.update(dict.fromkeys(self._weights.due(now)))
        aggregates: dict[Prefix, None] = {}
        if self._urgent or self._dirty:
            self._faults = None
        for waiting in (self._urgent, self._dirty):
            for name in [name for name, _ in zip(waiting, range(limit), strict=False)]:
                del waiting[name]
                limit -= 1
                self._decide(name, now, aggregates)
        for prefix in aggregates:
            self._set_aggregate(prefix)
        if not self.has_work:
            for peer in self._peers.values():
                peer.is_decided = True

    @property
    def peers(self) -> Mapping[str, PeerConfig]:
        """Those that this node is to have a session with."""
        return self._configs

    @property
    def bfd(self) -> Mapping[str, BfdSession]:
        """The BFD sessions to have, by peer."""
        return self._bfd

    @property
    def is_draining(self) -> bool:
        """The own node was excluded a moment ago: its routes stay, and are to carry GRACEFUL_SHUTDOWN."""
        return self._drain_until is not None and not self._is_muted

    def routes(self, peer: str) -> Mapping[Prefix, Route]:
        """What that peer is to have, as far as it is decided."""
        known = self._peers.get(peer)
        return known.routes if known is not None and known.is_shown else {}

    def take_changes(self) -> dict[str, dict[Prefix, Route | None]]:
        """What is to be announced (or withdrawn: None) since this was last called.

        A new peer comes when all is decided that waits, and then whole, though it be empty; one that is configured
        differently comes whole again; one that is gone comes with withdrawals of all that it had.
        """
        changes: dict[str, dict[Prefix, Route | None]] = {}
        for name, gone in self._gone.items():
            changes[name] = dict.fromkeys(gone)
        self._gone.clear()
        for name, peer in self._peers.items():
            if peer.is_decided and (peer.changed or not peer.is_told):
                routes = self.routes(name)
                changes[name] = changes.get(name, {}) | {prefix: routes.get(prefix) for prefix in peer.changed}
                peer.changed.clear()
                peer.is_told = True
        return changes

    def addresses_of(self, prefix: Prefix) -> Collection[str]:
        """The addresses that a peer is to have this route for, in canonical spelling. Keep a copy, not this."""
        if not any(prefix in self.routes(name) for name in self._peers):
            return ()
        if is_host(prefix):
            return {str(prefix.network_address)}
        match list(self._aggregates.get(prefix, {}).values()):
            case [addresses]:
                return addresses
            case several:
                return set().union(*several)

    @property
    def aggregates(self) -> frozenset[Prefix]:
        """The prefixes that a peer is to have and that are not of one address. Traffic to what is not in use in them
        would go round in circles between router and node: a blackhole on the node ends that."""
        return frozenset(
            prefix for prefix in self._aggregates if any(prefix in self.routes(name) for name in self._peers)
        )

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
        every = chain.from_iterable(self._giving.values())
        return Findings(
            node=self._own_node,
            view=self._view,
            specs=self._cluster.bgp_peers,
            pools=self._pool_labels(),
            profiles=self._cluster.bfd_profiles.keys(),
            peers={name: (peer.config, peer.traits) for name, peer in self._peers.items()},
            refused=self._refused,
            givens={(prefix.version, given) for prefix, given in every},
            unions={united(givens) for givens in self._aggregates.values()},
            blackhole_fault=self._blackhole_fault,
        )

    def _rebuild(self, now: float) -> None:
        """Find out which peers there are, and what all routes rest on. Decides no route."""
        self._covering.clear()
        self._faults = None
        self._own = self._cluster.nodes.get(self._own_node)
        view = self._new_view(self._own)
        is_other = view.basis != self._view.basis
        self._view = view
        for name in self._resolve():
            is_other |= self._set_peer(name)
        alike: dict[Traits, list[_Peer]] = {}
        for peer in self._peers.values():
            alike.setdefault(peer.traits, []).append(peer)
        self._alike = list(alike.items())
        self._attributes.clear()
        if not self._peers:
            self._forget_all()
        elif is_other:
            self._dirty.update(dict.fromkeys(self._cluster.allocations))

    def _new_view(self, own: NodeFacts | None) -> BGPView:
        return BGPView(
            own,
            own_name=self._own_node,
            pools=self._pool_labels(),
            advertisements=self._cluster.bgp_advertisements,
            communities=self._cluster.communities,
        )

    def _pool_labels(self) -> dict[str, Labels]:
        return {name: facts.labels for name, facts in self._cluster.pools.items()}

    def _resolve(self) -> list[str]:
        """Sessions to have, of BGP and BFD; the names of all peers that are or were."""
        before = self._configs
        self._configs, self._bfd, self._refused = {}, {}, []
        profiles = self._cluster.bfd_profiles
        for name, spec in sorted(self._cluster.bgp_peers.items()) if self._own is not None else ():
            assert self._own is not None
            match resolve_peer(name, spec, self._own_node, self._own, self._cluster.secrets):
                case PeerConfig() as config:
                    self._configs[name] = config
                    if (profile := profiles.get(spec.bfd_profile or "")) is not None:
                        self._bfd[name] = session_config(config, profile)
                case Fault() as fault:
                    self._refused.append(fault)
        return sorted({*before, *self._configs})

    def _set_peer(self, name: str) -> bool:
        """Have that peer as it is configured now. Whether its routes have to be decided anew."""
        config, peer = self._configs.get(name), self._peers.get(name)
        if config is None:
            if peer is not None:
                self._gone.setdefault(name, {}).update(dict.fromkeys([*peer.routes, *peer.changed]))
                del self._peers[name]
            return False
        traits = self._view.traits(config)
        if peer is None:
            self._peers[name] = _Peer(config, traits)
            return True
        if config != peer.config:
            peer.config = config
            peer.tell_all()
        is_other, peer.traits = traits != peer.traits, traits
        return is_other

    def _forget_all(self) -> None:
        """Without a peer nothing costs anything."""
        for known in (self._urgent, self._dirty, self._seen, self._giving, self._aggregates):
            known.clear()
        self._weights = Weights()

    def _mute(self, now: float) -> None:
        """A node that takes no traffic advertises nothing; one that was excluded just now drains first."""
        own = self._own
        if own is None or not own.is_excluded:
            self._drain_until = None
        elif self._drain_until is None:
            self._drain_until = now if self._is_muted else now + self._drain_seconds
        is_drained = self._drain_until is not None and now >= self._drain_until
        self._is_muted = own is None or own.is_network_unavailable or is_drained
        self._show()

    def _show(self) -> None:
        for name, peer in self._peers.items():
            peer.show(not self._is_muted and name not in self._failed)

    def _decide(self, name: str, now: float, aggregates: dict[Prefix, None]) -> None:
        """Decide on one allocation. The aggregates that it touches are noted, to be decided once."""
        before, allocation = self._seen.get(name), self._cluster.allocations.get(name)
        self._seen.pop(name, None)
        if allocation is not None:
            self._seen[name] = allocation
        old, new = self._giving.pop(name, ()), self._give(allocation)
        kept = [prefix for prefix, _ in new]
        for prefix, given in old:
            if before is not None and not is_host(prefix):
                self._leave(prefix, given, before.address)
                aggregates[prefix] = None
            elif prefix not in kept:
                self._set(prefix, (), None)
        weight = self._weight(name, allocation, new, now)
        for prefix, given in new:
            if allocation is not None and not is_host(prefix):
                self._aggregates.setdefault(prefix, {}).setdefault(given, set()).add(allocation.address)
                aggregates[prefix] = None
            else:
                self._set(prefix, given.names, weight)
        if new:
            self._giving[name] = new

    def _give(self, allocation: Allocation | None) -> Giving:
        if allocation is None:
            return ()
        services = [holder.service for holder in allocation.holders]
        return self._view.giving(allocation, self._cluster.endpoints.placement(services, allocation.is_ipv6))

    def _weight(self, name: str, allocation: Allocation | None, giving: Giving, now: float) -> int | None:
        """What to say of how many endpoints are here; None = nothing."""
        ads = self._view.advertisements
        is_weighted = any(
            given.is_local and any(ads[each].weight_by_endpoints for each in given.names) for _, given in giving
        )
        if allocation is None or not is_weighted:
            self._weights.forget(name)
            return None
        services = [holder.service for holder in allocation.holders]
        wanted = self._cluster.endpoints.weight(services, allocation.is_ipv6, self._own_node)
        return self._weights.settle(name, wanted, now)

    def _leave(self, prefix: Prefix, given: Given, address: str) -> None:
        givens = self._aggregates[prefix]
        givens[given].discard(address)
        if not givens[given]:
            del givens[given]
        if not givens:
            del self._aggregates[prefix]

    def _set_aggregate(self, prefix: Prefix) -> None:
        self._set(prefix, united(self._aggregates.get(prefix, {})), None)

    def _set(self, prefix: Prefix, names: tuple[str, ...], weight: int | None) -> None:
        """Have each peer's route to that prefix as these advertisements make it; none of them = no route."""
        for traits, peers in self._alike:
            attributes = self._attributes_for(traits, names) if names else None
            route = route_of(prefix, attributes, traits, weight) if attributes is not None else None
            if route is not None:
                self._lengths[prefix.version].add(prefix.prefixlen)
            for peer in peers:
                peer.set(prefix, route)

    def _attributes_for(self, traits: Traits, names: tuple[str, ...]) -> Attributes | None:
        of_names = self._attributes.setdefault(names, {})
        if traits not in of_names:
            of_names[traits] = self._view.attributes(names, traits)
        return of_names[traits]
