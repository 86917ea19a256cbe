"""The speaker's agent: joins the API server, the pure core and the wire process into one node's speaker.

    API server --watches--> session --> picture --decide--> orders --drive--> wire process
        ^                                                                         |
        +---- presence <---- status draft <---- announced / withdrawn <-----------+
                                   clock --tick--> right --permit--> wire process

It renews its Lease, registers, reads everything, and only then announces; whatever may have been a fence (a pause, its
Speaker object or Node deleted) makes it do all that again. It answers no ARP and decides no ownership.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from crds.names import COMPONENT_SPEAKER, LABEL_COMPONENT, LABEL_NODE, speaker_lease
from kube.errors import ApiError
from kube.io.client import Client
from kube.lease.io.renewer import LeaseRenewer
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.io.blackhole import Blackholes
from speaker.bgp.io.course import BgpCourse
from speaker.fencing import (
    AnnouncementRight,
    Hold,
    Permit,
    Promise,
    own_contact,
)
from speaker.io.metrics import Snapshot, SpeakerMetrics
from speaker.io.report import Report
from speaker.io.watches import Session
from speaker.layer2.course import Announcer
from speaker.layer2.interfaces import changes, states, to_show
from speaker.layer2.io.defence import Strangers
from speaker.layer2.io.handover import PeerWatch
from speaker.layer2.io.wiredriver import WITHDRAWALS_AT_A_TIME, WireDriver
from speaker.members.io.heartbeats import Heartbeats
from speaker.members.view import PeerTimes
from speaker.options import Options
from speaker.own.io.registration import Presence
from speaker.wire.io.link import WireLink
from speaker.wire.messages import (
    Ages,
    Answer,
    BfdStates,
    Conflict,
    Counters,
    Interface,
    Interfaces,
    Members,
    Probed,
)
from speaker.wire.messages import Permit as PermitOrder
from speaker.wire.messages import (
    Report as WireReport,
)

TICK_SECONDS = 0.5
"""Each tick extends the wire's permit: six chances before it expires."""
DECISIONS_AT_A_TIME = 100
"""About 2 ms of computing between two chances for everything else."""
LEAVE_SECONDS = 3.0
"""For all that is handed over; speaker.layer2.io.handover gives up each address sooner."""
GOODBYE_SECONDS = 5.0
"""For each of the last two writes, well within a pod's 30 s to stop."""
LABEL_VALUE_CHARACTERS = 63

