"""Each network that is not one flat segment is what its name says."""

from ipaddress import ip_interface
from itertools import permutations

import pytest

from lab.net import hosts, shapes
from lab.net.hosts import Host, Topology
from lab.net.netns import HUB, Sandbox, Unsupported
from lab.net.shapes import Shape

pytestmark = [pytest.mark.root, pytest.mark.lab]
POOLED = "172.30.0.200"


def built(sandbox: Sandbox, shape: Shape, node_count: int = 2) -> Topology:
    topology = shapes.plan(shape, node_count)
    hosts.build(sandbox, topology)
    shapes.apply(shape, sandbox.namespaces, topology)
    return topology


def reaches(sandbox: Sandbox, host: Host | str, address: object) -> bool:
    """Within some seconds: beside other work a first answer may come late."""
    name = host if isinstance(host, str) else host.name
    ping = sandbox.namespaces.run(name, ["ping", "-c1", "-w10", str(address)], check=False)
    return ping.returncode == 0


def addresses(sandbox: Sandbox, host: Host, interface: str) -> list[str]:
    """Global ones."""
    printed = sandbox.namespaces.run(host.name, ["ip", "-o", "address", "show", "dev", interface, "scope", "global"])
    return [line.split()[3] for line in printed.stdout.splitlines()]


def test_of_two_segments_the_last_node_is_on_the_second_and_all_reach_all(sandbox: Sandbox) -> None:
    topology = built(sandbox, Shape.TWO_SEGMENTS, 3)
    assert [node.is_far for node in topology.nodes] == [False, False, True]
    for one, other in permutations(topology.hosts, 2):
        assert reaches(sandbox, one, other.ipv4), (one.name, other.ipv4)
        assert reaches(sandbox, one, other.ipv6), (one.name, other.ipv6)
    for one, other in permutations(topology.nodes, 2):
        assert reaches(sandbox, one.pod, other.pod_ipv4), (one.pod, other.pod_ipv4)
        assert reaches(sandbox, one.pod, other.pod_ipv6), (one.pod, other.pod_ipv6)
    assert hosts.neighbour(sandbox.namespaces, "client", str(topology.nodes[2].ipv4)) is None


def test_two_segments_take_two_nodes() -> None:
    with pytest.raises(ValueError, match="first segment"):
        shapes.plan(Shape.TWO_SEGMENTS, 1)


def test_the_second_of_two_nics_is_on_the_segment_and_has_no_address(sandbox: Sandbox) -> None:
    topology = built(sandbox, Shape.TWO_NICS)
    for node in topology.nodes:
        assert addresses(sandbox, node, "eth1") == []
        own = sandbox.namespaces.run(node.name, ["cat", "/proc/sys/net/ipv4/conf/eth1/rp_filter"])
        assert own.stdout.strip() == "1"
    ports = sandbox.namespaces.run(HUB, ["ip", "-o", "link", "show", "master", "br0"]).stdout
    assert {"node1b", "node2b"} <= {line.split(": ")[1].split("@")[0] for line in ports.splitlines()}


def test_with_two_networks_nodes_and_client_reach_each_other_by_both(sandbox: Sandbox) -> None:
    topology = built(sandbox, Shape.TWO_NETWORKS)
    for node in topology.nodes:
        second = hosts.on_second(node)
        assert [ip_interface(one).ip for one in addresses(sandbox, node, "eth1")] == list(second)
        for address in (node.ipv4, *second):
            assert reaches(sandbox, "client", address), address


def test_without_ipv6_the_nodes_have_ipv4_alone(sandbox: Sandbox) -> None:
    topology = built(sandbox, Shape.NO_IPV6)
    for node in topology.nodes:
        assert reaches(sandbox, "client", node.ipv4)
        assert not reaches(sandbox, "client", node.ipv6)


def test_with_ipvs_the_kernels_of_all_nodes_answer_for_a_pools_address(sandbox: Sandbox) -> None:
    topology = built(sandbox, Shape.IPVS)
    asked = sandbox.namespaces.run("client", ["arping", "-c2", "-w3", "-I", "eth0", POOLED], check=False).stdout.lower()
    for node in topology.nodes:
        assert hosts.interface_mac(sandbox.namespaces, node.name) in asked


@pytest.mark.parametrize("shape", [Shape.VLAN, Shape.BOND])
def test_what_the_kernel_has_no_devices_for_is_said(sandbox: Sandbox, shape: Shape) -> None:
    """And where it has them, all reach all."""
    if not has_devices(sandbox, shape):
        with pytest.raises(Unsupported, match=f"no devices for the topology {shape}"):
            built(sandbox, shape)
        return
    topology = built(sandbox, shape)
    for one, other in permutations(topology.hosts, 2):
        assert reaches(sandbox, one, other.ipv4), (one.name, other.ipv4)
        assert reaches(sandbox, one, other.ipv6), (one.name, other.ipv6)


def has_devices(sandbox: Sandbox, shape: Shape) -> bool:
    link = "link eth0 name try.3 type vlan id 3" if shape is Shape.VLAN else "name try type bond"
    sandbox.add_host("trial")
    sandbox.namespaces.run("trial", ["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"])
    return sandbox.namespaces.run("trial", ["ip", "link", "add", *link.split()], check=False).returncode == 0
