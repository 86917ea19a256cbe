"""The lab's network: which hosts there are, which addresses they have, and the commands that make it so.

    hub      br0 172.30.0.1   the segment's bridge; the API server listens here
    node1..  172.30.0.11..    each with one pod network behind it (10.244.1.0/24 ...), pods are hosts of their own
    client   172.30.0.100     asks for Service addresses by its own kernel's ARP and NDP
    router   172.30.0.254     everybody's default gateway

Everything has an IPv6 address on the same pattern. Pools may use 172.30.0.200-250 and fd00:30::200-fd00:30::2ff.
A second segment, on br1 with 172.31.0.0/24 and fd00:31::/64, is there where a topology has it (lab.net.shapes).
"""

import json
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, ip_address

from lab.net.netns import HUB, NamespaceHandle, Sandbox

SEGMENT_IPV4 = IPv4Network("172.30.0.0/24")
SEGMENT_IPV6 = IPv6Network("fd00:30::/64")
SECOND_IPV4 = IPv4Network("172.31.0.0/24")
SECOND_IPV6 = IPv6Network("fd00:31::/64")
POOL_IPV4 = "172.30.0.200-172.30.0.250"
POOL_IPV6 = "fd00:30::200-fd00:30::2ff"
PODS_IPV4 = IPv4Network("10.244.0.0/16")
PODS_IPV6 = IPv6Network("fd00:244::/48")

HUB_NUMBER = 1
FIRST_NODE_NUMBER = 11
CLIENT_NUMBER = 100
ROUTER_NUMBER = 254
POD_GATEWAY_NUMBER = 1
POD_NUMBER = 10
MOST_NODES = CLIENT_NUMBER - FIRST_NODE_NUMBER
API_PORT = 6443
"""On the hub."""

# RFC 4862 duplicate detection keeps an IPv6 address unusable for seconds. In these networks nobody has duplicates.
NO_DUPLICATE_DETECTION = {f"net/ipv6/conf/{scope}/accept_dad": "0" for scope in ("all", "default", "eth0")}

BRIDGE = "br0"
SECOND_BRIDGE = "br1"
BRIDGE_MACS = {BRIDGE: "02:62:72:69:64:00", SECOND_BRIDGE: "02:62:72:69:64:01"}
"""Set, so that they stay: by itself a bridge takes the lowest of its ports', and when a port comes or goes with a lower
one, all hosts have the wrong one of the API server for half a minute."""
CLIENT = "client"
ROUTER = "router"


@dataclass(frozen=True)
class Host:
    """A host on the segment, its interface there is `eth0`."""

    name: str
    ipv4: IPv4Address
    ipv6: IPv6Address

    @property
    def forwards(self) -> bool:
        return self.name != CLIENT

    @property
    def is_far(self) -> bool:
        """Whether it is on the second segment."""
        return self.ipv4 in SECOND_IPV4


@dataclass(frozen=True)
class Node(Host):
    """A host that runs pods. `index` counts from 1."""

    index: int

    @property
    def pod(self) -> str:
        """The host in which this node's one pod runs."""
        return f"pod{self.index}"

    @property
    def pod_ipv4(self) -> IPv4Address:
        return self.pod_network_ipv4[POD_NUMBER]

    @property
    def pod_ipv6(self) -> IPv6Address:
        return self.pod_network_ipv6[_alike(POD_NUMBER)]

    @property
    def pod_gateway_ipv4(self) -> IPv4Address:
        """This node's own address on the pod's network."""
        return self.pod_network_ipv4[POD_GATEWAY_NUMBER]

    @property
    def pod_network_ipv4(self) -> IPv4Network:
        return IPv4Network((int(PODS_IPV4.network_address) + (self.index << 8), 24))

    @property
    def pod_network_ipv6(self) -> IPv6Network:
        return IPv6Network((int(PODS_IPV6.network_address) + (self.index << 64), 64))


@dataclass(frozen=True)
class Topology:
    """All hosts of a lab; `hub_ipv4` is where the API server listens."""

    nodes: tuple[Node, ...]
    client: Host
    router: Host
    hub_ipv4: IPv4Address
    hub_ipv6: IPv6Address

    @property
    def hosts(self) -> tuple[Host, ...]:
        return (*self.nodes, self.client, self.router)

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)


