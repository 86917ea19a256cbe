"""What is done to a cluster: by users, operators and bad luck. Each act is a word with arguments, so that a life can be
written down, read, and lived again.

An act that makes no sense as things stand does nothing: whoever takes acts out of a life need not mind the others.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from allocator.release.speakers import listed_speaker
from crds.names import ANNOTATION_DEAD_MACHINES, ANNOTATION_DROPPED_ROUTERS, allocation_name, speaker_lease
from crds.speaker import boot_id_of
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    LEASES,
    NODES,
    RELEASECONFIRMATIONS,
    SERVICES,
    SPEAKERS,
)
from tests.sim.api import Body, Refused, Target, decode, encode
from tests.sim.clocks import EPOCH
from tests.sim.cluster import Cluster
from tests.sim.machines import NAMESPACE, RENEW_SECONDS, AllocatorPod, Machine
from tests.sim.transport import QUICK_SECONDS, Link

NODES_THERE = ("n1", "n2", "n3", "n4")
SERVICES_THERE = ("default/a", "default/b", "default/c", "other/a", "other/b")
ROUTERS_THERE = ("192.0.2.251", "192.0.2.252")
POOLS_THERE = ("edge", "few")
OUT_OF_SERVICE = {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute", "value": "x"}
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
HEARD_SECONDS = 0.5
"""So long an operator's wrong word about a node takes to get there, and some."""


@dataclass(frozen=True)
class Step:
    """`pause_seconds` pass, then it is done."""

    pause_seconds: float
    act: str
    words: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join((f"{self.pause_seconds:g}", self.act, *self.words))


def parsed(line: str) -> Step:
    """The opposite of `text`."""
    pause, act, *words = line.split()
    return Step(float(pause), act, tuple(words))


@dataclass
class Doing:
    """A cluster to which things are done. `faults`: how many of the acts were some."""

    cluster: Cluster
    faults: int = 0
    reached: set[str] = field(default_factory=set)
    transcript: list[str] = field(default_factory=list)
    done: list[Step] = field(default_factory=list)
    """In words that mean the same at any time. What did nothing is a pause."""

    def do(self, step: Step) -> None:
        act = ACTS[step.act]
        meant = [_meant_by(self.cluster, word) for word in step.words]
        words = [word for word in meant if "=" not in word]
        options = dict(word.split("=", 1) for word in meant if "=" in word)
        noted = " ".join(one if one == word else f"{word}={one}" for word, one in zip(step.words, meant, strict=True))
        self.transcript.append(f"{self.cluster.world.now:9.3f}  {step.act} {noted}")
        has_done = act(self.cluster, *words, **options) is not False
        self.done.append(Step(step.pause_seconds, step.act if has_done else PAUSE, tuple(meant) if has_done else ()))
        if has_done:
            self.reached.add(f"act {step.act}")
            self.faults += step.act in FAULTS


Act = Callable[..., Any]
ACTS: dict[str, Act] = {}
FAULTS: set[str] = set()


def act(function: Act) -> Act:
    ACTS[function.__name__.strip("_").replace("_", "-")] = function
    return function


def fault(function: Act) -> Act:
    FAULTS.add(function.__name__.replace("_", "-"))
    return act(function)


PAUSE = "pause"


@act
def pause(cluster: Cluster) -> None:
    """Nothing is done."""


# ---- words that mean what is so just then


def _its_addresses(cluster: Cluster, service: str) -> list[str]:
    """What a Service holds, as its records say."""
    namespace, name = _key(service)
    stored = cluster.api.get("services", name, namespace)
    uid = None if stored is None else stored["metadata"]["uid"]
    records = list(cluster.api.all("ipallocations"))
    return [one["spec"]["address"] for one in records if any(holder["uid"] == uid for holder in one["spec"]["holders"])]


def _meant(cluster: Cluster, word: str) -> str:
    """owner:NS/NAME is the node that answers for an address of the Service, others:NS/NAME one that does not;
    its:NS/NAME is such an address."""
    kind, _, service = word.partition(":")
    if kind not in ("owner", "others", "its") or "/" not in service:
        return word
    addresses = _its_addresses(cluster, service)
    if kind == "its":
        return addresses[0] if addresses else "192.0.2.10"
    owners = [wire.node for address in addresses for wire in cluster.segment.answering(address)]
    if kind == "owner":
        return owners[0] if owners else "n1"
    return next((node for node in sorted(cluster.machines) if node not in owners), "n1")


