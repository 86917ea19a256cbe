"""The steps of a takeover: their order, what each waits for, and that it goes on from wherever it was left."""

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from allocator.objects import decode_allocation, decode_l2_advertisement
from allocator.status.entries import Session
from cli.__main__ import main
from cli.migrate.carry import told
from cli.migrate.convert import convert
from cli.migrate.read import seen_in
from cli.migrate.services import Fate, Judged, judge
from cli.migrate.situation import WITH_BGP, WITHOUT_METALLB, Situation, Workloads
from cli.migrate.steps import Act, Step
from cli.migrate.takeover import back, forth
from cli.seen import World
from crds.names import ALLOCATOR_LEASE, FINALIZER
from kube.informer.store import ObjectKey
from kube.objects import ServiceKey, decode_lease
from tests.allocator.build import address, service_body

Body = dict[str, Any]
NODES = ("node1", "node2")


def theirs(kind: str, name: str, version: str = "v1beta1", **spec: Any) -> Body:
    return {"apiVersion": f"metallb.io/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}


OBJECTS = [
    theirs("IPAddressPool", "lan", addresses=["192.0.2.0/28"]),
    theirs("L2Advertisement", "lan"),
    theirs("BGPAdvertisement", "all"),
    theirs("BGPPeer", "tor", "v1beta2", myASN=1, peerASN=2, peerAddress="10.0.0.1", password="secret"),
]


def merged(into: Body, patch: Body) -> Body:
    """RFC 7386."""
    found = copy.deepcopy(into)
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key) or {}, value) if isinstance(value, dict) else value
    return found


def workload(name: str, component: str, **spec: Any) -> Body:
    labels = {"component": component}
    metadata = {"name": name, "namespace": "metallb-system", "labels": labels}
    return {"metadata": metadata, "spec": {"selector": {"matchLabels": labels}, "template": {}, **spec}}


@dataclass
class Cluster:
    """What acts change, and what controllers and speakers make of that."""

    deployments: dict[str, Body] = field(
        default_factory=lambda: {
            "controller": workload("controller", "controller", replicas=2),
            "berth-allocator": workload("berth-allocator", "allocator", replicas=1),
        }
    )
    speakers: dict[str, Body] = field(default_factory=lambda: {"speaker": workload("speaker", "speaker")})
    nodes: dict[str, dict[str, str]] = field(default_factory=lambda: {node: {} for node in NODES})
    ours: dict[tuple[str, str], Body] = field(default_factory=dict)
    passwords: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    lingering: set[str] = field(default_factory=set)
    """Nodes whose speaker of MetalLB's does not end."""
    judged: tuple[Judged, ...] = ()
    configurations: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ready_since: str = ""

    def runs_metallb(self, node: str) -> bool:
        goes_by_label = any(WITHOUT_METALLB in str(one["spec"]["template"]) for one in self.speakers.values())
        is_wanted = bool(self.speakers) and not (goes_by_label and WITHOUT_METALLB in self.nodes[node])
        return is_wanted or node in self.lingering

    def holds_session(self, node: str) -> bool:
        selector = self.ours.get(("BGPPeer", "tor"), {}).get("spec", {}).get("nodeSelector", {}).get("matchLabels", {})
        return ("BGPPeer", "tor") in self.ours and selector.items() <= self.nodes[node].items()

    def now(self) -> Situation:
        world = World(seen_in([]))
        sessions = {node: Session("tor", "Established") for node in NODES if self.holds_session(node)}
        vars(world).update(alive=frozenset(NODES), sessions={"tor": sessions})
        since = self.ready_since
        pods = [_pod(f"speaker-{node}", "speaker", node, since) for node in NODES if self.runs_metallb(node)]
        pods += [_pod("controller-1", "controller", "node1")] * bool(self.deployments["controller"]["spec"]["replicas"])
        metallb = Workloads((self.deployments["controller"],), tuple(self.speakers.values()), tuple(pods))
        berth = Workloads((self.deployments["berth-allocator"],))
        return Situation(
            convert(OBJECTS),
            world,
            self.judged,
            metallb,
            berth,
            dict(self.ours),
            frozenset(self.passwords),
            dict(self.nodes),
            dict(self.configurations),
            datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC),
        )

    def do(self, act: Act) -> None:
        self.log.append(f"{act.verb} {act.resource.kind}/{act.name}")
        kind, body = act.resource.kind, act.body or {}
        match act.verb, kind:
            case "copy", _:
                self.passwords.add(act.password.peer if act.password else "")
            case "create", _:
                self.ours[(kind, act.name)] = body
            case "delete", "FRRConfiguration":
                self.configurations.pop(act.name.removeprefix("metallb-"))
            case "delete", _:
                del self.ours[(kind, act.name)]
            case _, "Node":
                self.nodes[act.name] = merged({"labels": self.nodes[act.name]}, body["metadata"])["labels"]
            case _, "Deployment":
                self.deployments[act.name] = merged(self.deployments[act.name], body)
            case _, "DaemonSet":
                self.speakers[act.name] = merged(self.speakers[act.name], body)
            case _:
                self.ours[(kind, act.name)] = merged(self.ours[(kind, act.name)], body)

    def run(self, steps: Callable[[Situation], Sequence[Step]]) -> Step | None:
        """One act, and all is looked at anew, as after a crash; until all is done, or a step that can't be."""
        for _ in range(100):
            step = next((one for one in steps(self.now()) if not one.is_done), None)
            if step is None or not step.acts:
                return step
            self.do(step.acts[0])
        raise AssertionError("it does not end")


