"""When Services may share one address: the same key, disjoint ports, traffic policies that go together.

Answers in the words of the condition; chooses nothing.
"""

from collections.abc import Iterable
from dataclasses import replace

from allocator.claims import Claim, Holder, Port, sort_holders, wire_bytes
from allocator.request import CLUSTER, Request
from crds.ipallocation import MOST_BYTES
from crds.ippool import Sharing

MAX_HOLDERS = 128
"""Items of IPAllocation.spec.holders."""


def why_not_together(claim: Claim, request: Request, sharing: Sharing) -> str | None:
    """Why the request cannot stand beside the other holders of this claim; None when it can.

    Both `Cluster`, or `Local` with equal selectors in one namespace: with Local only nodes with a ready endpoint
    announce, and with other Pods these are different nodes for each Service at the address. `sharing` is what the pool
    says; it moves nobody who is a holder.
    """
    others = claim.others(request.holder.uid)
    if not others:
        return None
    named = ", ".join(str(holder.key) for holder in others[:3])
    if request.sharing_key is None or claim.sharing_key is None:
        return f"it is held by {named}, and sharing needs the same annotation berth.dev/sharing-key on all"
    if request.sharing_key != claim.sharing_key:
        return f"it is shared under another key by {named}"
    if not claim.held_by(request.holder.uid) and (why_not := why_apart(claim, request, sharing)) is not None:
        return why_not
    collision = collision_with(others, request.holder)
    if collision is not None:
        holder, port = collision
        return f"port {port} is taken by {holder.key}"
    return _why_policies_part(claim, request, named) or _why_too_many(others, request.holder)


def _why_policies_part(claim: Claim, request: Request, named: str) -> str | None:
    if request.traffic_policy != claim.traffic_policy:
        return (
            f"its externalTrafficPolicy is {claim.traffic_policy} by {named}, this Service's {request.traffic_policy}"
        )
    if request.traffic_policy == CLUSTER:
        return None
    if request.selector != claim.selector:
        return f"with externalTrafficPolicy Local the selectors must be equal, and {named} has another one"
    return _why_local_parts(claim, request)


def _why_too_many(others: tuple[Holder, ...], holder: Holder) -> str | None:
    if len(others) >= MAX_HOLDERS:
        return f"{MAX_HOLDERS} Services share it already"
    if wire_bytes((*others, holder)) > MOST_BYTES:
        return "with it the record of the address would be too large: all ports and labels at an address count"
    return None


def why_apart(claim: Claim, request: Request, sharing: Sharing) -> str | None:
    """Why the pool, or its namespace, keeps the request from this claim; None when that is not why."""
    if sharing is Sharing.Nobody:
        return f"pool {claim.pool} lets nobody share an address (sharing: None)"
    stranger = _stranger(claim, request)
    if stranger is not None and sharing is Sharing.SameNamespace:
        return (
            f"{stranger.key} is of another namespace, and an address of pool {claim.pool} is shared within one "
            "namespace: use it from there, or let an administrator set sharing: AnyNamespace on the pool"
        )
    return None if request.traffic_policy == CLUSTER else _why_local_parts(claim, request)


def _why_local_parts(claim: Claim, request: Request) -> str | None:
    stranger = _stranger(claim, request)
    if stranger is None:
        return None
    return f"{stranger.key} is of another namespace, and with externalTrafficPolicy Local only one namespace shares"


def _stranger(claim: Claim, request: Request) -> Holder | None:
    namespace = request.holder.key.namespace
    return next((holder for holder in claim.holders if holder.key.namespace != namespace), None)


def joined(claim: Claim, request: Request) -> Claim:
    """The claim with this Service among its holders, as it is now. Only where `why_not_together` is None."""
    others = claim.others(request.holder.uid)
    return replace(
        claim,
        holders=sort_holders((*others, request.holder)),
        traffic_policy=request.traffic_policy,
        sharing_key=request.sharing_key,
        selector=request.selector,
    )


def left(claim: Claim, uid: str) -> Claim:
    """The claim without this Service: released when nobody else holds it."""
    others = claim.others(uid)
    return replace(claim, holders=others) if others else replace(claim, releasing=True)


def takes_ports_of_strangers(claim: Claim, holder: Holder) -> bool:
    """Whether it has, as it is now, a port that a Service of another namespace has on this address."""
    strangers = [one for one in claim.holders if one.key.namespace != holder.key.namespace]
    return bool(strangers) and collision_with(strangers, holder) is not None


def collision_with(others: Iterable[Holder], holder: Holder) -> tuple[Holder, Port] | None:
    """A port that it has and one of the others has, too, and who; None when there is none."""
    wanted = set(holder.ports)
    for other in others:
        for port in other.ports:
            if port in wanted:
                return other, port
    return None
