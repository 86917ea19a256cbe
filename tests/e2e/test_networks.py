"""Networks that are not one flat segment: addresses are announced where their clients ask, and by one interface."""

from collections.abc import Iterator

import pytest

from crds.names import LABEL_EXCLUDE_NODE, allocation_name
from lab.client import LabClient
from lab.cluster import Cluster, Settings
from lab.net.hosts import BRIDGE
from lab.net.netns import HUB
from lab.net.shapes import Shape
from lab.observe import conditions
from tests.e2e.conftest import brought_up
from tests.e2e.test_dual_stack import POOL as BOTH_FAMILIES
from tests.e2e.test_dual_stack import fetched
from tests.e2e.test_layer2 import POOL, served

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

FAR_POOL = "172.31.0.200-172.31.0.209"
NEAR, FAR = "node1", "node2"


@pytest.fixture(scope="module")
def split_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, each on a segment of its own. Nothing is to move back by itself while a test runs."""
    values = {"speaker": {"failbackAfterSeconds": 300}}
    settings = Settings(
        tmp_path_factory.mktemp("split"), name="split", node_count=2, shape=Shape.TWO_SEGMENTS, values=values
    )
    with brought_up(settings) as up:
        yield up


@pytest.fixture
def split(split_cluster: Cluster) -> Iterator[LabClient]:
    lab = LabClient(split_cluster)
    lab.all_serve(timeout_seconds=40)
    lab.advertise_all()
    yield lab
    lab.clear()


def on_network(lab: LabClient, address: str) -> str | None:
    """The reason of the condition OnNetwork; None while there is none."""
    found = conditions(lab.cluster.reader.get("ipallocation", allocation_name(address)) or {}).get("OnNetwork")
    return found["reason"] if found else None


def test_an_address_is_owned_on_the_segment_of_its_network_while_a_node_there_lives(split: LabClient) -> None:
    split.pool("near", POOL)
    addresses = [served(split, f"web-{number}") for number in range(5)]
    split.pool("far", FAR_POOL, autoAssign=False)
    far = served(split, "far", loadBalancerIP="172.31.0.200")
    assert {split.announcer(address) for address in addresses} == {NEAR}
    assert split.announcer(far) == FAR
    for address in (*addresses, far):
        assert split.cluster.fetch(f"http://{address}/")["body"]
        assert on_network(split, address) is None

    excluded = {"metadata": {"labels": {LABEL_EXCLUDE_NODE: ""}}}
    split.patch("node", NEAR, excluded)
    split.until("the other node has it", lambda: split.announcer(addresses[0]) == FAR)
    told = split.condition("ipallocation", allocation_name(addresses[0]), "OnNetwork", "OwnerOffNetwork")
    assert (told["status"], "On one is node1" in told["message"]) == ("False", True)
    split.patch("node", NEAR, {"metadata": {"labels": {LABEL_EXCLUDE_NODE: None}}})
    split.until("its own node has it again", lambda: split.announcer(addresses[0]) == NEAR)
    split.condition("ipallocation", allocation_name(addresses[0]), "OnNetwork", "OwnerOnNetwork")
    split.until("it serves", lambda: split.cluster.fetch(f"http://{addresses[0]}/").get("body"))


@pytest.fixture
def second_interfaces(lab: LabClient) -> Iterator[LabClient]:
    """A second interface of each node on the segment, without an address and with strict reverse paths."""
    run, nodes = lab.cluster.run, [node.name for node in lab.cluster.topology.nodes]
    for node in nodes:
        run(HUB, "ip", "link", "add", f"{node}-b", "type", "veth", "peer", "name", "eth1", "netns", node)
        run(HUB, "ip", "link", "set", f"{node}-b", "master", BRIDGE, "up")
        run(node, "sysctl", "-qw", "net.ipv4.conf.eth1.rp_filter=1")
        run(node, "ip", "link", "set", "eth1", "up")
    lab.all_serve()
    lab.pool("pool", POOL)
    lab.advertise_all()
    yield lab
    for node in nodes:
        run(HUB, "ip", "link", "delete", f"{node}-b", check=False)


def announced_on(lab: LabClient, address: str) -> list[list[str]]:
    """The interfaces of each node that announces it."""
    found = (said.get("announcements", {}).get(address) for said in lab.reports().values())
    return [how["interfaces"] for how in found if how]


def test_of_two_interfaces_on_one_segment_the_one_on_the_network_answers(second_interfaces: LabClient) -> None:
    lab = second_interfaces
    address = served(lab, "web")
    lab.until("it is announced on eth0 alone", lambda: announced_on(lab, address) == [["eth0"]])
    for _ in range(3):
        lab.cluster.run("client", "ip", "neighbour", "flush", "to", address)
        assert lab.cluster.fetch(f"http://{address}/")["body"]


def test_ipv6_switched_off_on_the_owner_moves_its_ipv6_addresses_alone(lab: LabClient) -> None:
    lab.all_serve()
    lab.pool("pool", *BOTH_FAMILIES)
    lab.advertise_all()
    lab.service("web", ipFamilyPolicy="RequireDualStack")
    ipv4, ipv6 = sorted(lab.addresses("web", count=2), key=lambda one: ":" in one)
    owner = lab.until("the IPv6 address has an owner", lambda: lab.announcer(ipv6))
    before = lab.until("the IPv4 address has an owner", lambda: lab.announcer(ipv4))
    node = lab.cluster.topology.node(owner)
    try:
        lab.cluster.run(owner, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        lab.until("another node has it", lambda: lab.announcer(ipv6) not in (None, owner))
        lab.until("it serves", lambda: fetched(lab, ipv6))
        assert lab.announcer(ipv4) == before
        (eth0,) = (one for one in lab.reports()[owner]["interfaces"] if one["name"] == "eth0")
        assert (eth0["usable"], eth0["reason"]) == (True, "IPv6Off")
    finally:
        lab.cluster.run(owner, "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
        restore_ipv6(lab, owner, str(node.ipv6))
    lab.until("it is back", lambda: lab.announcer(ipv6) == owner)


def restore_ipv6(lab: LabClient, name: str, address: str) -> None:
    """The address and the routes that went with it."""
    run, topology = lab.cluster.run, lab.cluster.topology
    run(name, "ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
    run(name, "ip", "-6", "route", "add", "default", "via", str(topology.router.ipv6))
    for other in topology.nodes:
        if other.name != name:
            run(name, "ip", "-6", "route", "add", str(other.pod_network_ipv6), "via", str(other.ipv6))
