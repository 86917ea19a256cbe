"""From a BGPPeer to the configuration of this node's session with it, or why there can be none. Pure."""

from hashlib import sha256
from ipaddress import IPv4Address, ip_address

from crds.addresses import Family, IPAddress, family_of
from crds.bgppeer import BGPPeerSpec, PasswordSecretRef
from crds.conditions import Reason
from speaker.bgp.bynode import Here, Nothing, own_asn, source_address
from speaker.bgp.model import PeerConfig
from speaker.bgp.places import Place, place_of
from speaker.cluster.faults import Fault
from speaker.cluster.objects import NodeFacts

_NAMED = ". Speakers may read those that speaker.bgp.passwordSecrets of the chart names"


def resolve_peer(name: str, spec: BGPPeerSpec, here: Here, password: str | None) -> PeerConfig | Fault | None:
    """None: the peer is not for this node. `password`: where it wants one; None = it is not known, and so the peer gets
    no session at all."""
    if not is_for(spec, here.node):
        return None
    if spec.password_secret_ref is not None and not password:
        return unreadable(name, spec.password_secret_ref, _NAMED)
    try:
        place, asn = place_of(spec, here), own_asn(spec, here)
        source = _source(spec, place, here)
        missing = [one for one in (place, asn, source) if isinstance(one, Nothing)]
        if isinstance(place, Nothing) or isinstance(asn, Nothing) or isinstance(source, Nothing):
            said = "; ".join(one.message for one in missing)
            return Fault(missing[0].reason, f"BGPPeer {name}: {said}", f"BGPPeer/{name}")
        if fault := _impossible(spec, place, asn):
            return Fault(Reason.InvalidSpec, f"BGPPeer {name}: {fault}", f"BGPPeer/{name}")
        if spec.passive and source is None:
            message = (
                f"BGPPeer {name}: to wait for it, node {here.name} needs an InternalIP of its family: set sourceAddress"
            )
            return Fault(Reason.InvalidSpec, message, f"BGPPeer/{name}")
        return _config(name, spec, place, asn, source, _router_id(spec, here), password)
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
    asn: int,
    own_address: IPAddress | None,
    router_id: IPv4Address,
    password: str | None,
) -> PeerConfig:
    graceful = spec.graceful_restart
    return PeerConfig(
        name=name,
        my_asn=asn,
        peer_asn=_peer_asn(spec, asn),
        peer_address=place.address,
        router_id=router_id,
        families=_families(spec, place),
        peer_port=spec.peer_port,
        source_address=own_address,
        source_interface=place.interface,
        vrf=place.vrf,
        local_asn=spec.local_asn,
        is_confederation_member=spec.confederation_member,
        hold_time_seconds=spec.hold_time_seconds,
        keepalive_seconds=spec.keepalive_time_seconds,
        connect_retry_seconds=spec.connect_retry_seconds,
        password=password,
        multihop_ttl=spec.ebgp_multi_hop,
        ttl_security=spec.ttl_security,
        graceful_restart_seconds=graceful.restart_time_seconds if graceful is not None else None,
        is_passive=spec.passive,
    )


def _source(spec: BGPPeerSpec, place: Place | Nothing, here: Here) -> IPAddress | Nothing | None:
    """The one given. Who waits for the peer has to know where; who connects leaves it to the routing table."""
    if isinstance(place, Nothing):
        return None
    if spec.source_address_from is not None:
        return source_address(spec.source_address_from, family_of(place.address), here)
    if spec.source_address is not None:
        return ip_address(spec.source_address)
    if not spec.passive:
        return None
    own = map(ip_address, here.node.addresses)
    return next((address for address in own if address.version == place.address.version), None)


def is_for(spec: BGPPeerSpec, node: NodeFacts) -> bool:
    """Whether that node is to have a session with the peer."""
    return spec.node_selector is None or spec.node_selector.matches(node.labels)


def _impossible(spec: BGPPeerSpec, place: Place, asn: int) -> str | None:
    """What does not go together, where an object is older than the API server's rules (crds.bgppeer)."""
    if spec.local_asn is not None and spec.local_asn in (asn, _peer_asn(spec, asn)):
        return "localASN is an AS other than ours and the peer's: leave it out where these are one"
    if spec.local_asn is not None and _peer_asn(spec, asn) == asn:
        return "localASN is for external peers, and this one is in our own AS: leave it out"
    if spec.confederation_member and spec.local_asn is not None:
        return "localASN is for peers outside of the confederation: leave it out, or confederationMember"
    if spec.confederation_member and _peer_asn(spec, asn) == asn:
        return (
            "confederationMember is for peers in another member AS, and this one is in ours: leave it out, such peers "
            "need no word about it"
        )
    if place.is_link_local and (spec.ebgp_multi_hop is not None or (spec.ttl_security or 1) > 1):
        return "a peer on a link (interface) is one hop away: leave ebgpMultiHop out, and ttlSecurity at 1"
    if place.is_link_local and (spec.source_address or spec.source_address_from) is not None:
        return "a session on a link (interface) has the node's own link-local address: leave sourceAddress out"
    if (place.is_link_local or place.vrf is not None) and spec.passive:
        return "passive is not possible with interface or vrf: leave it out, the router may wait for this node instead"
    return None


def _peer_asn(spec: BGPPeerSpec, own: int) -> int | None:
    match spec.peer_asn:
        case "Internal":
            return own
        case "External":
            return None
        case number:
            return int(number)


def _families(spec: BGPPeerSpec, place: Place) -> frozenset[Family]:
    """On a link both, since its address says nothing of what is routed over it."""
    if spec.families:
        return frozenset(spec.families)
    return frozenset(Family) if place.is_link_local else frozenset({family_of(place.address)})


def _router_id(spec: BGPPeerSpec, here: Here) -> IPv4Address:
    """The one given, the node's first IPv4 address, or a number made from its name: never 0 (RFC 6286 §2.1), and below
    64.0.0.0, since older routers want what could be a host's address (RFC 4271 §6.2)."""
    if spec.router_id is not None:
        return IPv4Address(spec.router_id)
    for text in here.node.addresses:
        address = ip_address(text)
        if isinstance(address, IPv4Address):
            return address
    return IPv4Address(int.from_bytes(sha256(here.name.encode()).digest()[:4], "big") & 0x3FFFFFFF | 1 << 24)
