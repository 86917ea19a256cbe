"""The allocator process: informers, leader election, and a Leadership while it leads; Events about what happens.

A standby keeps its informers running, so it takes over at once; on gaining the lead it reads full lists before it acts.
Decides nothing: what to do is in the pure modules, which allocator.io.leadership feeds.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import structlog

from allocator.assigner import Assigner
from allocator.eventbudget import EventBudget
from allocator.io.keykeeper import KeyKeeper
from allocator.io.leadership import Leadership
from allocator.io.metrics import AllocatorMetrics, Snapshot
from allocator.notices import Common, Notice, ObjectNotice
from allocator.objects import (
    decode_allocation,
    decode_bgp_advertisement,
    decode_community,
    decode_l2_advertisement,
    decode_peer,
    decode_profile,
)
from allocator.observed import Observed
from allocator.options import Options
from allocator.release.confirmations import decode_confirmation
from allocator.release.departures import Departures, StoredDeparture, decode_departure
from allocator.release.speakers import SpeakerState, decode_speaker
from allocator.status.slices import Slice, decode_slice
from crds.names import ALLOCATOR_LEASE, API_VERSION
from crds.types import IPPool
from crds.wording import listed
from kube.events.io.recorder import EventRecorder, ObjectRef
from kube.informer.io.informer import Change, Informer
from kube.informer.store import ObjectKey
from kube.io.client import Client
from kube.lease.io.election import LeaderElection
from kube.objects import decode_endpoint_slice, decode_namespace, decode_node, decode_service, decode_service_cidr
from kube.resource import (
    BFDPROFILES,
    BGPADVERTISEMENTS,
    BGPPEERS,
    COMMUNITIES,
    DEPARTEDSPEAKERS,
    ENDPOINTSLICES,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    NAMESPACES,
    NODES,
    RELEASECONFIRMATIONS,
    SERVICECIDRS,
    SERVICES,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)

T = TypeVar("T")
log = structlog.get_logger()

EVENT_SECONDS = 0.02
EVENT_PATIENCE_SECONDS = 5.0
"""An Event is sent after so long though Services are still being served."""

NAMED = 12
"""How many kinds a message names before it counts the rest."""

EVENT_LIMIT = 5000
"""Beyond that the oldest is dropped: Events are hints, conditions carry the state."""


class Controller:
    """One allocator process. `run` returns only by being cancelled or by an error."""

    def __init__(self, client: Client, options: Options, metrics: AllocatorMetrics) -> None:
        self._client = client
        self._options = options
        self.metrics = metrics
        self._events = EventRecorder(client, "berth-allocator", options.identity, metrics=metrics.kube)
        self._election = LeaderElection(
            client,
            options.namespace,
            ALLOCATOR_LEASE,
            options.identity,
            lease_duration=options.lease_duration_seconds,
            renew_deadline=options.lease_duration_seconds * 2 / 3,
            retry_period=options.lease_duration_seconds / 7.5,
            metrics=metrics.kube,
        )
        self._keys = KeyKeeper(
            client, options.namespace, options.heartbeat_secret, lambda: self._election.is_leader(time.monotonic())
        )
        self._leadership: Leadership | None = None
        self._departures = Departures()
        self._unsent: deque[tuple[float, Notice | ObjectNotice]] = deque(maxlen=EVENT_LIMIT)
        self._budget = EventBudget()
        self._have_events = asyncio.Event()
        self._informers: list[Informer[Any]] = []
        self._slices: Informer[Slice] = Informer(
            client, SPEAKERREPORTS, decode_slice, on_change=self._slice_changed, metrics=metrics.kube
        )
        """Large, and for people: nobody waits for it in order to lead."""
        self._informer(DEPARTEDSPEAKERS, decode_departure, Leadership.departure_changed, self._note_stored_departure)
        self._observed = self._observe()

    def _observe(self) -> Observed:
        of_advertisement = Leadership.advertisement_changed
        return Observed(
            services=self._informer(SERVICES, decode_service, Leadership.service_changed).items,
            namespaces=self._informer(NAMESPACES, decode_namespace, Leadership.namespace_changed).items,
            pools=self._informer(IPPOOLS, IPPool.decode, Leadership.pool_changed).items,
            allocations=self._informer(IPALLOCATIONS, decode_allocation, Leadership.allocation_changed).items,
            speakers=self._informer(SPEAKERS, decode_speaker, Leadership.speaker_changed, self._note_departure).items,
            confirmations=self._informer(
                RELEASECONFIRMATIONS, decode_confirmation, Leadership.confirmation_changed
            ).items,
            nodes=self._informer(NODES, decode_node, Leadership.node_changed).items,
            api_endpoints=self._informer(
                ENDPOINTSLICES,
                decode_endpoint_slice,
                Leadership.api_endpoints_changed,
                namespace="default",
                label_selector="kubernetes.io/service-name=kubernetes",
            ).items,
            service_cidrs=self._informer(
                SERVICECIDRS, decode_service_cidr, Leadership.service_cidrs_changed, may_be_unknown=True
            ).items,
            l2_advertisements=self._informer(L2ADVERTISEMENTS, decode_l2_advertisement, of_advertisement).items,
            bgp_advertisements=self._informer(BGPADVERTISEMENTS, decode_bgp_advertisement, of_advertisement).items,
            peers=self._informer(BGPPEERS, decode_peer, Leadership.peer_changed).items,
            profiles=self._informer(BFDPROFILES, decode_profile, Leadership.helper_changed).items,
            communities=self._informer(COMMUNITIES, decode_community, Leadership.helper_changed).items,
            slices=self._slices.items,
        )

    def _slice_changed(self, change: Change[Slice]) -> None:
        if self._leadership is not None:
            self._leadership.slice_changed(change)

    def _informer(
        self,
        resource: Resource,
        decode: Callable[[bytes], T],
        while_leading: Callable[[Leadership, Change[T]], None],
        always: Callable[[Change[T]], None] = lambda _: None,
        **reading: Any,
    ) -> Informer[T]:
        """A standby hears of changes too, and does nothing about them but `always`. `reading`: as Informer takes it."""

        def on_change(change: Change[T]) -> None:
            always(change)
            if self._leadership is not None:
                while_leading(self._leadership, change)

        informer = Informer(self._client, resource, decode, on_change=on_change, metrics=self.metrics.kube, **reading)
        self._informers.append(informer)
        return informer

    def why_not_ready(self) -> str:
        """Why it could not lead at once, or can't write what it decides; empty when it could, and can."""
        unknown = [one.resource.full_name for one in self._informers if one.is_unknown]
        if unknown:
            advice = "install Berth's definitions (crds.enabled in the chart)"
            return f"the API server knows no {listed(unknown, NAMED)}: {advice}"
        unread = [one.resource.full_name for one in self._informers if not one.synced]
        if unread:
            return f"the first full lists are not in yet: {listed(unread, NAMED)}"
        return self._client.refusals.told(time.monotonic())

    @property
    def assigner(self) -> Assigner | None:
        """None while it does not lead."""
        return self._leadership.assigner if self._leadership is not None else None

    def snapshot(self) -> Snapshot | None:
        """For the metrics; None while it does not lead."""
        return self._leadership.snapshot(time.monotonic()) if self._leadership is not None else None

    async def run(self) -> None:
        """Stand by, lead when elected, for ever."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for informer in (*self._informers, self._slices):
                    tasks.create_task(informer.run())
                tasks.create_task(self._events.run())
                tasks.create_task(self._send_events())
                tasks.create_task(self._keys.run())
                for informer in self._informers:
                    await informer.wait_synced()
                services = len(self._observed.services)
                log.info("informers have synced", services=services, standby=self._options.identity)
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
        self._leadership = leadership = Leadership(
            self._client,
            self._options,
            self.metrics,
            self._observed,
            self._departures,
            may_write=lambda: self._election.is_leader(time.monotonic()),
            has_reports=lambda: self._slices.synced,
            notify=self._notify,
        )
        log.info("leading", allocations=len(leadership.assigner.ledger), services=len(leadership.assigner.services))
        try:
            await leadership.run()
        finally:
            self._leadership = None

    def _note_departure(self, change: Change[SpeakerState]) -> None:
        if change.new is None and change.old is not None:
            speaker = change.old
            confirmation = self._observed.confirmations.get(change.key)
            confirmed = confirmation.confirmed_by(speaker.incarnation) if confirmation is not None else None
            self._departures.gone(speaker, time.monotonic(), confirmed)
        elif change.new is not None and change.old is None:
            self._departures.returned(change.new)

    def _note_stored_departure(self, change: Change[StoredDeparture]) -> None:
        if change.new is not None:
            self._departures.stored_seen(change.new, time.monotonic())
        else:
            self._departures.stored_gone(change.key.name)

    # What happens to Services, and to objects of ours

    def _notify(self, notice: Notice | ObjectNotice) -> None:
        if not isinstance(notice, ObjectNotice):
            self.metrics.decided(notice.reason)
        now = time.monotonic()
        if self._budget.admits(notice, now):
            self._tell(notice, now)
        self._have_events.set()

    def _tell(self, notice: Notice | ObjectNotice, now: float) -> None:
        if isinstance(notice, ObjectNotice):
            about, reason = notice.about, str(notice.reason)
            log.info("object", kind=about.kind, name=about.name, reason=reason, detail=notice.message)
        else:
            log.info("service", service=str(notice.service), reason=str(notice.reason), detail=notice.message)
        self._unsent.append((now, notice))

    async def _send_events(self) -> None:
        """While Services wait for their addresses, Events wait for them: each is a write that delays another."""
        while True:
            await self._have_events.wait()
            await asyncio.sleep(EVENT_SECONDS)
            now, leads = time.monotonic(), self._leadership
            for gathered in self._budget.take_gathered(now):
                self._tell(gathered, now)
            may_send = leads is None or leads.writer.is_idle
            while self._unsent and (may_send or now - self._unsent[0][0] > EVENT_PATIENCE_SECONDS):
                self._record(self._unsent.popleft()[1])
            if not self._unsent and not self._budget.has_gathered:
                self._have_events.clear()

    def _record(self, notice: Notice | ObjectNotice) -> None:
        if isinstance(notice, ObjectNotice):
            ref = ObjectRef(API_VERSION, notice.about.kind, notice.about.name, uid=self._uid(notice.about))
        else:
            ref = ObjectRef("v1", "Service", notice.service.name, notice.service.namespace, notice.uid)
        self._events.record(ref, notice.type, notice.reason, notice.message)

    def _uid(self, about: Common) -> str:
        """Empty where it is gone; `kubectl describe` looks for Events by it."""
        key = ObjectKey(None, about.name)
        match about.kind:
            case "IPPool":
                pool = self._observed.pools.get(key)
                return pool.metadata.uid if pool is not None else ""
            case "Speaker":
                speaker = self._observed.speakers.get(key)
                return speaker.metadata.uid if speaker is not None else ""
            case "BGPPeer":
                peer = self._observed.peers.get(key)
                return peer.uid if peer is not None else ""
            case _:
                named = [one for one in self._observed.advertisements() if (one.kind, one.name) == about]
                return named[0].uid if named else ""