def _meant_by(cluster: Cluster, word: str) -> str:
    name, sign, value = word.rpartition("=")
    return f"{name}{sign}{_meant(cluster, value)}"


# ---- users


def _key(name: str) -> tuple[str, str]:
    namespace, _, rest = name.partition("/")
    return namespace, rest


def service_spec(options: dict[str, str]) -> tuple[Body, Body]:
    """The spec and the annotations that these words say."""
    families = options.get("families", "4")
    spec: Body = {
        "type": options.get("type", "LoadBalancer"),
        "selector": {"app": options.get("app", "x")},
        "ports": [
            {"name": f"p{port}", "port": int(port), "protocol": "TCP"} for port in options.get("ports", "80").split(",")
        ],
        "ipFamilies": ["IPv4" if one == "4" else "IPv6" for one in families.strip("!")],
        "ipFamilyPolicy": "SingleStack"
        if len(families) == 1
        else ("RequireDualStack" if families.endswith("!") else "PreferDualStack"),
        "externalTrafficPolicy": options.get("policy", "Cluster"),
    }
    if spec["type"] != "LoadBalancer":
        del spec["externalTrafficPolicy"]
    elif "class" in options:
        spec["loadBalancerClass"] = options["class"]
    if "external" in options:
        spec["externalIPs"] = options["external"].split(",")
    annotations = {
        "berth.dev/ips": options.get("ips"),
        "berth.dev/pool": options.get("pool"),
        "berth.dev/sharing-key": options.get("key"),
    }
    return spec, annotations


@act
def service(cluster: Cluster, name: str, **options: str) -> bool:
    """Made, or changed to this."""
    namespace, short = _key(name)
    spec, annotations = service_spec(options)
    stored = cluster.api.get("services", short, namespace)
    if stored is None:
        annotations = {key: one for key, one in annotations.items() if one is not None}
        done = cluster.do("POST", SERVICES, short, {"metadata": {"annotations": annotations}, "spec": spec}, namespace)
        cluster.set_endpoints(short, namespace, sorted(cluster.machines))
        return done
    return cluster.apply(SERVICES, short, spec, namespace, annotations=annotations)


@act
def delete(cluster: Cluster, name: str) -> bool:
    """A Service."""
    namespace, short = _key(name)
    return cluster.delete(SERVICES, short, namespace)


@act
def again(cluster: Cluster, name: str, **options: str) -> bool:
    """A Service is deleted, and made again under its name as soon as that is free."""
    namespace, short = _key(name)
    if cluster.api.get("services", short, namespace) is None:
        return False
    cluster.delete(SERVICES, short, namespace)
    _make_when_free(cluster, name, options, 60)
    return True


def _make_when_free(cluster: Cluster, name: str, options: dict[str, str], tries: int) -> None:
    namespace, short = _key(name)
    if cluster.api.get("services", short, namespace) is None:
        service(cluster, name, **options)
    elif tries:
        cluster.world.after(0.5, _make_when_free, cluster, name, options, tries - 1)


@act
def become(cluster: Cluster, name: str, kind: str) -> bool:
    """A Service is of another type."""
    namespace, short = _key(name)
    stored = cluster.api.get("services", short, namespace)
    if stored is None:
        return False
    spec: Body = {"type": kind}
    if kind != "LoadBalancer":
        spec["externalTrafficPolicy"] = None
    return cluster.do("PATCH", SERVICES, short, {"spec": spec}, namespace)


@act
def endpoints(cluster: Cluster, name: str, *nodes: str) -> None:
    """Where a Service's endpoints are."""
    namespace, short = _key(name)
    cluster.set_endpoints(short, namespace, [one for one in nodes if one in cluster.machines])


@act
def finalizers_off(cluster: Cluster, name: str) -> bool:
    """By hand."""
    namespace, short = _key(name)
    if (stored := cluster.api.get("services", short, namespace)) is None:
        return False
    cluster.by_hand.add(stored["metadata"]["uid"])
    return cluster.do("PATCH", SERVICES, short, {"metadata": {"finalizers": []}}, namespace)


