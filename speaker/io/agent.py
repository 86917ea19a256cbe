"""The agent process's shell around speaker.core: carries out its batches, and tells it how they went and what comes in.

    watches, own objects, Lease --+                       +--> wire process (link)
    wire process, routers --------+--> core --> batch ----+--> BGP sessions (routers)
    keys, stop, the clocks -------+                       +--> own objects, Lease, watches, log, metrics

It decides nothing. One task drives the core; every other one waits for one thing and tells the core of it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from crds.names import speaker_lease, speaker_lease_labels
from kube.errors import ApiError
from kube.io.client import Client
from kube.io.waking import wait_or_wake
from kube.lease.io.renewer import LeaseRenewer
from speaker.batch import Batch
from speaker.bgp.bfdsessions import sessions_by_state, sessions_up
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.io.blackhole import Blackholes
from speaker.bgp.io.routers import Routers
from speaker.bgp.surroundings import Addresses
from speaker.core import NodeCore
from speaker.inputs import (
    Input,
    KeysRead,
    KeysUnusable,
    LeaseReleased,
    OrderDone,
    OrderRefused,
    OwnAddresses,
    Renewed,
    Stop,
)
from speaker.io.metrics import Snapshot, SpeakerMetrics
from speaker.io.watches import Watches
from speaker.layer2.interfaces import answerers, states
from speaker.members.io.keys import follow_keys
from speaker.moment import Moment
from speaker.notices import Line
from speaker.options import Options
from speaker.own.io.ownobjects import OwnObjects
from speaker.own.requests import Request
from speaker.proxies.io.asker import ProxyAsker
from speaker.wire import messages
from speaker.wire.io.link import OrderRefusedError, WireLink

log = structlog.get_logger()


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class NoGoodbye(TimeoutError):
    """The speaker ends, nothing of it is on the wire, and the API server could not be told: releases wait for it."""


class Agent:
    """One run: `run` once, from one event loop."""

    def __init__(
        self,
        client: Client,
        link: WireLink,
        options: Options,
        metrics: SpeakerMetrics,
        *,
        driver: BgpDriver,
        blackholes: Blackholes,
        boottime: Callable[[], float] = _boottime,
    ) -> None:
        self._client = client
        self._link = link
        self._options = options
        self._metrics = metrics
        self._boottime = boottime
        self.core = NodeCore(options, self._now())
        self._routers = Routers(driver, blackholes, self.routers_changed)
        self._objects = OwnObjects(client, options.node)
        self._renewer = LeaseRenewer(
            client,
            options.namespace,
            speaker_lease(options.node),
            options.incarnation,
            duration_seconds=options.lease_duration_seconds,
            renew_seconds=options.renew_seconds,
            labels=speaker_lease_labels(options.node),
            on_renewed=lambda renewal: self.tell(Renewed(renewal.sent_boottime)),
            boottime=boottime,
        )
        self._asker = ProxyAsker(self.tell)
        self._wake = asyncio.Event()
        self._have_routers_changed = False
        self._renews_after: float | None = None
        self._reading: int | None = None
        self._watches: Watches | None = None
        self._watching: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and everything is withdrawn and said. Raises NoGoodbye, and what ends it for good."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start(self._routers.run())
            self._start(self._renewer.run())
            self._start(self._asker.run())
            self._start(self._follow_keys())
            self._start(self._tell_when_stopped(stop))
            await asyncio.wait([self._start(self._drive())])
            for task in self._tasks:
                task.cancel()
        if self.core.failed_to_say_goodbye:
            log.error("the API server could not be told that this speaker has stopped", speaker=self._options.node)
            raise NoGoodbye

    def tell(self, what: Input) -> None:
        """Something happened."""
        self.core.take(what, self._now())
        self._wake.set()

    def served(self) -> frozenset[str]:
        """The addresses that some node announces on layer 2, as far as this one sees."""
        return self.core.layer2.decisions.served()

    @property
    def has_bgp_peers(self) -> bool:
        """Whether there is any BGPPeer, as far as this process has read."""
        return bool(self.core.cluster.bgp_peers)

    def addresses_read(self, addresses: Addresses) -> None:
        """The node's own."""
        self.tell(OwnAddresses(addresses))

    def routers_changed(self) -> None:
        """The BGP sessions, or what routers may have of us: looked at once, however often this is called."""
        self._have_routers_changed = True
        self._wake.set()

    def snapshot(self) -> Snapshot:
        """How things stand. Ready = it announces what this node owns; an outage of the API server does not end that."""
        standing = self.core.standing()
        unread = self._watches.unread() if self._watches is not None else []
        what = f"reading {', '.join(unread)}" if unread else standing.waits_for
        return Snapshot(
            addresses=dict(standing.addresses),
            interfaces=dict(states(standing.interfaces)),
            answerers=dict(answerers(standing.interfaces)),
            bfd_sessions=sessions_by_state(standing.bfd_states),
            bfd_up=sessions_up(standing.bfd_states),
            bgp_sessions=standing.bgp_sessions,
            speakers_known=standing.speakers_known,
            speakers_alive=standing.speakers_alive,
            speakers_heard=standing.speakers_heard,
            is_ready=standing.is_ready,
            waits_for="" if standing.hold is None else f"{standing.hold.value}: {what}",
            refused=self._client.refusals.told(time.monotonic()),
        )

    def _now(self) -> Moment:
        return Moment(time.monotonic(), self._boottime(), time.time())

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- driving the core ----

    async def _drive(self) -> None:
        while True:
            self._wake.clear()
            if self._have_routers_changed:
                self._have_routers_changed = False
                self.core.take(self._routers.report(), self._now())
            batch = self.core.advance(self._now())
            self._carry_out(batch)
            if batch.is_over:
                return
            await asyncio.sleep(0)  # what was ordered goes out before anything else is decided
            if not batch.has_more:
                await self._rest()

    async def _rest(self) -> None:
        """Until something happens, or the core's deadline."""
        await wait_or_wake(self._wake, max(0.0, self.core.deadline() - time.monotonic()))

    def _carry_out(self, batch: Batch) -> None:
        for notice in batch.notices:
            if isinstance(notice, Line):
                getattr(log, notice.level)(notice.event, **notice.fields)
            else:
                getattr(self._metrics, notice.what)(*notice.arguments)
        if batch.permit is not None:
            self._link.send(messages.Permit(batch.permit))
        for order in batch.orders:
            if isinstance(order, messages.SentOrder):
                self._link.send(order)
            else:
                self._start(self._order(order))
        if batch.routers is not None and (report := self._routers.carry_out(batch.routers)) is not None:
            self.tell(report)
        for request in batch.requests:
            self._start(self._request(request))
        if batch.renews_after is not None and batch.renews_after != self._renews_after:
            self._start(self._renew(batch.renews_after))
        self._renews_after = batch.renews_after
        self._read(batch.reading)
        if self._watches is not None:
            self._watches.want_secrets(batch.secrets)
        self._asker.want(batch.questions)
        if batch.gives_lease_back:
            self._start(self._give_lease_back())

    # ---- one thing each ----

    async def _order(self, order: messages.ConfirmedOrder) -> None:
        """An error of the link ends the speaker."""
        try:
            if isinstance(order, messages.Stop):
                await self._link.stop()
            else:
                await self._link.carry_out(order)
        except OrderRefusedError as error:
            self.tell(OrderRefused(order, str(error)))
        else:
            self.tell(OrderDone(order))

    async def _request(self, request: Request) -> None:
        self.tell(await self._objects.carry_out(request))

    async def _renew(self, after: float) -> None:
        """Its answer is told by the renewer, as of every renewal."""
        await self._renewer.renewed_since(after)

    def _read(self, reading: int | None) -> None:
        """Have that reading of the cluster, or none."""
        if reading == self._reading:
            return
        self._reading = reading
        if self._watching is not None:
            self._watching.cancel()
            self._watches = self._watching = None
        if reading is not None:
            members = self.core.members
            self._watches = Watches(
                self._client,
                self._options.namespace,
                reading,
                node=self._options.node,
                tell=self.tell,
                unheard=members.unheard,
                needs_leases=members.needs_leases,
            )
            self._watching = self._start(self._watches.run())

    async def _give_lease_back(self) -> None:
        try:
            await self._renewer.release()
        except ApiError as error:
            self.tell(LeaseReleased(str(error)))
        else:
            self.tell(LeaseReleased())

    async def _follow_keys(self) -> None:
        if directory := self._options.heartbeats.key_directory:
            await follow_keys(
                Path(directory),
                on_keys=lambda keys: self.tell(KeysRead(keys)),
                on_fault=lambda why: self.tell(KeysUnusable(why)),
            )

    async def _tell_when_stopped(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.tell(Stop())
