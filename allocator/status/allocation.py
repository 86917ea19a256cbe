"""What an IPAllocation's status says: who announces the address, and who has yet to withdraw it.

Built from what the Speakers report, the advertisements and the barrier; writing it is allocator.io.reporter's
business.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Generic, TypeVar

from allocator.claims import Claim, Pairs, pairs
from allocator.objects import Advertisement, StoredAllocation
from allocator.release.barrier import Awaited, describe
from allocator.release.speakers import Announcement, Sighting
from allocator.space.pools import Pools
from allocator.space.ranges import Address
from allocator.status.conflicts import conflicted, not_announced
from allocator.status.pool import Observation, conditions_from
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.types import IPAllocationStatus

NAMED_NODES = 10
"""How many nodes a message names before it counts the rest."""

NAMED_PLACES = 4
"""The same for the interfaces or peers of one node."""


T = TypeVar("T")


class NodeReports(Generic[T]):
    """What nodes say of addresses, or of other things by name, from the latest status of each Speaker."""

    def __init__(self) -> None:
        self._by_address: dict[str, dict[str, T]] = {}
        self._by_node: dict[str, Mapping[str, T]] = {}

    def of(self, address: Address | str) -> Mapping[str, T]:
        """By node."""
        return self._by_address.get(str(address), {})

    def update(self, node: str, reported: Mapping[str, T]) -> set[str]:
        """Replace what a node says; the addresses for which that is news."""
        before = self._by_node.pop(node, {})
        changed = {one for one in before.keys() | reported.keys() if before.get(one) != reported.get(one)}
        for address in changed:
            nodes = self._by_address.setdefault(address, {})
            nodes.pop(node, None)
            if address in reported:
                nodes[node] = reported[address]
            if not nodes:
                del self._by_address[address]
        if reported:
            self._by_node[node] = reported
        return changed


Announcers = NodeReports[Announcement]
Sightings = NodeReports[Sighting]


def allocation_status(
    stored: StoredAllocation,
    announcers: Mapping[str, Announcement],
    is_advertised: bool,
    awaited: Sequence[Awaited],
    timestamp: str,
    sightings: Mapping[str, Sighting] = MappingProxyType({}),
) -> IPAllocationStatus:
    """The status the IPAllocation should have; equal to what it has when nothing changed.

    `sightings`: other machines that use the address, by the node that sees them.
    """
    observed = [_announced(stored, announcers, is_advertised, sightings)]
    conflict = conflicted(stored, sightings)
    if conflict is not None:
        observed.append(conflict)
    if awaited:
        message = describe(stored.address, awaited)
        observed.append(Observation(ConditionType.Withdrawn, False, Reason.WaitingForSpeakers, message))
    return IPAllocationStatus(
        announced_by=tuple(sorted(announcers)),
        first_announced=stored.first_announced or (timestamp if announcers else None),
        conditions=conditions_from(observed, stored.conditions, stored.recorded.generation, timestamp),
    )


def is_advertised(claim: Claim, pools: Pools, advertisements: Iterable[Advertisement]) -> bool:
    """Whether any advertisement covers the address."""
    pool = pools.by_name.get(claim.pool)
    pool_labels: Pairs = pairs(pool.labels) if pool is not None else ()
    services = tuple(holder.labels for holder in claim.holders)
    return any(one.covers(claim.pool, pool_labels, services) for one in advertisements)


JUDGED_HERE = frozenset({Reason.UnknownPool, Reason.UnknownPeer})
"""Faults of advertisements that are seen without a Speaker's word."""


def advertisement_conditions(
    one: Advertisement, pools: Pools, peers: Container[str], fault: Observation | None, timestamp: str
) -> tuple[Condition, ...]:
    """Ready, or which pool or peer it names in vain, or what Speakers find wrong with it (`fault`)."""
    return conditions_from([_usable(one, pools, peers, fault)], one.conditions, one.generation, timestamp)


def _usable(one: Advertisement, pools: Pools, peers: Container[str], fault: Observation | None) -> Observation:
    for kind, reason, unknown in (
        ("pool", Reason.UnknownPool, [name for name in one.pools if name not in pools.by_name]),
        ("BGPPeer", Reason.UnknownPeer, [name for name in one.peers if name not in peers]),
    ):
        if unknown:
            named = _listed(sorted(unknown), NAMED_NODES)
            message = f"There is no {kind} named {named}: create it, or take the name out"
            return Observation(ConditionType.Ready, False, reason, message)
    return fault or Observation(ConditionType.Ready, True, Reason.Valid, "The advertisement is in use")


def _announced(
    stored: StoredAllocation,
    announcers: Mapping[str, Announcement],
    is_advertised: bool,
    sightings: Mapping[str, Sighting],
) -> Observation:
    if announcers:
        how = _listed([f"{node} ({_how(one)})" for node, one in sorted(announcers.items())], NAMED_NODES)
        return Observation(ConditionType.Announced, True, Reason.Announcing, f"Announced by {how}")
    if stored.recorded.claim.releasing:
        message = "The address is being given back, and no speaker says that it announces it"
        return Observation(ConditionType.Announced, False, Reason.Releasing, message)
    if not is_advertised:
        pool = stored.recorded.claim.pool
        message = f"No L2Advertisement or BGPAdvertisement covers pool {pool} and this Service: create one"
        return Observation(ConditionType.Announced, False, Reason.NoAdvertisement, message)
    in_use = not_announced(stored, sightings)
    if in_use is not None:
        return in_use
    where = "the ready endpoints, " if stored.recorded.claim.traffic_policy == "Local" else ""
    message = f"No node announces the address: look at {where}the advertisement's nodeSelector and the interfaces"
    return Observation(ConditionType.Announced, False, Reason.NoEligibleNode, message)


def _how(one: Announcement) -> str:
    """Such as "BGP to tor1, tor2; Layer2 on eth0"."""
    where = {"BGP": ("to", one.peers), "Layer2": ("on", one.interfaces)}
    return "; ".join(_protocol_at(name, *where.get(name, ("", ()))) for name in one.protocols)


def _protocol_at(protocol: str, joint: str, places: Sequence[str]) -> str:
    return f"{protocol} {joint} {_listed(places, NAMED_PLACES)}" if places else protocol


def _listed(parts: Sequence[str], most: int) -> str:
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more