@act
def given_before(cluster: Cluster, name: str, *addresses: str) -> bool:
    """Another load balancer gave a Service these addresses: its status says so."""
    namespace, short = _key(name)
    if cluster.api.get("services", short, namespace) is None:
        return False
    status = {"loadBalancer": {"ingress": [{"ip": one} for one in addresses]}}
    path = SERVICES.path(short, namespace, "status")
    with contextlib.suppress(Refused):
        cluster.api.answer("PATCH", path, {"status": status})
        return True
    return False


@act
def record_gone(cluster: Cluster, name: str) -> bool:
    """An IPAllocation of a Service is deleted by hand, while an allocator is there to write it again."""
    leader = next((one for one in cluster.allocators if one.leads), None)
    addresses = _its_addresses(cluster, name)
    if leader is None or leader.loop is None or not leader.link.is_up or leader.loop.frozen_until or not addresses:
        return False
    record = allocation_name(addresses[0])
    stored = cluster.api.get("ipallocations", record)
    assert stored is not None
    cluster.by_hand.add(stored["metadata"]["uid"])
    return cluster.delete(IPALLOCATIONS, record)


@act
def lease_gone(cluster: Cluster, name: str, **options: str) -> bool:
    """A speaker's Lease is deleted by hand, or for so many seconds by a script whenever it is there."""
    if "for" in options:
        cluster.unwanted_leases.add(speaker_lease(name))
        cluster.world.after(float(options["for"]), cluster.unwanted_leases.discard, speaker_lease(name))
    return cluster.delete(LEASES, speaker_lease(name), NAMESPACE)


@act
def lease_unlabelled(cluster: Cluster, name: str) -> bool:
    """Somebody takes the labels off a speaker's Lease."""
    return cluster.do("PATCH", LEASES, speaker_lease(name), {"metadata": {"labels": None}}, NAMESPACE)


@act
def touched(cluster: Cluster, plural: str, name: str) -> bool:
    """Somebody annotates an object of a speaker by hand: it is another version."""
    resource = next(one for one in (SPEAKERS, RELEASECONFIRMATIONS, LEASES) if one.plural == plural)
    namespace, name = (NAMESPACE, speaker_lease(name)) if resource is LEASES else ("", name)
    metadata = {"annotations": {"example.org/looked-at": f"{cluster.world.now:.3f}"}}
    return cluster.do("PATCH", resource, name, {"metadata": metadata}, namespace)


@act
def says(cluster: Cluster, name: str, field: str, value: str) -> bool:
    """A compromised speaker writes something strange into its Speaker; the value is JSON without blanks."""
    path = SPEAKERS.path(name, None, "status")
    try:
        cluster.api.answer("PATCH", path, {"status": {field: decode(value.encode())}})
    except Refused:
        return False
    return True


_GARBAGE = (IPALLOCATIONS, SERVICES, NODES, SPEAKERS, IPPOOLS, BGPPEERS)


@act
def garbage(cluster: Cluster, plural: str) -> bool:
    """An object comes whose fields have the wrong types."""
    resource = next(one for one in _GARBAGE if one.plural == plural)
    body: Body = {"metadata": {"labels": {}}, "spec": {"address": 7, "ports": "x", "type": 1, "holders": 2}}
    body["spec"] |= {"taints": "x", "addresses": 5, "peerAddress": []}
    target = Target(plural, "default" if resource.namespaced else "", "", "", resource.group == "berth.dev")
    body["metadata"]["name"] = "garbage"
    with contextlib.suppress(Refused, AttributeError, TypeError):
        cluster.api.create(target, {"apiVersion": resource.api_version, "kind": resource.kind, **body})
        return True
    return False


# ---- operators


@act
def pool(cluster: Cluster, name: str, **options: str) -> bool:
    """Made, or changed."""
    spec: Body = {"addresses": options["addresses"].split(",")}
    for word, key in (("sharing", "sharing"), ("publish", "publish"), ("external", "externalIPs")):
        if word in options:
            spec[key] = options[word]
    if "most" in options:
        spec["maxPerNamespace"] = int(options["most"])
    if "rest" in options:
        spec["reuseAfterSeconds"] = int(options["rest"])
    if "probe" in options:
        spec["duplicateAddressDetection"] = True
    return cluster.apply(IPPOOLS, name, spec)