@dataclass(frozen=True)
class Neighbour:
    """One row of a host's neighbour table (its ARP or NDP cache). `mac` is None while nobody has answered."""

    address: IPv4Address | IPv6Address
    mac: str | None
    state: str


def plan_topology(node_count: int, *, far: int = 0) -> Topology:
    """`far`: how many of the nodes, the last ones, are on the second segment."""
    if not 1 <= node_count <= MOST_NODES:
        raise ValueError(f"a lab has 1 to {MOST_NODES} nodes, not {node_count}")
    if not 0 <= far < node_count:
        raise ValueError(f"of {node_count} nodes at least one is on the first segment")
    return Topology(
        nodes=tuple(
            Node(f"node{i}", *_addresses(FIRST_NODE_NUMBER + i - 1, is_far=i > node_count - far), index=i)
            for i in range(1, node_count + 1)
        ),
        client=Host(CLIENT, *_addresses(CLIENT_NUMBER)),
        router=Host(ROUTER, *_addresses(ROUTER_NUMBER)),
        hub_ipv4=SEGMENT_IPV4[HUB_NUMBER],
        hub_ipv6=SEGMENT_IPV6[_alike(HUB_NUMBER)],
    )


def build(sandbox: Sandbox, topology: Topology) -> None:
    """Make the bridge and the hosts in an empty sandbox."""
    _make_bridge(sandbox.namespaces, BRIDGE, topology.hub_ipv4, topology.hub_ipv6)
    if any(host.is_far for host in topology.hosts):
        make_second_bridge(sandbox.namespaces)
    for host in topology.hosts:
        add_to_segment(sandbox, host, topology)
    for node in topology.nodes:
        _add_pod(sandbox, node, topology)


def plan_router(name: str, index: int) -> Host:
    """One more host that forwards; `index` counts from 0. Its addresses are those below the router's."""
    return Host(name, *_addresses(ROUTER_NUMBER - 1 - index))


def neighbour(namespaces: NamespaceHandle, host: str, address: str) -> Neighbour | None:
    """What `host` knows of the neighbour `address`; None = nothing."""
    printed = namespaces.run(host, ["ip", "-json", "neighbour", "show", "to", address]).stdout
    rows = json.loads(printed or "[]")
    if not rows:
        return None
    row = rows[0]
    return Neighbour(ip_address(row["dst"]), row.get("lladdr"), " ".join(row.get("state", [])))


def interface_mac(namespaces: NamespaceHandle, host: str | None, interface: str = "eth0") -> str:
    printed = namespaces.run(host, ["ip", "-json", "link", "show", interface]).stdout
    return str(json.loads(printed)[0]["address"])


def _addresses(number: int, *, is_far: bool = False) -> tuple[IPv4Address, IPv6Address]:
    ipv4, ipv6 = (SECOND_IPV4, SECOND_IPV6) if is_far else (SEGMENT_IPV4, SEGMENT_IPV6)
    return ipv4[number], ipv6[_alike(number)]


def on_second(host: Host) -> tuple[IPv4Address, IPv6Address]:
    """The addresses of the same number on the second segment."""
    return _addresses(int(host.ipv4) & 0xFF, is_far=True)


def _alike(number: int) -> int:
    """The number that IPv6 writes with the same digits: 172.30.0.11 and fd00:30::11 are one host."""
    return int(str(number), 16)


def make_second_bridge(namespaces: NamespaceHandle) -> None:
    """The second segment, with the hub on it."""
    _make_bridge(namespaces, SECOND_BRIDGE, *_addresses(HUB_NUMBER, is_far=True))


def _make_bridge(namespaces: NamespaceHandle, name: str, ipv4: IPv4Address, ipv6: IPv6Address) -> None:
    ip(
        namespaces,
        HUB,
        f"link add {name} address {BRIDGE_MACS[name]} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        *address_lines(name, ipv4, ipv6),
        f"link set {name} up",
    )
    sysctl(namespaces, HUB, {"net/bridge/bridge-nf-call-iptables": "0", "net/bridge/bridge-nf-call-ip6tables": "0"})


