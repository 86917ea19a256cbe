"""The takeover from MetalLB, and the way back: which steps there are, in order, and where they stand. Pure.

An address is announced at every moment: on layer 2 ours answer before MetalLB's fall silent, and both forward; by BGP,
where a router keeps one session for each address of a node, one node at a time changes hands.

The order is what is safe. MetalLB's controller stops first, because it frees an address the moment that its Service is
deleted, whoever records it. Pools are paused until all Services are recorded, because one that is there before the
others would move Services that are of these.
"""

from typing import Any

from allocator.options import Options
from allocator.ownership import Ownership
from allocator.status.service import Wanted, service_patch
from cli.migrate.frr import FRR_CONFIGURATIONS, PREFIX
from cli.migrate.situation import (
    PAUSED_BY_US,
    REPLICAS_BEFORE,
    WITH_BGP,
    WITHOUT_METALLB,
    Situation,
    annotations_of,
)
from cli.migrate.steps import Act, Step, some
from cli.migrate.told import PASSWORDS, Body, Made
from cli.seen import LEADER_SECONDS
from cli.uninstall.judge import held
from crds.names import ALLOCATOR_LEASE, allocation_name
from kube.resource import (
    BFDPROFILES,
    BGPADVERTISEMENTS,
    BGPPEERS,
    COMMUNITIES,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    NODES,
    SECRETS,
    SERVICES,
    Resource,
)
from kube.times import rfc3339

DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True)
RESOURCES = {
    one.kind: one for one in (IPPOOLS, L2ADVERTISEMENTS, BGPADVERTISEMENTS, BGPPEERS, BFDPROFILES, COMMUNITIES)
}
TAKEOVER = "takeover"
SETTLED_SECONDS = 10.0
"""How long a speaker of MetalLB's is ready until its routes are taken to be there: it waits 3 s before it writes them,
and FRR is loaded twice after that."""
_NOT_READY = f"MetalLB's speaker has not been ready for {SETTLED_SECONDS:.0f} s"
_NOT_HERE = {"key": WITHOUT_METALLB, "operator": "DoesNotExist"}


def forth(now: Situation, berth_namespace: str) -> list[Step]:
    """From MetalLB to Berth."""
    return [
        _runs(now),
        _fits(now),
        _stopped("MetalLB's controller is stopped", now.controllers, now),
        _created("our pools are there, and paused", now, "IPPool"),
        _adopted(now),
        _passwords(now, berth_namespace),
        _unmarked(now),
        _created("our peers and advertisements are there", now, *(kind for kind in RESOURCES if kind != "IPPool")),
        Step("what is announced on layer 2 is announced by us, too", waits=some(now.silent)),
        _leaves_nodes(now),
        *(_taken(now, node) for node in sorted(now.nodes)),
        _unlimited(now),
        _unpaused(now),
    ]


def back(now: Situation) -> list[Step]:
    """From Berth to MetalLB."""
    return [
        _paused(now),
        Step("nodes keep our sessions", acts=tuple(_label(node, WITH_BGP, "") for node in _unlabelled(now))),
        _limited(now),
        *(_given_back(now, node) for node in sorted(now.nodes)),
        _deleted(now),
        _stopped("our allocator is stopped", now.allocators, now),
        Step("no allocator leads", waits=_leader(now)),
        _let_go(now),
        _started(now),
    ]


# Before


def _runs(now: Situation) -> Step:
    trouble = now.world.allocator_trouble()
    if now.world.blind:
        trouble = f"this can't be read: {some([str(gap) for gap in now.world.blind])}"
    elif not trouble and not now.world.alive:
        trouble = "no speaker of ours lives: look at the pods of the DaemonSet berth-speaker"
    return Step("Berth runs", waits=trouble, is_hopeless=bool(now.world.blind))


def _fits(now: Situation) -> Step:
    names = [f"{one.key}: {one.why}" for one in now.losing]
    return Step("each Service would keep its addresses", waits=some(names), is_hopeless=True)


def _stopped(title: str, deployments: list[Body], now: Situation) -> Step:
    running = [one for one in deployments if one.get("spec", {}).get("replicas", 1)]
    acts = tuple(_scale(one, 0, str(one.get("spec", {}).get("replicas", 1))) for one in running)
    pods = [pod for one in deployments for each in (now.metallb, now.berth) for pod in each.pods_of(one)]
    return Step(title, acts, some([f"pod {one['metadata']['name']} is still there" for one in _unique(pods)]))


def _scale(deployment: Body, replicas: int, before: str | None) -> Act:
    metadata = deployment["metadata"]
    body = {"metadata": {"annotations": {REPLICAS_BEFORE: before}}, "spec": {"replicas": replicas}}
    return Act("patch", DEPLOYMENTS, metadata["name"], metadata["namespace"], body)


