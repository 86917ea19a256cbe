"""The BGP peers of this node, and the routes that each is to have. Pure.

From BGPPeers to sessions of BGP and BFD, and from decisions on prefixes to what changes for each peer. Decides no
route: speaker.bgp.decisions does, once for all peers of a class.
"""

from collections.abc import Mapping, Sequence, Set

from crds.addresses import Family
from speaker.bgp.bfdsessions import session_config
from speaker.bgp.bynode import Here
from speaker.bgp.desired import BGPView, PeerClass
from speaker.bgp.exabgp.config import is_same_session
from speaker.bgp.model import PeerConfig, Prefix, Route
from speaker.bgp.passwords import Passwords, is_missing
from speaker.bgp.peers import is_for, resolve_peer, unreadable
from speaker.bgp.places import remark
from speaker.bgp.surroundings import Surroundings
from speaker.cluster.faults import Fault
from speaker.cluster.objects import NodeFacts
from speaker.cluster.state import ClusterState
from speaker.wire.messages import BfdSession

Changes = dict[Prefix, Route | None]
"""None = it is to be withdrawn."""
_NOTHING: Mapping[Prefix, Route] = {}
_GOES_ON = " any more: the session goes on with the one that was read last, but a speaker that starts will have none"


class AdjRibOut:
    """The routes that one peer is to have (RFC 4271 §3.2), and which of them have changed since they were taken.

    `is_shown`: it is to have them now; if not, it is to have none. `is_decided`: every allocation has been decided at
    least once for this peer. `is_taken`: `PeerTable.take_changes` has returned this peer.
    """

    def __init__(self, config: PeerConfig, peer_class: PeerClass) -> None:
        self.config = config
        self.peer_class = peer_class
        self.is_shown = self.is_decided = self.is_taken = False
        self._decided: dict[Prefix, Route] = {}
        self._changed: dict[Prefix, None] = {}

    @property
    def routes(self) -> Mapping[Prefix, Route]:
        """As of now, and as far as they are decided."""
        return self._decided if self.is_shown else _NOTHING

    @property
    def prefixes(self) -> list[Prefix]:
        """Of all routes that it may have been given, or is to be given."""
        return [*self._decided, *self._changed]

    @property
    def has_changes(self) -> bool:
        return self.is_decided and (bool(self._changed) or not self.is_taken)

    def set(self, prefix: Prefix, route: Route | None) -> None:
        if self._decided.get(prefix) == route:
            return
        if route is None:
            del self._decided[prefix]
        else:
            self._decided[prefix] = route
        self._changed[prefix] = None

    def show(self, is_shown: bool) -> None:
        if is_shown != self.is_shown:
            self.is_shown = is_shown
            self.change_all()

    def change_all(self) -> None:
        """It is to be given everything again."""
        self._changed.update(dict.fromkeys(self._decided))

    def take_changes(self) -> Changes:
        changed, self._changed = self._changed, {}
        self.is_taken = True
        return {prefix: self.routes.get(prefix) for prefix in changed}


