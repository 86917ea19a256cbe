"""Whether any node would announce an address, were things otherwise: on what was read, by the functions that decide.

Pure. A world that is not there yet is made of the one that is: another record (`with_claims`), or a node that takes no
traffic (`without_node`).
"""

import json
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from allocator.claims import Claim, wire_allocation
from allocator.objects import StoredAllocation
from allocator.status.unannounced import causes, peers_down
from cli.seen import World
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.conditions import Reason
from crds.names import LABEL_DRAINED, allocation_name
from speaker.cluster.causes import covering, faults_in_node, why_no_route
from speaker.cluster.objects import allocation_from

SURE = frozenset({Reason.NoSpeaker, Reason.NoAdvertisement})
"""Causes that leave no way at all."""


def with_claims(world: World, claims: Iterable[Claim]) -> World:
    """As speakers would see it with these records."""
    found = {allocation_name(one.address): one for one in claims}
    made = {name: allocation_from(json.dumps(wire_allocation(one)).encode()) for name, one in found.items()}
    facts = replace(world.seen.facts, allocations={**world.seen.facts.allocations, **made})
    return World(replace(world.seen, facts=facts))


def without_node(world: World, node: str) -> World:
    """As it would be with that node excluded. Its speaker lives on; what it reports, and what silent ones did, is left
    out."""
    seen, facts = world.seen, world.seen.facts
    nodes = dict(facts.nodes)
    if node in nodes:
        nodes[node] = msgspec.structs.replace(nodes[node], excluded_by=(f"the label {LABEL_DRAINED}",))
    able = {name for name in world.alive if name in nodes and not any(faults_in_node(nodes[name]))}
    slices = {key: one for key, one in seen.observed.slices.items() if one.node in able}
    observed = replace(seen.observed, slices=slices)
    return World(replace(seen, observed=observed, facts=replace(facts, nodes=nodes)))


def why_nobody(world: World, claim: Claim) -> str:
    """Why no node would announce an address; empty where one would, as far as it is known here. Its record must have
    been read in full, or be one of `with_claims`."""
    address = claim.address
    first = causes(world.evidence(StoredAllocation(claim, "", 0, 1)))[0]
    if first.reason in SURE:
        return first.message
    if world.seen.facts.owner(address, world.alive) is not None:
        return ""
    down = _down(world, claim)
    no_route = _why_no_route(world, claim)
    cause = world.seen.facts.cause(address, world.alive)
    if no_route == "" and not down:
        return ""
    return cause.message if cause is not None else down


def _down(world: World, claim: Claim) -> str:
    """Why no router would hear of it; empty where one would, or none is to."""
    ads = world.seen.observed.advertisements()
    down = peers_down(claim, world.pools, ads, world.sessions)
    if down:
        return down
    able = {
        peer: {node: one for node, one in by_node.items() if _may_route(world, claim, node)}
        for peer, by_node in world.sessions.items()
    }
    cut_off = peers_down(claim, world.pools, ads, able)
    return "none of the nodes that could send its route has a session with a router" if cut_off else ""


def _may_route(world: World, claim: Claim, node: str) -> bool:
    """Whether the node has an endpoint, where that matters, and an advertisement chooses it."""
    facts = world.seen.facts
    allocation, labels = facts.allocation(claim.address), facts.nodes[node].labels if node in facts.nodes else {}
    if allocation is None or (allocation.is_local and not facts.placement(allocation).admits(node)):
        return False
    return any(ad.selects_node(labels) for ad in _routed_by(world, claim))


def _routed_by(world: World, claim: Claim) -> list[BGPAdvertisementSpec]:
    """The BGPAdvertisements that cover it."""
    facts = world.seen.facts
    allocation, pool = facts.allocation(claim.address), facts.pools.get(claim.pool)
    labels = pool.labels if pool is not None else None
    return covering(allocation, labels, facts.bgp_advertisements) if allocation is not None else []


def _why_no_route(world: World, claim: Claim) -> str | None:
    """None where no BGPAdvertisement covers it; empty where nothing stands in the way but, maybe, the sessions."""
    facts, ads = world.seen.facts, _routed_by(world, claim)
    allocation = facts.allocation(claim.address)
    if allocation is None or not ads:
        return None
    fault = why_no_route(allocation, facts.placement(allocation), ads, facts.nodes, facts.candidates(world.alive))
    return "" if fault is None else fault.message