def _unique(pods: list[Body]) -> list[Body]:
    return list({(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in pods}.values())


# Objects


def _created(title: str, now: Situation, *kinds: str) -> Step:
    missing = [one for one in now.converted.made if one.kind in kinds and (one.kind, one.name) not in now.ours]
    return Step(title, tuple(Act("create", RESOURCES[one.kind], one.name, body=_body(one, now)) for one in missing))


def _body(made: Made, now: Situation) -> Body:
    """Pools paused; peers for labelled nodes alone, as long as MetalLB holds sessions."""
    wire = made.to_wire()
    if made.kind == "IPPool":
        wire["metadata"]["annotations"] = {PAUSED_BY_US: TAKEOVER}
        wire["spec"] = {**wire["spec"], "paused": True}
    if made.kind == "BGPPeer" and now.speakers:
        selector = wire["spec"].get("nodeSelector", {})
        labels = {**selector.get("matchLabels", {}), WITH_BGP: ""}
        wire["spec"] = {**wire["spec"], "nodeSelector": {**selector, "matchLabels": labels}}
    return wire


def _adopted(now: Situation) -> Step:
    names = [str(key) for key in now.not_recorded]
    return Step("each Service that shows an address has our record of it", waits=some(names))


def _passwords(now: Situation, berth_namespace: str) -> Step:
    missing = [one for one in now.converted.passwords if one.peer not in now.passwords]
    acts = (Act("copy", SECRETS, PASSWORDS, berth_namespace, password=one) for one in missing)
    return Step("Berth's namespace has the passwords of peers", tuple(acts))


# Node by node


def _leaves_nodes(now: Situation) -> Step:
    """`OnDelete`: else the change of the template would restart MetalLB's speakers."""
    acts = []
    for one in now.speakers:
        spec = one.get("spec", {})
        affinity, is_ours = _affinity(_affinity_of(one))
        if not is_ours or spec.get("updateStrategy", {}).get("type") != "OnDelete":
            body = {
                "spec": {
                    "updateStrategy": {"type": "OnDelete", "rollingUpdate": None},
                    "template": {"spec": {"affinity": affinity}},
                }
            }
            metadata = one["metadata"]
            acts.append(Act("patch", DAEMON_SETS, metadata["name"], metadata["namespace"], body))
    return Step(f"MetalLB's speakers leave nodes with the label {WITHOUT_METALLB}", tuple(acts))


def _unmarked(now: Situation) -> Step:
    """Labels that an earlier takeover left would take all nodes at once."""
    goes_by_label = all(_affinity(_affinity_of(one))[1] for one in now.speakers)
    acts = []
    for node in sorted(now.nodes) if now.speakers else ():
        if now.has(node, WITHOUT_METALLB) and not goes_by_label:
            acts.append(_label(node, WITHOUT_METALLB, None))
        if now.has(node, WITH_BGP) and not now.made("BGPPeer"):
            acts.append(_label(node, WITH_BGP, None))
    return Step("no node has a label of an earlier takeover", tuple(acts))


def _affinity_of(daemon_set: Body) -> Any:
    return daemon_set.get("spec", {}).get("template", {}).get("spec", {}).get("affinity")


def _affinity(given: Any) -> tuple[Body, bool]:
    """With our requirement in each term, and whether it was there."""
    node = (given or {}).get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms = required.get("nodeSelectorTerms") or [{}]
    is_there = all(_NOT_HERE in (term.get("matchExpressions") or []) for term in terms)
    if is_there:
        return given, True
    wanted = [
        {
            **term,
            "matchExpressions": [*(one for one in term.get("matchExpressions") or [] if one != _NOT_HERE), _NOT_HERE],
        }
        for term in terms
    ]
    required = {**required, "nodeSelectorTerms": wanted}
    return {"nodeAffinity": {**node, "requiredDuringSchedulingIgnoredDuringExecution": required}}, False


def _taken(now: Situation, node: str) -> Step:
    """First MetalLB's session goes, then ours comes: a router refuses or replaces a second one of the same address."""
    title = f"{node} is ours"
    if not now.speakers:
        return Step(title, node=node)
    if not now.has(node, WITHOUT_METALLB):
        return Step(title, (_label(node, WITHOUT_METALLB, ""),), "MetalLB's speaker is still there", node=node)
    if now.speaker_pods(node):
        return Step(title, (), "MetalLB's speaker is still there", node=node)
    acts = [Act("delete", FRR_CONFIGURATIONS, f"{PREFIX}{node}", where) for where in now.configurations.get(node, ())]
    if not now.has(node, WITH_BGP):
        acts.append(_label(node, WITH_BGP, ""))
    missing = now.sessions_missing(node)
    return Step(title, tuple(acts), f"sessions are not up: {some(missing)}" if missing else "", node=node)


def _label(node: str, label: str, value: str | None) -> Act:
    return Act("patch", NODES, node, body={"metadata": {"labels": {label: value}}})


# After


def _unlimited(now: Situation) -> Step:
    """The nodes that a peer is for stay the same: all have the label by now."""
    acts = (
        Act("patch", BGPPEERS, name, body={"spec": {"nodeSelector": {"matchLabels": {WITH_BGP: None}}}})
        for _, name in now.made("BGPPeer")
        if now.is_limited(name)
    )
    return Step("our peers are for their own nodes", tuple(acts))


def _unpaused(now: Situation) -> Step:
    acts = (
        Act(
            "patch",
            IPPOOLS,
            name,
            body={"metadata": {"annotations": {PAUSED_BY_US: None}}, "spec": {"paused": False}},
        )
        for kind, name in now.made("IPPool")
        if annotations_of(now.ours[(kind, name)]).get(PAUSED_BY_US) == TAKEOVER
    )
    return Step("our pools give out addresses", tuple(acts))


# Back


def _unlabelled(now: Situation) -> list[str]:
    """Nodes that would lose their sessions once our peers are for labelled nodes alone."""
    if all(now.is_limited(name) for _, name in now.made("BGPPeer")):
        return []
    return [one for one in sorted(now.nodes) if not now.has(one, WITH_BGP)]


def _paused(now: Situation) -> Step:
    acts = (
        Act(
            "patch",
            IPPOOLS,
            name,
            body={"metadata": {"annotations": {PAUSED_BY_US: TAKEOVER}}, "spec": {"paused": True}},
        )
        for kind, name in now.made("IPPool")
        if not now.ours[(kind, name)].get("spec", {}).get("paused")
    )
    return Step("our pools give out nothing", tuple(acts))


def _limited(now: Situation) -> Step:
    acts = (
        Act("patch", BGPPEERS, name, body={"spec": {"nodeSelector": {"matchLabels": {WITH_BGP: ""}}}})
        for _, name in now.made("BGPPeer")
        if not now.is_limited(name)
    )
    return Step("our peers are for the nodes that are ours", tuple(acts))


def _given_back(now: Situation, node: str) -> Step:
    """Our session goes first: MetalLB's speaker tries once when it starts, and then perhaps not for minutes. Whether it
    has its session nobody tells, so the next node waits until it has been ready for a while."""
    title = f"{node} is MetalLB's"
    if now.has(node, WITH_BGP):
        return Step(title, (_label(node, WITH_BGP, None),), _NOT_READY, node=node)
    if now.has(node, WITHOUT_METALLB):
        return Step(title, (_label(node, WITHOUT_METALLB, None),), _NOT_READY, node=node)
    pods = now.speaker_pods(node)
    is_settled = not now.speakers or (pods and all(now.ready_seconds(pod) >= SETTLED_SECONDS for pod in pods))
    return Step(title, (), "" if is_settled else _NOT_READY, node=node)


def _deleted(now: Situation) -> Step:
    there = now.made("L2Advertisement", "BGPAdvertisement", "BGPPeer")
    acts = tuple(Act("delete", RESOURCES[kind], name) for kind, name in there)
    records = now.world.seen.observed.allocations.values()
    announced = [f"{one.address} is still announced by us" for one in records if now.world.announcers(one.address)]
    unheard = [
        f"{node} is not heard of, and may announce" for node in sorted(now.world.silent | now.world.other_clocks.keys())
    ]
    return Step("we announce nothing", acts, some([*announced, *unheard]))


def _leader(now: Situation) -> str:
    """One that was not stopped would write all of it again."""
    lease = (now.world.seen.leases or {}).get(ALLOCATOR_LEASE)
    age = now.world.lease_age(ALLOCATOR_LEASE)
    if lease is None or not lease.spec.holder_identity or age is None or age > LEADER_SECONDS:
        return ""
    return f"{lease.spec.holder_identity} leads: stop it"


def _let_go(now: Situation) -> Step:
    """Finalizers and conditions of ours go, and the records; what statuses show stays."""
    ownership = Ownership(None, Options.finalizer, Options.former_finalizers)
    wanted = Wanted(None, False, None, former_go=True)
    acts = []
    for one in held(now.world, ownership):
        body = service_patch(one.service, wanted, ownership, rfc3339(now.world.seen.now))
        if body is not None:
            acts.append(Act("patch", SERVICES, one.key.name, one.key.namespace, body, is_status=True))
    records = sorted(str(one.address) for one in now.world.seen.observed.allocations.values())
    acts += [Act("delete", IPALLOCATIONS, allocation_name(address)) for address in records]
    return Step("we hold no Service", tuple(acts))


def _started(now: Situation) -> Step:
    down = [one for one in now.controllers if not one.get("spec", {}).get("replicas", 1)]
    acts = (_scale(one, _number(annotations_of(one).get(REPLICAS_BEFORE, "1")), None) for one in down)
    return Step("MetalLB's controller runs", tuple(acts))


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 4 else 1