@act
def pool_gone(cluster: Cluster, name: str) -> bool:
    return cluster.delete(IPPOOLS, name)


def _selectors(options: dict[str, str]) -> Body:
    spec: Body = {}
    if "zone" in options:
        spec["nodeSelector"] = {"matchLabels": {"zone": options["zone"]}}
    return spec


@act
def l2(cluster: Cluster, name: str, **options: str) -> bool:
    """An L2Advertisement."""
    return cluster.apply(L2ADVERTISEMENTS, name, _selectors(options))


@act
def l2_gone(cluster: Cluster, name: str) -> bool:
    return cluster.delete(L2ADVERTISEMENTS, name)


@act
def bgp(cluster: Cluster, name: str, **options: str) -> bool:
    """A BGPAdvertisement."""
    spec = _selectors(options)
    if "peer" in options:
        spec["peers"] = [options["peer"]]
    if "length" in options:
        spec["aggregationLengthV4"] = int(options["length"])
    return cluster.apply(BGPADVERTISEMENTS, name, spec)


@act
def bgp_gone(cluster: Cluster, name: str) -> bool:
    return cluster.delete(BGPADVERTISEMENTS, name)


@act
def peer(cluster: Cluster, name: str, address: str, **options: str) -> bool:
    """A BGPPeer."""
    cluster.add_router(address)
    spec: Body = {
        "myASN": 64512,
        "peerASN": 64513,
        "peerAddress": address,
        "holdTimeSeconds": int(options.get("hold", "3")),
    }
    if "restart" in options:
        spec["gracefulRestart"] = {"restartTimeSeconds": int(options["restart"])}
    return cluster.apply(BGPPEERS, name, spec)


@act
def peer_gone(cluster: Cluster, name: str) -> bool:
    return cluster.delete(BGPPEERS, name)


@act
def node(cluster: Cluster, name: str) -> bool:
    """It joins."""
    if name in cluster.machines or cluster.api.get("nodes", name) is not None:
        return False
    cluster.add_node(name)
    return True


def _would_hear(machine: Machine) -> bool:
    """Whether it announces nothing, or watches the Speakers: a watch that broke is opened again some time later."""
    process = machine.process
    if process is None or process.agent.core.right.hold is not None:
        return True
    readers = (told.__self__ for told in machine.link.on_heal)  # type: ignore[attr-defined]
    return any(one.hears_of("speakers", process.loop) for one in readers)


def _is_in_contact(machine: Machine | None) -> bool:
    return machine is not None and not machine.link.lag_seconds and _renews(machine) and _would_hear(machine)


def _renews(machine: Machine) -> bool:
    return (
        machine.link.is_up
        and max(machine.link.latency, machine.link.back) <= QUICK_SECONDS
        and not machine.link.chances
        and not machine.is_frozen
        and not (machine.process is not None and machine.process.wire.is_stopped)
        and machine.is_powered
    )


def _is_dead_or_in_contact(cluster: Cluster, name: str) -> bool:
    """An operator's word is to be true: only of a node that is in contact may somebody be wrong."""
    machine = cluster.machines.get(name)
    others = [one for one in cluster.replaced if one.node == name and one.is_powered]
    return not others and machine is not None and (not machine.is_powered or _is_in_contact(machine))


@act
def node_leaves(cluster: Cluster, name: str) -> bool:
    """Shut down in order, then deleted."""
    if len(cluster.machines) < 2 or not _is_dead_or_in_contact(cluster, name):
        return False
    cluster.remove_node(name)
    return True


@act
def label(cluster: Cluster, name: str, **labels: str) -> bool:
    """Of a Node; "-" takes one off."""
    changed = {key: None if value == "-" else value for key, value in labels.items()}
    changed = {EXCLUDE if key == "exclude" else key: value for key, value in changed.items()}
    return cluster.do("PATCH", NODES, name, {"metadata": {"labels": changed}})


