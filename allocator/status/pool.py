"""What an IPPool's status says: how full it is, and what is wrong with it.

Built from the compiled pool and the ledger; when and how it is written is allocator.io.objectreporter's business.
"""

from heapq import nsmallest

from allocator.ledger import Ledger
from allocator.space.pools import Pool
from allocator.space.ranges import AddressRange
from allocator.status.conditions import conditions_from, degraded
from crds.addresses import FAMILIES, Family, IPAddress
from crds.conditions import ConditionType, Reason
from crds.ippool import MOST_CHARACTERS, MOST_NAMED, FamilyUsage, KeptOut, KeptOutReason
from crds.observation import Observation
from crds.types import IPPoolStatus
from crds.wording import listed

NAMED = 5
"""How many ranges or families a message names before it counts the rest."""


def pool_status(pool: Pool, ledger: Ledger, previous: IPPoolStatus, timestamp: str) -> IPPoolStatus:
    """The status the pool should have now; equal to the previous one when nothing changed."""
    usage = {family: _usage(pool, family, ledger) for family in FAMILIES}
    ready = _ready(pool, ledger)
    parts = [_bad_ranges(pool)] if pool.bad_ranges and ready.holds else []
    observed = [ready, *degraded(parts, previous.conditions), _overlapping(pool), _exhausted(pool, ledger)]
    conflicted = _conflicted(pool, ledger, previous)
    if conflicted is not None:
        observed.append(conflicted)
    return IPPoolStatus(
        ipv4=usage[Family.IPv4],
        ipv6=usage[Family.IPv6],
        used=",".join(f"{one.allocated}/{one.capacity}" for one in usage.values() if one is not None),
        observed_generation=pool.generation,
        kept_out=kept_out(pool, ledger),
        conditions=conditions_from(observed, previous.conditions, pool.generation, timestamp),
    )


def _usage(pool: Pool, family: Family, ledger: Ledger) -> FamilyUsage | None:
    if not pool.has(family):
        return None
    capacity = capacity_of(pool, family, ledger)
    free = ledger.free_in(pool, family).count
    return FamilyUsage(capacity=str(capacity), allocated=ledger.held_in_pool(pool.name, family), free=str(free))


def capacity_of(pool: Pool, family: Family, ledger: Ledger) -> int:
    """How many addresses can be given out in all: what is kept out, and not in use all the same, does not count."""
    return pool.usable[family].capacity - len(ledger.left_out(pool, family))


def kept_out(pool: Pool, ledger: Ledger) -> tuple[KeptOut, ...]:
    """What of the pool is kept out by itself, by reason."""
    by_reason: dict[KeptOutReason, list[IPAddress]] = {}
    of: dict[IPAddress, str] = {}
    for family in FAMILIES:
        for address in ledger.left_out(pool, family):
            kept = ledger.kept_by(address)
            if kept is not None:
                by_reason.setdefault(kept.reason, []).append(address)
                of[address] = kept.of
    found = {
        reason: KeptOut(
            reason=reason,
            count=str(len(addresses)),
            addresses=tuple(_named(one, of[one]) for one in nsmallest(MOST_NAMED, addresses, key=_in_order)),
        )
        for reason, addresses in by_reason.items()
    }
    if any(pool.cluster_ips.values()):
        found[KeptOutReason.ClusterIP] = _cluster_ips(pool)
    return tuple(found[reason] for reason in KeptOutReason if reason in found)


def _named(address: IPAddress, of: str) -> str:
    return f"{address} ({of})"[:MOST_CHARACTERS]


def _in_order(address: IPAddress) -> tuple[int, int]:
    return (address.version, int(address))


def _cluster_ips(pool: Pool) -> KeptOut:
    spans = [AddressRange(family, *span) for family, found in pool.cluster_ips.items() for span in found.spans]
    count = sum(found.capacity for found in pool.cluster_ips.values())
    return KeptOut(reason=KeptOutReason.ClusterIP, count=str(count), addresses=tuple(map(str, spans[:MOST_NAMED])))


def _conflicted(pool: Pool, ledger: Ledger, previous: IPPoolStatus) -> Observation | None:
    """Addresses that are kept out and in use all the same; None while there is none and never was."""
    found = [
        f"{entry.address} of {entry.claim.holders[0].key} is {kept} too"
        for entry in ledger.in_use_all_the_same(pool)
        if not entry.claim.releasing and entry.claim.holders and (kept := ledger.taken_from(entry.claim)) is not None
    ]
    if found:
        message = f"{listed(found, NAMED, '; ')}: give these Services other addresses (berth.dev/ips)"
        return Observation(ConditionType.Conflicted, True, Reason.AddressTaken, message)
    if any(one.type == ConditionType.Conflicted for one in previous.conditions):
        message = "No address that is in use is a node's, the API server's, a gateway or the end of a network any more"
        return Observation(ConditionType.Conflicted, False, Reason.NoConflict, message)
    return None


def _ready(pool: Pool, ledger: Ledger) -> Observation:
    has_any = any(capacity_of(pool, family, ledger) for family in FAMILIES)
    if pool.bad_ranges and not (has_any and pool.gives_out):
        return _bad_ranges(pool)
    if not has_any:
        message = "The pool has no address to give out: all are excluded, kept out, or belong to an older pool"
        return Observation(ConditionType.Ready, False, Reason.EmptyPool, message)
    return Observation(ConditionType.Ready, True, Reason.Valid, "The pool is in use")


def _bad_ranges(pool: Pool) -> Observation:
    message = listed([bad.message for bad in pool.bad_ranges], NAMED, "; ")
    if not pool.gives_out:
        message += ". Until then the pool gives out no new address"
    return Observation(ConditionType.Ready, False, Reason.InvalidAddresses, message)


def _overlapping(pool: Pool) -> Observation:
    if not pool.overlaps:
        message = "No address is in another pool too"
        return Observation(ConditionType.Overlapping, False, Reason.NotOverlapping, message)
    said = listed([f"{one.addresses} with {one.other}" for one in pool.overlaps], NAMED, "; ")
    lost = [one for one in pool.overlaps if one.lost]
    whose = "the older pool gives them out" if lost else "this pool is the older one and gives them out"
    message = f"Addresses are in two pools: {said}; {whose}. Take them out of one"
    return Observation(ConditionType.Overlapping, True, Reason.PoolsOverlap, message)


def _exhausted(pool: Pool, ledger: Ledger) -> Observation:
    full = [family for family in FAMILIES if pool.has(family) and not ledger.free_in(pool, family).count]
    if not full:
        return Observation(ConditionType.Exhausted, False, Reason.NotExhausted, "There are free addresses")
    sizes = " and ".join(f"0 of {capacity_of(pool, family, ledger)} {family} addresses" for family in full)
    message = f"{sizes} are free: extend the pool, or delete Services that are not needed"
    return Observation(ConditionType.Exhausted, True, Reason.NoAddressesLeft, message)
