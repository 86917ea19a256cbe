"""Writes what is worth knowing but urgent to nobody: the status of IPAllocations, and by allocator.io.objectreporter of
all else.

Coalesced and at low priority: it waits while Services are served, and a value that changes ten times is written once.
Whether an address is announced, and by whom on layer 2, is written at once, 5 times and then 30 times
a minute; which of many nodes announce it, COUNTS_PER_SECOND for all addresses together, each in its turn.
What the statuses say comes from allocator.status.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import structlog

from allocator.assigner import Assigner
from allocator.io.barrierloop import BarrierLoop
from allocator.io.objectreporter import ObjectReporter
from allocator.io.statuswriter import StatusWriter
from allocator.io.writer import Writer
from allocator.notices import Notice, ObjectNotice, of_conflict, of_move
from allocator.objects import StoredAllocation, decode_allocation
from allocator.observed import Observed
from allocator.release.barrier import Awaited
from allocator.space.ranges import parse_address
from allocator.status.allocation import allocation_status, by, differs_in_counts_only
from allocator.status.conflicts import of_transitions
from allocator.status.entries import Announcement, Fault, Session
from allocator.status.onservices import briefly
from allocator.status.owners import Owners
from allocator.status.reports import Reports
from allocator.status.routerwait import with_routers
from allocator.status.segments import Segments
from allocator.status.slices import Slice
from allocator.status.states import AddressStates
from allocator.status.unannounced import Evidence, may_be_unreported, unannounced
from allocator.status.unreported import Unreported
from allocator.status.waitingline import WaitingLine, counts_settle_seconds
from allocator.status.writerate import WriteRate
from crds.addresses import IPAddress
from crds.meta import Condition
from crds.names import allocation_name
from crds.observation import Observation
from crds.types import IPAllocationStatus
from kube.errors import ApiError, NotFound
from kube.informer.io.informer import Change, ObjectKey
from kube.io.client import Client
from kube.io.clock import timestamp
from kube.objects import ServiceKey
from kube.resource import (
    IPALLOCATIONS,
)

log = structlog.get_logger()

INTERVAL_SECONDS = 0.5
"""How long changes are collected."""

PATIENCE_SECONDS = 5.0
"""It is written after so long though Services are still being served, and again after so long when it was refused."""

GRACE_SECONDS = 3.0
"""How long an address may be unannounced before that is worth a condition: speakers need a moment."""

PROBING_SECONDS = 8.0
"""How much longer in a pool whose addresses are probed before their first announcement (RFC 5227 §2.1: 7 s at most)."""

UNREPORTED_SECONDS = 5.0
"""How often an address is looked at, at least, that may be announced and not be reported yet."""

COUNTS_PER_SECOND = 20
"""Of all addresses together, where the only news is which of many nodes announce them: by BGP that is all nodes."""

CONCURRENCY = 8

SLICES_AT_ONCE = 20
"""How many slices of reports are taken in before something else has its turn."""

NO_SPEAKER_SECONDS = 30.0
"""How long there may be no Speaker at all before that is said of thousands of addresses: as when Berth is installed."""

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
        notify: Callable[[Notice | ObjectNotice], None],
        *,
        has_speakers: bool = True,
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._observed = observed
        self._barrier = barrier
        self._writer = writer
        self._notify = notify
        self._has_reports = has_reports
        self._has_speakers = has_speakers
        self._reports = Reports()
        self._statuses = StatusWriter(client, notify)
        self._objects = ObjectReporter(self._statuses, assigner, observed, self._reports, notify)
        self._segments = Segments()
        self._owners = Owners()
        self.states = AddressStates()
        """For the metrics."""
        self._silent: frozenset[str] = frozenset()
        self._not_alive: dict[str, str] = {}
        """By node, why its speaker announces nothing; empty for one that lives."""
        self._sessions: dict[str, Mapping[str, Session]] | None = None
        """By BGPPeer and node, as long as they are as they were; so are the faults."""
        self._faults: dict[str, Mapping[str, Sequence[Fault]]] | None = None
        self._without_speakers_since: float | None = None
        self._address_rate = WriteRate(burst=5, seconds=2.0)
        self._dirty_nodes: set[str] = set(one.node for one in observed.speakers.values())
        self._changed_slices: list[tuple[str, Slice | None, Slice | None]] = [
            (key.name, None, one) for key, one in observed.slices.items()
        ]
        self._dirty: dict[IPAddress, float] = {}
        self._at_once: set[IPAddress] = set()
        self._counts: WaitingLine[IPAddress] = WaitingLine(COUNTS_PER_SECOND)
        self._unreported = Unreported()
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

    def allocation_gone(self, address: IPAddress) -> None:
        """There is nothing to say of it any more."""
        self._assigner.reachability.forget(address)
        self._owners.forget(address)
        self._unreported.forget(address)
        self.states.forget(address)

    def peers_changed(self) -> None:
        """BGPPeers; and advertisements, which name them, are looked at in each round."""
        self._objects.is_bgp_dirty = True
        self._sessions = self._faults = None

    def service_changed(self, key: ServiceKey) -> None:
        """It may say something else of its addresses than it should."""
        self._assigner.reachability.look_at(key, time.monotonic())

    def everything_changed(self, seconds: float = 0.0) -> None:
        """Pools or advertisements: what covers what must be looked at again, after so many seconds."""
        at = time.monotonic() + seconds
        for stored in self._observed.allocations.values():
            self._dirty.setdefault(stored.address, at)

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
                self._objects.sweep(now)
                self._address_rate.sweep(now)
                self._assigner.reachability.sweep(now)
            if not self._writer.is_idle and now - busy_since < PATIENCE_SECONDS:
                continue
            busy_since = now
            await self._collect(now)
            await self._objects.report_pools(now)
            await self._objects.report_speakers(self._silent, now)
            await self._objects.report_uses(now)
            if not self._has_reports():
                continue
            await self._objects.report_advertisements(now)
            await self._objects.report_peers(self._silent, now)
            await self._report_allocations(now)
            self._report_services(now)
            self._report_moves(now)

    async def _report_allocations(self, now: float) -> None:
        due = [address for address, at in self._dirty.items() if at <= now]
        if self._has_no_speakers_yet(now):
            return
        for address in due:
            del self._dirty[address]
        await self._each(self._report_allocation(address, now) for address in due)
        settle = counts_settle_seconds(len(self._observed.speakers))
        turn = list(self._counts.take(now, settle))
        await self._each(self._report_allocation(address, now, in_turn=True) for address in turn)

    def _has_no_speakers_yet(self, now: float) -> bool:
        """Whether they may be about to come, or nobody wants any: where nothing is to be advertised, others do it."""
        if self._observed.speakers:
            self._without_speakers_since = None
            return False
        if self._without_speakers_since is None:
            self._without_speakers_since = now
        if not self._has_speakers:
            return True
        return not self._observed.advertisements() or now - self._without_speakers_since < NO_SPEAKER_SECONDS

    def _report_moves(self, now: float) -> None:
        for move in self._owners.take_moves(now):
            stored = self._observed.allocations.get(ObjectKey(None, allocation_name(move.address)))
            if stored is not None:
                for notice in of_move(stored, move, self._not_alive.get(move.before, "has no Speaker any more")):
                    self._notify(notice)

    def _report_services(self, now: float) -> None:
        for key in self._assigner.reachability.take_turn(now):
            self._assigner.queue.add(key)
            self._writer.nudge()

    async def _each(self, writes: Iterator[Coroutine[Any, Any, None]]) -> None:
        while part := list(islice(writes, CONCURRENCY)):
            async with asyncio.TaskGroup() as tasks:
                for write in part:
                    tasks.create_task(write)

    async def _take_reports(self) -> None:
        """In parts, so that nothing waits: of 500 nodes with 10,000 addresses each there are millions of entries."""
        nodes, self._dirty_nodes = self._dirty_nodes, set()
        have_moved = False
        for node in nodes:
            speaker = self._observed.speakers.get(ObjectKey(None, node))
            self._reports.speaker_seen(node, speaker)
            have_moved |= self._segments.speaker_seen(node, speaker)
            await asyncio.sleep(0)
        if have_moved:
            self.everything_changed(GRACE_SECONDS)  # owners move first
        changes, self._changed_slices = self._changed_slices, []
        for number, change in enumerate(changes):
            self._reports.slice_seen(*change)
            if number % SLICES_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _collect(self, now: float) -> None:
        """What the nodes say now, and for whom releases wait."""
        await self._take_reports()
        news = self._reports.take_news()
        if news.is_about_peers:
            self.peers_changed()
        if self._take_liveness(now) or news.is_about_peers:
            for stored in self._observed.allocations.values():
                if not stored.announced_by:  # it may say which peers have no session, or that no speaker lives
                    self._counts.join(stored.address, now)
        for address in _addresses(news.at_once):
            self._dirty[address] = now
            self._at_once.add(address)
        for address in _addresses(news.in_time):
            self._counts.join(address, now)
        for address in self._awaited_before.keys() | self._barrier.awaited.keys():
            if self._awaited_before.get(address) != self._barrier.awaited.get(address):
                self._dirty[address] = now
        self._awaited_before = dict(self._barrier.awaited)

    async def _report_allocation(self, address: IPAddress, now: float, *, in_turn: bool = False) -> None:
        """`in_turn`: also where nothing but which of many nodes announce it is news."""
        stored = self._observed.allocations.get(ObjectKey(None, allocation_name(address)))
        status = self._status_of(stored, address) if stored is not None else None
        if stored is None or status is None:
            self._at_once.discard(address)
            self._counts.leave(address)
        elif in_turn or not self._may_wait(address, stored, status):
            if in_turn or self._address_rate.admits(address, now):
                await self._write_allocation(stored, status, now)
            else:
                self._dirty[address] = now
        else:
            self._counts.join(address, now)

    def _may_wait(self, address: IPAddress, stored: StoredAllocation, status: IPAllocationStatus) -> bool:
        return address not in self._at_once and differs_in_counts_only(stored, status)

    def _status_of(self, stored: StoredAllocation, address: IPAddress) -> IPAllocationStatus | None:
        """None when it says so already, or it is too early to say anything."""
        told, waiting = self._reports.announcers.of(address), self._barrier.awaited.get(address, ())
        silent = sorted(self._silent & told.keys())
        announcers = {node: how for node, how in told.items() if node not in self._silent} if silent else told
        sightings, kernels = self._reports.sightings.of(address), self._reports.kernels.of(address)
        now = time.monotonic()
        announced = self._announced(stored, announcers, now)
        if announced is None:
            return None
        self._owners.seen(stored, announcers, now)
        self._assigner.reachability.judge(stored.claim, briefly(announcers) if announcers else announced, now)
        if waiting:
            waiting = with_routers(waiting, self._sessions_by_peer())
        on_network = self._segments.judge(stored, announcers)
        status = allocation_status(
            stored, announced, announcers, waiting, timestamp(), sightings, kernels, on_network, silent
        )
        self.states.found(stored.claim, status.conditions)
        shown = (stored.announced_by, stored.announcer_count, stored.conditions, stored.first_announced)
        said = (status.announced_by, status.announcer_count, status.conditions, status.first_announced)
        return None if said == shown else status

    def _announced(
        self, stored: StoredAllocation, announcers: Mapping[str, Announcement], now: float
    ) -> Observation | None:
        """Whether it is, and why not; None while it may be, and not be reported yet: then it is looked at again."""
        address = stored.address
        if announcers:
            self._unreported.forget(address)
            return by(announcers)
        evidence = self._evidence(stored)
        if not may_be_unreported(evidence):
            self._unreported.forget(address)
        elif left := self._unreported.seconds_left(address, len(self._observed.speakers), now):
            self._dirty.setdefault(address, now + min(left, UNREPORTED_SECONDS))
            return None
        return unannounced(evidence)

    def _take_liveness(self, now: float) -> bool:
        """Whoever is silent is not believed any more: others have taken its addresses over. Whether others live now."""
        speakers = self._observed.speakers.values()
        silent = frozenset(one.node for one in speakers if self._barrier.is_silent(one.node))
        changed, self._silent = silent ^ self._silent, silent
        self._objects.is_bgp_dirty |= bool(changed)
        for node in changed:
            for address in _addresses(self._reports.announcers.addresses_of(node)):
                self._counts.join(address, now)
        before, self._not_alive = self._not_alive, {one.node: one.not_alive(one.node in silent) for one in speakers}
        return before != self._not_alive

    def _evidence(self, stored: StoredAllocation) -> Evidence:
        """Why nobody announces it, as far as is known here."""
        return Evidence(
            stored.claim,
            self._assigner.ledger.pools,
            self._observed.advertisements(),
            self._not_alive,
            self._reports.causes.of(stored.address),
            self._sessions_by_peer(),
            self._reports.sightings.of(stored.address),
            self._peer_faults(),
        )

    def _peer_faults(self) -> Mapping[str, Mapping[str, Sequence[Fault]]]:
        if self._faults is None:
            self._faults = {name: self._reports.bgp.faults("BGPPeer", name) for name in self._sessions_by_peer()}
        return self._faults

    def _sessions_by_peer(self) -> Mapping[str, Mapping[str, Session]]:
        if self._sessions is None:
            names = [one.name for one in self._observed.peers.values()]
            self._sessions = {name: self._reports.bgp.sessions(name) for name in names}
        return self._sessions

    async def _write_allocation(self, stored: StoredAllocation, status: IPAllocationStatus, now: float) -> None:
        wire: dict[str, Any] = {
            "announcedBy": list(status.announced_by),
            "announcerCount": status.announcer_count,
            "nodes": status.nodes,
            "conditions": _wire_conditions(status.conditions),
        }
        if status.first_announced is not None:
            wire["firstAnnounced"] = status.first_announced
        raw = await self._statuses.patch(IPALLOCATIONS, allocation_name(stored.address), stored.uid, wire)
        if raw is None:
            self._dirty.setdefault(stored.address, now + PATIENCE_SECONDS)
            return
        self._at_once.discard(stored.address)
        self._counts.leave(stored.address)
        for condition in of_transitions(stored.conditions, status.conditions):
            for notice in of_conflict(stored, condition):
                self._notify(notice)
        self._assigner.allocation_written(decode_allocation(raw), time.monotonic())

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


def _addresses(texts: Iterable[str]) -> Iterator[IPAddress]:
    """Whatever else a speaker says is nobody's address."""
    for text in texts:
        address = parse_address(text)
        if address is not None:
            yield address


def _wire_conditions(conditions: tuple[Condition, ...]) -> list[dict[str, Any]]:
    return [one.to_wire() for one in conditions]