@act
def out_of_service(cluster: Cluster, name: str) -> bool:
    """An operator's word that a node is shut down."""
    machine = cluster.machines.get(name)
    if machine is None or machine.is_powered:
        return False
    return cluster.do("PATCH", NODES, name, {"spec": {"taints": [OUT_OF_SERVICE]}})


@act
def called_shut_down(cluster: Cluster, name: str, **options: str) -> bool:
    """An operator's wrong word that a node is shut down, of one that renews its Lease, however late its watches are.
    It is taken back sooner than that Lease could be silent for long enough."""
    machine = cluster.machines.get(name)
    if machine is None or not (_renews(machine) and _has_renewed(cluster, name)):
        return False
    cluster.world.after(float(options.get("for", "8")), _take_back, cluster, name)
    return cluster.do("PATCH", NODES, name, {"spec": {"taints": [OUT_OF_SERVICE]}})


def _has_renewed(cluster: Cluster, node: str) -> bool:
    """Lately, and not only could: a policy may refuse it."""
    lease = cluster.api.get("leases", speaker_lease(node), NAMESPACE) or {"spec": {}}
    renewed = lease["spec"].get("renewTime")
    if renewed is None:
        return False
    return EPOCH + cluster.world.now - datetime.fromisoformat(renewed).timestamp() < 2 * RENEW_SECONDS


def _take_back(cluster: Cluster, name: str) -> None:
    machine = cluster.machines.get(name)
    if machine is not None and machine.is_powered:
        in_service(cluster, name)


def in_service(cluster: Cluster, name: str) -> bool:
    return cluster.do("PATCH", NODES, name, {"spec": {"taints": None}})


@act
def dropped_routers(cluster: Cluster, name: str) -> bool:
    """An operator sees that no router has a route of a node that is dead, and says so on its Speaker."""
    machine = cluster.machines.get(name)
    if machine is None or machine.is_powered or any(one.knows(machine.name) for one in cluster.routers.values()):
        return False
    process = ((cluster.api.get("speakers", name) or {}).get("status") or {}).get("incarnation", "")
    if process.rpartition(".")[0] != machine.name:
        return False
    word = f"{process}/{','.join(cluster.routers)}"
    return cluster.do("PATCH", SPEAKERS, name, {"metadata": {"annotations": {ANNOTATION_DROPPED_ROUTERS: word}}})


@act
def speaker_gone(cluster: Cluster, name: str) -> bool:
    """An operator deletes a Speaker: the node's is dead, says that, or it hears of it, before anything else happens to
    the node."""
    if not _is_dead_or_in_contact(cluster, name):
        return False
    is_done = cluster.delete(SPEAKERS, name)
    cluster.world.run_until(cluster.world.now + HEARD_SECONDS)
    return is_done


@act
def replace(cluster: Cluster, name: str, state: str) -> bool:
    """Another machine under the node's name. The old one is dead, or cut off and at work."""
    machine = cluster.machines.get(name)
    if machine is None:
        return False
    if state != "dead":
        machine.link.cut()
    cluster.replace_machine(name, is_old_dead=state == "dead")
    return True


@act
def fence(cluster: Cluster, seconds: str) -> None:
    """The chart is upgraded with another fence time: all pods are replaced."""
    cluster.fence_seconds = int(seconds)
    for pod in cluster.allocators:
        pod.fence_seconds = cluster.fence_seconds
        pod.restart()
    for machine in cluster.all_machines:
        machine.fence_seconds = cluster.fence_seconds
        if machine.process is not None:
            machine.process.ask_to_stop()


# ---- bad luck


def _links(cluster: Cluster, who: str) -> list[Link]:
    if who == "all":
        return cluster.links
    if who == "nodes":
        return [one.link for one in cluster.all_machines]
    if who == "allocators":
        return [one.link for one in cluster.allocators]
    if who in ("one", "two"):
        return [one.link for one in cluster.allocators if one.name == who]
    return [one.link for one in cluster.all_machines if one.node == who]


@fault
def cut(cluster: Cluster, who: str, which: str, **options: str) -> bool:
    """From the API server, for so many seconds. `which`: both, answers, requests; refused = noticed at once."""
    links = _links(cluster, who)
    for link in links:
        link.cut(requests=which != "answers", answers=which != "requests", refuses=which == "refused")
        cluster.world.after(float(options["seconds"]), link.heal)
    return bool(links)


