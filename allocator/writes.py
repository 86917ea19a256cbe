"""The API writes that decisions lead to, as values; each is safe to repeat.

Says which write brings a record to what the ledger has decided. allocator.io.writer performs them.
"""

from dataclasses import dataclass, replace
from typing import Any

from allocator.claims import Claim, labels_change, sort_holders, wire_allocation, wire_change
from allocator.ledger import Entry
from allocator.notices import Notice
from allocator.objects import StoredAllocation
from allocator.rejections import unrecorded_holders, yielding
from allocator.stage import Stage
from crds.addresses import IPAddress
from kube.objects import ServiceKey


@dataclass(frozen=True, slots=True)
class CreateAllocation:
    """Its name follows from the address, so that of two creates the second is refused (AlreadyExists). `claim`: what
    the record is to say."""

    address: IPAddress
    body: dict[str, Any]
    claim: Claim


@dataclass(frozen=True, slots=True)
class PatchAllocation:
    """A merge patch of the main resource; uid and resourceVersion are in it. `claim`: what the record is to say."""

    address: IPAddress
    body: dict[str, Any]
    claim: Claim


@dataclass(frozen=True, slots=True)
class DeleteAllocation:
    """After the barrier; uid and resourceVersion are preconditions."""

    address: IPAddress
    uid: str
    resource_version: int


@dataclass(frozen=True, slots=True)
class PatchService:
    """A merge patch of the status subresource; uid and resourceVersion are in it. `notices` are due once it is done."""

    service: ServiceKey
    body: dict[str, Any]
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadService:
    """No write yet: the Service as it is, and who wrote its status."""

    service: ServiceKey


AllocationWrite = CreateAllocation | PatchAllocation | DeleteAllocation
Write = AllocationWrite | PatchService | ReadService


def record_write(entry: Entry) -> AllocationWrite | None:
    """What makes the IPAllocation what was decided; None when it is so, or when the barrier must be passed first."""
    match entry.stage, entry.recorded:
        case ((Stage.RESERVED | Stage.CREATED | Stage.LOST), _):
            claim = _next_claim(entry)
            return CreateAllocation(entry.address, wire_allocation(claim), claim)
        case Stage.RECORDED, StoredAllocation() as recorded:
            return _correction(entry, recorded)
        case Stage.PASSED, StoredAllocation() as recorded:
            return DeleteAllocation(entry.address, recorded.uid, recorded.resource_version)
        case _:
            # Nothing of a marked record is put right any more: only the way out is left.
            return None


def _correction(entry: Entry, recorded: StoredAllocation) -> PatchAllocation | None:
    # The mark goes alone: nothing else that might be refused may hold a release up.
    claim = _next_claim(entry)
    change = {"releasing": True} if claim.releasing else wire_change(recorded.claim, claim)
    if not change:
        return None
    metadata: dict[str, Any] = {"uid": recorded.uid, "resourceVersion": str(recorded.resource_version)}
    if not claim.releasing and (labels := labels_change(recorded.claim, claim)):
        metadata["labels"] = labels
    return PatchAllocation(entry.address, {"metadata": metadata, "spec": change}, claim)


def _next_claim(entry: Entry) -> Claim:
    """What to write next: all that was decided, or, where that was refused, with one new holder at a time."""
    if not entry.is_one_by_one:
        return entry.claim
    recorded = entry.recorded.claim if entry.recorded is not None else None
    new = unrecorded_holders(entry.claim, recorded)[:1]
    uids = {holder.uid for holder in new}
    before = recorded.holders if recorded is not None else ()
    old = [one for one in before if entry.claim.held_by(one.uid) and one.uid not in uids]
    return replace(entry.claim, holders=sort_holders((*yielding(old, new), *new)))
