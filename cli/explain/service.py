"""Why a Service is reachable or not: pool by pool, then each of its addresses, then its endpoints. Pure.

The decision is made anew by the allocator's own function (allocator.plan), on the records as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from allocator.annotations import not_understood
from allocator.claims import Claim
from allocator.ledger import Entry
from allocator.offers import Offers
from allocator.ownership import Ownership
from allocator.plan import Plan, plan
from allocator.policy import Refusal
from allocator.publication import published
from allocator.request import InvalidRequest, Request, key_of, our_condition, present_addresses, request_of
from allocator.space.pools import Labels, Pool
from cli.explain.address import explain_record, how
from cli.explain.speakers import speakers_trouble
from cli.explain.told import Explanation, Finding
from cli.seen import World, ownership_of
from crds.addresses import Family, IPAddress
from crds.conditions import ConditionType, Reason
from crds.names import FINALIZER, FINALIZER_BESIDE_CLOUD
from kube.informer.store import ObjectKey
from kube.objects import Condition, Service, ServiceKey

NOT_READ = "NotRead"
"""Something may not be read, so nothing can be told."""
DECIDED_ELSEWHERE = frozenset({Reason.RecordRefused, Reason.StatusOverwritten})
"""Reasons of condition berth.dev/Allocated that come from what happened, and not from what is asked for."""


def explain_service(world: World, key: ServiceKey, refused: Mapping[str, Sequence[str]] | None = None) -> Explanation:
    """`refused`: rights that Berth's programs lack, by program; None = they were not asked for."""
    told = Explanation(f"svc/{key.namespace}/{key.name}")
    service = world.service(key)
    _gaps(told, world)
    if service is None:
        told.blame("NotFound", f"There is no Service {key.name} in namespace {key.namespace}")
        return _finished(told)
    entries = world.ledger.held_by_uid(service.metadata.uid)
    is_ours = ownership_of(service).is_ours(service)
    if service.metadata.is_terminating:
        _terminating(told, service, entries)
    elif not is_ours:
        told.blame("NotServed", _not_served(service, ownership_of(service)))
    else:
        _allocation(told, world, service)
    for entry in entries:
        stored = world.stored(entry.address)
        if stored is not None and (is_ours or stored.claim.releasing):
            explain_record(told, world, stored)
    if service.metadata.is_terminating or not is_ours:
        _not_let_go(told, world, service, entries)
    _wanted_that_is_released(told, world, service)
    if entries and is_ours and not service.metadata.is_terminating:
        _endpoints(told, world, service)
    _surroundings(told, world)
    _rights(told, refused)
    announced = [text for entry in entries if (text := how(world, entry.address))]
    told.summary = _summary(told, service, entries, announced)
    return _finished(told)


def _finished(told: Explanation) -> Explanation:
    told.notes = [one for one in told.notes if one not in told.causes]
    return told


def _summary(told: Explanation, service: Service, entries: Sequence[Entry], announced: Sequence[str]) -> str:
    addresses = ", ".join(str(entry.address) for entry in entries) or "no address"
    if service.metadata.is_terminating:
        return f"is being deleted; it holds {addresses}"
    if not told.causes:
        return f"{addresses}. {'. '.join(dict.fromkeys(announced))}"
    return f"{addresses}; something keeps it from being reached"


def _gaps(told: Explanation, world: World) -> None:
    for gap in world.seen.gaps:
        told.note(NOT_READ, f"What is said here may be incomplete: {gap}")


def _not_served(service: Service, ownership: Ownership) -> str:
    if service.spec.type != "LoadBalancer":
        return f"The Service is of type {service.spec.type}; Berth serves those of type LoadBalancer: change spec.type"
    return (
        f"The Service is of the class {service.spec.load_balancer_class}, which is another load balancer's unless the "
        f"chart's loadBalancerClass names it. By default Berth serves {ownership.served}; a class can't be changed: "
        "create the Service anew"
    )


def _terminating(told: Explanation, service: Service, entries: Sequence[Entry]) -> None:
    others = [one for one in service.metadata.finalizers if "berth" not in one and "load-balancer" not in one]
    if not entries and others:
        told.blame("OtherFinalizers", f"Nothing of Berth's holds it back; other finalizers do: {', '.join(others)}")


