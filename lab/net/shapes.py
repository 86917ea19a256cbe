"""Networks that are not one flat segment: what differs from it, done to a lab's hosts when they are there.

    two-segments  the last node is on a segment of its own, 172.31.0.0/24, and the hub routes between the two
    two-nics      every node has a second interface, eth1, on the one segment: without an address, with strict rp_filter
    two-networks  every node and the client have a second interface, eth1, on a second segment, with addresses there
    no-ipv6       IPv6 is switched off on the nodes' interface
    ipvs          every node has the addresses of the pools' range on a local interface, as kube-proxy in IPVS mode has
                  those of Services, and its kernel answers ARP for them
    vlan          the segment is a VLAN: every host has its addresses on eth0.100
    bond          every node has its addresses on bond0, of eth0 and eth1

Where a kernel lacks a kind of device, `Unsupported` says which.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from lab.net import hosts
from lab.net.hosts import BRIDGE, SECOND_BRIDGE, Host, Topology, address_lines, ip, sysctl
from lab.net.netns import HUB, CommandFailed, NamespaceHandle, Unsupported

SECOND = "eth1"
VLAN_ID = 100
VLAN = f"eth0.{VLAN_ID}"
BOND = "bond0"


class Shape(StrEnum):
    """What the lab's network looks like."""

    FLAT = "flat"
    TWO_SEGMENTS = "two-segments"
    TWO_NICS = "two-nics"
    TWO_NETWORKS = "two-networks"
    NO_IPV6 = "no-ipv6"
    IPVS = "ipvs"
    VLAN = "vlan"
    BOND = "bond"


def plan(shape: Shape, node_count: int) -> Topology:
    """Its hosts. Raises ValueError for too few nodes."""
    return hosts.plan_topology(node_count, far=1 if shape is Shape.TWO_SEGMENTS else 0)


def apply(shape: Shape, namespaces: NamespaceHandle, topology: Topology) -> None:
    """To hosts that `hosts.build` has made of this topology. Raises Unsupported where the kernel can't do it."""
    try:
        _APPLIED[shape](namespaces, topology)
    except CommandFailed as failed:
        if "Unknown device type" not in str(failed) and "not supported" not in str(failed):
            raise
        raise Unsupported(f"this kernel has no devices for the topology {shape}: {failed}") from failed


def _flat(namespaces: NamespaceHandle, topology: Topology) -> None:
    """That is how they are made."""


def _two_segments(namespaces: NamespaceHandle, topology: Topology) -> None:
    """Hosts are where their addresses say; what is missing are the routes between."""
    far = [node for node in topology.nodes if node.is_far]
    hub = topology.hub_ipv4, topology.hub_ipv6
    sysctl(namespaces, HUB, {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"})
    ip(namespaces, HUB, *(line for node in topology.nodes for line in _to_pods(node, (node.ipv4, node.ipv6))))
    for host in topology.hosts:
        if not host.is_far:
            networks = (hosts.SECOND_IPV4, hosts.SECOND_IPV6)
            lines = [f"route add {network} via {via}" for network, via in zip(networks, hub, strict=True)]
            ip(namespaces, host.name, *lines, *(line for node in far for line in _to_pods(node, hub)))


def _to_pods(node: hosts.Node, via: tuple[IPv4Address, IPv6Address]) -> Iterator[str]:
    networks = (node.pod_network_ipv4, node.pod_network_ipv6)
    yield from (f"route replace {network} via {one}" for network, one in zip(networks, via, strict=True))


def _two_nics(namespaces: NamespaceHandle, topology: Topology) -> None:
    for node in topology.nodes:
        _add_interface(namespaces, node.name, BRIDGE)
        sysctl(namespaces, node.name, {f"net/ipv4/conf/{SECOND}/rp_filter": "1"})


def _two_networks(namespaces: NamespaceHandle, topology: Topology) -> None:
    hosts.make_second_bridge(namespaces)
    for host in (*topology.nodes, topology.client):
        _add_interface(namespaces, host.name, SECOND_BRIDGE)
        sysctl(namespaces, host.name, {f"net/ipv4/conf/{SECOND}/rp_filter": "0"})
        ip(namespaces, host.name, *address_lines(SECOND, *hosts.on_second(host)))


def _add_interface(namespaces: NamespaceHandle, host: str, bridge: str) -> None:
    port = f"{host}b"
    made = f"link add {port} type veth peer name {SECOND} netns {host}"
    ip(namespaces, HUB, made, f"link set {port} master {bridge} up")
    ip(namespaces, host, f"link set {SECOND} up")


def _no_ipv6(namespaces: NamespaceHandle, topology: Topology) -> None:
    for node in topology.nodes:
        sysctl(namespaces, node.name, {"net/ipv6/conf/eth0/disable_ipv6": "1"})


def _ipvs(namespaces: NamespaceHandle, topology: Topology) -> None:
    first, last = (IPv4Address(one) for one in hosts.POOL_IPV4.split("-"))
    held = [address for network in summarize_address_range(first, last) for address in network]
    for node in topology.nodes:
        ip(namespaces, node.name, *(f"address add {address}/32 dev lo" for address in held))


def _vlan(namespaces: NamespaceHandle, topology: Topology) -> None:
    for host in topology.hosts:
        _move_addresses(namespaces, host, VLAN, (f"link add link eth0 name {VLAN} type vlan id {VLAN_ID}",))
    ip(
        namespaces, HUB,
        f"link add link {BRIDGE} name {BRIDGE}.{VLAN_ID} type vlan id {VLAN_ID}",
        f"address flush dev {BRIDGE} scope global",
        *address_lines(f"{BRIDGE}.{VLAN_ID}", topology.hub_ipv4, topology.hub_ipv6),
        f"link set {BRIDGE}.{VLAN_ID} up",
    )  # fmt: skip


def _bond(namespaces: NamespaceHandle, topology: Topology) -> None:
    for node in topology.nodes:
        _add_interface(namespaces, node.name, BRIDGE)
        made = [f"link add {BOND} type bond mode active-backup miimon 100"]
        for name in ("eth0", SECOND):
            made += [f"link set {name} down", f"link set {name} master {BOND}", f"link set {name} up"]
        _move_addresses(namespaces, node, BOND, made)


def _move_addresses(namespaces: NamespaceHandle, host: Host, to: str, made: Iterable[str]) -> None:
    """And the routes by them, to an interface that is made by these lines."""
    routes = {
        family: namespaces.run(host.name, ["ip", family, "route", "show", "dev", "eth0", "scope", "global"]).stdout
        for family in ("-4", "-6")
    }
    ip(
        namespaces, host.name, *made, "address flush dev eth0 scope global", *address_lines(to, host.ipv4, host.ipv6),
        f"link set {to} up", *(f"route replace {line}" for text in routes.values() for line in text.splitlines()),
    )  # fmt: skip


_APPLIED: Mapping[Shape, Callable[[NamespaceHandle, Topology], None]] = {
    Shape.FLAT: _flat,
    Shape.TWO_SEGMENTS: _two_segments,
    Shape.TWO_NICS: _two_nics,
    Shape.TWO_NETWORKS: _two_networks,
    Shape.NO_IPV6: _no_ipv6,
    Shape.IPVS: _ipvs,
    Shape.VLAN: _vlan,
    Shape.BOND: _bond,
}
