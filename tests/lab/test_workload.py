"""EndpointSlices and kube-proxy rules as values, and the rules on real nodes with real packets."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lab.net import hosts
from lab.net.netns import Sandbox
from lab.process import Process
from lab.scripts import script
from lab.waiting import wait_for
from lab.workload.endpoints import slices_of
from lab.workload.healthports import health_ports
from lab.workload.kubeproxy import ruleset
from lab.workload.objects import Pod, TrafficService, TrafficSlice

VIP = "172.30.0.200"
VIP6 = "fd00:30::200"
SEGMENT = hosts.plan_topology(2)


def service(policy: str = "Cluster", **spec: object) -> TrafficService:
    raw = {
        "metadata": {"name": "example-service", "namespace": "default"},
        "spec": {
            "type": "LoadBalancer",
            "selector": {"app": "example"},
            "ports": [{"port": 8765, "targetPort": 9376, "protocol": "TCP"}],
            "ipFamilies": ["IPv4", "IPv6"],
            "externalTrafficPolicy": policy,
            **spec,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": VIP}, {"ip": VIP6}]}},
    }
    return msgspec.convert(raw, TrafficService)


def pod(node: hosts.Node, *, ready: bool = True, labels: dict[str, str] | None = None) -> Pod:
    raw = {
        "metadata": {"name": f"pod-{node.name}", "namespace": "default", "labels": labels or {"app": "example"}},
        "spec": {"nodeName": node.name},
        "status": {
            "podIPs": [{"ip": str(node.pod_ipv4)}, {"ip": str(node.pod_ipv6)}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }
    return msgspec.convert(raw, Pod)


def slices(of: TrafficService, *pods: Pod) -> list[TrafficSlice]:
    return [msgspec.convert(body, TrafficSlice) for body in slices_of(of, pods).values()]


PODS = tuple(pod(node) for node in SEGMENT.nodes)


def test_external_ips_are_served_like_addresses_of_the_status() -> None:
    of = service(externalIPs=["172.30.0.210"])
    rules = ruleset("node1", [of], slices(of, *PODS))
    served = [line.split(" dnat ")[0].strip() for line in rules.splitlines() if "dnat ip to" in line]
    marked = "tcp dport 8765 meta mark set 0x4000"
    assert served == [f"ip daddr {address} {marked}" for address in (VIP, "172.30.0.210")]


def test_each_family_of_a_service_has_a_slice_of_its_own() -> None:
    made = slices_of(service(), PODS)
    addresses = {body["addressType"]: [e["addresses"] for e in body["endpoints"]] for body in made.values()}
    assert addresses == {
        "IPv4": [["10.244.1.10"], ["10.244.2.10"]],
        "IPv6": [["fd00:244:0:1::10"], ["fd00:244:0:2::10"]],
    }


def test_a_slice_says_of_each_endpoint_its_node_and_whether_it_is_ready() -> None:
    made = slices_of(service(ipFamilies=["IPv4"]), [PODS[0], pod(SEGMENT.nodes[1], ready=False)])
    endpoints = made["example-service-ipv4"]["endpoints"]
    assert [(e["nodeName"], e["conditions"]["ready"]) for e in endpoints] == [("node1", True), ("node2", False)]


def test_pods_that_the_selector_does_not_match_are_no_endpoints() -> None:
    other = pod(SEGMENT.nodes[0], labels={"app": "other"})
    assert slices_of(service(ipFamilies=["IPv4"]), [other])["example-service-ipv4"]["endpoints"] == []


def test_a_service_without_selector_has_no_slices_of_ours() -> None:
    assert slices_of(service(selector={}), PODS) == {}


def moving(policy: str = "Local") -> tuple[list[TrafficService], list[TrafficSlice]]:
    """One endpoint is ready on node2, one on node1 serves until it ends."""
    ending = {"ready": False, "serving": True, "terminating": True}
    raw = {
        "metadata": {
            "name": "moving",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "example-service"},
        },
        "endpoints": [
            {"addresses": ["10.244.1.10"], "nodeName": "node1", "conditions": ending},
            {"addresses": ["10.244.2.10"], "nodeName": "node2"},
        ],
        "ports": [{"name": "", "port": 9376, "protocol": "TCP"}],
    }
    return [service(policy, healthCheckNodePort=30123)], [msgspec.convert(raw, TrafficSlice)]


def test_an_endpoint_that_serves_until_it_ends_stands_in_where_none_is_ready() -> None:
    services, slices = moving()
    assert "10.244.1.10 . 9376" in ruleset("node1", services, slices)
    assert "10.244.2.10 . 9376" in ruleset("node2", services, slices)
    everywhere = ruleset("node1", *moving("Cluster"))
    assert "10.244.2.10 . 9376" in everywhere
    assert "10.244.1.10 . 9376" not in everywhere


def test_only_ready_endpoints_count_at_a_health_port_and_only_with_the_policy_local() -> None:
    assert health_ports("node1", *moving()) == {30123: 0}
    assert health_ports("node2", *moving()) == {30123: 1}
    assert health_ports("node2", *moving("Cluster")) == {}


def test_a_service_without_an_address_makes_no_rules() -> None:
    bare = msgspec.structs.replace(service(), status=msgspec.convert({}, type(service().status)))
    assert "daddr" not in ruleset("node1", [bare], slices(bare, *PODS))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox.open() as opened:
        hosts.build(opened, SEGMENT)
        yield opened


@pytest.fixture(scope="module")
def backends(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    started = []
    for node in SEGMENT.nodes:
        command = [*script("backend.py"), f"--pod-name={node.pod}", f"--node-name={node.name}", "--port=9376"]
        log_path = tmp_path_factory.mktemp(node.name) / "log"
        started.append(Process(node.pod, command, log_path=log_path, enter=sandbox.namespaces.enter(node.pod)))
        started[-1].start()
    for node in SEGMENT.nodes:
        wait_for(
            "the backend listens",
            lambda node=node: ":9376" in sandbox.namespaces.run(node.pod, ["ss", "-tlnH"]).stdout,
            timeout_seconds=20,
        )
    yield
    for process in started:
        process.kill()


def lead_client_to(sandbox: Sandbox, node: hosts.Node) -> None:
    """As if that node had answered the client's ARP and NDP for the addresses."""
    mac = hosts.interface_mac(sandbox.namespaces, node.name)
    for address in (VIP, VIP6):
        command = ["ip", "neighbour", "replace", address, "lladdr", mac, "dev", "eth0"]
        sandbox.namespaces.run(hosts.CLIENT, command)