@fault
def lag(cluster: Cluster, who: str, seconds: str, **options: str) -> bool:
    """Watches bring everything so much later."""
    links = _links(cluster, who)
    for link in links:
        link.lag_seconds = float(seconds)
        cluster.world.after(float(options.get("for", "5")), _no_lag, link)
    return bool(links)


def _no_lag(link: Link) -> None:
    link.lag_seconds = 0.0


@fault
def mishaps(cluster: Cluster, who: str, what: str, chance: str, **options: str) -> bool:
    """Of single requests: lost, unheard, late, late-write, busy, failing, lying."""
    links = _links(cluster, who)
    for link in links:
        link.chances[what] = float(chance)
        cluster.world.after(float(options.get("for", "5")), link.chances.pop, what, None)
    return bool(links)


@fault
def slow(cluster: Cluster, who: str, seconds: str, **options: str) -> bool:
    """Every request takes so long each way, or way=back its answer alone."""
    links = _links(cluster, who)
    for link in links:
        link.back = float(seconds)
        if options.get("way") != "back":
            link.latency = float(seconds)
        cluster.world.after(float(options.get("for", "5")), _quick, link)
    return bool(links)


def _quick(link: Link) -> None:
    link.latency = link.back = QUICK_SECONDS


@fault
def lists_refused(cluster: Cluster, who: str, plural: str, **options: str) -> bool:
    """Lists of that kind (403), as where somebody changed a role."""
    links = _links(cluster, who)
    for link in links:
        link.unlisted.add(plural)
        cluster.world.after(float(options.get("for", "5")), link.unlisted.discard, plural)
    return bool(links)


@fault
def history_lost(cluster: Cluster) -> None:
    """Watches that resume get 410."""
    cluster.api.forget_history()


@fault
def watches_break(cluster: Cluster) -> None:
    for link in cluster.links:
        for told in list(link.on_heal):
            told.__self__.break_off()  # type: ignore[attr-defined]


@fault
def states_lost(cluster: Cluster, who: str, **options: str) -> bool:
    """A firewall forgets all connections to the API server, and lets nothing pass for so many seconds: watches that
    are open bring nothing any more, and do not end."""
    for link in _links(cluster, who):
        for told in list(link.on_heal):
            told.__self__.lose_state()  # type: ignore[attr-defined]
    is_done: bool = cut(cluster, who, "both", **options)
    return is_done


@fault
def pages(cluster: Cluster, size: str) -> None:
    """Lists come in pages of so many."""
    cluster.api.page_size = int(size)


def _is_meant(target: Target, body: Body, options: dict[str, str]) -> bool:
    """Whether a write is one of those that `refused` names."""
    if "of" in options and target.name not in (options["of"], speaker_lease(options["of"])):
        return False
    if "field" in options and (body.get("status") or {}).get(options["field"]) is None:
        return False
    holders = (body.get("spec") or {}).get("holders") or ()
    ports = {str(one["port"]) for holder in holders for one in holder.get("ports") or ()}
    return options.get("port") in (None, *ports)


@fault
def refused(cluster: Cluster, plural: str, **options: str) -> None:
    """Writes of that kind are refused (422) for a while; "all": etcd is full (500). Or those alone of=NODE's speaker,
    those with a field=NAME of the status, as where the definitions are older, or IPAllocations with a port=."""
    end = cluster.world.now + float(options.get("for", "3"))
    before, field = cluster.api.refuses, options.get("field")

    def refuses(method: str, target: Target, body: Body | None) -> Refused | None:
        if cluster.world.now < end:
            if plural == "all" and target.plural != "leases":
                return Refused(500, "", "etcdserver: mvcc: database space exceeded")
            if target.plural == plural and _is_meant(target, body or {}, options):
                return Refused(422, "Invalid", "refused by a policy", f"status.{field}" if field else "status")
        return before(method, target, body)

    cluster.api.refuses = refuses


