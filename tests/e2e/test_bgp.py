"""Addresses as routes: which nodes a router has them from, with which attributes, and what is said about it."""

import json
import time
from typing import Any

import pytest

from cli.__main__ import main
from lab.client import LabClient
from lab.poller import AddressPoller
from lab.routers.base import RouterSettings
from lab.waiting import wait_for
from tests.e2e.bgp import BOTH, DRAIN_SECONDS, GRACEFUL_SHUTDOWN, NODES, TableSampler, bird, peering, service, settled

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
SEGMENT_POOL = "172.30.0.200-172.30.0.209"


def ready(lab: LabClient, *nodes: str) -> None:
    """These nodes' pods are, and no others."""
    for node in NODES:
        lab.cluster.kubelet.set_pod_ready(node, node in nodes)


def endpoint(node: str | None, **conditions: bool) -> dict[str, object]:
    """One in the pod of that node, or of the first one, without saying so."""
    index = NODES.index(node) + 1 if node else 1
    placed = {"nodeName": node} if node else {}
    return {"addresses": [f"10.244.{index}.10"], "conditions": conditions, **placed}


READY = {"ready": True, "serving": True, "terminating": False}
LEAVING = {"ready": False, "serving": True, "terminating": True}


def announcements(lab: LabClient, address: str) -> dict[str, dict[str, list[str]]]:
    """By node."""
    return {
        node: said["announcements"][address]
        for node, said in lab.reports().items()
        if address in said.get("announcements", {})
    }


def test_an_address_is_a_route_from_every_node_until_its_service_is_deleted(routed: LabClient) -> None:
    routed.service("web", ipFamilyPolicy="RequireDualStack")
    addresses = routed.addresses("web", count=2)
    for address in addresses:
        routed.learned(address, *NODES)
        host = f"[{address}]" if ":" in address else address
        routed.until("the client reaches it", lambda host=host: routed.cluster.fetch(f"http://{host}/").get("body"))
    attributes = bird(routed).routes(f"{addresses[0]}/32" if ":" not in addresses[0] else f"{addresses[1]}/32")
    assert {node: (route.next_hop, route.as_path) for node, route in attributes.items()} == {
        node.name: (str(node.ipv4), (64512,)) for node in routed.cluster.topology.nodes
    }
    routed.delete("service", "web")
    assert bird(routed).prefixes() == {}


def test_with_the_policy_local_the_routes_follow_the_ready_endpoints(routed: LabClient) -> None:
    address = service(routed, externalTrafficPolicy="Local")
    for nodes in (("node2",), ("node1", "node3"), (), NODES):
        ready(routed, *nodes)
        routed.learned(address, *nodes)


def test_with_the_policy_cluster_the_route_goes_with_the_last_ready_endpoint(routed: LabClient) -> None:
    address = service(routed)
    ready(routed, "node3")
    time.sleep(0.5)
    assert bird(routed).nodes_with(address) == set(NODES)
    ready(routed)
    routed.learned(address)
    ready(routed, "node1")
    routed.learned(address, *NODES)


def test_a_node_whose_endpoints_are_only_serving_while_they_terminate_is_left(routed: LabClient) -> None:
    routed.service("web", selector=None, externalTrafficPolicy="Local")
    (address,) = routed.addresses("web")
    routed.endpoint_slice("web", endpoint("node1", **READY), endpoint("node2", **READY))
    routed.learned(address, "node1", "node2")
    routed.endpoint_slice("web", endpoint("node1", **LEAVING), endpoint("node2", **READY))
    routed.learned(address, "node2")


def test_endpoints_that_do_not_say_where_they_are_count_for_every_node(routed: LabClient) -> None:
    routed.service("web", selector=None, externalTrafficPolicy="Local")
    (address,) = routed.addresses("web")
    routed.endpoint_slice("web", endpoint(None, **READY))
    routed.learned(address, *NODES)


