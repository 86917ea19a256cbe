"""What an advertisement's status says, and whether an address is advertised at all.

Built from the advertisement itself and what the Speakers report; writing it is allocator.io.reporter's business.
"""

from collections.abc import Container, Iterable
from dataclasses import replace

from allocator.claims import Claim
from allocator.objects import Advertisement
from allocator.space.pools import Pools
from allocator.status.conditions import conditions_from
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.observation import Observation
from crds.wording import listed

NAMED = 10
"""How many names a message gives before it counts the rest."""

JUDGED_HERE = frozenset({Reason.UnknownPool, Reason.UnknownPeer})
"""Faults of advertisements that are seen without a Speaker's word."""


def advertisement_conditions(
    one: Advertisement, pools: Pools, peers: Container[str], fault: Observation | None, timestamp: str
) -> tuple[Condition, ...]:
    """Ready, or which pool or peer it names in vain, or what Speakers find wrong with it (`fault`)."""
    return conditions_from([_usable(one, pools, peers, fault)], one.conditions, one.generation, timestamp)


def _usable(one: Advertisement, pools: Pools, peers: Container[str], fault: Observation | None) -> Observation:
    """All that is wrong with it at once; the reason is that of the first."""
    found = []
    for kind, reason, unknown in (
        ("pool", Reason.UnknownPool, [name for name in one.spec.ip_pools if name not in pools.by_name]),
        ("BGPPeer", Reason.UnknownPeer, [name for name in one.peers if name not in peers]),
    ):
        if unknown:
            named = listed(sorted(unknown), NAMED)
            message = f"There is no {kind} named {named}: create it, or take the name out"
            found.append(Observation(ConditionType.Ready, False, reason, message))
    found += [fault] if fault is not None else []
    if not found:
        return Observation(ConditionType.Ready, True, Reason.Valid, "The advertisement is in use")
    return replace(found[0], message="; ".join(each.message for each in found))


def no_speaker() -> Observation:
    """What keeps every advertisement from being in use."""
    message = "No speaker runs, so nothing is announced: look at the pods of the DaemonSet berth-speaker"
    return Observation(ConditionType.Ready, False, Reason.NoSpeaker, message)


def is_advertised(claim: Claim, pools: Pools, advertisements: Iterable[Advertisement]) -> bool:
    """Whether any advertisement covers the address."""
    return any(covers(one, claim, pools) for one in advertisements)


def covers(one: Advertisement, claim: Claim, pools: Pools) -> bool:
    """Whether this one covers the address."""
    pool = pools.by_name.get(claim.pool)
    labels = pool.labels if pool is not None else None
    return one.covers(claim.pool, labels, [dict(holder.labels) for holder in claim.holders])
