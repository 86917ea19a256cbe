"""The API writes that decisions lead to, as values; each is safe to repeat.

Says which write brings a record to what the ledger has decided. allocator.io.writer performs them.
"""

from dataclasses import dataclass, replace
from typing import Any

from allocator.claims import Claim, Holder, sort_holders, wire_allocation, wire_change
from allocator.ledger import Entry
from allocator.notices import Notice
from allocator.objects import StoredAllocation
from allocator.sharing import left
from allocator.stage import Stage
from crds.addresses import IPAddress
from kube.objects import ServiceKey


@dataclass(frozen=True, slots=True)
class CreateAllocation:
    """Its name follows from the address, so that of two creates the second is refused (AlreadyExists)."""

    address: IPAddress
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PatchAllocation:
    """A merge patch of the main resource; uid and resourceVersion are in it."""

    address: IPAddress
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteAllocation:
    """After the barrier; uid and resourceVersion are preconditions."""

    address: IPAddress
    uid: str
    resource_version: int


@dataclass(frozen=True, slots=True)
class PatchService:
    """A merge patch of the status subresource; uid and resourceVersion are in it. `notice` is due once it is done."""

    service: ServiceKey
    body: dict[str, Any]
    notice: Notice | None = None


AllocationWrite = CreateAllocation | PatchAllocation | DeleteAllocation
Write = AllocationWrite | PatchService


def record_write(entry: Entry) -> AllocationWrite | None:
    """What makes the IPAllocation what was decided; None when it is so, or when the barrier must be passed first."""
    match entry.stage, entry.recorded:
        case ((Stage.RESERVED | Stage.CREATED | Stage.LOST), _):
            return CreateAllocation(entry.address, wire_allocation(_next_claim(entry)))
        case Stage.RECORDED, StoredAllocation() as recorded:
            return _correction(entry, recorded)
        case Stage.PASSED, StoredAllocation() as recorded:
            return DeleteAllocation(entry.address, recorded.uid, recorded.resource_version)
        case _:
            # Nothing of a marked record is put right any more: only the way out is left.
            return None


def _correction(entry: Entry, recorded: StoredAllocation) -> PatchAllocation | None:
    # The mark goes alone: nothing else that might be refused may hold a release up.
    change = {"releasing": True} if entry.claim.releasing else wire_change(recorded.claim, _next_claim(entry))
    if not change:
        return None
    precondition = {"uid": recorded.uid, "resourceVersion": str(recorded.resource_version)}
    return PatchAllocation(entry.address, {"metadata": precondition, "spec": change})


def unrecorded_holders(entry: Entry) -> list[Holder]:
    """Those of the claim that are new, or other than in the record: what the next write brings."""
    if entry.recorded is None:
        return list(entry.claim.holders)
    recorded = entry.recorded.claim
    news = [holder for holder in entry.claim.holders if holder not in recorded.holders]
    alone = entry.claim.holders[:1] if len(entry.claim.holders) == 1 else ()
    return news or [holder for holder in alone if without(entry, holder) != entry.claim]


def without(entry: Entry, holder: Holder) -> Claim:
    """The claim without what is new of this holder, which the API server refused: as it is recorded, or not at all."""
    claim, others = entry.claim, entry.claim.others(holder.uid)
    recorded = entry.recorded.claim if entry.recorded is not None else None
    before = [] if recorded is None else [one for one in recorded.holders if one.uid == holder.uid]
    if recorded is None or not before:
        return left(claim, holder.uid)
    if others:
        return replace(claim, holders=sort_holders((*others, *before)))
    return replace(
        claim,
        holders=tuple(before),
        traffic_policy=recorded.traffic_policy,
        sharing_key=recorded.sharing_key,
        selector=recorded.selector,
    )


def _next_claim(entry: Entry) -> Claim:
    """What to write next: all that was decided, or, where that was refused, with one new holder at a time."""
    if not entry.is_one_by_one:
        return entry.claim
    recorded = entry.recorded.claim.holders if entry.recorded is not None else ()
    new = unrecorded_holders(entry)[:1]
    uids = {holder.uid for holder in new}
    old = [one for one in recorded if entry.claim.held_by(one.uid) and one.uid not in uids]
    return replace(entry.claim, holders=sort_holders((*old, *new)))
