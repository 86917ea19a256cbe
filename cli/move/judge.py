"""Whether a Service gets what it is to be moved to, and somebody announces it there: asked before it is written. Pure.

The allocator's own plan is made for the Service as it would be, and the speakers' own view of the records that follow.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from allocator.claims import Claim
from allocator.plan import Plan, plan
from allocator.request import InvalidRequest, Request, request_of
from cli.failure import Failed
from cli.move.target import Change, Target, change
from cli.reach import why_nobody, with_claims
from cli.seen import World, ownership_of
from crds.addresses import IPAddress, family_of
from kube.informer.store import ObjectKey
from kube.objects import Service, ServiceKey


@dataclass(frozen=True)
class Move:
    """What is to be written, and what comes of it by what is known now. `grants`: what the Service has then; `leaving`:
    what it gives back; `notes`: what else is to be known of it."""

    service: Service
    wanted: Target
    change: Change
    grants: tuple[Claim, ...]
    leaving: tuple[IPAddress, ...]
    notes: tuple[str, ...] = ()


def move(world: World, key: ServiceKey, wanted: Target) -> Move:
    """Raises Failed with the reason why it can't be, or would take the Service off the network."""
    service = _served(world, key)
    held = [entry.claim for entry in world.ledger.in_use_by_uid(service.metadata.uid)]
    if wanted.node and not held:
        raise Failed(f"svc/{key} has no address that could move: berth explain svc/{key.name} -n {key.namespace}")
    asks = change(service, wanted, held, world)
    request = request_of(asks.applied_to(service))
    if isinstance(request, InvalidRequest):
        raise Failed(f"svc/{key} can't be moved: {request.message}")
    decision = _planned(world, request)
    _must_have(world, key, decision, request, wanted)
    after = with_claims(world, decision.grants)
    notes = tuple(_judged(world, after, key, decision, wanted))
    return Move(service, wanted, asks, decision.grants, decision.leaving, notes)


def _served(world: World, key: ServiceKey) -> Service:
    service = world.service(key)
    if service is None:
        raise Failed(f"there is no Service {key.name} in namespace {key.namespace}: name another one by -n")
    if service.metadata.is_terminating:
        raise Failed(f"svc/{key} is being deleted, so it moves nowhere")
    if not ownership_of(service).is_ours(service):
        raise Failed(f"Berth does not serve svc/{key}: berth explain svc/{key.name} -n {key.namespace} says why")
    return service


def _planned(world: World, request: Request) -> Plan:
    namespace = world.seen.observed.namespaces.get(ObjectKey(None, request.holder.key.namespace))
    labels = namespace.metadata.labels if namespace is not None else {}
    return plan(request, labels, world.ledger, lambda _: 0, world.wish_of)


def _must_have(world: World, key: ServiceKey, decision: Plan, request: Request, wanted: Target) -> None:
    has = {grant.address for grant in decision.grants}
    missing = [one for one in wanted.addresses if one not in has]
    if missing:
        raise Failed(f"svc/{key} can't have {', '.join(map(str, missing))}: {decision.verdict.message}")
    if not wanted.pool:
        return
    pool = world.pools.by_name[wanted.pool]
    families = [one for one in request.families if pool.has(one)]
    if not families:
        asks = " and ".join(request.families)
        raise Failed(f"svc/{key} can't move to pool {pool.name}: it has no {asks} addresses to give")
    there = {family_of(grant.address) for grant in decision.grants if grant.pool == pool.name}
    if not there.issuperset(families):
        raise Failed(f"svc/{key} can't move to pool {pool.name}: {decision.verdict.message}")


def _judged(world: World, after: World, key: ServiceKey, decision: Plan, wanted: Target) -> Iterator[str]:
    """Notes. A move that would take the Service off the network is refused; where it is off already, it is told."""
    is_announced = any(world.announcers(entry.address) for entry in world.ledger.held_by_uid(_uid(world, key)))
    for grant in decision.grants:
        if wanted.node:
            yield from _at_node(after, grant, wanted.node)
            continue
        why = why_nobody(after, grant)
        if why and is_announced and not world.announcers(grant.address) and _is_asked(grant, wanted):
            raise Failed(f"nobody would announce {grant.address} of svc/{key}: {why}")
        if why:
            yield f"nobody would announce {grant.address}: {why}"
    if not decision.verdict.satisfied:
        yield decision.verdict.message
    if trouble := world.allocator_trouble():
        yield trouble


def _uid(world: World, key: ServiceKey) -> str:
    service = world.service(key)
    return service.metadata.uid if service is not None else ""


def _is_asked(grant: Claim, wanted: Target) -> bool:
    return grant.address in wanted.addresses or grant.pool == wanted.pool


def _at_node(after: World, grant: Claim, node: str) -> Iterator[str]:
    """Raises Failed where that node would not own the address on layer 2."""
    facts, alive, address = after.seen.facts, after.alive, grant.address
    allocation = facts.allocation(address)
    owner = facts.owner(address, alive)
    if allocation is None or owner == node:
        return
    if allocation.wanted_node != node:
        others = ", ".join(f"svc/{one.key}" for one in grant.holders if one.node == allocation.wanted_node)
        raise Failed(f"{address} is shared with {others}, which asks for {allocation.wanted_node}: move that one")
    why = facts.why_not(node, address, alive)
    if why:
        raise Failed(f"{node} can't announce {address}: it {why}")
    if owner is None:
        why = why_nobody(after, grant) or "no L2Advertisement covers it; by BGP all nodes that may announce it do"
        raise Failed(f"{address} is not announced on layer 2, so no node owns it: {why}")
    standing = facts.speakers[node].tier
    if standing > facts.speakers[owner].tier:
        yield f"{node} came back lately, or is cut off: {owner} keeps {address} until {node} is a Member again"
        return
    raise Failed(f"{owner} keeps {address}: it is on the network of the address, and {node} is not")