def add_to_segment(sandbox: Sandbox, host: Host, topology: Topology) -> None:
    """Make the host, with its interface on the bridge of an sandbox that was built."""
    namespaces = sandbox.namespaces
    sandbox.add_host(host.name)
    ip(
        namespaces,
        HUB,
        f"link add {host.name} type veth peer name eth0 netns {host.name}",
        f"link set {host.name} master {SECOND_BRIDGE if host.is_far else BRIDGE} up",
    )
    sysctl(namespaces, host.name, _host_settings(host))
    routes = [
        f"route add {network} via {via}"
        for node in topology.nodes
        if node != host and isinstance(host, Node) and node.is_far == host.is_far
        for network, via in ((node.pod_network_ipv4, node.ipv4), (node.pod_network_ipv6, node.ipv6))
    ]
    if host != topology.router:
        gateways = _addresses(HUB_NUMBER, is_far=True) if host.is_far else (topology.router.ipv4, topology.router.ipv6)
        routes += [f"route add {each} via {via}" for each, via in zip(("default", "::/0"), gateways, strict=True)]
    ip(
        namespaces,
        host.name,
        "link set lo up",
        *address_lines("eth0", host.ipv4, host.ipv6),
        "link set eth0 up",
        *routes,
    )


def _add_pod(sandbox: Sandbox, node: Node, topology: Topology) -> None:
    namespaces = sandbox.namespaces
    gateway_ipv4, gateway_ipv6 = node.pod_gateway_ipv4, node.pod_network_ipv6[POD_GATEWAY_NUMBER]
    sandbox.add_host(node.pod)
    sysctl(namespaces, node.pod, NO_DUPLICATE_DETECTION)
    ip(
        namespaces,
        node.name,
        # A pod's side of the cable is eth0, the node's side has another name: no speaker must take it for the segment.
        "link add veth-pod type veth peer name pod0",
        *address_lines("veth-pod", gateway_ipv4, gateway_ipv6, node.pod_network_ipv4.prefixlen),
        "link set veth-pod up",
    )
    # Through the hub, because only there the hosts' names are known.
    namespaces.run(HUB, ["ip", "-n", node.name, "link", "set", "pod0", "netns", node.pod, "name", "eth0"])
    ip(
        namespaces,
        node.pod,
        "link set lo up",
        *address_lines("eth0", node.pod_ipv4, node.pod_ipv6),
        "link set eth0 up",
        f"route add default via {gateway_ipv4}",
        f"route add ::/0 via {gateway_ipv6}",
    )


def _host_settings(host: Host) -> dict[str, str]:
    forwarding = "1" if host.forwards else "0"
    return {
        "net/ipv4/ip_forward": forwarding,
        "net/ipv6/conf/all/forwarding": forwarding,
        # Distributions differ in this default; strict would drop what reaches a node for a Service's address.
        "net/ipv4/conf/all/rp_filter": "0",
        "net/ipv4/conf/eth0/rp_filter": "0",
        "net/ipv4/conf/all/send_redirects": "0",
        "net/ipv4/conf/eth0/send_redirects": "0",
        # The router leads back to the segment what is for a Service's address: that is no mistake to be told about.
        "net/ipv6/conf/all/accept_redirects": "0",
        "net/ipv6/conf/eth0/accept_redirects": "0",
        **NO_DUPLICATE_DETECTION,
    }


def address_lines(interface: str, ipv4: IPv4Address, ipv6: IPv6Address, prefix_length: int = 24) -> list[str]:
    return [
        f"address add {IPv4Interface((ipv4, prefix_length))} dev {interface}",
        f"address add {IPv6Interface((ipv6, 64))} dev {interface} nodad",
    ]


def ip(namespaces: NamespaceHandle, host: str | None, *lines: str) -> None:
    """Several ip(8) commands in one process."""
    namespaces.run(host, ["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")


def sysctl(namespaces: NamespaceHandle, host: str | None, settings: dict[str, str]) -> None:
    """Settings this kernel does not have are passed over."""
    script = "\n".join(f"[ ! -e /proc/sys/{k} ] || echo {v} > /proc/sys/{k}" for k, v in settings.items())
    namespaces.run(host, ["sh", "-ec", script])