log = structlog.get_logger()


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
        boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._client = client
        self._link = link
        self._options = options
        self._metrics = metrics
        self._boottime = boottime
        self._changed = asyncio.Event()
        self._announcer = Announcer(options.node)
        self._strangers = Strangers(link, self._announcer, metrics)
        self._heartbeats = Heartbeats(
            link,
            options.heartbeats,
            options.node,
            options.incarnation,
            cluster=lambda: self._announcer.cluster,
            is_complete=lambda: not self._right.must_register,
        )
        self._right = AnnouncementRight(options.node, options.limits())
        self._started = boottime()
        self._promise = Promise()
        self._peers = PeerWatch(
            link,
            self._heartbeats,
            self._announcer,
            options.node,
            PeerTimes(options.lease_duration_seconds, options.renew_seconds, options.failback_seconds),
            boottime=boottime,
            contact=self._contact,
            is_serving=self._may_announce,
            on_change=self._peers_changed,
        )
        self._wire = WireDriver(
            link,
            self._announcer,
            metrics,
            probe_some=self._strangers.probe_some,
            may_announce=self._may_announce,
            on_done=self._wire_changed,
        )
        self._bgp = BgpCourse(
            options.node,
            driver,
            link,
            self._announcer.draft,
            self._announcer.announcements,
            blackholes,
            drain_seconds=options.bgp_drain_seconds,
            on_done=self._bgp_changed,
        )
        self._announcer.is_held_back = self._bgp.holds_back
        self._presence = Presence(
            client,
            options.node,
            options.incarnation,
            self._announcer.draft,
            self._promise,
            on_removed=self._removed,
            on_past=self._bgp.inherit,
            on_written=self._bgp.status_written,
        )
        self._renewer = LeaseRenewer(
            client,
            options.namespace,
            speaker_lease(options.node),
            options.incarnation,
            duration_seconds=options.lease_duration_seconds,
            renew_seconds=options.renew_seconds,
            labels=_lease_labels(options.node),
            on_renewed=lambda _: self._peers.judge(),
            boottime=boottime,
        )
        self._report = Report(self._announcer, self._peers, self._heartbeats, self._bgp, options)
        self._session: Session | None = None
        self._session_lost = asyncio.Event()
        self._interfaces: tuple[Interface, ...] = ()
        self._usable: tuple[str, ...] = ()

    def snapshot(self) -> Snapshot:
        """How things stand. Ready = it announces what this node owns; an outage of the API server does not end that."""
        cluster, decisions = self._announcer.cluster, self._announcer.decisions
        return Snapshot(
            addresses=dict(self._announcer.states()),
            speakers_known=len(cluster.speakers),
            speakers_alive=len(decisions.alive),
            speakers_heard=len(self._heartbeats.heard),
            interfaces=dict(states(self._interfaces)),
            bgp_sessions=self._bgp.sessions,
            is_ready=self._right.hold is None,
            waits_for=self._waits_for(),
        )

    def _waits_for(self) -> str:
        if self._right.hold is None:
            return ""
        unsynced = self._session.unsynced() if self._session else []
        return f"{self._right.hold.value}: " + (f"reading {', '.join(unsynced)}" if unsynced else "registering")

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set, then withdraw, say goodbye and return. Raises what ends a speaker for good."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work())
            await stop.wait()
            _, withdrew_routes = await asyncio.gather(self._hand_everything_over(), self._bgp.leave())
            log.info("stopping: everything is withdrawn first")
            self._right.lose(Hold.STOPPING, self._boottime())
            work.cancel()
        await self._leave(withdrew_routes)

    def on_report(self, report: WireReport) -> None:
        """What the wire process tells."""
        match report:
            case Interfaces(interfaces):
                self._interfaces_changed(interfaces)
            case Conflict():
                self._conflict_seen(report)
            case Answer():
                self._strangers.answered(report)
                self._peers_changed()
            case Probed():
                self._strangers.probed(report)
                self._peers_changed()
            case Members(members):
                self._peers.heard(members)
            case Ages(members):
                self._peers.aged(members)
            case BfdStates(sessions):
                self._bgp.bfd_changed(sessions)
            case Counters():
                self._metrics.wire_counters(report)

    def _interfaces_changed(self, interfaces: tuple[Interface, ...]) -> None:
        """The wire process reported its interfaces. Containers come and go: only what can carry addresses matters."""
        for change in changes(self._interfaces, interfaces):
            log.info("an interface changed", what=change.kind.value, interface=change.name, detail=change.detail)
            self._metrics.interface_changed(change.kind.value)
        self._interfaces = interfaces
        usable = tuple(sorted(one.name for one in interfaces if one.usable and one.up))
        if usable != self._usable:
            log.info("usable interfaces", names=usable)
            self._usable = usable
            self._wire.use_interfaces(usable)
        self._show_interfaces()
        self._changed.set()

    def _conflict_seen(self, conflict: Conflict) -> None:
        """Another host claims an address that is announced here. During a take-over that is the other speaker."""
        self._strangers.claimed(conflict)
        self._peers.claimed(conflict.address, conflict.mac)

    def routes_changed(self) -> None:
        """The driver's sessions, or what routers may have of us."""
        self._bgp.driver_changed()

    def _bgp_changed(self) -> None:
        self._announcer.tell_settled()
        self._presence.poke()

    def _may_announce(self) -> bool:
        return self._right.hold is None

    def _peers_changed(self) -> None:
        self._wire.poke()
        self._changed.set()

    def _wire_changed(self) -> None:
        self._presence.poke()
        self._changed.set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick_forever())
            group.create_task(self._wire.run())
            group.create_task(self._bgp.run())
            group.create_task(self._renewer.run())
            group.create_task(self._heartbeats.run())
            group.create_task(self._presence.write_forever())
            group.create_task(self._register_forever())

    # ---- registering and reading ----

    async def _register_forever(self) -> None:
        """One session after the other. Each begins with a renewal, or an allocator might still find this speaker silent
        after it has read everything."""
        while True:
            began = self._boottime()
            self._session_lost.clear()
            self._bgp.begin(self._announcer.begin())
            self._wire.poke()
            renewal = await self._renewer.renewed_since(began)
            self._report_conditions()
            await self._presence.register()
            await self._run_session(renewal.sent_boottime)

    async def _run_session(self, renewal_sent: float) -> None:
        """Until the registration may no longer count."""
        node = await self._presence.own_node()
        speaker_uid = self._presence.uid
        if speaker_uid is None:
            return
        self._peers.begin()
        self._session = Session(
            self._client,
            self._announcer.cluster,
            self._announcer.decisions,
            self._bgp.picture,
            self._peers.liveness,
            node=self._options.node,
            node_uid=node.metadata.uid,
            speaker_uid=speaker_uid,
            incarnation=self._options.incarnation,
            namespace=self._options.namespace,
            on_change=self._changed.set,
            on_removed=self._removed,
        )
        self._show_interfaces()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._session.run()), group.create_task(self._decide_forever(renewal_sent))]
            await self._session_lost.wait()
            for task in tasks:
                task.cancel()

    async def _decide_forever(self, renewal_sent: float) -> None:
        assert self._session is not None
        await self._session.wait_synced()
        self._announcer.forget_old_releases()
        while True:
            self._changed.clear()
            while self._announcer.decisions.has_work or self._bgp.is_due(time.monotonic()):
                self._announcer.decide(DECISIONS_AT_A_TIME, self._peers.answer_until)
                self._bgp.decide(DECISIONS_AT_A_TIME)
                self._wire.poke()
                self._presence.poke()
                await asyncio.sleep(0)
            if self._right.must_register and self._announcer.is_complete and self._has_listened():
                self._finish_registration(renewal_sent)
            await self._changed.wait()  # forever: woken by the watches, the wire and the tick

    def _finish_registration(self, renewal_sent: float) -> None:
        """Everything read has been decided on, and the wire has confirmed that nothing else is on it."""
        self._peers.knows_all()
        if not self._announcer.is_complete:
            return  # it is no member: decided anew
        self._right.registered(renewal_sent)
        if self._right.must_register:
            self._session_lost.set()
            return
        log.info("announcing", addresses=dict(self._announcer.decisions.silences()))
        self._tick()
        self._report_conditions()
        self._wire.poke()

    def _has_listened(self) -> bool:
        """Whether all who send heartbeats have been heard by now: others are alive until the contrary is known."""
        self._heartbeats.look()
        return self._heartbeats.have_listened

    def _removed(self, why: str) -> None:
        """Somebody's word that this speaker is dead: silence until registered anew."""
        log.warning("registering anew", why=why)
        self._metrics.registered_anew("Removed")
        self._right.lose(Hold.REMOVED, self._boottime())
        self._link.send(PermitOrder(0.0))
        self._bgp.hold()
        self._session_lost.set()

    # ---- time ----

    async def _tick_forever(self) -> None:
        while True:
            self._tick()
            if self._report.is_due(time.monotonic()):
                self._report_conditions()
            await asyncio.sleep(TICK_SECONDS)

    def _tick(self) -> None:
        """Extend the permit, or take it away; begin a new registration when this speaker may have been fenced."""
        could_announce, was_registered = self._right.hold is None, not self._right.must_register
        match self._right.tick(
            self._boottime(),
            renewal_sent=self._renewal_sent(),
            promises=self._promise.take_binding(),
            peers=self._peers.for_fencing(),
        ):
            case Permit(until):
                self._link.send(PermitOrder(until))
                self._bgp.permit()
                if not could_announce:
                    self._wire.poke()
            case Hold() as hold if could_announce:
                log.warning("silent", why=hold.value)
                self._link.send(PermitOrder(0.0))
                self._bgp.hold()
        if was_registered and self._right.must_register and self._right.hold is not None:
            log.warning("registering anew", why=self._right.hold.value)
            self._metrics.registered_anew(self._right.hold.value)
            self._session_lost.set()
        if self._strangers.tick():
            self._wire.poke()
        self._peers.judge()
        if self._right.must_register or self._bgp.is_due(time.monotonic()):
            self._changed.set()

    def _renewal_sent(self) -> float | None:
        renewal = self._renewer.last_renewal
        return renewal.sent_boottime if renewal else None

    def _contact(self) -> float:
        """What heartbeats say of our contact with the API server (CLOCK_BOOTTIME)."""
        return own_contact(self._renewal_sent(), self._started)

    # ---- what the Speaker object says ----

    def _show_interfaces(self) -> None:
        self._announcer.decisions.set_own_interfaces(self._usable)
        self._announcer.draft.set("interfaces", to_show(self._link.interfaces, self._usable))
        self._presence.poke()

    def _report_conditions(self) -> None:
        self._report.conditions(self._right.hold, self._renewal_sent(), self._boottime())
        self._presence.poke()

    # ---- leaving ----

    async def _hand_everything_over(self) -> None:
        """Make before break: answer until the successors do, if there are any, for a few seconds at most."""
        if not self._may_announce():
            return
        log.info("stopping: others take over what this node announces")
        self._wire.has_left.clear()
        self._peers.leave()
        self._peers_changed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._wire.has_left.wait()

    async def _leave(self, withdrew_routes: bool) -> None:
        """Off the wire first, confirmed or with the wire process dead; only then say so."""
        announcer = self._announcer
        await self._link.stop()
        announcer.orders.withdraw_everything()
        while addresses := announcer.orders.next_withdrawals(WITHDRAWALS_AT_A_TIME):
            announcer.withdrawn(addresses)
        self._report.stopped(withdrew_routes=withdrew_routes)
        await self._say_last_words(withdrew_routes)

    async def _say_last_words(self, withdrew_routes: bool) -> None:
        """Raises ApiError or TimeoutError when the API server could not be told: releases will wait for this node."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._presence.say_goodbye(withdrew_everything=withdrew_routes)
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._renewer.release()
        except (ApiError, TimeoutError):
            log.error("the API server could not be told that this speaker has stopped", speaker=self._options.node)
            raise
        log.info("said goodbye" if withdrew_routes else "left routes to return to", speaker=self._options.node)


def _lease_labels(node: str) -> dict[str, str]:
    """For people and selectors; a node's name may be longer than a label's value."""
    labels = {LABEL_COMPONENT: COMPONENT_SPEAKER}
    return labels | {LABEL_NODE: node} if len(node) <= LABEL_VALUE_CHARACTERS else labels
