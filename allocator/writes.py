"""The API writes that decisions lead to, as values; each is safe to repeat.

Says which write brings a record to what the ledger has decided. allocator.io.writer performs them.
"""

from dataclasses import dataclass
from typing import Any

from allocator.claims import wire_allocation, wire_change
from allocator.ledger import Entry
from allocator.notices import Notice
from allocator.objects import StoredAllocation
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
            return CreateAllocation(entry.address, wire_allocation(entry.claim))
        case Stage.RECORDED, StoredAllocation() as recorded:
            return _correction(entry, recorded)
        case Stage.PASSED, StoredAllocation() as recorded:
            return DeleteAllocation(entry.address, recorded.uid, recorded.resource_version)
        case _:
            # Nothing of a marked record is put right any more: only the way out is left.
            return None


def _correction(entry: Entry, recorded: StoredAllocation) -> PatchAllocation | None:
    change = wire_change(recorded.claim, entry.claim)
    if not change:
        return None
    precondition = {"uid": recorded.uid, "resourceVersion": str(recorded.resource_version)}
    return PatchAllocation(entry.address, {"metadata": precondition, "spec": change})
