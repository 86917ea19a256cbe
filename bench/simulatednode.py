"""One simulated node, as the API server sees it: what the writers of speaker.own write, a Lease, and what is watched.

What is written, when and in which order is decided by speaker.own, as in a real speaker. Slice 1 of the report is well
filled, so that its writes are as large as those of a node that announces much; the other slices, which do not change,
are left out. bench.simulated plays many of them.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from bench.members import incarnation_of, name_of
from crds.bgppeer import BGPPeer
from crds.ipallocation import IPAllocation
from crds.names import speaker_lease, speaker_lease_labels
from crds.speaker import BGPSessionState
from kube.io.client import Client
from kube.io.clock import micro_timestamp, timestamp
from kube.resource import BGPPEERS, IPALLOCATIONS, LEASES, NODES, Resource
from speaker.fencing import Hold, Promise
from speaker.own import entries
from speaker.own.conditions import Conditions
from speaker.own.io.ownobjects import OwnObjects
from speaker.own.requests import Failed, Found, Kind, Outcome, Request, Wrote
from speaker.own.status import StatusDraft
from speaker.own.writer import Goal
from speaker.own.writers import OwnWriters

AGENT = "berth-bench-simulated"
NAMESPACE = "berth-system"
REAL_NODES = 3
LEASE_DURATION_SECONDS = 6
RENEW_SECONDS = 2.0
ROUTER = "172.30.0.250"
OUTLIVES_SECONDS = 120
FENCE_SECONDS = 60
FULL = 60
"""Entries that slice 1 has beforehand: there is room for some more."""
IDLE_SECONDS = 30.0


class Allocated(NamedTuple):
    """What a speaker sees of an IPAllocation."""

    uid: str
    address: str
    marked: int | None  # the generation of the mark


@lru_cache(maxsize=4096)
def allocated(raw: bytes) -> Allocated:
    """Decoded once for all that see it."""
    found = IPAllocation.decode(raw)
    marked = found.metadata.generation if found.spec.releasing else None
    return Allocated(found.metadata.uid, str(found.spec.address), marked)


@lru_cache(maxsize=256)
def hold_seconds(raw: bytes) -> int:
    """Of a BGPPeer: what is agreed in OPEN, so that a change needs a new session."""
    return BGPPeer.decode(raw).spec.hold_time_seconds


@dataclass
class Told:
    """Confirmations by the uid of the IPAllocation."""

    by: Counter[str] = field(default_factory=Counter)
    last: dict[str, float] = field(default_factory=dict)

    def add(self, uids: Iterable[str]) -> None:
        """One more node has confirmed these."""
        for uid in uids:
            self.by[uid] += 1
            self.last[uid] = time.time()


class Process:
    """What one process of a node's speaker writes: the product's draft and its writers, driven as speaker.core does."""

    def __init__(self, objects: OwnObjects, number: int, start: int, nodes: int, told: Told) -> None:
        self.incarnation = incarnation_of(number, start)
        self.draft = StatusDraft()
        self.writers = OwnWriters(self.incarnation, self.draft, Promise())
        self.writers.report.nodes = nodes
        self._number = number
        self._objects = objects
        self._told = told
        self._owner = ""
        self._hold_seconds = 0
        self._news = asyncio.Event()
        self._requests: set[asyncio.Task[None]] = set()
        self._fill()

    def _fill(self) -> None:
        """What a node says that announces much."""
        mac = f"02:00:00:01:{self._number >> 8:02x}:{self._number & 255:02x}"
        self.draft.set("machine", f"machine-{self._number}")
        self.draft.set("standing", "Member")
        self.draft.set("interfaces", [entries.interface("eth0", mac, up=True, usable=True, reason="")])
        self.draft.set("routers", [entries.router(ROUTER, OUTLIVES_SECONDS)])
        self.draft.set("fencing", entries.fencing(None, FENCE_SECONDS))
        self.session_changed()
        self.serves(is_serving=False)
        for one in range(FULL):
            address = f"10.{100 + self._number // 256}.{self._number % 256}.{one}"
            self.draft.announcements.put(address, entries.announcement(timestamp(), peers=["tor"]))

    def serves(self, *, is_serving: bool) -> None:
        """Its conditions."""
        conditions = Conditions()
        conditions.set_ready(None if is_serving else Hold.STARTING, timestamp())
        conditions.set_announceable([], timestamp())
        self.draft.set("conditions", conditions.to_wire())
        self._news.set()

    def session_changed(self) -> None:
        """Its session is as if new."""
        session = entries.bgp_session(
            "tor", ip_address(ROUTER), BGPSessionState.Established, since=timestamp(), hold_time_seconds=90
        )
        self.draft.set("bgpSessions", [session])
        self._news.set()

    def sees_peer(self, hold_seconds: int) -> None:
        """Only what is agreed anew needs another session."""
        if self._hold_seconds not in (0, hold_seconds):
            self.session_changed()
        self._hold_seconds = hold_seconds

    def sees_allocation(self, kind: str, seen: Allocated) -> None:
        """Announce it, or withdraw and confirm at once."""
        if kind == "DELETED" or seen.marked is not None:
            self.draft.announcements.drop(seen.address)
        elif kind == "ADDED":
            self.draft.announcements.put(seen.address, entries.announcement(timestamp(), peers=["tor"]))
        if kind == "DELETED":
            self.draft.released.drop(seen.uid)
        elif seen.marked is not None:
            self.draft.released.put(seen.uid, seen.marked)
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        self.writers.speaker.register()
        try:
            while True:
                self._news.clear()
                now = time.monotonic()
                for request in self.writers.next_requests(now):
                    task = asyncio.create_task(self._carry_out(request))
                    self._requests.add(task)
                    task.add_done_callback(self._requests.discard)
                due = self.writers.deadline()
                until = now + IDLE_SECONDS if due is None else due
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.001, until - now)):
                        await self._news.wait()
        finally:
            for task in self._requests:
                task.cancel()

    async def _carry_out(self, request: Request) -> None:
        outcome = await self._objects.carry_out(request)
        now = time.monotonic()
        if isinstance(outcome, Found):
            self._owner = outcome.node_uid or self._owner
        if self.writers.take(outcome, now):
            if request.target.kind is Kind.CONFIRMATION and isinstance(outcome, Wrote):
                released = outcome.request.status["released"]
                self._told.add(uid for uid, marked in released.items() if marked is not None)
        else:
            self._about_speaker(outcome, now)
        self._news.set()

    def _about_speaker(self, outcome: Outcome, now: float) -> None:
        match outcome:
            case Found():
                self.writers.speaker.found(outcome)
            case Wrote() if self.writers.speaker.wrote(outcome):
                self.writers.begin(self._owner)
                self.serves(is_serving=True)
            case Failed():
                self.writers.speaker.failed(outcome, now)

    async def say_goodbye(self) -> None:
        """Returns when it is written."""
        self.writers.speaker.say_goodbye(withdrew_everything=True)
        self.writers.report.end()
        self._news.set()
        while self.writers.speaker.goal is not Goal.SAID:
            await asyncio.sleep(0.02)


class Node:
    """One simulated speaker."""

    def __init__(self, client: Client, number: int, count: int, told: Told) -> None:
        self.number, self.name = number, name_of(number)
        self.watches: list[asyncio.Task[None]] = []
        self.is_dead = False
        self._client = client
        self._count = count
        self._told = told
        self._starts = 0
        self._has_lease = False
        self._process = self._next_process()
        self._running: asyncio.Task[None] | None = None

    def _next_process(self) -> Process:
        objects = OwnObjects(self._client, self.name)
        return Process(objects, self.number, self._starts, self._count + REAL_NODES, self._told)

    async def register(self) -> None:
        """Returns when it serves, and its report is written."""
        await self._client.create(NODES, {"metadata": {"name": self.name}})
        address = {"type": "InternalIP", "address": f"172.29.{self.number >> 8}.{self.number & 255}"}
        status = {"status": {"addresses": [address]}}
        await self._client.merge_patch(NODES, self.name, status, subresource="status")
        self._process.writers.report.nodes = 1  # at first nobody need wait for the budget
        self._start()
        while self._process.draft.report.stale or not self._process.writers.speaker.has_ever_registered:
            await asyncio.sleep(0.05)
        self._process.writers.report.nodes = self._count + REAL_NODES

    def _start(self) -> None:
        self._running = asyncio.create_task(self._process.run())

    async def renew(self) -> None:
        """Its Lease, as kube.lease writes it; made at first."""
        times = {"holderIdentity": self._process.incarnation, "renewTime": micro_timestamp()}
        body = {"spec": {"leaseDurationSeconds": LEASE_DURATION_SECONDS, **times}}
        name = speaker_lease(self.name)
        if self._has_lease:
            await self._client.merge_patch(LEASES, name, body, namespace=NAMESPACE)
        else:
            labels = speaker_lease_labels(self.name)
            await self._client.create(LEASES, {"metadata": {"name": name, "labels": labels}, **body}, NAMESPACE)
            self._has_lease = True

    def sees(self, resource: Resource, kind: str, raw: bytes) -> None:
        """An event of its watches."""
        if resource is IPALLOCATIONS:
            self._process.sees_allocation(kind, allocated(raw))
        elif resource is BGPPEERS:
            self._process.sees_peer(hold_seconds(raw))

    def die(self) -> None:
        """Without a word."""
        self.is_dead = True
        for task in (*self.watches, *filter(None, [self._running])):
            task.cancel()

    async def restart(self) -> None:
        """A goodbye, then the next process."""
        await self._process.say_goodbye()
        if self._running is not None:
            self._running.cancel()
        self.revive()

    def revive(self) -> None:
        """The next process."""
        self.is_dead = False
        self._starts += 1
        self._process = self._next_process()
        self._start()