def _not_let_go(told: Explanation, world: World, service: Service, entries: Sequence[Entry]) -> None:
    """What it has of Berth's and is to lose: that takes an allocator."""
    has = [str(entry.address) for entry in entries]
    has += [f"finalizer {one}" for one in service.metadata.finalizers if one in (FINALIZER, FINALIZER_BESIDE_CLOUD)]
    trouble = world.allocator_trouble()
    if has and trouble:
        told.blame("NoLeader", f"{trouble}. Until one leads the Service keeps {', '.join(has)}")
    elif has and not any(entry.claim.releasing for entry in entries):
        told.note(Reason.Releasing, f"An allocator leads, and takes from the Service what it has: {', '.join(has)}")


# The address


def _allocation(told: Explanation, world: World, service: Service) -> None:
    request = request_of(service)
    if isinstance(request, InvalidRequest):
        told.blame(request.reason, request.message)
        return
    labels = _labels(world, request.holder.key.namespace)
    decision = plan(request, labels, world.ledger, lambda _: 0, world.wish_of)
    decision = published(decision, service, world.ledger)
    _pools(told, world, request, labels)
    verdict = decision.verdict
    if not verdict.satisfied:
        told.blame(verdict.reason, verdict.message)
    else:
        if verdict.reason is not Reason.Allocated:
            told.note(verdict.reason, verdict.message)
        _not_carried_out(told, world, service, decision)
    strange = not_understood(service.metadata.annotations)
    if strange:
        told.note("UnknownAnnotation", strange)


def _labels(world: World, namespace: str) -> Labels:
    known = world.seen.observed.namespaces.get(ObjectKey(None, namespace))
    return {} if known is None else known.metadata.labels


def _pools(told: Explanation, world: World, request: Request, labels: Labels) -> None:
    """Each pool asked by itself: what it would give, or why it gives nothing."""
    ledger = world.ledger
    held = ledger.in_use_by_uid(request.holder.uid)
    for pool in ledger.pools.in_order:
        alone = replace(request, pools=(pool.name,), addresses={}, present=())
        has = [entry for entry in held if pool.holds(entry.address)]
        for family in request.families:
            of_family = [entry for entry in has if _family(entry) is family]
            if of_family:
                told.row("POOLS", True, pool.name, f"gave {', '.join(str(one.address) for one in of_family)}")
                continue
            found = Offers(alone, labels, ledger, lambda _: 0, world.wish_of).find(family, None)
            told.row("POOLS", *_offer(pool, family, found, is_named=pool.name in request.pools))
    if not ledger.pools.in_order:
        told.row("POOLS", False, "-", "there is none in the cluster")


def _family(entry: Entry) -> Family:
    return Family.IPv4 if entry.address.version == 4 else Family.IPv6


def _offer(pool: Pool, family: Family, found: Claim | Refusal, *, is_named: bool) -> tuple[bool | None, str, str]:
    if isinstance(found, Refusal):
        return (False, pool.name, f"{family}: {found.message}")
    if not pool.auto_assign and not is_named:
        return (None, pool.name, f"{family}: only to Services that name it (autoAssign: false; berth.dev/pool)")
    return (None, pool.name, f"{family}: has free addresses")


def _not_carried_out(told: Explanation, world: World, service: Service, decision: Plan) -> None:
    """It may have what it asks for; whether it has."""
    condition = our_condition(service)
    if condition is not None and condition.status != "True" and condition.reason in DECIDED_ELSEWHERE:
        told.blame(condition.reason, condition.message)
    elif condition is not None and condition.reason in DECIDED_ELSEWHERE:
        told.note(condition.reason, condition.message)
    present = present_addresses(service)
    missing = [grant.address for grant in decision.grants if grant.address not in present]
    hidden = [one for one in missing if one not in decision.shown]
    late = [one for one in missing if one in decision.shown]
    strange = [one for one in present if one not in {entry.address for entry in _held(world, service)}]
    if late and strange and not told.causes and not world.allocator_trouble():
        told.blame(Reason.StatusOverwritten, _overwritten(condition, strange))
    if late and not told.causes:
        trouble = world.allocator_trouble()
        named = ", ".join(map(str, late))
        told.blame(
            "NoLeader" if trouble else "NotWritten",
            trouble
            or f"An address is free for it ({named}), and the allocator has not written it. That takes less "
            "than a second: look at the log of the pods of the Deployment berth-allocator, and at their rights",
        )
    if hidden:
        told.note("NotPublished", decision.verdict.message)


