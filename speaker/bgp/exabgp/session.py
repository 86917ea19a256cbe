"""The session with one router, through any number of processes and connections: what to write, what is confirmed. Pure.

The driver brings events and the time, and takes lines to write. For each prefix there is a RibEntry (routestate.py),
which is moved by what is written and by what ExaBGP reports. `wanted` is what the router is to have, `held` is what
ExaBGP holds: where they differ, a command is due.

    want, change --> entry.wanted --> due --> next_lines --> ExaBGP --> router
                                                 |              |
                       entry.state <-- written --+   <-- Answer, Sent, EndOfRib, Unacknowledged, Up, Down
"""

from collections.abc import Iterable, Mapping, Set
from itertools import islice
from math import inf

from crds.addresses import Family
from crds.speaker import MOST_WITHDRAWN, Acknowledger
from speaker.bgp.exabgp import commands, events
from speaker.bgp.exabgp.ackquery import HEARTBEAT_SECONDS, AckQuery
from speaker.bgp.exabgp.commandqueue import Change, Command, CommandQueue
from speaker.bgp.exabgp.connection import Connection
from speaker.bgp.exabgp.endofrib import EndOfRib
from speaker.bgp.exabgp.refreshproof import RefreshProof
from speaker.bgp.exabgp.ribout import (
    IN_FLIGHT,
    SENT,
    UNACKNOWLEDGED,
    WITHDRAWALS_IN_FLIGHT,
    Posture,
    RibOut,
    presented,
)
from speaker.bgp.exabgp.routestate import RibEntry, RouteEvent, RouteState
from speaker.bgp.model import EXABGP_PERMIT_SECONDS, PeerConfig, Prefix, Route, SessionView, whole_seconds

CONFIRM_SECONDS = 10.0
"""So long may ExaBGP be silent, an UPDATE unsent, or what was sent unacknowledged, before the session is ended."""
STUCK_SECONDS = 2.0
"""A withdrawal that is not acknowledged by then is told."""
PATIENCE_SECONDS = 90.0
"""In the place of a hold time, where the session has none."""
PROBE_SECONDS = 1.0
"""A withdrawal of which nothing is reported by then is looked for by an End-of-RIB after it."""
CLOCK_MARGIN_SECONDS = 1.0
_UNCOVERED = "the session waits until the API server has for how long the router may keep routes, as was agreed with it"