def fetch(sandbox: Sandbox, address: str) -> str:
    """What the backend answered, or the error."""
    url = f"http://{address}:8765/"
    told = sandbox.namespaces.run(hosts.CLIENT, [*script("fetch.py"), url, "--timeout-seconds=0.5"]).stdout
    answer = json.loads(told)
    return str(answer.get("body", answer.get("error")))


def apply(sandbox: Sandbox, node: hosts.Node, of: TrafficService, *pods: Pod) -> None:
    rules = ruleset(node.name, [of], slices(of, *pods))
    sandbox.namespaces.run(node.name, ["nft", "-f", "-"], stdin=rules)


@pytest.mark.root
@pytest.mark.lab
@pytest.mark.usefixtures("backends")
class TestRealPackets:
    def test_local_leads_to_the_pod_of_the_node_and_keeps_the_source_address(self, sandbox: Sandbox) -> None:
        for node in SEGMENT.nodes:
            lead_client_to(sandbox, node)
            apply(sandbox, node, service("Local"), *PODS)
            answer = wait_for(
                "the backend answers",
                lambda: found if "sees" in (found := fetch(sandbox, VIP)) else None,
                timeout_seconds=10,
            )
            assert answer == f"pod {node.pod} on {node.name} sees 172.30.0.100"
            assert fetch(sandbox, f"[{VIP6}]") == f"pod {node.pod} on {node.name} sees fd00:30::100"

    def test_local_without_a_ready_pod_on_the_node_is_dropped(self, sandbox: Sandbox) -> None:
        first, second = SEGMENT.nodes
        lead_client_to(sandbox, first)
        apply(sandbox, first, service("Local"), pod(first, ready=False), pod(second))
        assert "timed out" in fetch(sandbox, VIP)

    def test_cluster_leads_to_any_ready_pod_under_the_nodes_own_address(self, sandbox: Sandbox) -> None:
        first, second = SEGMENT.nodes
        lead_client_to(sandbox, first)
        apply(sandbox, first, service("Cluster"), pod(first, ready=False), pod(second))
        answers = {fetch(sandbox, VIP) for _ in range(3)}
        assert answers == {"pod pod2 on node2 sees 172.30.0.11"}
        assert fetch(sandbox, f"[{VIP6}]") == "pod pod2 on node2 sees fd00:30::11"

    def test_cluster_spreads_over_the_ready_pods(self, sandbox: Sandbox) -> None:
        first = SEGMENT.nodes[0]
        lead_client_to(sandbox, first)
        apply(sandbox, first, service("Cluster"), *PODS)
        seen = {fetch(sandbox, VIP).split()[1] for _ in range(40)}
        assert seen == {"pod1", "pod2"}

    def test_rules_go_when_the_service_goes(self, sandbox: Sandbox, tmp_path: Path) -> None:
        first = SEGMENT.nodes[0]
        apply(sandbox, first, service("Cluster"), *PODS)
        sandbox.namespaces.run(first.name, ["nft", "-f", "-"], stdin=ruleset(first.name, [], []))
        assert "daddr" not in sandbox.namespaces.run(first.name, ["nft", "list", "ruleset"]).stdout


def test_fetch_tells_an_error_as_a_value() -> None:
    import subprocess

    told = subprocess.run(
        [sys.executable, *script("fetch.py")[1:], "http://127.0.0.1:1/"], capture_output=True, text=True
    )
    assert "refused" in json.loads(told.stdout)["error"]
