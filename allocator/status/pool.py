"""What an IPPool's status says: how full it is, and what is wrong with it.

Built from the compiled pool and the ledger; when and how it is written is allocator.io.reporter's business.
"""

from allocator.ledger import Ledger
from allocator.space.pools import Pool
from allocator.status.conditions import conditions_from
from crds.addresses import FAMILIES, Family
from crds.conditions import ConditionType, Reason
from crds.ippool import FamilyUsage
from crds.observation import Observation
from crds.types import IPPoolStatus
from crds.wording import listed

NAMED = 5
"""How many ranges or families a message names before it counts the rest."""


def pool_status(pool: Pool, ledger: Ledger, previous: IPPoolStatus, timestamp: str) -> IPPoolStatus:
    """The status the pool should have now; equal to the previous one when nothing changed."""
    usage = {family: _usage(pool, family, ledger) for family in FAMILIES}
    observed = (_ready(pool), _overlapping(pool), _exhausted(pool, ledger))
    return IPPoolStatus(
        ipv4=usage[Family.IPv4],
        ipv6=usage[Family.IPv6],
        conditions=conditions_from(observed, previous.conditions, pool.generation, timestamp),
    )


def _usage(pool: Pool, family: Family, ledger: Ledger) -> FamilyUsage | None:
    capacity = pool.usable[family].capacity
    if not capacity:
        return None
    free = ledger.free_in(pool, family).count
    return FamilyUsage(capacity=str(capacity), allocated=ledger.held_in_pool(pool.name, family), free=str(free))


def _ready(pool: Pool) -> Observation:
    if pool.bad_ranges:
        message = listed([bad.message for bad in pool.bad_ranges], NAMED, "; ")
        if not pool.gives_out:
            message += ". Until then the pool gives out no new address"
        return Observation(ConditionType.Ready, False, Reason.InvalidAddresses, message)
    if not any(pool.has(family) for family in FAMILIES):
        message = "The pool has no address to give out: all are excluded, or belong to an older pool"
        return Observation(ConditionType.Ready, False, Reason.EmptyPool, message)
    return Observation(ConditionType.Ready, True, Reason.Valid, "The pool is in use")


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
    sizes = " and ".join(f"0 of {pool.usable[family].capacity} {family} addresses" for family in full)
    message = f"{sizes} are free: extend the pool, or delete Services that are not needed"
    return Observation(ConditionType.Exhausted, True, Reason.NoAddressesLeft, message)