@fault
def freeze(cluster: Cluster, who: str, seconds: str, **options: str) -> bool:
    """As SIGSTOP, of an agent, or with=wire of the whole machine, or of an allocator."""
    for pod in cluster.allocators:
        if pod.name == who:
            pod.freeze(float(seconds))
            return True
    machine = cluster.machines.get(who)
    if machine is None or machine.process is None:
        return False
    machine.freeze(float(seconds), with_wire=options.get("with") == "wire")
    return True


@fault
def suspend(cluster: Cluster, who: str, seconds: str) -> bool:
    """A machine sleeps: its monotonic clock stands still, CLOCK_BOOTTIME goes on."""
    machine = cluster.machines.get(who)
    if machine is None or machine.process is None or machine.is_frozen:
        return False
    machine.freeze(float(seconds), with_wire=True)
    machine.clock.sleep(float(seconds))
    return True


@fault
def wire_stuck(cluster: Cluster, who: str, seconds: str) -> bool:
    """A wire process answers, and takes in no order."""
    machine = cluster.machines.get(who)
    if machine is None or machine.process is None:
        return False
    wire = machine.process.wire
    wire.is_stuck = True

    def goes_on() -> None:
        wire.is_stuck = False
        wire.work()

    cluster.world.after(float(seconds), goes_on)
    return True


@fault
def wire_stopped(cluster: Cluster, who: str, seconds: str) -> bool:
    """As SIGSTOP, of a wire process alone: its agent goes on."""
    machine = cluster.machines.get(who)
    if machine is None or machine.process is None:
        return False
    machine.process.wire.stop_for(float(seconds))
    return True


def _allocator(cluster: Cluster, who: str) -> AllocatorPod | None:
    if who == "leader":
        return next((one for one in cluster.allocators if one.leads), None)
    return next((one for one in cluster.allocators if one.name == who), None)


@fault
def kill(cluster: Cluster, who: str) -> bool:
    """A speaker, an allocator, or the one that leads; started again."""
    if (pod := _allocator(cluster, who)) is not None:
        pod.restart()
        return True
    machine = cluster.machines.get(who)
    if machine is None or machine.process is None:
        return False
    machine.kill()
    return True


@act
def restart(cluster: Cluster, who: str) -> bool:
    """The pod is replaced, in order."""
    machine = cluster.machines.get(who)
    if machine is None or machine.process is None:
        return False
    machine.process.ask_to_stop()
    return True


@fault
def power_off(cluster: Cluster, who: str, **options: str) -> bool:
    machine = cluster.machines.get(who)
    if machine is None or not machine.is_powered:
        return False
    machine.lose_power()
    cluster.world.after(float(options["seconds"]), _power_on, cluster, machine)
    return True


def _power_on(cluster: Cluster, machine: Machine) -> None:
    """Whoever said that it is shut down takes that back before."""
    if cluster.machines.get(machine.node) is machine and not machine.is_powered:
        in_service(cluster, machine.node)
        machine.power_on()


@fault
def part(cluster: Cluster, one: str, other: str, **options: str) -> bool:
    """Nodes that hear each other no more, or way=one the second the first."""
    others = [name for name in cluster.machines if name != one] if other == "others" else [other]
    cluster.segment.part([one], others, one_way=options.get("way") == "one")
    cluster.world.after(float(options.get("for", "5")), cluster.segment.heal)
    return True


@fault
def router_cut(cluster: Cluster, address: str, who: str, **options: str) -> bool:
    """The path between a router and a node."""
    router = cluster.routers.get(address)
    if router is None:
        return False
    router.cut_off.add(who)
    cluster.world.after(float(options.get("for", "5")), router.cut_off.discard, who)
    return True


@fault
def router_hangs(cluster: Cluster, address: str, **options: str) -> bool:
    """Its process does nothing, and its routes stay."""
    router = cluster.routers.get(address)
    if router is None or router.is_hung:
        return False
    router.hang()
    cluster.world.after(float(options.get("for", "5")), router.thaw)
    return True


# ---- what a scenario asks for


class Expectation(Exception):
    """It is not as a scenario says."""


@act
def expect(cluster: Cluster, what: str, name: str, *values: str) -> None:
    """shows NS/NAME ADDRESS..., told NS/NAME REASON, gone NS/NAME, held ADDRESS NS/NAME..., free ADDRESS, or
    answered ADDRESS by so many nodes."""
    found = _EXPECTED[what](cluster, name)
    if found != list(values):
        raise Expectation(f"expected: {what} {name} {' '.join(values)}; it is {' '.join(found)}")


