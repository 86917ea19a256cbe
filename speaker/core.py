"""The core of a node's speaker: what it is told goes in as values, what is to be done comes out, one batch at a time.

    take(input, now)        something happened: speaker.inputs, and what the wire process reports
    advance(now) -> Batch   what is to be done now; at once after an input, and at `deadline`
    deadline() -> seconds   when to come back though nothing happens

The order that makes it safe is speaker.phases' table: renew, register, read, listen, serve. This module walks it, and
asks speaker.fencing for leave twice a second. It answers no ARP, holds no session and decides no ownership: its parts
do, and each of them is as pure as it is. It is one machine, so it stands in one file.

    Observed --> ClusterState --> layer2, bgp (speaker.course) --> wire orders, router orders
                      |                 | may_be_heard
                      +-----------> releases --> draft --> own writers --> Look, Write, Delete
    Members, Ages, LeaseSeen --> members --> own state, ownership
"""

from collections.abc import Callable, Mapping
from typing import Any

from kube.objects import NodeSystemInfo
from speaker.batch import Batch, Standing
from speaker.bgp.course import BgpCourse
from speaker.bgp.routers import RouterReport
from speaker.cluster.state import ClusterState, Kind
from speaker.course import Course
from speaker.fencing import AnnouncementRight, Hold, Permit, Promise, own_contact
from speaker.inputs import (
    AllRead,
    Input,
    KeysRead,
    KeysUnusable,
    LeaseGone,
    LeaseReleased,
    LeaseSeen,
    LeasesListed,
    Observed,
    OrderDone,
    OrderRefused,
    OwnAddresses,
    Renewed,
    Stop,
)
from speaker.layer2.course import Layer2Course
from speaker.layer2.held import Held
from speaker.leaving import Leaving
from speaker.members.members import Members
from speaker.members.view import MemberTimes
from speaker.moment import Moment, earliest
from speaker.notices import Notices
from speaker.options import Options
from speaker.own.announcements import Announcements
from speaker.own.conditions import SHOWN
from speaker.own.elsewhere import OtherMachines
from speaker.own.machine import machine_text
from speaker.own.report import Report
from speaker.own.requests import Deleted, Failed, Failure, Found, Wrote
from speaker.own.status import StatusDraft
from speaker.own.writers import OwnWriters
from speaker.phases import TABLE, Cause, Deed, Phase, after, may
from speaker.proxies.questions import ProxyAnswered
from speaker.proxies.readiness import Readiness
from speaker.registration import Registration
from speaker.releases import Releases
from speaker.wire import messages

TICK_SECONDS = 0.5
"""Each tick extends the wire's permit: six chances before it expires."""
DECISIONS_AT_A_TIME = 100
"""About 2 ms of computing between two chances for everything else."""

_NAMES_SECRETS = (Kind.NODE, Kind.BGP_PEER)
"""What decides which Secrets are read: the peers of this node."""


