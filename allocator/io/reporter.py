"""Writes what is worth knowing but urgent to nobody: the status of pools, IPAllocations, advertisements and BGPPeers.

Coalesced and at low priority: it waits while Services are served, and a value that changes ten times is written once.
What depends on many nodes is written at a limited rate: a BGPPeer or an advertisement at most 3 times at once and 6
times a minute, an address that more than FEW_ANNOUNCERS announce 3 times at once and 12 times a minute.
What the statuses say comes from allocator.status.pool, allocator.status.allocation and allocator.status.peer.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from allocator.assigner import Assigner
from allocator.io.barrierloop import BarrierLoop
from allocator.io.writer import Writer
from allocator.notices import Notice, of_conflict
from allocator.objects import StoredAllocation, decode_allocation
from allocator.observed import Observed
from allocator.release.barrier import Awaited
from allocator.space.ranges import parse_address
from allocator.status.advertisement import JUDGED_HERE, advertisement_conditions, is_advertised
from allocator.status.allocation import allocation_status
from allocator.status.conflicts import of_transition
from allocator.status.faults import reported_fault
from allocator.status.peer import duplicate_fault, peer_status
from allocator.status.pool import pool_status
from allocator.status.reports import Reports
from allocator.status.slices import Slice
from allocator.status.writerate import WriteRate
from crds.addresses import IPAddress
from crds.meta import Condition
from crds.names import allocation_name
from kube.errors import ApiError, NotFound, is_precondition_failure
from kube.informer.io.informer import Change, ObjectKey
from kube.io.client import Client
from kube.io.clock import timestamp
from kube.resource import BGPADVERTISEMENTS, BGPPEERS, IPALLOCATIONS, IPPOOLS, L2ADVERTISEMENTS, Resource

log = structlog.get_logger()

INTERVAL_SECONDS = 0.5
"""How long changes are collected."""

PATIENCE_SECONDS = 5.0
"""It is written after so long though Services are still being served."""

GRACE_SECONDS = 3.0
"""How long an address may be unannounced before that is worth a condition: speakers need a moment."""

PROBING_SECONDS = 8.0
"""How much longer in a pool whose addresses are probed before their first announcement (RFC 5227 §2.1: 7 s at most)."""

FEW_ANNOUNCERS = 2
"""An address that more nodes announce is not written for each of them at once: by BGP it is all nodes."""

CONCURRENCY = 8

SLICES_AT_ONCE = 20
"""How many slices of reports are taken in before something else has its turn."""

AUDIT_SECONDS = 60.0
"""How often records that the informer does not have are asked for. One that was written, and deleted by hand while a
watch was down, comes in no list and in no event."""


class Reporter:
    """Runs while this process leads. `notify` receives the notices that are due. Until `has_reports` nothing is said
    of addresses, advertisements and peers."""

    def __init__(
        self,
        client: Client,
        assigner: Assigner,
        observed: Observed,
        barrier: BarrierLoop,
        writer: Writer,
        has_reports: Callable[[], bool],
        notify: Callable[[Notice], None],
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._observed = observed
        self._barrier = barrier
        self._writer = writer
        self._notify = notify
        self._has_reports = has_reports
        self._reports = Reports()
        self._silent: frozenset[str] = frozenset()
        self._is_bgp_dirty = True
        self._object_rate = WriteRate(burst=3, seconds=10.0)
        self._address_rate = WriteRate(burst=3, seconds=5.0)
        self._dirty_nodes: set[str] = set(one.node for one in observed.speakers.values())
        self._changed_slices: list[tuple[str, Slice | None, Slice | None]] = [
            (key.name, None, one) for key, one in observed.slices.items()
        ]
        self._dirty: dict[IPAddress, float] = {}
        self._awaited_before: dict[IPAddress, tuple[Awaited, ...]] = {}

    # What changed; called from the informers' callbacks

    def speaker_changed(self, node: str) -> None:
        """Other reports may count."""
        self._dirty_nodes.add(node)

    def slice_changed(self, change: Change[Slice]) -> None:
        """What it announces, sees or finds wrong may be news."""
        self._changed_slices.append((change.key.name, change.old, change.new))

    def allocation_changed(self, stored: StoredAllocation) -> None:
        """A new one is looked at after a moment: most are announced by then, and one write says it all."""
        grace = 0.0 if stored.announced_by or stored.conditions else GRACE_SECONDS + self._probing_seconds(stored)
        self._dirty.setdefault(stored.address, time.monotonic() + grace)

    def _probing_seconds(self, stored: StoredAllocation) -> float:
        pool = self._observed.pools.get(ObjectKey(None, stored.claim.pool))
        is_probed = pool is not None and pool.spec.duplicate_address_detection and stored.first_announced is None
        return PROBING_SECONDS if is_probed else 0.0

    def peers_changed(self) -> None:
        """BGPPeers; and advertisements, which name them, are looked at in each round."""
        self._is_bgp_dirty = True

    def everything_changed(self) -> None:
        """Pools or advertisements: what covers what must be looked at again."""
        now = time.monotonic()
        for stored in self._observed.allocations.values():
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
                self._object_rate.sweep(now)
                self._address_rate.sweep(now)
            if not self._writer.is_idle and now - busy_since < PATIENCE_SECONDS:
                continue
            busy_since = now
            await self._collect(now)
            await self._report_pools()
            if not self._has_reports():
                continue
            await self._report_advertisements(now)
            await self._report_peers(now)
            await self._report_allocations(now)

    async def _report_pools(self) -> None:
        for pool in self._assigner.ledger.pools.in_order:
            stored = self._observed.pools.get(ObjectKey(None, pool.name))
            if stored is None or stored.metadata.generation != pool.generation:
                continue
            status = pool_status(pool, self._assigner.ledger, stored.status, timestamp())
            if status != stored.status:
                wire = {"ipv4": None, "ipv6": None, **status.to_wire()}
                await self._patch(IPPOOLS, pool.name, stored.metadata.uid, wire)

    async def _report_advertisements(self, now: float) -> None:
        peers = {one.name for one in self._observed.peers.values()}
        for one in self._observed.advertisements():
            fault = reported_fault(self._reports.bgp, one.kind, one.name, JUDGED_HERE)
            conditions = advertisement_conditions(one, self._assigner.ledger.pools, peers, fault, timestamp())
            if conditions != one.conditions and self._object_rate.admits((one.kind, one.name), now):
                resource = L2ADVERTISEMENTS if one.kind == "L2Advertisement" else BGPADVERTISEMENTS
                await self._patch(resource, one.name, one.uid, {"conditions": _wire_conditions(conditions)})

    async def _report_peers(self, now: float) -> None:
        """Of all when something changed: that is seldom, or often for all of them."""
        if not self._is_bgp_dirty:
            return
        self._is_bgp_dirty = False
        for one in list(self._observed.peers.values()):
            duplicate = duplicate_fault(self._reports.bgp.duplicates(one, self._observed.peers.values()))
            fault = duplicate or reported_fault(self._reports.bgp, "BGPPeer", one.name)
            status = peer_status(one, self._reports.bgp.sessions(one.name), fault, self._silent, timestamp())
            if status == one.status:
                continue
            if self._object_rate.admits(("BGPPeer", one.name), now):
                await self._patch(BGPPEERS, one.name, one.uid, status.to_wire())
            self._is_bgp_dirty = True  # it is looked at again: whether that was taken, and what it is by then

    async def _report_allocations(self, now: float) -> None:
        due = [address for address, at in self._dirty.items() if at <= now]
        if not due or not self._observed.speakers:
            # Without any Speaker nothing can announce: the condition would say so on thousands of objects.
            return
        for at in range(0, len(due), CONCURRENCY):
            async with asyncio.TaskGroup() as tasks:
                for address in due[at : at + CONCURRENCY]:
                    del self._dirty[address]
                    tasks.create_task(self._report_allocation(address, now))

    async def _take_reports(self) -> None:
        """In parts, so that nothing waits: of 500 nodes with 10,000 addresses each there are millions of entries."""
        nodes, self._dirty_nodes = self._dirty_nodes, set()
        for node in nodes:
            self._reports.speaker_seen(node, self._observed.speakers.get(ObjectKey(None, node)))
            await asyncio.sleep(0)
        changes, self._changed_slices = self._changed_slices, []
        for number, change in enumerate(changes):
            self._reports.slice_seen(*change)
            if number % SLICES_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _collect(self, now: float) -> None:
        """What the nodes say now, and for whom releases wait."""
        await self._take_reports()
        news = self._reports.take_news()
        self._is_bgp_dirty |= news.is_about_peers
        for text in news.addresses:
            address = parse_address(text)
            if address is not None:
                self._dirty[address] = now
        silent = frozenset(filter(self._barrier.is_silent, self._reports.bgp.nodes))
        self._is_bgp_dirty |= silent != self._silent
        self._silent = silent
        for address in self._awaited_before.keys() | self._barrier.awaited.keys():
            if self._awaited_before.get(address) != self._barrier.awaited.get(address):
                self._dirty[address] = now
        self._awaited_before = dict(self._barrier.awaited)

    async def _report_allocation(self, address: IPAddress, now: float) -> None:
        stored = self._observed.allocations.get(ObjectKey(None, allocation_name(address)))
        if stored is None:
            return
        pools = self._assigner.ledger.pools
        advertised = is_advertised(stored.claim, pools, self._observed.advertisements())
        announcers, waiting = self._reports.announcers.of(address), self._barrier.awaited.get(address, ())
        sightings = self._reports.sightings.of(address)
        status = allocation_status(stored, announcers, advertised, waiting, timestamp(), sightings)
        shown = (stored.announced_by, stored.conditions, stored.first_announced)
        if (status.announced_by, status.conditions, status.first_announced) == shown:
            return
        is_one_of_many = min(len(status.announced_by), len(stored.announced_by)) > FEW_ANNOUNCERS
        if is_one_of_many and not waiting and not self._address_rate.admits(address, now):
            self._dirty[address] = now
            return
        wire: dict[str, Any] = {
            "announcedBy": list(status.announced_by),
            "conditions": _wire_conditions(status.conditions),
        }
        if status.first_announced is not None:
            wire["firstAnnounced"] = status.first_announced
        raw = await self._patch(IPALLOCATIONS, allocation_name(address), stored.uid, wire)
        if raw is not None:
            if (conflict := of_transition(stored.conditions, status.conditions)) is not None:
                for notice in of_conflict(stored, conflict):
                    self._notify(notice)
            written = decode_allocation(raw)
            self._assigner.allocation_written(written, time.monotonic())

    async def _audit(self) -> None:
        unseen = [
            (entry.address, entry.recorded.uid)
            for entry in self._assigner.ledger
            if entry.recorded is not None
            and ObjectKey(None, allocation_name(entry.address)) not in self._observed.allocations
        ]
        for address, uid in unseen:
            try:
                await self._client.get(IPALLOCATIONS, allocation_name(address))
            except NotFound:
                log.warning("a record is not there", address=str(address))
                self._assigner.allocation_gone(address, uid)
                self._writer.nudge()
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