def _shown(cluster: Cluster, name: str) -> list[str]:
    stored = cluster.api.get("services", _key(name)[1], _key(name)[0]) or {}
    return [one["ip"] for one in stored.get("status", {}).get("loadBalancer", {}).get("ingress") or ()]


def _told(cluster: Cluster, name: str) -> list[str]:
    stored = cluster.api.get("services", _key(name)[1], _key(name)[0]) or {}
    conditions = stored.get("status", {}).get("conditions") or ()
    return [one["reason"] for one in conditions if one["type"] == "berth.dev/Allocated"]


def _there(cluster: Cluster, name: str) -> list[str]:
    return [] if cluster.api.get("services", _key(name)[1], _key(name)[0]) is None else ["there"]


def _holders(cluster: Cluster, address: str) -> list[str]:
    stored = cluster.api.get("ipallocations", allocation_name(address)) or {"spec": {"holders": []}}
    return sorted(f"{one['namespace']}/{one['name']}" for one in stored["spec"]["holders"])


def _answerers(cluster: Cluster, address: str) -> list[str]:
    return [str(len(cluster.segment.answering(address)))]


_EXPECTED: dict[str, Callable[[Cluster, str], list[str]]] = {
    "shows": _shown,
    "told": _told,
    "gone": _there,
    "held": _holders,
    "free": _holders,
    "answered": _answerers,
}


def _say_machines_are_off(cluster: Cluster, name: str, looks: int = 30) -> None:
    """An operator looks at the node's Speaker now and then, and does what its condition asks for."""
    elsewhere = ((cluster.api.get("speakers", name) or {}).get("status") or {}).get("elsewhere") or ()
    if elsewhere:
        boot_ids = ",".join(boot_id_of(one["machine"]) for one in elsewhere)
        cluster.do("PATCH", SPEAKERS, name, {"metadata": {"annotations": {ANNOTATION_DEAD_MACHINES: boot_ids}}})
    if looks:
        cluster.world.after(2.0, _say_machines_are_off, cluster, name, looks - 1)


def _delete_unreadable(cluster: Cluster) -> None:
    """Speakers whose status makes no sense: they are waited for until somebody does."""
    for body in cluster.api.all("speakers"):
        if listed_speaker(encode(body)).unreadable:
            cluster.delete(SPEAKERS, body["metadata"]["name"])


def end_of_faults(cluster: Cluster) -> None:
    """Everything is well again, and whatever is off is switched on. Of machines that were replaced an operator says
    that they are off, by their boot ids. Speakers that can't be read are deleted."""
    cluster.unwanted_leases.clear()
    for link in cluster.links:
        link.chances.clear()
        link.unlisted.clear()
        link.lag_seconds, link.latency, link.back = 0.0, QUICK_SECONDS, QUICK_SECONDS
        link.heal()
    for machine in cluster.replaced:
        machine.lose_power()
    for node in dict.fromkeys(machine.node for machine in cluster.replaced):
        cluster.world.after(2.0, _say_machines_are_off, cluster, node)
    for resource in _GARBAGE:
        cluster.delete(resource, "garbage", "default" if resource.namespaced else "")
    cluster.segment.heal()
    cluster.api.refuses = lambda method, target, body: None
    cluster.api.page_size = 500
    for machine in cluster.machines.values():
        machine.is_wanted = True
        in_service(cluster, machine.node)
        _power_on(cluster, machine)
        if machine.process is not None:
            machine.process.loop.frozen_until = machine.process.wire.frozen_until = 0.0
            machine.process.loop._wake_at(cluster.world.now)
            machine.process.wire.is_stuck = False
            machine.process.wire.go_on()
            machine.process.wire.work()
    for pod in cluster.allocators:
        if pod.loop is not None:
            pod.loop.frozen_until = 0.0
            pod.loop._wake_at(cluster.world.now)
    cluster.world.after(2.0, _delete_unreadable, cluster)
    for router in cluster.routers.values():
        router.cut_off.clear()
        router.thaw()
