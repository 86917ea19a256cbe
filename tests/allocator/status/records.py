"""IPAllocations as the allocator has them from its watch, for tests of what their status says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from allocator.objects import StoredAllocation, decode_l2_advertisement
from allocator.release.barrier import Awaited
from allocator.status.allocation import allocation_status, by
from allocator.status.entries import Announcement, KernelEntry, Sighting
from allocator.status.unannounced import Evidence, unannounced
from crds.ipallocation import IPAllocationStatus
from crds.observation import Observation
from tests.allocator.build import claim, pool, pools

EVERYTHING = decode_l2_advertisement(json.dumps({"metadata": {"name": "ad", "uid": "u"}, "spec": {}}).encode())
EDGE = pools(pool("edge", "192.0.2.0/24"))


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


def status_of(
    record: StoredAllocation,
    announcers: Mapping[str, Announcement],
    is_advertised: bool,
    awaited: Sequence[Awaited],
    now: str,
    sightings: Mapping[str, Sighting] | None = None,
    kernels: Mapping[str, KernelEntry] | None = None,
    on_network: Observation | None = None,
    silent: Sequence[str] = (),
) -> IPAllocationStatus:
    """What it says in a cluster with one advertisement, or none, and a speaker that lives."""
    ads = [EVERYTHING] if is_advertised else []
    evidence = Evidence(record.claim, EDGE, ads, {"n9": ""}, sightings=sightings or {})
    announced = by(announcers) if announcers else unannounced(evidence)
    return allocation_status(
        record, announced, announcers, awaited, now, sightings or {}, kernels or {}, on_network, silent
    )
