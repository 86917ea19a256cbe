"""From a BGPPeer to the configuration of this node's session with it, or why there can be none. Pure."""

from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv4Address, ip_address

from crds.addresses import Family, IPAddress, family_of
from crds.bgppeer import BGPPeerSpec, PasswordSecretRef
from crds.conditions import Reason
from speaker.bgp.model import PeerConfig
from speaker.bgp.places import Nowhere, Place, place_of
from speaker.cluster.faults import Fault
from speaker.cluster.objects import NodeFacts
from speaker.wire.messages import RoutersOn

_NO_ROUTERS: Mapping[str, RoutersOn] = {}
_NAMED = ". Speakers may read those that speaker.bgp.passwordSecrets of the chart names"


def resolve_peer(
    name: str,
    spec: BGPPeerSpec,
    node_name: str,
    node: NodeFacts,
    password: str | None,
    routers: Mapping[str, RoutersOn] = _NO_ROUTERS,
) -> PeerConfig | Fault | None:
    """None: the peer is not for this node. `password`: where it wants one; None = it is not known, and so the peer gets
    no session at all. `routers`: those that are heard on links, by interface."""
    if not is_for(spec, node):
        return None
    if spec.password_secret_ref is not None and not password:
        return unreadable(name, spec.password_secret_ref, _NAMED)
    try:
        place = place_of(spec, routers)
        if isinstance(place, Nowhere):
            return Fault(place.reason, f"BGPPeer {name}: {place.message}", f"BGPPeer/{name}")
        if fault := _impossible(spec, place):
            return Fault(Reason.InvalidSpec, f"BGPPeer {name}: {fault}", f"BGPPeer/{name}")
        source = _source(spec, place.address, node)
        if spec.passive and source is None:
            message = (
                f"BGPPeer {name}: to wait for it, node {node_name} needs an InternalIP of its family: set sourceAddress"
            )
            return Fault(Reason.InvalidSpec, message, f"BGPPeer/{name}")
        return _config(name, spec, place, source, _router_id(spec, node_name, node), password)
    except ValueError as error:  # an object that is older than the API server's rules
        return Fault(Reason.InvalidSpec, f"BGPPeer {name}: {error}", f"BGPPeer/{name}")


def unreadable(name: str, ref: PasswordSecretRef, consequence: str) -> Fault:
    """The password of this BGPPeer is not where it says."""
    where = f"key {ref.key} of the Secret {ref.name} in Berth's namespace"
    message = f"BGPPeer {name}: the password is empty or can't be read from {where}{consequence}"
    return Fault(Reason.PasswordUnavailable, message, f"BGPPeer/{name}")


def _config(
    name: str,
    spec: BGPPeerSpec,
    place: Place,
    source_address: IPAddress | None,
    router_id: IPv4Address,
    password: str | None,
) -> PeerConfig:
    graceful = spec.graceful_restart
    return PeerConfig(
        name=name,
        my_asn=spec.my_asn,
        peer_asn=_peer_asn(spec),
        peer_address=place.address,
        router_id=router_id,
        families=_families(spec, place),
        peer_port=spec.peer_port,
        source_address=source_address,
        source_interface=place.interface,
        vrf=place.vrf,
        hold_time_seconds=spec.hold_time_seconds,
        keepalive_seconds=spec.keepalive_time_seconds,
        connect_retry_seconds=spec.connect_retry_seconds,
        password=password,
        multihop_ttl=spec.ebgp_multi_hop,
        ttl_security=spec.ttl_security,
        graceful_restart_seconds=graceful.restart_time_seconds if graceful is not None else None,
        is_passive=spec.passive,
    )


def _source(spec: BGPPeerSpec, peer_address: IPAddress, node: NodeFacts) -> IPAddress | None:
    """The one given. Who waits for the peer has to know where; who connects leaves it to the routing table."""
    if spec.source_address is not None:
        return ip_address(spec.source_address)
    if not spec.passive:
        return None
    own = map(ip_address, node.addresses)
    return next((address for address in own if address.version == peer_address.version), None)


def is_for(spec: BGPPeerSpec, node: NodeFacts) -> bool:
    """Whether that node is to have a session with the peer."""
    return spec.node_selector is None or spec.node_selector.matches(node.labels)


def _impossible(spec: BGPPeerSpec, place: Place) -> str | None:
    """What does not go together, where an object is older than the API server's rules (crds.bgppeer)."""
    if place.is_link_local and (spec.ebgp_multi_hop is not None or (spec.ttl_security or 1) > 1):
        return "a peer on a link (interface) is one hop away: leave ebgpMultiHop out, and ttlSecurity at 1"
    if place.is_link_local and spec.source_address is not None:
        return "a session on a link (interface) has the node's own link-local address: leave sourceAddress out"
    if (place.is_link_local or place.vrf is not None) and spec.passive:
        return "passive is not possible with interface or vrf: leave it out, the router may wait for this node instead"
    return None


def _peer_asn(spec: BGPPeerSpec) -> int | None:
    match spec.peer_asn:
        case "Internal":
            return spec.my_asn
        case "External":
            return None
        case number:
            return int(number)


def _families(spec: BGPPeerSpec, place: Place) -> frozenset[Family]:
    """On a link both, since its address says nothing of what is routed over it."""
    if spec.families:
        return frozenset(spec.families)
    return frozenset(Family) if place.is_link_local else frozenset({family_of(place.address)})


def _router_id(spec: BGPPeerSpec, node_name: str, node: NodeFacts) -> IPv4Address:
    """The one given, the node's first IPv4 address, or a number made from its name: never 0 (RFC 6286 §2.1), and below
    64.0.0.0, since older routers want what could be a host's address (RFC 4271 §6.2)."""
    if spec.router_id is not None:
        return IPv4Address(spec.router_id)
    for text in node.addresses:
        address = ip_address(text)
        if isinstance(address, IPv4Address):
            return address
    return IPv4Address(int.from_bytes(sha256(node_name.encode()).digest()[:4], "big") & 0x3FFFFFFF | 1 << 24)