class RouterSession:
    """`now`: monotonic seconds, everywhere. `permit`: until when ExaBGP may live (CLOCK_BOOTTIME); None: nobody says.
    It goes with each query while ExaBGP holds routes, and before the first route. `covered_seconds`: whoever judges
    this node knows that the router may keep routes for so long; None: nobody says. A session in which it may keep them
    for longer does not come up: what ExaBGP holds would be sent in it."""

    def __init__(self, peer: PeerConfig, now: float) -> None:
        self.permit: float | None = None
        self.covered_seconds: int | None = None
        self._connection = Connection(peer, now)
        self._is_running = self._is_synced = False
        self._fault: str | None = None
        self._rib = RibOut()
        self._posture = Posture.Normal
        self._is_known = False
        self._due: dict[RibEntry, None] = {}
        self._commands = CommandQueue(now)
        self._end_of_rib = EndOfRib()
        self._ack_query = AckQuery(now)
        self._proof = RefreshProof()
        self._refreshes_before_mark = 0
        """How many had been sent when the last End-of-RIB that marks the end of all routes was reported."""
        self._pace = ""
        """What the process that runs was told of it."""
        self._is_stuck, self._stuck_until = False, inf
        """Until when the router may keep what it does not acknowledge to be withdrawn, in the session that is up."""
        self._progress_at = now
        """When an UPDATE was last reported, or the wait for one began."""

    @property
    def peer(self) -> PeerConfig:
        return self._connection.peer

    def configure(self, peer: PeerConfig) -> None:
        """The same router, to be spoken to in another way. While ExaBGP runs, only one whose session is the same
        (speaker.bgp.exabgp.config)."""
        self._connection.peer = peer

    # What is wanted

    def want(self, routes: Mapping[Prefix, Route]) -> None:
        """All routes that the router is to have. Until this was said once, there is no End-of-RIB but a silent one."""
        gone = [entry.prefix for entry in self._rib if entry.wanted is not None and entry.prefix not in routes]
        self.change({**dict.fromkeys(gone), **routes})

    def change(self, changes: Mapping[Prefix, Route | None]) -> None:
        """What is to be otherwise of the routes that it is to have; None = it is to have none. Costs only that much.
        The first time this is all of them."""
        self._is_known = True
        for prefix, route in changes.items():
            entry = self._rib.get(prefix) if route is None else self._rib.entry(prefix)
            if entry is not None and entry.wanted != route:
                entry.wanted = route
                self._rib.changed(entry)
                self._plan(entry)

    @property
    def wanted(self) -> dict[Prefix, Route] | None:
        """All routes that the router is to have, whatever the posture; None: nothing was said yet. A copy."""
        routes = {entry.prefix: entry.wanted for entry in self._rib if entry.wanted is not None}
        return routes if self._is_known else None

    def set_posture(self, posture: Posture) -> None:
        """How the wanted routes are presented from now on."""
        if posture is self._posture:
            return
        self._posture = posture
        for entry in self._rib:
            if entry.wanted is not None:
                self._rib.changed(entry)
                self._plan(entry)

    # What happens

    def exabgp_started(self, now: float) -> None:
        """A new process runs, knows nothing, and takes lines from now on."""
        self._is_running, self._fault, self._pace = True, None, ""
        self._commands.waiting_since = now
        self._ack_query.process_started(now)
        self._connection.process_started(now)
        self._plan_all()

    def exabgp_ended(self, why: str, now: float) -> None:
        """The process is dead, and with it its connections. The last that happened may not have been reported: what it
        held, it may have sent."""
        until = self._outlived_at(now)
        for entry in self._rib:
            if entry.is_out:
                self._rib.keep(entry, until)
        self._lost(is_dropped=False, now=now)
        self._is_running = False
        self._ack_query.process_ended()
        self._due.clear()
        for entry in self._commands.clear():
            self._rib.changed(entry)
        for entry in self._rib:
            entry.refused = None
            self._rib.move(entry, RouteEvent.ExaBgpEnded)
            self._rib.forget_empty(entry)
        self._connection.process_ended(why, now)

    def handle(self, event: events.Event, now: float) -> None:
        match event:
            case events.Answer():
                self._answered(event.is_done, now)
            case events.Sent():
                self._sent(event, now)
            case events.Unacknowledged():
                self._query_answered(event, now)
            case events.EndOfRib():
                self._end_of_rib_sent(event.family, now)
            case events.RefreshSent() | events.RefreshBegun() | events.RouterEndOfRib() | events.RefreshCostly():
                self._about_refresh(event, now)
            case events.Connected():
                self._connection.connected(now)
            case events.Negotiated():
                self._fault = self._connection.negotiated(event, now) or self._fault
            case events.Notified():
                self._connection.notified(event)
            case events.Up():
                self._came_up(now)
            case events.Down():
                self._went_down(event, now)
            case events.Ended():
                pass  # for who holds the process

    def router_started_anew(self) -> None:
        """Another session with the same router is up and complete: it has dropped what it had from this one."""
        if not self._connection.is_up:
            self._rib.drop_kept()

    def pass_time(self, now: float) -> None:
        """Forget what the router has surely dropped by now. To be called each second or so."""
        self._connection.pass_time(now)
        self._stuck_until, self._is_stuck = inf, False
        if self.is_up and self._rib.count(UNACKNOWLEDGED):
            if self._is_unread_since(now - STUCK_SECONDS, now):
                self._is_stuck = True
                self._stuck_until = self._outlived_at(self._proof.asked_at + self._patience_seconds)
            elif now - self._ack_query.progress_at >= STUCK_SECONDS:
                self._is_stuck = True
                self._stuck_until = self._outlived_at(self._ack_query.progress_at)
        is_resumable = self._is_running and self.peer.graceful_restart_seconds is not None
        self._rib.drop_kept(min(now, self._ack_query.known_at) if is_resumable else now)

    # What to write

    def next_lines(self, now: float) -> list[str]:
        """Lines to write now. Each is answered; few are on the way at a time."""
        if not self._is_running:
            return []
        begun = len(self._commands)
        self._write_pace()
        self._write_acceptance()
        if self._commands.room > 0:
            self._write_changes(now)
            self._write_end_of_rib(now)
            self._write_refresh(now)
            if self._ack_query.is_due(now):
                self._write_query(now, is_permit_needed=not self.is_clean)
        if self._commands and not begun:
            self._commands.waiting_since = now
        return self._commands.lines_after(begun)

    def goodbye_line(self, subcode: int) -> str:
        """Ends the session with NOTIFICATION Cease; ExaBGP would open it anew, so end it then."""
        line = commands.teardown(str(self.peer.peer_address), subcode)
        self._commands.write(line)
        return line

    def deadline(self) -> float | None:
        """When to come for lines, and look at `overdue`, at the latest; None: not before ExaBGP runs."""
        if not self._is_running:
            return None
        query_at = self._commands.waiting_since + HEARTBEAT_SECONDS
        return min(query_at if self._ack_query.is_asked else self._ack_query.ask_at, self._proof.nudge_at)

    def overdue(self, now: float) -> str | None:
        """Why ExaBGP is to be killed, in words, if it is."""
        if not self._is_running:
            return None
        if self._fault:
            return self._fault
        if self._commands and now - self._commands.waiting_since > CONFIRM_SECONDS:
            return "ExaBGP did not answer"
        is_sending = self._rib.count(IN_FLIGHT) and not self._commands.has_changes
        if is_sending and now - self._progress_at > CONFIRM_SECONDS:
            return "ExaBGP did not send what it was told to"
        if self._rib.count(UNACKNOWLEDGED) and now - self._ack_query.progress_at > CONFIRM_SECONDS:
            return "the router did not acknowledge a withdrawal"
        if self._is_unread_since(now - self._patience_seconds, now):
            return "the router's BGP process did not answer a ROUTE-REFRESH, though its TCP goes on"
        return None

    # What is known

    @property
    def is_up(self) -> bool:
        return self._connection.is_up

    @property
    def is_synced(self) -> bool:
        """Whether the router has had all there was to have since the session came up, and End-of-RIB."""
        return self._is_synced

    @property
    def is_clean(self) -> bool:
        """Whether ExaBGP holds nothing, and the session that is up has nothing of us at the router."""
        return self._rib.is_absent and not self._commands.has_changes

    @property
    def has_changed(self) -> bool:
        """Whether an answer of `may_be_heard` or `has_sent` may have changed since `take_changed`."""
        return self._rib.has_changed

    def take_changed(self) -> set[Prefix]:
        """For which prefixes."""
        return self._rib.take_changed()

    def has_sent(self, prefix: Prefix) -> bool:
        """Whether an UPDATE with it was seen to be sent in the session that is up, and none that withdraws it."""
        entry = self._rib.get(prefix)
        return entry is not None and entry.state.is_sent

    def sent_route(self, prefix: Prefix) -> Route | None:
        """With which attributes `has_sent`; None: it has not, or that is not known."""
        entry = self._rib.get(prefix)
        return None if entry is None or entry.sent is None else self._connection.as_sent(entry.sent)

    def may_be_heard(self, prefix: Prefix) -> bool:
        """Of what passes with time: as of the last `pass_time`."""
        entry = self._rib.get(prefix)
        if entry is None:
            return False
        is_presented = entry.wanted is not None and self._posture is not Posture.Silent
        return is_presented or entry.is_out or entry.kept_until > 0.0

    @property
    def has_kept(self) -> bool:
        """Whether the router may still have something from earlier sessions, as of the last `pass_time`."""
        return self._rib.has_kept

    @property
    def outlives_seconds(self) -> int:
        """How long the router may keep routes of the session that is up, or that comes next, after the agent's end."""
        return whole_seconds(self._connection.outlives_seconds + EXABGP_PERMIT_SECONDS)

    def kept_seconds(self, now: float) -> int:
        """For how long it may yet keep what it has from earlier sessions; 0 = nothing, or no longer than the session
        that is up."""
        return 0 if self._connection.is_up or not self.has_kept else max(1, whole_seconds(self._rib.kept_until - now))

    def view(self) -> SessionView:
        """As of now."""
        kept_until = self._stuck_until if self.is_up else self._rib.kept_until
        is_known = kept_until < inf if self.is_up else self.has_kept and kept_until < inf
        by_process = self.is_up and self._proof.is_answered
        return self._connection.view(
            self._rib.count(SENT),
            kept_until if is_known else None,
            Acknowledger.Process if by_process else Acknowledger.TCP,
            self._unacknowledged() if self._is_stuck and self.is_up else (),
        )

    def _unacknowledged(self) -> tuple[Prefix, ...]:
        return tuple(sorted(one.prefix for one in islice(self._rib.entries(UNACKNOWLEDGED), MOST_WITHDRAWN)))

    # The session comes and goes

    def _came_up(self, now: float) -> None:
        self._connection.came_up(now)
        self._proof.came_up(self._connection.refresh, self._connection.families, now)
        self._is_synced = False
        self._end_of_rib.reset()
        for entry in self._rib:
            if self._is_carried(entry):
                is_being_withdrawn = entry.state is RouteState.Absent and entry.unanswered
                event = RouteEvent.SessionUpMeanwhile if is_being_withdrawn else RouteEvent.SessionUp
                self._rib.move(entry, event)
        if self.peer.graceful_restart_seconds is None:
            self._rib.drop_kept()
        else:  # until it has End-of-RIB (RFC 4724 §4.2)
            self._rib.keep_on(inf)
        self._progress_at = now
        self._plan_all()

    def _went_down(self, event: events.Down, now: float) -> None:
        self._lost(is_dropped=event.by_router, now=now)
        self._connection.went_down(event, now)
        self._plan_all()

    def _lost(self, *, is_dropped: bool, now: float) -> None:
        """`is_dropped`: the router has ended it, and so has dropped the routes (RFC 4271 §9, RFC 4724 §4.2)."""
        until = self._outlived_at(now)
        if self._connection.is_up:
            self._rib.keep_on(until)
        for entry in self._rib:
            if entry.state.is_exposed and not is_dropped:
                self._rib.keep(entry, until)
            self._rib.move(entry, RouteEvent.SessionLost)
            self._rib.forget_empty(entry)
        self._connection.lost()
        self._proof.lost()
        self._is_synced = False
        self._end_of_rib.reset()

    def _outlived_at(self, now: float) -> float:
        """When the router has surely dropped what it may have now, if the session is lost now."""
        return now + self._connection.outlives_seconds + CLOCK_MARGIN_SECONDS

    # Changes

    def _presented(self, entry: RibEntry) -> Route | None:
        if entry.wanted is None:
            return None
        return presented(entry.wanted, self._posture, is_interior=self.peer.is_interior)

    def _plan_all(self) -> None:
        self._due.clear()
        for entry in self._rib:
            self._plan(entry)

    def _plan(self, entry: RibEntry) -> None:
        if self._needs_command(entry):
            self._due[entry] = None
        else:
            self._due.pop(entry, None)
            self._rib.forget_empty(entry)

    def _needs_command(self, entry: RibEntry) -> bool:
        """Announcements wait for the session; until then ExaBGP is only made to forget."""
        if not self._is_running or entry.state.is_in_flight:
            return False
        route = self._target(entry)
        if entry.held == route:
            return False
        return route is None or (self._connection.carries(entry.family) and entry.refused != route)

    def _target(self, entry: RibEntry) -> Route | None:
        """What ExaBGP is to hold of it: nothing of what has no next hop in the session that is up."""
        route = self._presented(entry)
        is_unsendable = route is not None and self._connection.carries(entry.family) and not self._can_be_sent(route)
        return None if is_unsendable else route

    def _can_be_sent(self, route: Route) -> bool:
        if self._connection.has_next_hop(route):
            return True
        self._connection.last_error = (
            f"{route.prefix} can't be sent: no next hop of its family is known on this session"
        )
        return False

    def _is_carried(self, entry: RibEntry) -> bool:
        """Whether ExaBGP sends what it holds of it in the session that is up: what has no next hop there it keeps."""
        has_next_hop = entry.held is None or self._connection.has_next_hop(entry.held)
        return self._connection.carries(entry.family) and has_next_hop

    def _write_pace(self) -> None:
        wanted = commands.pace(self.peer.connect_retry_seconds, self.peer.keepalive_seconds)
        if wanted != self._pace:
            self._pace = wanted
            self._commands.write(wanted)

    def _write_acceptance(self) -> None:
        """Of what was agreed on after OPEN, when it is covered."""
        agreed = self._connection.unaccepted
        if agreed is None:
            return
        if self.covered_seconds is not None and self.outlives_seconds > self.covered_seconds:
            self._connection.last_error = _UNCOVERED
            return
        self._connection.unaccepted = None
        self._commands.write(commands.accept(*agreed))

    def _write_changes(self, now: float) -> None:
        """Withdrawals first."""
        if self._due and not self._rib.count(IN_FLIGHT):
            self._progress_at = now
        some = islice(self._due, self._commands.room * commands.PREFIXES_PER_LINE)
        after = {entry.prefix: (entry, self._target(entry)) for entry in some}
        routes = [route for _, route in after.values() if route is not None]
        for line, prefixes in commands.withdrawals(prefix for prefix, (_, route) in after.items() if route is None):
            self._write(line, RouteEvent.WithdrawWritten, (after[prefix] for prefix in prefixes))
            self._proof.want()
        if routes and self.permit is not None and not self._ack_query.is_permitted:
            self._write_query(now, is_permit_needed=True)
        for line, prefixes in commands.announcements(routes, self.peer):
            if self._commands.room <= 0:
                return
            self._write(line, RouteEvent.AnnounceWritten, (after[prefix] for prefix in prefixes))

    def _write(self, line: str, event: RouteEvent, changes: Iterable[tuple[RibEntry, Route | None]]) -> None:
        made = [Change(entry, entry.held, route) for entry, route in changes]
        self._commands.write(line, made)
        for change in made:
            del self._due[change.entry]
            self._rib.move(change.entry, event)
            change.entry.held = change.after

    def _write_query(self, now: float, *, is_permit_needed: bool) -> None:
        self._commands.write(self._ack_query.line(now, self.permit, is_permit_needed=is_permit_needed))

    def _answered(self, is_done: bool, now: float) -> None:
        command = self._commands.answered(now)
        if command is None:
            self._fault = "ExaBGP answered more than it was asked"
            return
        for change in command.changes:
            if not change.entry.is_out:
                self._rib.changed(change.entry)
                self._rib.forget_empty(change.entry)
        if not is_done and command.is_withdrawal:
            self._fault = f"ExaBGP refused a withdrawal: {command.line[:100]}"
        elif not is_done and command.changes:
            self._take_back(command)

    def _take_back(self, command: Command) -> None:
        """Nothing of it was taken. Said once; not tried again until the route is another one."""
        self._connection.last_error = f"ExaBGP refused a route: {command.line[:100]}"
        for entry, before, after in command.changes:
            if entry.unanswered:  # a later command says what ExaBGP holds
                continue
            entry.refused = after
            self._rib.move(entry, RouteEvent.NewRefused if before is None else RouteEvent.OtherRefused)
            entry.held = before
            self._plan(entry)

    # What ExaBGP reports

    def _sent(self, event: events.Sent, now: float) -> None:
        self._progress_at = now
        self._move(map(self._rib.entry, event.announced), RouteEvent.AnnounceSent, now)
        known = filter(None, map(self._rib.get, event.withdrawn))
        self._move(known, RouteEvent.WithdrawSent, now)

    def _move(self, entries: Iterable[RibEntry], event: RouteEvent, now: float) -> None:
        """And plan what comes next of them, and ask for the acknowledgement of withdrawals."""
        for entry in entries:
            is_first = not self._rib.count(UNACKNOWLEDGED)
            if self._rib.move(entry, event):
                if entry.state.is_unacknowledged:
                    entry.refreshes_before = self._proof.sent
                    self._expect(now, is_first=is_first)
                self._plan(entry)

    def _expect(self, now: float, *, is_first: bool) -> None:
        """An acknowledgement, of the router's process where it is known to answer, and else of its TCP."""
        self._proof.want()
        if not self._proof.is_required(now):
            self._ack_query.expect(now, is_first=is_first)

    def _about_refresh(self, event: events.AboutRefresh, now: float) -> None:
        match event:
            case events.RefreshSent(family):
                self._proof.was_sent(family, now)
            case events.RefreshCostly(family):
                self._proof.costly(family)
            case events.RefreshBegun() if self._proof.begun(event.family):
                self._acknowledged(self._proof.sent, now)
            case events.RouterEndOfRib() if self._proof.end_of_rib(event.family):
                self._acknowledged(self._proof.sent, now)

    def _write_refresh(self, now: float) -> None:
        if not self._connection.is_up or self._commands.room <= 0:
            return
        if self._proof.is_due:
            self._commands.write(commands.refresh(self._proof.ask(now)))
        elif self._proof.is_nudge_due(now):
            self._proof.nudged(now)
            self._commands.write(commands.nudge())

    def _is_unread_since(self, then: float, now: float) -> bool:
        """Whether the router's process, which is known to answer, has not answered what was asked by then."""
        return self._proof.is_awaited and self._proof.asked_at <= then and self._proof.is_required(now)

    @property
    def _patience_seconds(self) -> float:
        """A process that hangs says no KEEPALIVE either, as a rule: then the hold time has ended the session before."""
        return (self._connection.hold_seconds or PATIENCE_SECONDS) + CONFIRM_SECONDS

    def _write_end_of_rib(self, now: float) -> None:
        """As a probe for withdrawals that nothing is seen of; else as the mark that all was sent."""
        if not self._connection.is_up or self._end_of_rib.is_awaited or self._commands.has_changes:
            return
        families: Set[Family] = frozenset()
        unseen = self._rib.entries(WITHDRAWALS_IN_FLIGHT)
        if unseen and now - self._progress_at >= PROBE_SECONDS:
            families = {entry.family for entry in unseen}
        elif self._is_all_sent:
            families = self._end_of_rib.unmarked(self._connection.families)
        for family in sorted(families):
            self._end_of_rib.ask(family, unseen)
            self._commands.write(commands.end_of_rib(family))

    def _end_of_rib_sent(self, family: Family, now: float) -> None:
        self._move(self._end_of_rib.sent(family), RouteEvent.ProbePassed, now)
        if self._is_all_sent:
            self._end_of_rib.mark(family)
            self._refreshes_before_mark = self._proof.sent
            self._expect(now, is_first=not self._rib.count(UNACKNOWLEDGED))

    @property
    def _is_all_sent(self) -> bool:
        """Silent, a router is to have nothing, and that is known."""
        is_known = self._is_known or self._posture is Posture.Silent
        return is_known and not self._due and not self._rib.count(IN_FLIGHT)

    @property
    def _is_marked(self) -> bool:
        return self._connection.is_up and not self._end_of_rib.unmarked(self._connection.families)

    def _query_answered(self, event: events.Unacknowledged, now: float) -> None:
        """What this says is so of everything whose UPDATE was reported before: ExaBGP writes it on in between."""
        self._connection.in_trouble(event.trouble)
        self._ack_query.answered(event.byte_count, now)
        is_enough = not self._proof.is_required(now)
        if event.byte_count == 0 and is_enough:
            self._acknowledged(None, now)
        is_waiting = bool(self._rib.count(UNACKNOWLEDGED)) or (self._is_marked and not self._is_synced)
        is_sending = self._rib.count(IN_FLIGHT) > 0
        self._ack_query.ask_later(
            now,
            is_waiting=is_waiting and is_enough,
            otherwise_after=PROBE_SECONDS / 2 if is_sending else HEARTBEAT_SECONDS,
        )

    def _acknowledged(self, refreshes: int | None, now: float) -> None:
        """All that was reported before; `refreshes`: before the last one of so many was sent."""
        entries = self._rib.entries(UNACKNOWLEDGED)
        read = entries if refreshes is None else [one for one in entries if one.refreshes_before < refreshes]
        self._move(read, RouteEvent.Acknowledged, now)
        if self._is_marked and not self._is_synced and (refreshes is None or self._refreshes_before_mark < refreshes):
            self._is_synced = True
            self._rib.drop_kept()