class NodeCore:
    """One run of a speaker. `now` never goes back."""

    def __init__(self, options: Options, now: Moment) -> None:
        self._node = options.node
        self._incarnation = options.incarnation
        self._boot_id = options.boot_id
        self._started = now.boottime
        self.notices = Notices()
        self.draft = StatusDraft()
        self.draft.set("ignoresExcludeLabel", options.ignores_exclude_label)
        self.draft.set("drainsWhenCordoned", options.drains_when_cordoned)
        self._promise = Promise()
        announcements = Announcements(self.draft.announcements)
        times = MemberTimes(options.lease_duration_seconds, options.renew_seconds, options.failback_seconds)
        self.members = Members(options.node, options.incarnation, times, options.heartbeats, self.draft, self.notices)
        self.proxies = Readiness(options.node, self.notices)
        self.layer2 = Layer2Course(
            options.node, self.members.view, self.draft, announcements, self.notices, self.proxies
        )
        self.bgp = BgpCourse(
            options.node,
            self.draft,
            announcements,
            self.notices,
            drain_seconds=options.bgp_drain_seconds,
            proxies=self.proxies,
        )
        self._courses: tuple[Course[Any, Any], ...] = (self.layer2, self.bgp)
        self.releases = Releases(self._courses, self.draft.released)
        self.own = OwnWriters(options.incarnation, self.draft, self._promise)
        self.right = AnnouncementRight(options.node, options.limits())
        self._report = Report(options.node, options.limits(), options.fence_after_seconds, self.draft)
        self._elsewhere = OtherMachines(options.node)
        self._machine = ""
        self._leaving = Leaving()
        self.cluster = ClusterState()
        self.phase = self._left_from = Phase.RENEWING
        self._registration = Registration(options.node, options.incarnation, now.boottime)
        self._renewal_sent: float | None = None
        self._must_settle = False
        self._tick_at = now.monotonic
        self._permit: float | None = None
        self._own_state: messages.OwnState | None = None
        self._secrets: frozenset[str] = frozenset()
        self._begin(now)

    # ---- what is told ----

    def take(self, what: Input, now: Moment) -> None:
        """Something happened. Raises SupersededError when another process is this node's speaker."""
        _HANDLERS[type(what)](self, what, now)

    def _observed(self, seen: Observed, now: Moment) -> None:
        if seen.reading != self._registration.reading or self.right.hold is Hold.STOPPING:
            return
        self.cluster.take(seen.kind, seen.name, seen.old, seen.new)
        self._must_settle |= seen.kind is Kind.ALLOCATION
        if seen.kind in _NAMES_SECRETS:
            self._secrets = self.bgp.secrets
        if seen.name == self._node and seen.kind is Kind.NODE:
            self._own_machine(seen.new.system if seen.new is not None else NodeSystemInfo())
            self._unless_ended(self._registration.why_node_ends_it(seen.new), now)
        elif seen.name == self._node and seen.kind is Kind.SPEAKER:
            self._unless_ended(self._registration.why_speaker_ends_it(seen.new), now)
            if seen.new is not None:
                self.bgp.routers_dropped(seen.new.dropped_routers, now)
                self._elsewhere.said_off(seen.new.machines_off, now.boottime)
                if seen.new.is_called_silent:
                    self.draft.speaker.undone("conditions")

    def _all_read(self, read: AllRead, now: Moment) -> None:
        if read.reading == self._registration.reading and self.phase is Phase.READING:
            self.releases.forget_unread(self.cluster)
            self.layer2.read_in_full()
            self._go(Cause.ALL_READ)

    def _lease_seen(self, seen: LeaseSeen, now: Moment) -> None:
        """One that runs out is noticed by the tick."""
        if seen.reading == self._registration.reading:
            self.members.view.liveness.observe(seen.node, seen.holder, seen.renew_time, now.monotonic)
            self._lease_changed(seen.node, bool(seen.holder), now)

    def _lease_gone(self, gone: LeaseGone, now: Moment) -> None:
        if gone.reading == self._registration.reading:
            self.members.view.liveness.forget(gone.node)
            self._lease_changed(gone.node, False, now)

    def _interfaces_changed(self, what: messages.Interfaces, now: Moment) -> None:
        self.layer2.interfaces_changed(what.interfaces)
        self.bgp.interfaces_changed(what.interfaces)

    def _lease_changed(self, node: str, is_held: bool, now: Moment) -> None:
        if is_held != (node in self.layer2.decisions.alive):
            self.layer2.decisions.set_alive(self.members.view.liveness.alive(now.monotonic))

    def _leases_listed(self, listed: LeasesListed, now: Moment) -> None:
        if listed.reading == self._registration.reading:
            self.members.view.liveness.forget_others(listed.nodes)

    def _renewed(self, renewed: Renewed, now: Moment) -> None:
        self._renewal_sent = renewed.sent
        if self.phase is Phase.RENEWING and self._registration.renewed(renewed.sent):
            self._go(Cause.RENEWED)
            self._judge_conditions(now)
            self.own.speaker.register()
        self._judge(now)

    def _found(self, found: Found, now: Moment) -> None:
        if self.own.take(found, now.monotonic):
            return
        self._registration.node_uid = found.node_uid or self._registration.node_uid
        if found.node_uid:
            self._own_machine(found.node_info)
        self._inherit(found, now)
        self._unless_ended(self.own.speaker.found(found), now)

    def _own_machine(self, told: NodeSystemInfo) -> None:
        """By what the own Node says. What it once said counts on: after a reboot, and where another machine has this
        node's name, it may say less."""
        text = machine_text(self._boot_id, told)
        if len(text) > len(self._machine):
            self._machine = text
            self.draft.set("machine", text)
            self._elsewhere.known_as(text)

    def _inherit(self, found: Found, now: Moment) -> None:
        """What those before may have left on the wire and with routers. A new Speaker is an operator's word that they
        are dead, but not that their routers know. Before the Node is read, the own machine is not known."""
        own = found.own
        if not own.incarnation:
            self._elsewhere.all_said_off(now.boottime)
        if not self.own.speaker.has_ever_registered and own.incarnation != self._incarnation:
            self.bgp.inherit(own.last_word, now)
            if found.node_uid:
                self._elsewhere.take(own.last_word, self._machine)
        if self._elsewhere.are_there and not self.own.speaker.has_ever_registered:
            self.notices.say("warning", "another machine ran this node's speaker; releases wait until it is silent")
            self._judge_conditions(now)

    def _is_alone(self, now: Moment) -> bool:
        """Whether no speaker of this node's name on another machine may announce."""
        others = self._elsewhere
        return not (others.are_there and others.may_announce(now.boottime, self.members.for_fencing()))

    def _wrote(self, wrote: Wrote, now: Moment) -> None:
        if self.own.take(wrote, now.monotonic):
            return
        is_registered = self.own.speaker.wrote(wrote)
        self.bgp.status_written(now)
        if is_registered and self.phase is Phase.REGISTERING:
            self.notices.say("info", "registered", speaker=self._node, uid=wrote.own.uid, incarnation=self._incarnation)
            self._registration.written(wrote.own.uid)
            self._go(Cause.REGISTERED)
            self._elsewhere.registered(now.boottime)
            self.own.begin(self._registration.node_uid)
            self.members.begin(now)

    def _deleted(self, deleted: Deleted, now: Moment) -> None:
        self.own.take(deleted, now.monotonic)

    def _failed(self, failed: Failed, now: Moment) -> None:
        if failed.failure is Failure.OTHER:
            self.notices.say("warning", "the API server refused; trying again", error=failed.error)
        elif failed.failure is Failure.REFUSED:
            self.notices.say("error", "the API server refuses a part of what is written", error=failed.error)
        if not self.own.take(failed, now.monotonic):
            self._unless_ended(self.own.speaker.failed(failed, now.monotonic), now)

    def _unless_ended(self, why: str | None, now: Moment) -> None:
        if why is not None:
            self._removed(why, now)

    def _order_done(self, done: OrderDone, now: Moment) -> None:
        match done.order:
            case messages.Heartbeat() as order:
                self.members.heartbeats.confirmed(order, now.monotonic)
            case messages.Bfd() as order:
                self.bgp.bfd_confirmed(order)
            case messages.Discover() as order:
                self.bgp.discovery_confirmed(order)
            case messages.Stop():
                self.layer2.stopped()
                self._leaving.wire_stopped()
            case order:
                self.layer2.confirmed(order, now)
        self._must_settle = True

    def _order_refused(self, refused: OrderRefused, now: Moment) -> None:
        match refused.order:
            case messages.Heartbeat():
                self.members.heartbeats.refused(refused.message)
            case messages.Bfd():
                self.bgp.bfd_refused(refused.message, now)
            case messages.Discover():
                self.bgp.discovery_refused(refused.message, now)
            case messages.Stop():
                self._leaving.wire_stopped()
            case order:
                self.layer2.refused(order, refused.message, now)

    def _routers_reported(self, report: RouterReport, now: Moment) -> None:
        self.bgp.confirmed(report, now)
        self._must_settle = True

    def _members_heard(self, heard: messages.Members, now: Moment) -> None:
        came_back = self.members.members_heard(heard.members, now)
        self._judge(now)
        self.layer2.members_heard(came_back, now, may_announce=self.may_announce)

    def _stop(self, stop: Stop, now: Moment) -> None:
        """Make before break: answer until the successors do, if there are any, for a few seconds at most."""
        if self.phase is Phase.LEAVING:
            return
        hands_over = self.may_announce
        self._left_from = self.phase
        self._go(Cause.STOPPED)
        self._leaving.begin(now.monotonic, hands_over=hands_over)
        if hands_over:
            self.notices.say("info", "stopping: others take over what this node announces")
            self.members.view.leave()
            self._judge(now)
        for course in self._courses:
            course.leave(now)

    def _lease_released(self, released: LeaseReleased, now: Moment) -> None:
        if released.error:
            self.notices.say("error", "the Lease could not be given back", error=released.error)
        self._leaving.lease_released(has_failed=bool(released.error))

    # ---- what is to be done ----

    def advance(self, now: Moment) -> Batch:
        """Everything that is due, and one slice of decisions. To be carried out in full before the next call."""
        if now.monotonic >= self._tick_at:
            self._tick(now)
        has_more = self._decide(now)
        if self.phase is Phase.LISTENING and not has_more:
            self._look_whether_complete(now)
        if self.phase is Phase.LEAVING:
            self._leave(now)
        if may(self.phase, Deed.CONFIRM):
            self._settle(now)
        return self._batch(now, has_more=has_more)

    def deadline(self) -> float:
        """When to call `advance` though nothing happens (monotonic seconds)."""
        has_withdrawn = self.right.hold is Hold.STOPPING
        found = earliest(
            self._tick_at,
            None if has_withdrawn else self.layer2.deadline(),
            None if has_withdrawn else self.bgp.deadline(),
            self.proxies.deadline() if may(self.phase, Deed.DECIDE) else None,
            self.own.deadline(),
            self._leaving.deadline(),
            self.members.heartbeats.deadline() if self.phase is Phase.LISTENING else None,
        )
        assert found is not None
        return found

    @property
    def may_announce(self) -> bool:
        """Whether frames and routes may leave: both locks are open."""
        return may(self.phase, Deed.ANNOUNCE) and self.right.hold is None

    def _batch(self, now: Moment, *, has_more: bool) -> Batch:
        batch = Batch(
            permit=self._permit,
            orders=self._wire_orders(now),
            routers=self.bgp.take_orders(now, may_announce=self.may_announce),
            requests=self.own.next_requests(now.monotonic),
            renews_after=self._registration.began if self.phase is Phase.RENEWING else None,
            reading=self._registration.reading if self._may_read else None,
            secrets=self._secrets,
            questions=self.proxies.questions(),
            gives_lease_back=self._leaving.takes_lease(),
            is_over=self._leaving.is_over,
            has_more=has_more,
            notices=self.notices.take(),
        )
        self._permit = self._own_state = None
        return batch

    @property
    def _may_read(self) -> bool:
        """One that leaves reads on, and begins no reading."""
        was = self._left_from if self.phase is Phase.LEAVING else self.phase
        return may(was, Deed.READ) and self.right.hold is not Hold.STOPPING

    def _wire_orders(self, now: Moment) -> list[messages.Order]:
        if self.right.hold is Hold.STOPPING:
            return [messages.Stop()] if self._leaving.takes_wire_stop() else []
        orders = self.layer2.take_orders(now, may_announce=self.may_announce)
        bgp = self.bgp
        one_at_a_time = (
            self.members.heartbeats.next_order(),
            bgp.next_bfd(now),
            bgp.next_discovery(now),
            self._own_state,
        )
        return [*orders, *(order for order in one_at_a_time if order is not None)]

    # ---- phases ----

    def _go(self, cause: Cause) -> None:
        self.phase = after(self.phase, cause)

    def _begin(self, now: Moment) -> None:
        """One registration after the other. Each begins with a renewal, or an allocator might still find this speaker
        silent after it has read everything."""
        self.cluster = ClusterState()
        self.proxies.begin(self.cluster)
        for course in self._courses:
            course.begin(self.cluster)
        self.releases.begin(self.cluster)
        self.members.follow(self.cluster)
        self._secrets = frozenset()
        self._registration.begin_anew(now.boottime)

    def _anew(self, now: Moment) -> None:
        """This speaker may have been taken for dead. One that leaves has nothing to register for."""
        self.own.end()
        if self.phase is not Phase.LEAVING:
            self._go(Cause.MAY_BE_FENCED)
            self._begin(now)

    def _removed(self, why: str, now: Moment) -> None:
        """Somebody's word that this speaker is dead: silence until registered anew."""
        self._say_anew(Hold.REMOVED, why)
        self.right.lose(Hold.REMOVED, now.boottime)
        self.own.speaker.removed()
        self._silence()
        self._anew(now)

    def _say_anew(self, hold: Hold, why: str) -> None:
        self.notices.say("warning", "registering anew", why=why)
        self.notices.count("registered_anew", hold.value)

    def _silence(self) -> None:
        self._permit = 0.0
        self.bgp.hold()

    def _decide(self, now: Moment) -> bool:
        """One slice. Whether there is more to decide."""
        if not may(self.phase, Deed.DECIDE):
            return False
        self.proxies.update(now.monotonic)
        if self.proxies.has_changes:
            return True
        for name in self.proxies.take_settled():
            self.layer2.decisions.look_again(name)
            self.bgp.decisions.look_again(name)
        if any(course.has_work(now) for course in self._courses):
            for course in self._courses:
                course.decide(DECISIONS_AT_A_TIME, now)
            self._must_settle = True
        return any(course.has_work(now) for course in self._courses)

    def _look_whether_complete(self, now: Moment) -> None:
        """Everything read has been decided on, the wire process has confirmed that nothing else is on it, and others,
        which are alive until the contrary is known, have had time to be heard."""
        heartbeats = self.members.heartbeats
        heartbeats.follow(self.cluster, is_complete=False)
        if not heartbeats.have_listened(now.monotonic) or not self.layer2.is_complete:
            return
        if not self._registration.knows_all:
            self._registration.knows_all = True
            self._judge(now)
        if not self.layer2.is_complete:
            return  # it is no member: decided anew
        self.right.registered(self._registration.renewal_sent)
        if self.right.must_register:
            self._anew(now)
            return
        self._go(Cause.COMPLETE)
        self.notices.say("info", "announcing", addresses=dict(self.layer2.decisions.silences()))
        self._tick(now)
        self._judge_conditions(now)

    def _settle(self, now: Moment) -> None:
        """Confirm releases; what the routers may still have, they are asked about first."""
        if not self._must_settle:
            return
        self._must_settle = False
        if not self._is_alone(now):
            return  # asked again with each tick
        self.bgp.ask(self.releases.addresses)
        self.releases.settle(now)

    # ---- time ----

    def _tick(self, now: Moment) -> None:
        """Extend the permit, or take it away; begin a new registration when this speaker may have been fenced."""
        self._tick_at = now.monotonic + TICK_SECONDS
        could_announce, was_registered = self.right.hold is None, not self.right.must_register
        members = self.members.for_fencing()
        match self.right.tick(
            now.boottime, renewal_sent=self._renewal_sent, promises=self._promise.take_binding(), members=members
        ):
            case Permit(until):
                self._permit = until
                self.bgp.permit(now)
                if self.phase is Phase.HELD:
                    self._go(Cause.OUTAGE_FOR_ALL)
            case Hold() as hold:
                if could_announce:
                    self.notices.say("warning", "silent", why=hold.value)
                    self._silence()
                if self.phase is Phase.SERVING:
                    self._go(Cause.CUT_OFF)
        if was_registered and self.right.must_register and self.right.hold is not None:
            self._say_anew(self.right.hold, self.right.hold.value)
            self._anew(now)
        self.layer2.tick(now)
        self.bgp.tick(now)
        self._must_settle = True
        is_complete = not self.right.must_register
        self.members.heartbeats.follow(self.cluster, is_complete=is_complete)
        self._judge(now)
        if self._report.is_due(now):
            self.draft.forgive(now.monotonic)
            self._judge_conditions(now)

    def _judge(self, now: Moment) -> None:
        """Which speakers are alive and where each stands, this one included; it says so itself."""
        decisions, view = self.layer2.decisions, self.members.view
        contact = own_contact(self._renewal_sent, self._started)
        decisions.set_members(view.liveness.alive(now.monotonic), view.heard)
        others = decisions.other_members() if self._registration.knows_all else None
        own = self.members.judge(now, contact, others=others)
        decisions.set_own_tier(own.tier)
        decisions.set_claims(view.claims(now.monotonic))
        said = self.members.own_state(contact, is_serving=self.may_announce, now=now.boottime)
        self._own_state = said or self._own_state

    def _judge_conditions(self, now: Moment) -> None:
        """What the Speaker object says for people, and its promise."""
        report, members = self._report, self.members
        self.own.report.nodes = len(self.cluster.speakers) or 1
        contacts = members.for_fencing()
        others = () if self._is_alone(now) else self._elsewhere.entries()
        report.judge(self.right.hold, contacts, self._renewal_sent, others, now)
        report.judge_refusals(self.draft.refusals.told(), now)
        if members.heartbeats.are_wanted:
            heartbeats = members.heartbeats
            report.judge_heartbeats(heartbeats.fault, heartbeats.port_taken, contacts.known, members.heard, now)
        if self.right.hold is None:
            decisions = self.layer2.decisions
            faults = decisions.faults(SHOWN + 1, self.bgp.covers)
            report.judge_addresses(faults, decisions.unplaced(), now)
            report.judge_kernel(self.layer2.held_by_kernel, now)
            found = [*self.bgp.faults(), *decisions.told_faults(), *self.layer2.ping_faults()]
            self.draft.set("faults", found)
            if (causes := decisions.causes.take_changed()) is not None:
                self.draft.set("unannounced", causes)
        report.show()

    # ---- leaving ----

    def _leave(self, now: Moment) -> None:
        """Off the wire and the routers first, confirmed; only then say so."""
        leaving = self._leaving
        if leaving.may_end(now.monotonic, layer2=self.layer2.has_left, bgp=self.bgp.has_left):
            self.notices.say("info", "stopping: everything is withdrawn first")
            self.right.lose(Hold.STOPPING, now.boottime)
            self._permit = 0.0
        if leaving.may_say_goodbye(now.monotonic, has_confirmed=self.own.confirmation.has_said_all):
            withdrew = self.bgp.withdrew_everything(now) and self._is_alone(now)
            self._report.judge_end(withdrew_routes=withdrew, now=now)
            self.own.speaker.say_goodbye(withdrew_everything=withdrew)
            self.own.report.end()
        leaving.pass_time(now.monotonic, self.own.speaker.goal)

    @property
    def failed_to_say_goodbye(self) -> bool:
        """Whether the API server could not be told of the end, so that releases will wait for this node."""
        return self._leaving.has_failed

    # ---- what is asked ----

    def standing(self) -> Standing:
        """How things stand, for probes and metrics."""
        return Standing(
            addresses=dict(self.layer2.states()),
            interfaces=self.layer2.interfaces,
            speakers_known=len(self.cluster.speakers),
            speakers_alive=len(self.layer2.decisions.alive),
            speakers_heard=len(self.members.heard),
            bgp_sessions=self.bgp.sessions,
            bfd_states=self.bgp.bfd_states,
            is_ready=self.right.hold is None,
            hold=self.right.hold,
            waits_for=TABLE[self.phase].waits_for,
        )