def _pod(name: str, component: str, node: str, since: str = "") -> Body:
    metadata = {"name": name, "namespace": "metallb-system", "labels": {"component": component}}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}
    return {"metadata": metadata, "spec": {"nodeName": node}, "status": status}


def over(now: Situation) -> list[Step]:
    return forth(now, "berth-system")


def test_there_one_act_at_a_time_and_back_again() -> None:
    cluster = Cluster()
    assert cluster.run(over) is None
    assert cluster.deployments["controller"]["spec"]["replicas"] == 0
    assert not any(cluster.runs_metallb(node) for node in NODES)
    assert all(cluster.holds_session(node) for node in NODES)
    assert cluster.ours[("IPPool", "lan")]["spec"]["paused"] is False
    assert "nodeSelector" not in cluster.ours[("BGPPeer", "tor")]["spec"] or not cluster.now().is_limited("tor")
    assert cluster.passwords == {"tor"}
    assert cluster.run(back) is None
    assert cluster.deployments["controller"]["spec"]["replicas"] == 2
    assert cluster.deployments["berth-allocator"]["spec"]["replicas"] == 0
    assert all(cluster.runs_metallb(node) for node in NODES)
    assert set(cluster.ours) == {("IPPool", "lan")}


def test_the_order_is_that_which_is_safe() -> None:
    cluster = Cluster()
    cluster.run(over)
    wanted = [
        "patch Deployment/controller",
        "create IPPool/lan",
        "copy Secret/berth-bgp",
        "create L2Advertisement/lan",
        "patch DaemonSet/speaker",
        "patch Node/node1",
        "patch Node/node2",
        "patch BGPPeer/tor",
        "patch IPPool/lan",
    ]
    assert sorted(wanted, key=cluster.log.index) == wanted


def test_our_session_comes_when_theirs_is_gone_and_the_next_node_when_ours_is_there() -> None:
    cluster = Cluster(lingering={"node1"}, configurations={"node1": ("frr-k8s-system",)})
    step = cluster.run(over)
    assert step is not None
    assert (step.title, step.waits) == ("node1 is ours", "MetalLB's speaker is still there")
    assert WITH_BGP not in cluster.nodes["node1"]
    assert not cluster.nodes["node2"]
    cluster.lingering.clear()
    assert cluster.run(over) is None
    assert cluster.log.index("delete FRRConfiguration/metallb-node1") < cluster.log.index("patch Node/node2")


def test_labels_of_an_earlier_takeover_do_not_take_all_nodes_at_once() -> None:
    cluster = Cluster(nodes={node: {WITHOUT_METALLB: "", WITH_BGP: ""} for node in NODES})
    without = []
    for _ in range(40):
        step = next((one for one in over(cluster.now()) if not one.is_done), None)
        if step is None:
            break
        cluster.do(step.acts[0])
        without.append([node for node in NODES if not cluster.runs_metallb(node)])
        assert not any(cluster.runs_metallb(node) and cluster.holds_session(node) for node in NODES)
    assert ["node1"] in without
    assert without[-1] == list(NODES)


def test_on_the_way_back_a_node_waits_until_theirs_has_settled() -> None:
    cluster = Cluster()
    assert cluster.run(over) is None
    cluster.ready_since = "2026-01-01T00:00:05Z"
    step = cluster.run(back)
    assert step is not None
    assert (step.title, WITH_BGP in cluster.nodes["node1"], WITH_BGP in cluster.nodes["node2"]) == (
        "node1 is MetalLB's",
        False,
        True,
    )
    cluster.ready_since = "2025-12-31T23:59:50Z"
    assert cluster.run(back) is None


def test_peers_are_for_all_of_their_nodes_where_metallb_announces_nothing_any_more() -> None:
    cluster = Cluster(speakers={})
    assert cluster.run(over) is None
    assert not any(one.startswith(("patch Node", "patch BGPPeer")) for one in cluster.log)


def test_a_service_that_would_lose_its_address_stops_it_before_anything_is_written() -> None:
    services = [service_body("web", ingress=["203.0.113.5"])]
    cluster = Cluster(judged=(Judged(ServiceKey("default", "web"), Fate.LOSES, (address("203.0.113.5"),), "no pool"),))
    now = cluster.now()
    vars(now.world.seen)["observed"] = seen_in(services).observed
    step = next(one for one in over(now) if not one.is_done)
    assert step.is_hopeless
    assert "default/web: no pool" in step.waits
    assert judge(seen_in(services))[0].fate is Fate.LOSES


