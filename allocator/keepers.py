"""What keeps addresses out of pools, object by object: Nodes, Speakers, Services, the API server's endpoints and CIDRs.

A Speaker counts while its Node is there, whether it runs or not: a gateway stays one when the speaker that saw it
stops, and a node that is gone for good has no Node. Knows no pools; what cannot be read keeps out nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_interface, ip_network

from allocator.observed import Observed
from allocator.release.speakers import SpeakerState
from allocator.request import MOST_EXTERNAL_IPS, key_of
from allocator.space.keptout import NOTHING, Entries, KeptBy
from allocator.space.ranges import parse_address
from allocator.space.spans import Spans
from crds.addresses import FAMILIES, Family, IPAddress, family_of
from crds.ippool import KeptOutReason
from kube.objects import EndpointSlice, Node, Service, ServiceCIDR

Network = IPv4Network | IPv6Network

MOST_NODE_ADDRESSES = 64
"""Of one node: its kubelet writes them, and could keep a whole pool from all others."""

_SMALLEST_WITH_ENDS = {4: 30, 6: 126}
"""Prefix lengths. A /31 has no network and broadcast address (RFC 3021), a /127 no anycast address (RFC 6164 §6)."""


def source(kind: str, name: str) -> str:
    """The name of a source."""
    return f"{kind}/{name}"


def of_node(node: Node | None) -> Entries:
    """Every address in its status, as many as one may list. Names are left out."""
    if node is None:
        return NOTHING
    parsed = (parse_address(one.address) for one in node.status.addresses[:MOST_NODE_ADDRESSES])
    kept = KeptBy(KeptOutReason.NodeAddress, node.metadata.name)
    return {address: kept for address in parsed if address is not None}


def of_service(service: Service | None) -> Entries:
    """Its external IPs, of any type of Service; as many as one may name."""
    if service is None or not service.spec.external_ips:
        return NOTHING
    kept = KeptBy(KeptOutReason.ExternalIP, str(key_of(service)))
    parsed = map(parse_address, service.spec.external_ips[:MOST_EXTERNAL_IPS])
    return {address: kept for address in parsed if address is not None}


def of_speaker(speaker: SpeakerState | None, has_node: bool) -> Entries:
    """What its interfaces have, the ends of their networks, and the default gateways."""
    if speaker is None or not has_node:
        return NOTHING
    found: dict[IPAddress, KeptBy] = {}
    own = KeptBy(KeptOutReason.NodeAddress, speaker.node)
    for one in speaker.interfaces():
        networks = [each for each in map(_interface, one.networks) if each is not None]
        for each in networks:
            kept = KeptBy(KeptOutReason.NetworkEnd, str(each.network))
            found.update((end, kept) for end in ends(each.network) if end not in found)
        for address in map(parse_address, one.gateways):
            if address is not None:
                found[address] = KeptBy(KeptOutReason.Gateway, _network_with(address, networks) or speaker.node)
    # What is stronger comes last.
    for one in speaker.interfaces():
        found.update((each.ip, own) for each in map(_interface, one.networks) if each is not None and _is_own(each))
    return found


def of_api_server(slice_: EndpointSlice | None) -> Entries:
    """All endpoints of Service default/kubernetes, ready or not."""
    if slice_ is None or slice_.service_name != "kubernetes" or slice_.metadata.namespace != "default":
        return NOTHING
    texts = (text for endpoint in slice_.endpoints for text in endpoint.addresses)
    kept = KeptBy(KeptOutReason.APIServer, "Service default/kubernetes")
    return {address: kept for address in map(parse_address, texts) if address is not None}


def of_cluster_ips(service: Service | None) -> Entries:
    """Its cluster IPs: where the API server does not tell their networks, those of each Service are what is known."""
    if service is None:
        return NOTHING
    kept = KeptBy(KeptOutReason.ClusterIP, f"Service {key_of(service)}")
    return {address: kept for address in map(parse_address, service.spec.cluster_ips) if address is not None}


def cluster_networks(cidrs: Iterable[ServiceCIDR]) -> Mapping[Family, Spans]:
    """Where cluster IPs come from, also where a ServiceCIDR is being deleted: its addresses may be in use still."""
    networks = [network for one in cidrs for text in one.spec.cidrs or () if (network := _network(text)) is not None]
    return {
        family: Spans(
            (int(one.network_address), int(one.broadcast_address))
            for one in networks
            if family_of(one.network_address) is family
        )
        for family in FAMILIES
    }


def everything(observed: Observed) -> Iterator[tuple[str, Entries]]:
    """What all that is observed keeps out, by source."""
    nodes = {key.name for key in observed.nodes}
    for key, node in observed.nodes.items():
        yield source("Node", key.name), of_node(node)
    for key, speaker in observed.speakers.items():
        yield source("Speaker", key.name), of_speaker(speaker, key.name in nodes)
    for service in observed.services.values():
        if entries := of_service(service):
            yield source("Service", str(key_of(service))), entries
    for key, slice_ in observed.api_endpoints.items():
        yield source("EndpointSlice", key.name), of_api_server(slice_)
    if not observed.service_cidrs:
        for service in observed.services.values():
            yield source("ClusterIPs", str(key_of(service))), of_cluster_ips(service)


def ends(network: Network) -> tuple[IPAddress, ...]:
    """IPv4: its first address and the broadcast address. IPv6: the subnet-router anycast address (RFC 4291 §2.6.1)."""
    if network.prefixlen > _SMALLEST_WITH_ENDS[network.version]:
        return ()
    if isinstance(network, IPv4Network):
        return (network.network_address, network.broadcast_address)
    return (network.network_address,)


def _network_with(address: IPAddress, networks: Iterable[IPv4Interface | IPv6Interface]) -> str:
    """The first of these networks that contains the address; "" = none does."""
    return next((str(one.network) for one in networks if address in one.network), "")


def _is_own(each: IPv4Interface | IPv6Interface) -> bool:
    """Where an interface has no address in a network, the network's first address stands for one."""
    return each.ip != each.network.network_address or not ends(each.network)


def _interface(text: str) -> IPv4Interface | IPv6Interface | None:
    address, slash, _ = text.partition("/")
    if not slash or parse_address(address) is None:
        return None
    try:
        return ip_interface(text)
    except ValueError:
        return None


def _network(text: str) -> Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
