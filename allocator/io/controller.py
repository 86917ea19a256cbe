"""The allocator process: informers, leader election, and while it leads an Assigner with those who serve it.

    API server ──watch──> Informer ──on_change──> Assigner ──step──> Writer ──patch──> API server
                            └────────────────> BarrierLoop, Reporter ─────────────────────┘

A standby keeps its informers warm, so it takes over at once; on gaining the lead it reads full lists before it acts.
Decides nothing: what to do is in the pure modules, which this one feeds.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from allocator.assigner import Assigner
from allocator.io.barrierloop import BarrierLoop
from allocator.io.metrics import AllocatorMetrics
from allocator.io.reporter import Reporter
from allocator.io.writer import Writer
from allocator.notices import Notice
from allocator.objects import (
    Advertisement,
    StoredAllocation,
    StoredPeer,
    decode_allocation,
    decode_bgp_advertisement,
    decode_l2_advertisement,
    decode_peer,
)
from allocator.options import Options
from allocator.release.departures import Departures
from allocator.release.speakers import SpeakerState, decode_speaker
from allocator.space.pools import compile_pools
from crds.names import ALLOCATOR_LEASE
from crds.types import IPPool
from kube.events.io.recorder import EventRecorder, ObjectRef
from kube.informer.io.informer import Change, Informer
from kube.io.client import Client
from kube.lease.io.election import LeaderElection
from kube.objects import Namespace, Node, Service, ServiceKey, decode_namespace, decode_node, decode_service
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    NAMESPACES,
    NODES,
    SERVICES,
    SPEAKERS,
)

log = structlog.get_logger()

EVENT_SECONDS = 0.02
EVENT_PATIENCE_SECONDS = 5.0
"""An Event is sent after so long though Services are still being served."""

EVENT_LIMIT = 5000
"""Beyond that the oldest is dropped: Events are hints, conditions carry the state."""


@dataclass(frozen=True)
class Leadership:
    """What exists only while this process leads."""

    assigner: Assigner
    writer: Writer
    barrier: BarrierLoop
    reporter: Reporter


class Controller:
    """One allocator process. `run` returns only by being cancelled or by an error."""

    def __init__(self, client: Client, options: Options, metrics: AllocatorMetrics) -> None:
        self._client = client
        self._options = options
        self._metrics = metrics
        self._events = EventRecorder(client, "berth-allocator", options.identity, metrics=metrics)
        self._election = LeaderElection(
            client,
            options.namespace,
            ALLOCATOR_LEASE,
            options.identity,
            lease_duration=options.lease_duration_seconds,
            renew_deadline=options.lease_duration_seconds * 2 / 3,
            retry_period=options.lease_duration_seconds / 7.5,
            metrics=metrics,
        )
        self._leadership: Leadership | None = None
        self._departures = Departures()
        self._unsent: deque[tuple[float, Notice]] = deque(maxlen=EVENT_LIMIT)
        self._services: Informer[Service] = self._informer(SERVICES, decode_service, self._on_service)
        self._namespaces: Informer[Namespace] = self._informer(NAMESPACES, decode_namespace, self._on_namespace)
        self._pools: Informer[IPPool] = self._informer(IPPOOLS, IPPool.decode, self._on_pool)
        self._allocations: Informer[StoredAllocation] = self._informer(
            IPALLOCATIONS, decode_allocation, self._on_allocation
        )
        self._speakers: Informer[SpeakerState] = self._informer(SPEAKERS, decode_speaker, self._on_speaker)
        self._nodes: Informer[Node] = self._informer(NODES, decode_node, self._on_node)
        self._l2: Informer[Advertisement] = self._informer(
            L2ADVERTISEMENTS, decode_l2_advertisement, self._on_advertisement
        )
        self._bgp: Informer[Advertisement] = self._informer(
            BGPADVERTISEMENTS, decode_bgp_advertisement, self._on_advertisement
        )
        self._peers: Informer[StoredPeer] = self._informer(BGPPEERS, decode_peer, self._on_peer)

    def _informer(self, resource: Any, decode: Callable[[bytes], Any], on_change: Callable[[Change[Any]], None]) -> Any:
        return Informer(self._client, resource, decode, on_change=on_change, metrics=self._metrics)

    @property
    def _informers(self) -> tuple[Informer[Any], ...]:
        return (
            self._services,
            self._namespaces,
            self._pools,
            self._allocations,
            self._speakers,
            self._nodes,
            self._l2,
            self._bgp,
            self._peers,
        )

    @property
    def is_ready(self) -> bool:
        """Whether it could lead at once."""
        return all(informer.synced for informer in self._informers)

    @property
    def assigner(self) -> Assigner | None:
        """None while it does not lead."""
        return self._leadership.assigner if self._leadership is not None else None

    async def run(self) -> None:
        """Stand by, lead when elected, for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for informer in self._informers:
                    tasks.create_task(informer.run())
                tasks.create_task(self._events.run())
                tasks.create_task(self._send_events())
                for informer in self._informers:
                    await informer.wait_synced()
                log.info("informers have synced", services=len(self._services.items), standby=self._options.identity)
                await self._election.run(self._lead)
        finally:
            for _, notice in self._unsent:
                self._record(notice)
            await self._events.drain(1.0)

    async def _lead(self) -> None:
        log.info("leading: reading full lists", identity=self._options.identity)
        async with asyncio.TaskGroup() as tasks:
            for informer in self._informers:
                tasks.create_task(informer.relisted())
        self._leadership = leadership = self._take_over()
        log.info("leading", allocations=len(leadership.assigner.ledger), services=len(leadership.assigner.services))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(leadership.writer.run())
                tasks.create_task(leadership.barrier.run())
                tasks.create_task(leadership.reporter.run())
        finally:
            self._leadership = None

    def _take_over(self) -> Leadership:
        """From the informers' full lists to a running state, without a gap: no event is handled in between."""
        options = self._options
        assigner = Assigner(
            load_balancer_class=options.load_balancer_class, finalizer=options.finalizer, draw=random.randrange
        )
        assigner.start(
            pools=compile_pools(self._pools.items.values()),
            namespaces={key.name: one.metadata.labels for key, one in self._namespaces.items.items()},
            allocations=self._allocations.items.values(),
            services=self._services.items.values(),
            now=time.monotonic(),
        )
        writer = Writer(
            self._client,
            assigner,
            self._metrics,
            concurrency=options.concurrency,
            may_write=lambda: self._election.is_leader(time.monotonic()),
            notify=self._notify,
        )
        barrier = BarrierLoop(
            self._client,
            assigner,
            namespace=options.namespace,
            speakers=self._speakers.items,
            nodes=self._nodes.items,
            departures=self._departures,
            fence_after_seconds=options.fence_after_seconds,
            notify=self._notify,
            on_progress=writer.nudge,
        )
        reporter = Reporter(
            self._client,
            assigner,
            pools=self._pools.items,
            allocations=self._allocations.items,
            speakers=self._speakers.items,
            advertisements=lambda: [*self._l2.items.values(), *self._bgp.items.values()],
            peers=self._peers.items,
            is_silent=barrier.is_silent,
            awaited=barrier.awaited,
            is_idle=lambda: writer.is_idle,
            on_change=writer.nudge,
            notify=self._notify,
        )
        reporter.everything_changed()
        return Leadership(assigner, writer, barrier, reporter)

    def _notify(self, notice: Notice) -> None:
        self._metrics.decided(notice.reason)
        log.info("service", service=str(notice.service), reason=str(notice.reason), detail=notice.message)
        self._unsent.append((time.monotonic(), notice))

    async def _send_events(self) -> None:
        """While Services wait for their addresses, Events wait for them: each is a write that delays another."""
        while True:
            await asyncio.sleep(EVENT_SECONDS)
            now, leads = time.monotonic(), self._leadership
            may_send = leads is None or leads.writer.is_idle
            while self._unsent and (may_send or now - self._unsent[0][0] > EVENT_PATIENCE_SECONDS):
                self._record(self._unsent.popleft()[1])

    def _record(self, notice: Notice) -> None:
        ref = ObjectRef("v1", "Service", notice.service.name, notice.service.namespace, notice.uid)
        self._events.record(ref, notice.type, notice.reason, notice.message)

    # Changes from the informers; a standby ignores them

    def _on_service(self, change: Change[Service]) -> None:
        leads = self._leadership
        if leads is None:
            return
        if change.new is not None:
            leads.assigner.service_seen(change.new)
        elif change.old is not None:
            key = ServiceKey(change.key.namespace or "", change.key.name)
            leads.assigner.service_gone(key, change.old.metadata.uid)
        leads.writer.nudge()

    def _on_allocation(self, change: Change[StoredAllocation]) -> None:
        leads = self._leadership
        if leads is None:
            return
        if change.new is not None:
            leads.assigner.allocation_seen(change.new, time.monotonic())
            leads.reporter.allocation_changed(change.new)
        elif change.old is not None:
            leads.assigner.allocation_gone(change.old.address, change.old.uid)
        leads.writer.nudge()
        leads.barrier.nudge()

    def _on_namespace(self, change: Change[Namespace]) -> None:
        leads = self._leadership
        if leads is None:
            return
        if change.new is not None:
            leads.assigner.namespace_seen(change.key.name, change.new.metadata.labels)
        else:
            leads.assigner.namespace_gone(change.key.name)
        leads.writer.nudge()

    def _on_pool(self, change: Change[IPPool]) -> None:
        leads = self._leadership
        if leads is None or _is_status_only(change):
            return
        leads.assigner.set_pools(compile_pools(self._pools.items.values()))
        leads.reporter.everything_changed()
        leads.writer.nudge()

    def _on_speaker(self, change: Change[SpeakerState]) -> None:
        if change.new is not None:
            self._departures.exists(change.new)
        elif change.old is not None:
            self._departures.gone(change.old, time.monotonic())
        if self._leadership is not None:
            self._leadership.reporter.speaker_changed(change.key.name)
            self._leadership.barrier.nudge()

    def _on_node(self, change: Change[Node]) -> None:
        if self._leadership is not None and (change.old is None or change.new is None):
            self._leadership.barrier.nudge()

    def _on_advertisement(self, change: Change[Advertisement]) -> None:
        leads = self._leadership
        if leads is not None and (
            change.old is None or change.new is None or change.old.generation != change.new.generation
        ):
            leads.reporter.everything_changed()

    def _on_peer(self, _: Change[StoredPeer]) -> None:
        if self._leadership is not None:
            self._leadership.reporter.peers_changed()


def _is_status_only(change: Change[IPPool]) -> bool:
    old, new = change.old, change.new
    if old is None or new is None:
        return False
    return old.metadata.generation == new.metadata.generation and old.metadata.labels == new.metadata.labels