_HANDLERS: Mapping[type, Callable[[NodeCore, Any, Moment], None]] = {
    Observed: NodeCore._observed,
    AllRead: NodeCore._all_read,
    LeaseSeen: NodeCore._lease_seen,
    LeaseGone: NodeCore._lease_gone,
    LeasesListed: NodeCore._leases_listed,
    Renewed: NodeCore._renewed,
    Found: NodeCore._found,
    Wrote: NodeCore._wrote,
    Deleted: NodeCore._deleted,
    Failed: NodeCore._failed,
    OrderDone: NodeCore._order_done,
    OrderRefused: NodeCore._order_refused,
    OwnAddresses: lambda core, what, _: core.bgp.own_addresses_read(what.addresses),
    Held: lambda core, what, _: core.layer2.kernel_holds(what),
    KeysRead: lambda core, what, _: core.members.heartbeats.keys_read(what.keys),
    KeysUnusable: lambda core, what, _: core.members.heartbeats.keys_unusable(what.fault),
    Stop: NodeCore._stop,
    LeaseReleased: NodeCore._lease_released,
    ProxyAnswered: lambda core, what, now: core.proxies.answered(what, now.monotonic),
    RouterReport: NodeCore._routers_reported,
    messages.Interfaces: NodeCore._interfaces_changed,
    messages.Conflict: lambda core, what, now: core.layer2.conflict(what, now),
    messages.Answer: lambda core, what, now: core.layer2.answered(what, now),
    messages.Probed: lambda core, what, _: core.layer2.probed(what),
    messages.PingFault: lambda core, what, _: core.layer2.ping_failed(what),
    messages.Counters: lambda core, what, _: core.notices.count("wire_counters", what),
    messages.Members: NodeCore._members_heard,
    messages.HeartbeatPort: lambda core, what, _: core.members.heartbeats.port_found(is_taken=what.is_taken),
    messages.Ages: lambda core, what, _: core.members.view.age(what.members),
    messages.BfdStates: lambda core, what, now: core.bgp.bfd_reported(what.sessions, now),
    messages.LinkRouters: lambda core, what, _: core.bgp.routers_heard(what.links),
}
