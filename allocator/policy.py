"""Which pools may serve a request, in which order, and which free address of a pool is the next one.

Looks at pools and free space; looks at no holder (allocator.sharing) and changes nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from allocator.request import Request
from allocator.space.intervals import FreeSpace
from allocator.space.pools import Labels, Pool, Pools
from allocator.waiting import Wait
from crds.addresses import Family
from crds.conditions import Reason
from crds.ippool import Strategy
from crds.names import ANNOTATION_POOL
from crds.wording import listed
from kube.objects import ServiceKey

RANDOM_DRAWS = 8
"""Draws for a free address before the next free one after the last draw is taken: uniform unless the pool is nearly
full, and never a search."""


NAMED_POOLS = 5
"""How many pools a message names before it counts the rest."""

Draw = Callable[[int], int]
"""`draw(n)` gives a number from 0 to n - 1: randomness comes from outside."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a wish cannot be granted now, in the words of the condition; `waits` says what could change that."""

    reason: Reason
    message: str
    waits: frozenset[Wait] = frozenset()

    def also(self, others: Iterable["Refusal"]) -> "Refusal":
        """The same, and what else stands in the way."""
        every = (self, *others)
        waits = frozenset(wait for one in every for wait in one.waits)
        return Refusal(self.reason, ". ".join(one.message for one in every), waits)


def candidates(request: Request, namespace_labels: Labels, pools: Pools) -> tuple[Pool, ...] | Refusal:
    """The pools that may give this Service a new address, in the order in which they are tried.

    Where it names several, the others serve while one can't (`passed_over` says which, and why).
    """
    if not pools.in_order:
        return Refusal(Reason.NoPools, "There is no IPPool in the cluster: create one")
    if request.pools:
        asked = [_named_pool(request, name, namespace_labels, pools) for name in request.pools]
        refusals = [one for one in asked if isinstance(one, Refusal)]
        return tuple(one for one in asked if isinstance(one, Pool)) or refusals[0].also(refusals[1:])
    open_pools = [pool for pool in pools.in_order if pool.auto_assign and serves(pool, request, namespace_labels)]
    giving = tuple(pool for pool in open_pools if not pool.paused and pool.gives_out)
    if giving:
        return giving
    if open_pools:
        names = ", ".join(pool.name for pool in open_pools)
        return Refusal(
            Reason.NoMatchingPool,
            f"Pools for this Service give out nothing now ({names}): end their pause or repair them",
        )
    whys = [f"{pool.name} {_why_closed(pool, request, namespace_labels)}" for pool in pools.in_order]
    return Refusal(Reason.NoMatchingPool, f"No pool is for this Service: {listed(whys, NAMED_POOLS, '; ')}")


def _why_closed(pool: Pool, request: Request, namespace_labels: Labels) -> str:
    """Why a Service that names no pool gets nothing of this one."""
    return why_not_for(pool, request, namespace_labels) or (
        f"serves only those that name it (autoAssign: false): annotation {ANNOTATION_POOL}: {pool.name}"
    )


def refuse_pool(pool: Pool, request: Request, namespace_labels: Labels) -> Refusal | None:
    """Why this very pool may not give the Service a new address; None when it may."""
    if why := why_not_for(pool, request, namespace_labels):
        return Refusal(Reason.NoMatchingPool, f"Pool {pool.name} is not for this Service: it {why}")
    if pool.paused:
        return Refusal(Reason.PoolPaused, f"Pool {pool.name} is paused: it gives out no new addresses")
    if not pool.gives_out:
        return Refusal(
            Reason.NoMatchingPool, f"Pool {pool.name} has an error and gives out nothing: see its conditions"
        )
    return None


def passed_over(request: Request, namespace_labels: Labels, pools: Pools, family: Family) -> list[Refusal]:
    """Of the pools that the Service names: why those give it nothing that have addresses of the family, or may have."""
    return [
        refusal
        for name in request.pools
        if (pool := pools.by_name.get(name)) is None or pool.has(family)
        if isinstance(refusal := _named_pool(request, name, namespace_labels, pools), Refusal)
    ]


def _named_pool(request: Request, name: str, namespace_labels: Labels, pools: Pools) -> Pool | Refusal:
    pool = pools.by_name.get(name)
    if pool is None:
        known = ", ".join(sorted(pools.by_name)[:10])
        return Refusal(Reason.PoolNotFound, f"There is no pool {name!r}; there are: {known}")
    return refuse_pool(pool, request, namespace_labels) or pool


def serves(pool: Pool, request: Request, namespace_labels: Labels) -> bool:
    """Whether the pool is for Services like this one."""
    return not why_not_for(pool, request, namespace_labels)


def why_not_for(pool: Pool, request: Request, namespace_labels: Labels) -> str:
    """What of the pool keeps a Service like this one out; empty where nothing does."""
    holder = request.holder
    return pool.why_not_for(holder.key.namespace, namespace_labels, dict(holder.labels))


def why_empty(pool: Pool, family: Family) -> str:
    """Why the pool has no address of the family to give, free or not, though it lists some; empty where it lists
    none."""
    if not pool.declared[family]:
        return ""
    older = sorted({one.other for one in pool.overlaps if one.lost and one.addresses.family is family})
    if older:
        return f"{pool.name} has none of its own: they are pool {listed(older, NAMED_POOLS)}'s, which is older"
    return f"{pool.name} keeps all of its own out: see its conditions"


def next_address(pool: Pool, family: Family, free: FreeSpace, key: ServiceKey, draw: Draw) -> int | None:
    """A free address of the pool by its strategy, None when there is none. Takes nothing."""
    if not free.count:
        return None
    match pool.strategy:
        case Strategy.LowestFirst:
            return free.lowest
        case Strategy.Sticky:
            return _at_or_around(free, pool.usable[family].nth(_sticky_position(key, pool.usable[family].capacity)))
        case Strategy.Random:
            spans = pool.usable[family]
            drawn = 0
            for _ in range(RANDOM_DRAWS):
                drawn = spans.nth(draw(spans.capacity))
                if drawn in free:
                    return drawn
            return _at_or_around(free, drawn)


def _at_or_around(free: FreeSpace, number: int) -> int | None:
    following = free.at_or_after(number)
    return free.lowest if following is None else following


def _sticky_position(key: ServiceKey, capacity: int) -> int:
    digest = blake2b(str(key).encode(), digest_size=32).digest()
    return int.from_bytes(digest, "big") % capacity
