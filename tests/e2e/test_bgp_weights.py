"""Weights by endpoints: FRR spreads a client's connections by how many ready endpoints a node has."""

import json
from collections.abc import Iterator

import pytest

from lab.client import LabClient
from lab.cluster import Cluster
from lab.net.hosts import CLIENT
from lab.routers.base import RouterSettings
from lab.scripts import script
from tests.e2e.bgp import NODES

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

CONNECTIONS = 400
HOST = "router2"


@pytest.fixture
def weighted(routed: LabClient) -> Iterator[LabClient]:
    """FRR on `router2`, the client's way to the pool, and a server in each of two pods; pod1 has three addresses."""
    cluster: Cluster = routed.cluster
    router = cluster.start_router("frr", host=HOST, settings=RouterSettings(installs=True))
    cluster.run(CLIENT, "ip", "route", "add", "192.0.2.0/24", "via", str(router.place.host.ipv4))
    for last in (11, 12):
        cluster.run("pod1", "ip", "address", "add", f"10.244.1.{last}/24", "dev", "eth0")
    for pod, node in (("pod1", "node1"), ("pod2", "node2")):
        cluster.start_script(f"flow-{pod}", pod, "flow.py", "serve", node)
    routed.bgp_peer("frr", host=HOST, families=["IPv4", "IPv6"])
    routed.established("frr", timeout_seconds=40)
    yield routed
    for pod in ("pod1", "pod2"):
        cluster.end_script(f"flow-{pod}")
    for last in (11, 12):
        cluster.run("pod1", "ip", "address", "delete", f"10.244.1.{last}/24", "dev", "eth0")
    cluster.run(CLIENT, "ip", "route", "delete", "192.0.2.0/24")
    routed.delete("bgppeer", "frr")
    # One that is killed while it has routes may have them still, for its hold time: no address is released before.
    routed.until("the router has no route left", lambda: not router.prefixes())
    cluster.end_router(HOST)


def endpoints(*addresses: str) -> list[dict[str, object]]:
    """Ready ones; 10.244.N.x is on nodeN."""
    ready = {"ready": True, "serving": True, "terminating": False}
    return [{"addresses": [one], "nodeName": f"node{one.split('.')[2]}", "conditions": ready} for one in addresses]


def weights(lab: LabClient, address: str) -> dict[str, int]:
    return {hop.node: hop.weight for hop in lab.cluster.routers[HOST].kernel_hops(address)}


def ratio(lab: LabClient, address: str) -> float:
    """Of the weights of node1 and node2; 0 while they are not the only two."""
    found = weights(lab, address)
    return found["node1"] / found["node2"] if set(found) == {"node1", "node2"} else 0.0


def test_connections_are_spread_by_endpoints_and_not_by_nodes(weighted: LabClient) -> None:
    weighted.bgp_advertisement("all", weightByEndpoints=True)
    ports = [{"port": 9999, "targetPort": 9999}]
    weighted.service("web", selector=None, externalTrafficPolicy="Local", ports=ports)
    (address,) = weighted.addresses("web")
    weighted.endpoint_slice("web", *endpoints("10.244.1.10", "10.244.1.11", "10.244.1.12", "10.244.2.10"), port=9999)
    weighted.until("three to one", lambda: ratio(weighted, address) == pytest.approx(3, rel=0.05))
    count = [*script("flow.py"), "count", address, f"--connections={CONNECTIONS}"]
    reached = json.loads(weighted.cluster.run(CLIENT, *count))
    assert set(reached) == {"node1", "node2"}, reached
    assert 0.68 < reached["node1"] / CONNECTIONS < 0.82, reached  # 0.75, and three standard deviations of 0.022
    weighted.endpoint_slice("web", *endpoints("10.244.1.10", "10.244.2.10"), port=9999)
    weighted.until("one to one", lambda: ratio(weighted, address) == pytest.approx(1, rel=0.05))
    weighted.bgp_advertisement("all")
    weighted.until("no weights any more", lambda: set(weights(weighted, address).values()) == {1})
    assert weighted.cluster.routers[HOST].nodes_with(address) == set(NODES[:2])
