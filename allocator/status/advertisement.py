"""What an advertisement's status says, and whether an address is advertised at all.

Built from the advertisement itself and what the Speakers report; writing it is allocator.io.objectreporter's business.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from allocator.claims import Claim
from allocator.objects import Advertisement
from allocator.space.pools import Pools
from allocator.status.conditions import conditions_from, degraded
from crds.conditions import ConditionType, Reason
from crds.l2advertisement import L2AdvertisementSpec
from crds.observation import Observation
from crds.wording import column, listed

NAMED = 10
"""How many names a message gives before it counts the rest."""

JUDGED_HERE = frozenset({Reason.UnknownPool, Reason.UnknownPeer})
"""Faults of advertisements that are seen without a Speaker's word."""


OF_ALL = frozenset({Reason.NoSpeaker, Reason.NoNodeSelected, Reason.NoEligibleNode})
"""Faults with which nothing is announced by it."""

OF_INTERFACES = frozenset({Reason.InterfaceNotFound, Reason.InvalidSpec})
"""Of an L2Advertisement: one for each of its interfaces that is not there."""


def advertisement_status(
    one: Advertisement, pools: Pools, peers: Container[str], faults: Sequence[Observation], timestamp: str
) -> dict[str, Any]:
    """On the wire; equal to `one.status` when nothing changed.

    Ready, or why nothing is announced by it: which pools or peers it names in vain, or what Speakers find wrong with it
    (`faults`). Degraded, where only a part of it does nothing.
    """
    found = [*_unknown(one, pools, peers), *((fault, _is_of_all(one, fault, faults)) for fault in faults)]
    parts = [fault for fault, is_of_all in found if not is_of_all]
    ready = Observation(ConditionType.Ready, True, Reason.Valid, "The advertisement is in use")
    if of_all := [fault for fault, is_of_all in found if is_of_all]:
        message = "; ".join(fault.message for fault in (*of_all, *parts))
        ready, parts = replace(of_all[0], type=ConditionType.Ready, message=message), []
    observed = [ready, *degraded(parts, one.conditions)]
    conditions = conditions_from(observed, one.conditions, one.generation, timestamp)
    return {
        "observedGeneration": one.generation,
        "conditions": [condition.to_wire() for condition in conditions],
        **columns(one),
    }


def columns(one: Advertisement) -> dict[str, str]:
    """What it names, as texts for tables."""
    named = {"pools": one.spec.pools_in_column()}
    if isinstance(one.spec, L2AdvertisementSpec):
        return {**named, "interfaces": column(one.spec.interfaces)}
    return {**named, "peers": column(one.peers)}


def _unknown(one: Advertisement, pools: Pools, peers: Container[str]) -> Iterator[tuple[Observation, bool]]:
    """What it names in vain, and whether that leaves nothing."""
    for kind, reason, names, known, others in (
        ("pool", Reason.UnknownPool, one.spec.ip_pools, pools.by_name, one.spec.ip_pool_selector is not None),
        ("BGPPeer", Reason.UnknownPeer, one.peers, peers, False),
    ):
        unknown = [name for name in names if name not in known]
        if unknown:
            named = listed(sorted(unknown), NAMED)
            message = f"There is no {kind} named {named}: create it, or take the name out"
            fault = Observation(ConditionType.Ready, False, reason, message)
            yield fault, len(unknown) == len(names) and not others


def _is_of_all(one: Advertisement, fault: Observation, faults: Sequence[Observation]) -> bool:
    if fault.reason in OF_ALL:
        return True
    interfaces = one.spec.interfaces if isinstance(one.spec, L2AdvertisementSpec) else ()
    of_interfaces = [other for other in faults if other.reason in OF_INTERFACES]
    return bool(interfaces) and fault in of_interfaces and len(of_interfaces) >= len(interfaces)


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