@pytest.mark.parametrize(("reason", "is_waited_for"), [("NoEligibleNode", True), ("NoReadyEndpoint", False)])
def test_theirs_go_on_until_ours_announce_what_can_be_announced(reason: str, is_waited_for: bool) -> None:
    holder = {"namespace": "default", "name": "web", "uid": "u1", "ports": [{"protocol": "TCP", "port": 80}]}
    condition = {"type": "Announced", "status": "False", "reason": reason, "message": "", "lastTransitionTime": ""}
    record = {
        "metadata": {"name": "v4-192-0-2-5", "uid": "a1", "resourceVersion": "1", "generation": 1},
        "spec": {"address": "192.0.2.5", "pool": "lan", "holders": [holder], "trafficPolicy": "Cluster"},
        "status": {"conditions": [condition]},
    }
    lan = decode_l2_advertisement(b'{"metadata": {"name": "lan"}, "spec": {}}')
    allocations = {ObjectKey(None, "v4-192-0-2-5"): decode_allocation(json.dumps(record).encode())}
    now = Cluster().now()
    observed = replace(
        now.world.seen.observed, allocations=allocations, l2_advertisements={ObjectKey(None, "lan"): lan}
    )
    vars(now.world.seen)["observed"] = observed
    assert now.silent == (["192.0.2.5 (NoEligibleNode)"] if is_waited_for else [])


def test_records_stay_as_long_as_an_allocator_leads_that_would_write_them_again() -> None:
    cluster = Cluster()
    assert cluster.run(over) is None
    at = datetime.now(UTC)
    for holder, is_done in (("allocator-1", False), ("", True)):
        spec = {"holderIdentity": holder, "renewTime": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        lease = decode_lease(json.dumps({"metadata": {"name": ALLOCATOR_LEASE}, "spec": spec}).encode())
        now = cluster.now()
        vars(now.world)["seen"] = replace(now.world.seen, leases={ALLOCATOR_LEASE: lease}, now=at)
        (step,) = (one for one in back(now) if one.title == "no allocator leads")
        assert step.is_done is is_done


def test_on_the_way_back_statuses_stay_and_everything_else_of_ours_goes() -> None:
    body = service_body("web", ingress=["192.0.2.5"])
    body["metadata"]["finalizers"] = [FINALIZER, "example.com/other"]
    told = {
        "type": "berth.dev/Allocated",
        "status": "True",
        "reason": "Allocated",
        "message": "",
        "lastTransitionTime": "",
    }
    body["status"]["conditions"] = [told]
    now = Cluster().now()
    vars(now.world.seen)["observed"] = seen_in([body]).observed
    (act,) = next(one for one in back(now) if one.title == "we hold no Service").acts
    assert act.body is not None
    assert act.body["metadata"]["finalizers"] == ["example.com/other"]
    assert "loadBalancer" not in act.body.get("status", {})
    assert not [one for one in act.body["status"]["conditions"] if one["type"].startswith("berth.dev/")]


def test_what_is_required_of_nodes_already_stays() -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term, {}]}}}
    cluster = Cluster(speakers={"speaker": workload("speaker", "speaker", template={"spec": {"affinity": affinity}})})
    cluster.run(over)
    spec = cluster.speakers["speaker"]["spec"]
    required = spec["template"]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    ours = {"key": WITHOUT_METALLB, "operator": "DoesNotExist"}
    assert [one["matchExpressions"] for one in required["nodeSelectorTerms"]] == [
        [*term["matchExpressions"], ours],
        [ours],
    ]
    assert spec["updateStrategy"]["type"] == "OnDelete"


def test_a_pool_that_somebody_else_paused_stays_so() -> None:
    cluster = Cluster()
    cluster.ours[("IPPool", "lan")] = {"metadata": {"name": "lan"}, "spec": {"paused": True}}
    assert cluster.run(over) is None
    assert cluster.ours[("IPPool", "lan")]["spec"]["paused"] is True


def test_it_is_told_what_is_done_and_what_comes_next() -> None:
    lines = told(over(Cluster().now()))
    assert lines[0] == " 1. [done] Berth runs"
    assert lines[2].startswith(" 3. [next] MetalLB's controller is stopped")
    assert "kubectl patch deployments.apps controller -n metallb-system" in lines[3]
    assert not any("secret" in line and "password" not in line for line in lines)


@pytest.mark.parametrize("flags", [["--yes"], ["--back"], ["--takeover", "--check"], ["--takeover", "-f", "x"]])
def test_flags_that_do_not_go_together(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "metallb", *flags]) == 2
    assert "--takeover" in capsys.readouterr().err
