"""Writes what is worth knowing but urgent to nobody: the status of pools, IPAllocations and advertisements.

Coalesced and at low priority: it waits while Services are served, and a value that changes ten times is written once.
What the statuses say comes from allocator.poolstatus and allocator.announced.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from allocator.announced import Announcers, Sightings, advertisement_conditions, allocation_status, is_advertised
from allocator.assigner import Assigner
from allocator.conflicts import of_transition
from allocator.notices import Notice, of_conflict
from allocator.poolstatus import pool_status
from allocator.ranges import Address, parse_address
from allocator.release import Awaited
from allocator.speakers import SpeakerState
from allocator.stored import Advertisement, StoredAllocation, decode_allocation
from crds.meta import Condition
from crds.names import allocation_name
from crds.types import IPPool
from kube.cache import ObjectKey
from kube.client import Client
from kube.errors import ApiError, NotFound, is_precondition_failure
from kube.resource import BGPADVERTISEMENTS, IPALLOCATIONS, IPPOOLS, L2ADVERTISEMENTS, Resource

log = structlog.get_logger()

INTERVAL_SECONDS = 0.5
"""How long changes are collected."""

PATIENCE_SECONDS = 5.0
"""It is written after so long though Services are still being served."""

GRACE_SECONDS = 3.0
"""How long an address may be unannounced before that is worth a condition: speakers need a moment."""

PROBING_SECONDS = 8.0
"""How much longer in a pool whose addresses are probed before their first announcement (RFC 5227 §2.1: 7 s at most)."""

CONCURRENCY = 8

AUDIT_SECONDS = 60.0
"""How often records that the cache does not have are asked for: one that was written, and deleted by hand while a watch
was down, comes in no list and in no event."""


class Reporter:
    """Runs while this process leads. The mappings are live views of the caches."""

    def __init__(
        self,
        client: Client,
        assigner: Assigner,
        *,
        pools: Mapping[ObjectKey, IPPool],
        allocations: Mapping[ObjectKey, StoredAllocation],
        speakers: Mapping[ObjectKey, SpeakerState],
        advertisements: Callable[[], list[Advertisement]],
        awaited: Mapping[Address, tuple[Awaited, ...]],
        is_idle: Callable[[], bool],
        on_change: Callable[[], None],
        tell: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._pools = pools
        self._allocations = allocations
        self._speakers = speakers
        self._advertisements = advertisements
        self._awaited = awaited
        self._is_idle = is_idle
        self._on_change = on_change
        self._tell = tell
        self._announcers = Announcers()
        self._sightings = Sightings()
        self._dirty_nodes: set[str] = set(one.node for one in speakers.values())
        self._dirty: dict[Address, float] = {}
        self._told: dict[Address, tuple[Awaited, ...]] = {}

    # What changed; called from the caches' callbacks

    def speaker_changed(self, node: str) -> None:
        self._dirty_nodes.add(node)

    def allocation_changed(self, stored: StoredAllocation) -> None:
        """A new one is looked at after a moment: most are announced by then, and one write says it all."""
        grace = 0.0 if stored.announced_by or stored.conditions else GRACE_SECONDS + self._probing_seconds(stored)
        self._dirty.setdefault(stored.address, time.monotonic() + grace)

    def _probing_seconds(self, stored: StoredAllocation) -> float:
        pool = self._pools.get(ObjectKey(None, stored.recorded.claim.pool))
        is_probed = pool is not None and pool.spec.duplicate_address_detection and stored.first_announced is None
        return PROBING_SECONDS if is_probed else 0.0

    def everything_changed(self) -> None:
        """Pools or advertisements: what covers what must be looked at again."""
        now = time.monotonic()
        for stored in self._allocations.values():
            self._dirty.setdefault(stored.address, now)

    # The work

    async def run(self) -> None:
        """Until cancelled. What cannot be written now is looked at again."""
        busy_since = audited = time.monotonic()
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            now = time.monotonic()
            if now - audited >= AUDIT_SECONDS:
                audited = now
                await self._audit()
            if not self._is_idle() and now - busy_since < PATIENCE_SECONDS:
                continue
            busy_since = now
            await self._report_pools()
            await self._report_advertisements()
            await self._report_allocations(now)

    async def _report_pools(self) -> None:
        for pool in self._assigner.ledger.pools.in_order:
            stored = self._pools.get(ObjectKey(None, pool.name))
            if stored is None or stored.metadata.generation != pool.generation:
                continue
            status = pool_status(pool, self._assigner.ledger, stored.status, _timestamp())
            if status != stored.status:
                wire = {"ipv4": None, "ipv6": None, **status.to_wire()}
                await self._patch(IPPOOLS, pool.name, stored.metadata.uid, wire)

    async def _report_advertisements(self) -> None:
        for one in self._advertisements():
            conditions = advertisement_conditions(one, self._assigner.ledger.pools, _timestamp())
            if conditions != one.conditions:
                resource = L2ADVERTISEMENTS if one.kind == "L2Advertisement" else BGPADVERTISEMENTS
                await self._patch(resource, one.name, one.uid, {"conditions": _wire_conditions(conditions)})

    async def _report_allocations(self, now: float) -> None:
        self._collect(now)
        due = [address for address, at in self._dirty.items() if at <= now]
        if not due or not self._speakers:
            # Without any Speaker nothing can announce: the condition would say so on thousands of objects.
            return
        for at in range(0, len(due), CONCURRENCY):
            async with asyncio.TaskGroup() as tasks:
                for address in due[at : at + CONCURRENCY]:
                    del self._dirty[address]
                    tasks.create_task(self._report_allocation(address))

    def _collect(self, now: float) -> None:
        """What the Speakers say now, and for whom releases wait."""
        for node in self._dirty_nodes:
            speaker = self._speakers.get(ObjectKey(None, node))
            announced = speaker.announcements() if speaker is not None else {}
            sightings = speaker.sightings() if speaker is not None else {}
            for text in self._announcers.update(node, announced) | self._sightings.update(node, sightings):
                address = parse_address(text)
                if address is not None:
                    self._dirty[address] = now
        self._dirty_nodes.clear()
        for address in self._told.keys() | self._awaited.keys():
            if self._told.get(address) != self._awaited.get(address):
                self._dirty[address] = now
        self._told = dict(self._awaited)

    async def _report_allocation(self, address: Address) -> None:
        stored = self._allocations.get(ObjectKey(None, allocation_name(address)))
        if stored is None:
            return
        pools = self._assigner.ledger.pools
        advertised = is_advertised(stored.recorded.claim, pools, self._advertisements())
        announcers, waiting = self._announcers.of(address), self._awaited.get(address, ())
        sightings = self._sightings.of(address)
        status = allocation_status(stored, announcers, advertised, waiting, _timestamp(), sightings)
        shown = (stored.announced_by, stored.conditions, stored.first_announced)
        if (status.announced_by, status.conditions, status.first_announced) == shown:
            return
        wire: dict[str, Any] = {
            "announcedBy": list(status.announced_by),
            "conditions": _wire_conditions(status.conditions),
        }
        if status.first_announced is not None:
            wire["firstAnnounced"] = status.first_announced
        raw = await self._patch(IPALLOCATIONS, allocation_name(address), stored.recorded.uid, wire)
        if raw is not None:
            if (conflict := of_transition(stored.conditions, status.conditions)) is not None:
                for notice in of_conflict(stored, conflict):
                    self._tell(notice)
            written = decode_allocation(raw)
            self._assigner.allocation_written(written.address, written.recorded, time.monotonic())

    async def _audit(self) -> None:
        unseen = [
            (entry.address, entry.recorded.uid)
            for entry in self._assigner.ledger
            if entry.recorded is not None and ObjectKey(None, allocation_name(entry.address)) not in self._allocations
        ]
        for address, uid in unseen:
            try:
                await self._client.get(IPALLOCATIONS, allocation_name(address))
            except NotFound:
                log.warning("a record is not there", address=str(address))
                self._assigner.allocation_gone(address, uid)
                self._on_change()
            except ApiError:
                return

    async def _patch(self, resource: Resource, name: str, uid: str, status: dict[str, Any]) -> bytes | None:
        """One status; None when it was not taken. Without resourceVersion: nobody else writes these."""
        body = {"metadata": {"uid": uid}, "status": status}
        try:
            return await self._client.merge_patch(resource, name, body, subresource="status")
        except ApiError as error:
            if not isinstance(error, NotFound) and not is_precondition_failure(error):
                log.warning("status not written", kind=resource.kind, name=name, error=str(error))
            return None


def _wire_conditions(conditions: tuple[Condition, ...]) -> list[dict[str, Any]]:
    return [one.to_wire() for one in conditions]


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