def listed(lab: LabClient, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """What `berth bgp routes` says."""
    capsys.readouterr()
    assert main(["bgp", "routes", *words, "-o", "json", "--kubeconfig", str(lab.cluster.kubeconfig)]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rows


def test_attributes_reach_the_router_as_they_were_asked_for(
    routed: LabClient, capsys: pytest.CaptureFixture[str]
) -> None:
    routed.community("names", blue="64512:7")
    routed.bgp_advertisement("all", communities=["blue", "large:64512:1:2", "no-export"], med=50, asPathPrepend=2)
    address = service(routed)
    wanted = {(64512, 7), (65535, 65281)}
    route = routed.until(
        "the attributes are there",
        lambda: next((r for r in bird(routed).routes(f"{address}/32").values() if r.communities == wanted), None),
    )
    assert route.large_communities == {(64512, 1, 2)}
    assert (route.med, route.as_path) == (50, (64512,) * 3)
    own = {node.name: str(node.ipv4) for node in routed.cluster.topology.nodes}
    sent = {"local pref": "", "med": 50, "prepends": 2, "communities": "64512:7,65535:65281,large:64512:1:2"}

    def as_sent() -> bool:
        rows = listed(routed, capsys)
        return {row["node"]: row["next hop"] for row in rows if row.items() >= sent.items()} == own

    routed.until("berth bgp routes says the same", as_sent)
    (row,) = listed(routed, capsys, "--router-view", "--node=node2")
    assert row.items() >= (sent | {"peer": "tor", "route": f"{address}/32", "state": "sent"}).items()
    routed.bgp_advertisement("all", aggregationLength=28)
    routed.until("a /28 stands for it", lambda: set(bird(routed).routes("192.0.2.0/28")) == set(NODES))
    routed.learned(address)


def test_layer_2_and_bgp_announce_one_address_side_by_side(routed: LabClient) -> None:
    cluster = routed.cluster
    cluster.record_segment()
    routed.pool("pool", SEGMENT_POOL)
    routed.advertise_all()
    address = service(routed)
    routed.until("the client reaches it on the segment", lambda: cluster.fetch(f"http://{address}/").get("body"))
    entry = cluster.neighbour(address)
    owner = cluster.node_of_mac(entry.mac if entry else None)
    assert owner in NODES

    def as_told() -> bool:
        told = {node: sorted(one["protocols"]) for node, one in announcements(routed, address).items()}
        return told == {node: ["BGP", "Layer2"] if node == owner else ["BGP"] for node in NODES}

    routed.until("each speaker says what it does", as_told)
    routed.delete("service", "web")
    gone = time.monotonic()
    assert bird(routed).nodes_with(address) == set()
    cluster.run("client", "ip", "neigh", "flush", "to", address)
    cluster.fetch(f"http://{address}/", timeout_seconds=0.5)
    assert cluster.claims(address, since=gone) == []


def test_a_cordon_moves_addresses_and_routes_away_where_speakers_are_told_so(routed: LabClient) -> None:
    """The next owner answers first, and routers hear GRACEFUL_SHUTDOWN before the routes go."""

    def owner_of() -> str | None:
        told = announcements(routed, address)
        return next((node for node, one in told.items() if "Layer2" in one["protocols"]), None)

    routed.pool("pool", SEGMENT_POOL)
    routed.advertise_all()
    address = service(routed)
    routed.learned(address, *NODES)
    owner = routed.until("somebody owns it", owner_of)
    others = [node for node in NODES if node != owner]
    with TableSampler(bird(routed), f"{address}/32") as sampler, AddressPoller(routed.cluster, address) as poller:
        routed.kubectl("cordon", owner)
        try:
            routed.learned(address, *others)
            routed.until("another owns it", lambda: owner_of() in others)
            heir = owner_of()
            routed.until("it says that it announces nothing", lambda: owner not in announcements(routed, address))
            time.sleep(1.0)  # a client asks in vain, or the next owner answers
        finally:
            routed.kubectl("uncordon", owner)
    assert {node for sample in sampler.samples for node in sample.nodes(GRACEFUL_SHUTDOWN)} == {owner}
    assert poller.unanswered() == []
    assert {owner, heir} <= {node for one in poller.requests for node in one.nodes}
    routed.learned(address, *NODES)


def test_a_node_that_is_to_take_no_traffic_says_so_before_its_routes_go(routed: LabClient) -> None:
    address = service(routed)
    with TableSampler(bird(routed), f"{address}/32") as sampler:
        began = time.time()
        routed.kubectl("label", "node", "node2", f"{EXCLUDE}=")
        routed.learned(address, "node1", "node3")
        gone = time.time()
    drained = [sample.at for sample in sampler.samples if sample.nodes(GRACEFUL_SHUTDOWN)]
    assert drained
    assert all(sample.nodes(GRACEFUL_SHUTDOWN) <= {"node2"} for sample in sampler.samples)
    assert drained[-1] - drained[0] > DRAIN_SECONDS * 0.7
    assert gone - began < DRAIN_SECONDS + 5
    routed.kubectl("label", "node", "node2", f"{EXCLUDE}-")
    routed.learned(address, *NODES)
    routed.until(
        "nothing is drained",
        lambda: (
            not any(GRACEFUL_SHUTDOWN in route.communities for route in bird(routed).routes(f"{address}/32").values())
        ),
    )


def test_speakers_peers_and_advertisements_say_how_things_are(routed: LabClient) -> None:
    address = service(routed)
    sessions = routed.until("each speaker counts its route", lambda: counted(routed, 1))
    assert {node: (one["state"], one["address"]) for node, one in sessions.items()} == {
        node: ("Established", "172.30.0.254") for node in NODES
    }
    assert all(one["holdTimeSeconds"] == 9 and one["since"] for one in sessions.values())
    told = routed.until("all announce it", lambda: len(found := announcements(routed, address)) == 3 and found)
    assert all((one["protocols"], one["peers"]) == (["BGP"], ["tor"]) for one in told.values())
    name = "v4-" + address.replace(".", "-")
    routed.until(
        "the allocation names all nodes",
        lambda: sorted(routed.get("ipallocation", name).get("status", {}).get("announcedBy", [])) == list(NODES),
    )
    for kind, name in (("bgppeer", "tor"), ("bgpadvertisement", "all")):
        routed.until(f"{kind} is ready", lambda kind=kind, name=name: is_ready(routed, kind, name))


def counted(lab: LabClient, routes: int) -> dict[str, dict] | None:
    """The sessions with `tor`, when each has so many routes."""
    sessions = lab.bgp_sessions()
    return sessions if all(one["routesSent"] == routes for one in sessions.values()) else None


def is_ready(lab: LabClient, kind: str, name: str) -> bool:
    conditions = lab.get(kind, name).get("status", {}).get("conditions", [])
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def test_a_peer_that_is_wrong_says_so_and_disturbs_no_other(routed: LabClient) -> None:
    address = service(routed)
    cluster = routed.cluster
    if "router2" not in cluster.routers:
        cluster.start_router("bird", host="router2", settings=RouterSettings(password="sesame"))
    began = time.time()
    routed.secret("berth-bgp", right="sesame", wrong="open")
    routed.bgp_peer("locked", host="router2", passwordSecretRef={"name": "nowhere"})
    said = routed.condition("bgppeer", "locked", "Ready", "PasswordUnavailable")
    assert "nowhere" in said["message"]
    assert cluster.routers["router2"].established() == set()
    routed.bgp_peer("locked", host="router2", passwordSecretRef={"name": "berth-bgp", "key": "wrong"})
    said = routed.condition("bgppeer", "locked", "Ready", "SessionsDown")
    assert "0 of 3 sessions" in said["message"]
    routed.until("it is tried, in vain", lambda: tried(routed, "locked"))
    routed.bgp_peer("locked", host="router2", passwordSecretRef={"name": "berth-bgp", "key": "right"})
    routed.established("locked", timeout_seconds=40)
    routed.learned(address, *NODES, host="router2")
    routed.condition("bgppeer", "locked", "Ready", "SessionsUp")
    routed.secret("berth-bgp", right="open")  # under live sessions: the key is another one, so they end
    routed.condition("bgppeer", "locked", "Ready", "SessionsDown")
    routed.secret("berth-bgp", right="sesame")
    routed.established("locked", timeout_seconds=40)
    routed.learned(address, *NODES, host="router2")
    routed.delete("bgppeer", "locked")
    wait_for("it is withdrawn from", lambda: not cluster.routers["router2"].prefixes(), timeout_seconds=30)
    assert [event for event in bird(routed).route_events(since=began) if event.node in NODES] == []


def tried(lab: LabClient, peer: str) -> bool:
    """Whether every node has a session that is not up, and says why."""
    sessions = lab.bgp_sessions(peer)
    return set(sessions) == set(NODES) and all(
        one["state"] != "Established" and one.get("lastError") for one in sessions.values()
    )


def test_a_peer_for_one_node_only_gets_that_nodes_routes(routed: LabClient) -> None:
    address = service(routed)
    routed.kubectl("label", "node", "node3", "rack=b")
    try:
        routed.bgp_peer("tor", families=BOTH, holdTimeSeconds=9, nodeSelector={"matchLabels": {"rack": "b"}})
        routed.learned(address, "node3")
        routed.established(nodes=["node3"])
    finally:
        routed.kubectl("label", "node", "node3", "rack-")
        peering(routed)
    settled(routed)
    routed.learned(address, *NODES)
