"""IPAllocations as the allocator has them from its watch, for tests of what their status says."""

from dataclasses import replace

from allocator.objects import StoredAllocation
from crds.ipallocation import IPAllocationStatus
from tests.allocator.build import claim


def stored(**fields: object) -> StoredAllocation:
    """One that nobody has reported on. `fields`: of its claim."""
    return StoredAllocation(claim(**fields), "a1", 5, 1)  # type: ignore[arg-type]


def after(record: StoredAllocation, status: IPAllocationStatus) -> StoredAllocation:
    """The same when this status was written."""
    return replace(
        record,
        announced_by=status.announced_by,
        announcer_count=status.announcer_count,
        conditions=status.conditions,
        first_announced=status.first_announced,
    )
