"""What happens to the open flows of other nodes while one node drains, at a router of Linux with FRR, with weights.

Judges are both ends of each connection: what TCP had to send again, and what ended.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest

from lab.client import LabClient
from lab.cluster import Cluster
from lab.net.hosts import CLIENT
from lab.routers.base import RouterSettings
from lab.waiting import wait_for
from tests.e2e.bgp import NODES

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow, pytest.mark.alone]

HOST = "router2"
FLOWS = 96
AFTERWARDS_SECONDS = 3.0
"""Flows go on for so long after the last change."""
TABLE, GROUP, FIRST_HOP = "100", "2000", 1001


@pytest.fixture
def flowing(routed: LabClient) -> Iterator[LabClient]:
    """FRR on `router2`, the client's way to the pool, and a server in each pod; pod1 has two addresses."""
    cluster: Cluster = routed.cluster
    router = cluster.start_router("frr", host=HOST, settings=RouterSettings(installs=True))
    cluster.run(CLIENT, "ip", "route", "add", "192.0.2.0/24", "via", str(router.place.host.ipv4))
    cluster.run("pod1", "ip", "address", "add", "10.244.1.11/24", "dev", "eth0")
    for number, node in enumerate(NODES, start=1):
        cluster.start_script(f"flow-{node}", f"pod{number}", "flow.py", "serve", node)
    routed.bgp_peer("frr", host=HOST, families=["IPv4", "IPv6"])
    routed.established("frr", timeout_seconds=40)
    yield routed
    for node in NODES:
        cluster.end_script(f"flow-{node}")
    cluster.run("pod1", "ip", "address", "delete", "10.244.1.11/24", "dev", "eth0")
    cluster.run(CLIENT, "ip", "route", "delete", "192.0.2.0/24")
    routed.delete("bgppeer", "frr")
    routed.until("the router has no route left", lambda: not router.prefixes())
    cluster.end_router(HOST)


def hops_of(cluster: Cluster, address: str) -> tuple[tuple[str, int], ...]:
    """The next hops that FRR gave the kernel, in its order, and their weights."""
    rows: list[dict[str, Any]] = json.loads(cluster.run(HOST, "ip", "-json", "route", "show", address) or "[]")
    hops = [hop for row in rows for hop in row.get("nexthops", [row])]
    return tuple((hop["gateway"], hop.get("weight", 1)) for hop in hops if "gateway" in hop)


class Resilient:
    """A resilient nexthop group of the router's kernel, kept as FRR's route is while the block lasts: FRR gives its own
    routes groups that are not."""

    def __init__(self, cluster: Cluster, address: str) -> None:
        self._cluster, self._address = cluster, address
        self._has: tuple[tuple[str, int], ...] = ()
        self._members: dict[str, None] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._interface = json.loads(self._ip("-json", "route", "get", self._hops()[0][0]))[0]["dev"]
        try:
            self._set(self._hops())
        except RuntimeError as error:
            pytest.skip(f"this kernel has no resilient nexthop groups: {error}")
        self._ip("route", "add", self._address, "nhid", GROUP, "table", TABLE)
        self._ip("rule", "add", "to", self._address, "lookup", TABLE, "priority", "100")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(timeout=10)
        self._ip("rule", "delete", "priority", "100")
        for number in (GROUP, *self._members):  # the route goes with the group
            self._ip("nexthop", "delete", "id", number)

    @property
    def hops(self) -> int:
        """How many it has."""
        return len(self._has)

    def _follow(self) -> None:
        while not self._ended.wait(0.05):
            if hops := self._hops():
                self._set(hops)

    def _set(self, hops: tuple[tuple[str, int], ...]) -> None:
        if hops == self._has:
            return
        members = []
        for gateway, weight in hops:
            number = str(FIRST_HOP + int(gateway.rpartition(".")[2]))
            self._ip("nexthop", "replace", "id", number, "via", gateway, "dev", self._interface)
            members.append(f"{number},{weight}")
            self._members[number] = None
        kind = ("type", "resilient", "buckets", "128", "idle_timer", "60", "unbalanced_timer", "0")
        self._ip("nexthop", "replace", "id", GROUP, "group", "/".join(members), *kind)
        self._has = hops

    def _hops(self) -> tuple[tuple[str, int], ...]:
        return hops_of(self._cluster, self._address)

    def _ip(self, *words: str) -> str:
        return self._cluster.run(HOST, "ip", *words)


@contextmanager
def drained(lab: LabClient, node: str) -> Iterator[None]:
    """speaker.drainWhenCordoned is set in these labs."""
    lab.kubectl("cordon", node)
    try:
        yield
    finally:
        lab.kubectl("uncordon", node)


def served(lab: LabClient) -> str:
    """An address with weights of two to one to one at the router."""
    lab.bgp_advertisement("all", weightByEndpoints=True)
    lab.service("web", selector=None, externalTrafficPolicy="Local", ports=[{"port": 9999, "targetPort": 9999}])
    (address,) = lab.addresses("web")
    ready = {"ready": True, "serving": True, "terminating": False}
    pods = ("10.244.1.10", "10.244.1.11", "10.244.2.10", "10.244.3.10")
    endpoints = [{"addresses": [one], "nodeName": f"node{one.split('.')[2]}", "conditions": ready} for one in pods]
    lab.endpoint_slice("web", *endpoints, port=9999)

    def are_weighted() -> bool:
        weights = [weight for _, weight in hops_of(lab.cluster, address)]
        return len(weights) == len(NODES) and sum(weights) / max(weights) == pytest.approx(2, rel=0.05)

    lab.until("the kernel has three ways with weights", are_weighted)
    return address


def flows_while_one_drains(lab: LabClient, address: str) -> list[dict[str, Any]]:
    """Those of the other nodes, that were open all the time. The node that drains is the last one in the kernel's
    table: when it goes, the shares of the two others grow, so the second one begins later."""
    cluster = lab.cluster
    router = cluster.routers[HOST]
    leaving = router.node_at(hops_of(cluster, address)[-1][0])
    assert leaving is not None
    name = cluster.start_script("flows", CLIENT, "flow.py", "keep", address, f"--connections={FLOWS}")
    log = cluster.processes[name].log_path
    wait_for("flows are open", lambda: "open" in log.read_text(), timeout_seconds=30)
    with drained(lab, leaving):
        lab.until("two ways are left", lambda: len(hops_of(cluster, address)) == len(NODES) - 1)
        lab.until("its routes are gone", lambda: leaving not in router.nodes_with(address))
        time.sleep(AFTERWARDS_SECONDS)
        lines = cluster.end_script(name)
    told = [json.loads(line) for line in lines if line.startswith('{"server"')]
    assert len(told) == FLOWS
    assert {flow["server"] for flow in told} == set(NODES)
    return [flow for flow in told if flow["server"] != leaving]


def lost(flows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [flow for flow in flows if flow["sent_again"] or flow["error"] or flow["lines"] != flow["answered"]]


def test_with_resilient_hashing_no_packet_of_other_nodes_flows_is_lost(flowing: LabClient) -> None:
    address = served(flowing)
    with Resilient(flowing.cluster, address) as group:
        flows = flows_while_one_drains(flowing, address)
        assert group.hops == len(NODES) - 1
    assert len(flows) > FLOWS / 3
    assert lost(flows) == []


def test_without_it_a_part_of_them_moves_and_ends(flowing: LabClient) -> None:
    """What docs/bgp.md says of Linux routers; and the other test would see it."""
    flows = flows_while_one_drains(flowing, served(flowing))
    assert 0 < len(lost(flows)) < len(flows)
