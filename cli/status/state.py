"""The state of a cluster in one value: what is wrong first, then how much of each there is. Pure.

Judged by the allocator's own functions (allocator.status), on what was read.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from allocator.claims import Claim
from allocator.objects import StoredAllocation
from allocator.request import key_of, our_condition, present_addresses
from allocator.status.conflicts import conflicted
from allocator.status.kernels import kernel_answers
from allocator.status.pool import pool_status
from cli.bad import bad
from cli.explain.address import peer_condition
from cli.explain.speakers import speakers_trouble
from cli.explain.told import Finding
from cli.seen import World, ownership_of
from crds.conditions import ConditionType, Reason
from crds.names import ALLOCATOR_LEASE
from crds.types import IPPoolStatus
from crds.wording import listed
from kube.times import rfc3339

NAMED = 3
"""How many Services or addresses one line names before it counts the rest."""
UNDECIDED = "NotDecided"
"""Of a Service that has no condition of ours."""

Rows = list[dict[str, Any]]


@dataclass
class State:
    """`wrong`: what is to be mended, the worst first. The rest is as tables have it; `addresses` and `services` count
    by state."""

    wrong: list[Finding] = field(default_factory=list)
    allocators: Rows = field(default_factory=list)
    speakers: Rows = field(default_factory=list)
    pools: Rows = field(default_factory=list)
    addresses: dict[str, int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    peers: Rows = field(default_factory=list)

    def to_wire(self) -> dict[str, Any]:
        """For --output json and yaml."""
        return {**vars(self), "wrong": [one._asdict() for one in self.wrong]}


def state_of(world: World) -> State:
    """All of it."""
    state = State()
    for gap in world.seen.gaps:
        state.wrong.append(Finding("NoDefinitions" if gap.is_unknown else "NotRead", str(gap)))
    _allocators(state, world)
    if world.blind:
        return state  # of what is missing nothing is to be concluded
    _speakers(state, world)
    _addresses(state, world)
    _services(state, world)
    _pools(state, world)
    _advertisements(state, world)
    _peers(state, world)
    return state


def _allocators(state: State, world: World) -> None:
    trouble = world.allocator_trouble()
    if trouble:
        state.wrong.append(Finding("NoLeader", trouble))
    lease = (world.seen.leases or {}).get(ALLOCATOR_LEASE)
    age = world.lease_age(ALLOCATOR_LEASE)
    if lease is not None and age is not None:
        row = {"leader": lease.spec.holder_identity or "", "renewed": f"{age:.0f} s ago", "leads": not trouble}
        state.allocators.append(row)


def _speakers(state: State, world: World) -> None:
    if not world.not_alive and not world.seen.is_announced_by_others:
        message = "No speaker has registered, so nothing is announced: look at the pods of the DaemonSet berth-speaker"
        state.wrong.append(Finding(str(Reason.NoSpeaker), message))
    by_reason: dict[str, list[str]] = {}
    for reason, message in speakers_trouble(world):
        by_reason.setdefault(reason, []).append(message)
    for reason, messages in by_reason.items():
        state.wrong.append(Finding(reason, listed(messages, NAMED, "; ")))
    for node, why in sorted(world.not_alive.items()):
        status, reason, message = world.ready_of(node)
        if not why and status == "False":
            state.wrong.append(Finding(reason, f"node {node}: {message}"))
        announced = len(world.reports.announcers.addresses_of(node))
        state.speakers.append({"node": node, "state": why or reason or "Unknown", "announces": announced})


def _addresses(state: State, world: World) -> None:
    counts: Counter[str] = Counter()
    named: dict[tuple[str, str], list[str]] = {}
    for stored in world.seen.observed.allocations.values():
        kind, reason, message = state_of_address(world, stored)
        counts[kind if not reason or kind == "Releasing" else f"{kind} {reason}"] += 1
        if reason:
            address = str(stored.address)
            cause = (reason, message.replace(address, "the address"))
            named.setdefault(cause, []).append(_whose(address, stored.claim))
    state.addresses = dict(sorted(counts.items()))
    for (reason, message), whose in sorted(named.items(), key=lambda one: -len(one[1])):
        state.wrong.append(Finding(reason, f"{listed(sorted(whose), NAMED)}: {message}"))


def state_of_address(world: World, stored: StoredAllocation) -> tuple[str, str, str]:
    """Its state; the reason and what to do where that is wrong."""
    if stored.claim.releasing:
        waits = next((one for one in stored.conditions if one.type == ConditionType.Withdrawn), None)
        return ("Releasing", waits.reason, waits.message) if waits is not None else ("Releasing", "", "")
    announcers = world.announcers(stored.address)
    sightings = world.reports.sightings.of(stored.address)
    if not announcers:
        why = world.unannounced(stored)
        return "NotAnnounced", str(why.reason), why.message
    for one in (
        conflicted(stored, sightings),
        kernel_answers(stored, world.reports.kernels.of(stored.address)),
    ):
        if one is not None and one.holds:
            return "Conflicted", str(one.reason), one.message
    return "Announced", "", ""


def _whose(address: str, claim: Claim) -> str:
    return f"{address} of svc/{claim.holders[0].key}" if claim.holders else address


def _services(state: State, world: World) -> None:
    counts: Counter[str] = Counter()
    named: dict[tuple[str, str], list[str]] = {}
    for service in world.seen.observed.services.values():
        if service.spec.type != "LoadBalancer" or not ownership_of(service).is_ours(service):
            continue
        condition = our_condition(service)
        if condition is not None and condition.status == "True":
            counts["Allocated"] += 1
            continue
        reason = condition.reason if condition is not None else UNDECIDED
        if condition is None and present_addresses(service):
            continue  # another load balancer's
        counts[f"Pending {reason}"] += 1
        message = condition.message if condition is not None else "no allocator has decided on it yet"
        named.setdefault((reason, message), []).append(f"svc/{key_of(service)}")
    state.services = dict(sorted(counts.items()))
    for (reason, message), whose in sorted(named.items(), key=lambda one: -len(one[1])):
        state.wrong.append(Finding(reason, f"{listed(sorted(whose), NAMED)}: {message}"))


def _pools(state: State, world: World) -> None:
    for pool in world.pools.in_order:
        status = pool_status(pool, world.ledger, IPPoolStatus(), rfc3339(world.seen.now))
        usage = [one for one in (status.ipv4, status.ipv6) if one is not None]
        row = {
            "pool": pool.name,
            "allocated": sum(one.allocated for one in usage),
            "capacity": " + ".join(one.capacity for one in usage) or "0",
            "paused": pool.paused,
        }
        state.pools.append(row)
        state.wrong += [Finding(one.reason, f"IPPool {pool.name}: {one.message}") for one in bad(status.conditions)]


def _advertisements(state: State, world: World) -> None:
    for one in world.seen.observed.advertisements():
        state.wrong += [Finding(each.reason, f"{one.kind} {one.name}: {each.message}") for each in bad(one.conditions)]


def _peers(state: State, world: World) -> None:
    for peer in sorted(world.seen.observed.peers.values(), key=lambda one: one.name):
        ready = peer_condition(world, peer)
        sessions = world.sessions[peer.name]
        up = world.sessions_up(peer.name)
        state.peers.append({"peer": peer.name, "address": peer.endpoint[0] or "", "sessions": f"{up}/{len(sessions)}"})
        if ready.status != "True" or ready.reason != Reason.SessionsUp:
            state.wrong.append(Finding(ready.reason, f"BGPPeer {peer.name}: {ready.message}"))