class PeerTable:
    """`configs`: the peers to have a session with; `bfd`: the BFD sessions to have; `faults`: why others of this node
    have none, or what is wrong with these. `links`: the interfaces on which peers are to be found. `classes`: the peers
    that get the same, as of the last `resolve`."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self.configs: Mapping[str, PeerConfig] = {}
        self.bfd: Mapping[str, BfdSession] = {}
        self.faults: Sequence[Fault] = ()
        self.links: frozenset[str] = frozenset()
        self.classes: Sequence[tuple[PeerClass, Sequence[AdjRibOut]]] = ()
        self._ribs: dict[str, AdjRibOut] = {}
        self._gone: dict[str, dict[Prefix, None]] = {}

    def __bool__(self) -> bool:
        """Whether there is any peer."""
        return bool(self._ribs)

    def resolve(self, cluster: ClusterState, own_node: str, view: BGPView, around: Surroundings) -> bool:
        """Have the peers that are configured now. Whether routes have to be decided anew."""
        before = self.configs
        self._configure(cluster, own_node, around)
        is_other = False
        for name in sorted({*before, *self.configs}):
            is_other |= self._set(name, view)
        classes: dict[PeerClass, list[AdjRibOut]] = {}
        for rib in self._ribs.values():
            classes.setdefault(rib.peer_class, []).append(rib)
        self.classes = list(classes.items())
        return is_other

    def show(self, *, is_silent: bool, failed: Set[str]) -> None:
        """`is_silent`: no peer is to have a route. `failed`: peers that are to have none, whatever the others have."""
        for name, rib in self._ribs.items():
            rib.show(not is_silent and name not in failed)

    def all_decided(self) -> None:
        """Nothing waits to be decided, for any peer."""
        for rib in self._ribs.values():
            rib.is_decided = True

    def routes(self, name: str) -> Mapping[Prefix, Route]:
        """What that peer is to have, as far as it is decided."""
        rib = self._ribs.get(name)
        return rib.routes if rib is not None else _NOTHING

    def has_route(self, prefix: Prefix) -> bool:
        """Whether any peer is to have one to exactly this prefix."""
        return any(prefix in rib.routes for rib in self._ribs.values())

    def take_changes(self) -> dict[str, Changes]:
        """What is to be otherwise since this was last called.

        A new peer comes when nothing waits to be decided, and then whole, though it be empty. One that gets a new
        session comes whole again. One that is gone comes with withdrawals of all that it had.
        """
        changes: dict[str, Changes] = {name: dict.fromkeys(gone) for name, gone in self._gone.items()}
        self._gone.clear()
        for name, rib in self._ribs.items():
            if rib.has_changes:
                changes[name] = changes.get(name, {}) | rib.take_changes()
        return changes

    @property
    def without_ipv4_next_hop(self) -> frozenset[str]:
        """The peers to which IPv4 routes can name an IPv6 next hop only (RFC 8950)."""
        return frozenset(
            name
            for name, rib in self._ribs.items()
            if rib.config.offers_ipv6_next_hops and (Family.IPv4, None) in rib.peer_class.next_hops
        )

    def described(self) -> dict[str, tuple[PeerConfig, PeerClass]]:
        return {name: (rib.config, rib.peer_class) for name, rib in self._ribs.items()}

    def _configure(self, cluster: ClusterState, own_node: str, around: Surroundings) -> None:
        configs: dict[str, PeerConfig] = {}
        bfd: dict[str, BfdSession] = {}
        faults: list[Fault] = []
        links: set[str] = set()
        own: NodeFacts | None = cluster.nodes.get(own_node)
        for name, spec in sorted(cluster.bgp_peers.items()) if own is not None else ():
            assert own is not None
            here = Here(own_node, own, around)
            ref = spec.password_secret_ref
            password = self._passwords.of(name, ref, cluster.secrets) if ref is not None else None
            if spec.peer_address is None and spec.interface is not None and is_for(spec, own):
                links.add(spec.interface)
            match resolve_peer(name, spec, here, password):
                case PeerConfig() as config:
                    configs[name] = config
                    if (remarked := remark(spec, here)) is not None:
                        faults.append(Fault(remarked.reason, f"BGPPeer {name}: {remarked.message}", f"BGPPeer/{name}"))
                    if ref is not None and is_missing(ref, cluster.secrets):
                        faults.append(unreadable(name, ref, _GOES_ON))
                    if (profile := cluster.bfd_profiles.get(spec.bfd_profile or "")) is not None:
                        bfd[name] = session_config(config, profile)
                case Fault() as fault:
                    faults.append(fault)
        self._passwords.forget_others(cluster.bgp_peers.keys())
        self.configs, self.bfd, self.faults, self.links = configs, bfd, faults, frozenset(links)

    def _set(self, name: str, view: BGPView) -> bool:
        """Have that peer as it is configured now. Whether its routes have to be decided anew."""
        config, rib = self.configs.get(name), self._ribs.get(name)
        if config is None:
            if rib is not None:
                self._gone.setdefault(name, {}).update(dict.fromkeys(rib.prefixes))
                del self._ribs[name]
            return False
        peer_class = view.peer_class(config)
        if rib is None:
            self._ribs[name] = AdjRibOut(config, peer_class)
            return True
        if config != rib.config:
            before, rib.config = rib.config, config
            if not is_same_session(before, config):
                rib.change_all()
        is_other, rib.peer_class = peer_class != rib.peer_class, peer_class
        return is_other