def _held(world: World, service: Service) -> Sequence[Entry]:
    return world.ledger.held_by_uid(service.metadata.uid)


def _overwritten(condition: Condition | None, strange: Sequence[IPAddress]) -> str:
    if condition is not None and condition.reason == Reason.StatusOverwritten:
        return condition.message
    return (
        f"The status shows {', '.join(map(str, strange))}, which Berth did not give: another program writes it, too. "
        "metadata.managedFields names it (kubectl get service --show-managed-fields -o yaml)"
    )


def _wanted_that_is_released(told: Explanation, world: World, service: Service) -> None:
    """An address that it asks for and another one is still giving up: what that waits for."""
    request = None if service.metadata.is_terminating else request_of(service)
    if not isinstance(request, Request):
        return
    for address in (one for wanted in request.addresses.values() for one in wanted):
        stored = world.stored(address)
        if stored is not None and stored.claim.releasing:
            waits = next((one for one in stored.conditions if one.type == ConditionType.Withdrawn), None)
            if waits is not None:
                told.row("RELEASE", False, str(address), waits.message)
                told.blame(waits.reason, waits.message)


# Behind the address


def _endpoints(told: Explanation, world: World, service: Service) -> None:
    ready: dict[str, int] = {}
    waiting = 0
    for slice_ in world.seen.endpoints.get(key_of(service), ()):
        for endpoint in slice_.endpoints:
            if endpoint.is_ready or (endpoint.is_serving and endpoint.is_terminating):
                node = endpoint.node_name or "(no node)"
                ready[node] = ready.get(node, 0) + 1
            else:
                waiting += 1
    for node, count in sorted(ready.items()):
        told.row("ENDPOINTS", True, node, f"{count} ready")
    if waiting:
        told.row("ENDPOINTS", False, "-", f"{waiting} not ready")
    if ready or any(one.reason == Reason.NoReadyEndpoint for one in told.causes):
        return
    selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
    where = f"kubectl get pods -n {service.metadata.namespace} -l {selector}" if selector else "its EndpointSlices"
    told.row("ENDPOINTS", False, "-", "none is ready")
    told.blame(
        Reason.NoReadyEndpoint,
        f"No endpoint of the Service is ready ({waiting or 'there'} {'are not' if waiting else 'is none'}), so whoever "
        f"connects is refused: look at {where}",
    )


def _surroundings(told: Explanation, world: World) -> None:
    """What is wrong with Berth itself, and cuts no traffic now."""
    trouble = world.allocator_trouble()
    if trouble and not any(one.reason == "NoLeader" for one in told.causes):
        told.note("NoLeader", trouble)
    for finding in speakers_trouble(world):
        told.note(*finding)


def is_vague(cause: Finding) -> bool:
    """Whether a right that is missing would explain it."""
    return cause.reason in _VAGUE or (cause.reason == Reason.NoEligibleNode and "address: look at" in cause.message)


_VAGUE = frozenset({"NotWritten", "NoLeader", str(Reason.NoSpeaker)})


def _rights(told: Explanation, refused: Mapping[str, Sequence[str]] | None) -> None:
    """A right that is missing is the first cause where no better one is known."""
    for program, rights in (refused or {}).items():
        if rights:
            message = (
                f"{program} may not {', '.join(rights[:5])}{' and more' if len(rights) > 5 else ''}: install the "
                "chart's ClusterRole and Role again"
            )
            if told.causes and is_vague(told.causes[0]):
                told.blame("RightMissing", message, first=True)
            else:
                told.note("RightMissing", message)
