"""What one router may have of us: which routes were told, sent, acknowledged by its TCP, and may outlive a session.

    wanted   the routes that the router is to have
    told     what ExaBGP holds and sends (again whenever the session comes up)
    in flight  told or untold, and not seen in an UPDATE yet; one change of a prefix at a time, because ExaBGP may put
             two of them in the wrong order
    exposed  the router may have it from the session that is up
    stale    it may still have it from an earlier one: until the session is up again, or so long as a router that heard
             nothing of the end would keep it (hold time, and restart time with graceful restart)

Pure: the driver brings events and the time, and takes lines to write. A withdrawal is confirmed when its UPDATE was
seen and nothing is left that the router's TCP has not acknowledged.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from crds.speaker import BGPSessionState
from speaker.bgp.exabgp import commands, events
from speaker.bgp.exabgp.config import outlives_seconds
from speaker.bgp.exabgp.ribout import differing
from speaker.bgp.model import Family, PeerConfig, Prefix, Route, SessionView, family_of

LINES_IN_FLIGHT = 16
CONFIRM_SECONDS = 10.0
"""So long may ExaBGP be silent, an UPDATE unsent, or what was sent unacknowledged, before the session is ended."""
HEARTBEAT_SECONDS = 2.0
PROBE_SECONDS = 1.0
"""A withdrawal that is not seen as sent by then is looked for by an End-of-RIB after it."""
FIRST_QUERY_SECONDS, LAST_QUERY_SECONDS = 0.001, 0.1
CLOCK_MARGIN_SECONDS = 1.0


class Step(Enum):
    Announce = "announce"
    Withdraw = "withdraw"


@dataclass(frozen=True)
class _Command:
    """A line that was written. `before`: what was told of its prefixes until then."""

    line: str
    step: Step | None = None
    before: Mapping[Prefix, Route | None] = field(default_factory=dict)


class RouterSession:
    """The session with one peer, through any number of processes and connections. `now`: monotonic seconds."""

    def __init__(self, peer: PeerConfig, now: float) -> None:
        self.peer = peer
        self.last_error = ""
        self.permit: float | None = None
        """Until when ExaBGP may live (CLOCK_BOOTTIME); None: nobody says. It is told with each query while it holds
        routes, and before the first route."""
        self._is_permitted = False
        self._changed: set[Prefix] = set()
        self._state, self._since = BGPSessionState.Idle, now
        self._is_running = self._is_up = False
        self._downs = 0
        self._hold_seconds: int | None = None
        self._families: frozenset[Family] = frozenset()
        self._wanted: dict[Prefix, Route] = {}
        self._is_complete = False
        self._told: dict[Prefix, Route] = {}
        self._refused: dict[Prefix, Route] = {}
        self._due: dict[Prefix, None] = {}
        self._in_flight: dict[Prefix, Step] = {}
        self._on_wire: set[Prefix] = set()
        self._exposed: set[Prefix] = set()
        self._unacknowledged: set[Prefix] = set()
        self._stale: dict[Prefix, float] = {}
        self._unanswered: deque[_Command] = deque()
        self._unanswered_prefixes: Counter[Prefix] = Counter()
        self._marked: frozenset[Family] = frozenset()
        self._is_synced = False
        self._probed_by_end_of_rib: dict[Family, set[Prefix]] = {}
        self._is_asking = False
        self._ask_at = 0.0
        self._ask_again_after = FIRST_QUERY_SECONDS
        self._answered_at = self._sent_at = self._acknowledged_at = now
        self._pending_bytes = 0
        self._notice = ""
        self._fault: str | None = None

    # What is wanted

    def want(self, routes: Mapping[Prefix, Route]) -> None:
        """All routes that the router is to have. Until this was said once, there is no End-of-RIB."""
        self.change({prefix: routes.get(prefix) for prefix in differing(self._wanted, routes)})

    def change(self, changes: Mapping[Prefix, Route | None]) -> None:
        """What is to be otherwise of the routes that it is to have; None = it is to have none. Costs only that much.
        The first time this is all of them."""
        self._is_complete = True
        changed = [prefix for prefix, route in changes.items() if self._wanted.get(prefix) != route]
        for prefix in changed:
            if (route := changes[prefix]) is None:
                del self._wanted[prefix]
            else:
                self._wanted[prefix] = route
        self._changed.update(changed)
        self._plan(changed)

    # What happens

    def exabgp_started(self, now: float) -> None:
        """A new ExaBGP runs, knows nothing, and takes lines from now on."""
        self._is_running, self._is_permitted, self._fault = True, False, None
        self._told.clear()
        self._refused.clear()
        self._answered_at = self._ask_at = now
        self._enter(BGPSessionState.Active if self.peer.is_passive else BGPSessionState.Connect, now)
        self._plan_all()

    def exabgp_ended(self, why: str, now: float) -> None:
        """The process is dead, and with it its connections."""
        self._lost(is_dropped=False, now=now)
        self._is_running = self._is_asking = False
        self._changed.update(self._told, self._unanswered_prefixes)
        self._told.clear()
        self._unanswered.clear()
        self._unanswered_prefixes.clear()
        self._due.clear()
        self.last_error = why or self.last_error
        self._enter(BGPSessionState.Idle, now)

    def handle(self, event: events.Event, now: float) -> None:
        match event:
            case events.Answer():
                self._answered(event.is_done, now)
            case events.Sent():
                self._sent(event, now)
            case events.Unacknowledged():
                self._asked(event, now)
            case events.EndOfRib():
                self._end_of_rib_sent(event.family, now)
            case events.Connected():
                self._notice = ""
                self._enter(BGPSessionState.OpenSent, now)
            case events.Negotiated():
                self._hold_seconds, self._families = event.hold_time_seconds, event.families
                if self.peer.peer_asn is None and event.peer_asn == self.peer.my_asn:
                    self._fault = f"the router is in our own AS {event.peer_asn}, and was to be in any other"
                self._enter(BGPSessionState.OpenConfirm, now)
            case events.Notified():
                self._notice = f"{'the router sent' if event.by_router else 'we sent'}: {event.text}"
            case events.Up():
                self._came_up(now)
            case events.Down():
                self._went_down(event, now)
            case events.Ended() | events.RelayStarted():
                pass  # for who holds the process

    def router_started_anew(self) -> None:
        """Another session with the same router is up and complete: it has dropped what it had from this one."""
        if not self._is_up:
            self._drop_stale()

    def pass_time(self, now: float) -> None:
        """Forget what the router has surely dropped by now. To be called each second or so."""
        gone = [prefix for prefix, until in self._stale.items() if until <= now]
        for prefix in gone:
            del self._stale[prefix]
        self._changed.update(gone)

    # What to write

    def next_lines(self, now: float) -> list[str]:
        """Lines to write now. Each is answered; few are on the way at a time."""
        if not self._is_running:
            return []
        begun = len(self._unanswered)
        if begun < LINES_IN_FLIGHT:
            self._say_changes(LINES_IN_FLIGHT - begun, now)
            self._say_end_of_rib(now)
            self._ask(now)
        if self._unanswered and not begun:
            self._answered_at = now
        return [command.line for command in list(self._unanswered)[begun:]]

    def goodbye_line(self, subcode: int) -> str:
        """Ends the session with NOTIFICATION Cease; ExaBGP would open it anew, so end it then."""
        line = commands.teardown(str(self.peer.peer_address), subcode)
        self._unanswered.append(_Command(line))
        return line

    @property
    def deadline(self) -> float:
        """When to come for lines, and look at `overdue`, at the latest."""
        return self._answered_at + HEARTBEAT_SECONDS if self._is_asking else self._ask_at

    def overdue(self, now: float) -> str | None:
        """Why ExaBGP is to be killed, in words, if it is."""
        if not self._is_running:
            return None
        if self._fault:
            return self._fault
        if self._unanswered and now - self._answered_at > CONFIRM_SECONDS:
            return "ExaBGP did not answer"
        is_still_told = any(command.step for command in self._unanswered)
        if self._in_flight and not is_still_told and now - self._sent_at > CONFIRM_SECONDS:
            return "ExaBGP did not send what it was told to"
        if self._unacknowledged and now - self._acknowledged_at > CONFIRM_SECONDS:
            return "the router did not acknowledge a withdrawal"
        return None

    # What is known

    @property
    def is_up(self) -> bool:
        return self._is_up

    @property
    def is_synced(self) -> bool:
        """Whether the router has had all there was to have since the session came up, and End-of-RIB."""
        return self._is_synced

    @property
    def is_clean(self) -> bool:
        """Whether ExaBGP holds nothing, and the session that is up has nothing of us at the router."""
        return not (self._told or self._exposed or self._unanswered_prefixes)

    @property
    def has_changed(self) -> bool:
        """Whether an answer of `may_be_heard` or `has_sent` may have changed since `take_changed`."""
        return bool(self._changed)

    def take_changed(self) -> set[Prefix]:
        """For which prefixes."""
        changed, self._changed = self._changed, set()
        return changed

    def has_sent(self, prefix: Prefix) -> bool:
        """Whether an UPDATE with it was seen to be sent in the session that is up, and none that withdraws it."""
        return prefix in self._on_wire

    def may_be_heard(self, prefix: Prefix, now: float) -> bool:
        return (
            prefix in self._wanted
            or prefix in self._told
            or prefix in self._exposed
            or prefix in self._unanswered_prefixes
            or self._stale.get(prefix, 0.0) > now
        )

    def keeps_until(self) -> float:
        """When the router has surely dropped what it may have from earlier sessions."""
        return max(self._stale.values(), default=0.0)

    @property
    def outlives_seconds(self) -> float:
        """How long the router may keep our routes if it hears nothing of our end; inf = forever (hold time 0)."""
        return outlives_seconds(self.peer, self._hold_seconds)

    def view(self) -> SessionView:
        """As of now."""
        is_agreed = self._is_up
        return SessionView(
            peer=self.peer.name,
            peer_address=self.peer.peer_address,
            state=self._state,
            since=self._since,
            families=self._families if is_agreed else frozenset(),
            routes_sent=len(self._on_wire),
            hold_time_seconds=self._hold_seconds if is_agreed else None,
            last_error=self.last_error,
            downs=self._downs,
        )

    # The session comes and goes

    def _came_up(self, now: float) -> None:
        self._is_up, self._is_synced, self._marked = True, False, frozenset()
        self._enter(BGPSessionState.Established, now)
        # What ExaBGP holds it sends by itself now. A command that it has not answered may come before or after that.
        self._in_flight = {prefix: Step.Announce for prefix in self._told if self._is_live(prefix)}
        self._exposed.update(self._in_flight)
        for command in self._unanswered:
            if command.step is Step.Withdraw:
                for prefix in filter(self._is_live, command.before):
                    self._in_flight[prefix] = Step.Withdraw
                    self._exposed.add(prefix)
        if self.peer.graceful_restart_seconds is None:
            self._drop_stale()
        self._sent_at = now
        self._plan_all()

    def _went_down(self, event: events.Down, now: float) -> None:
        self.last_error = self._notice or _down_words(event.reason)
        self._lost(is_dropped=event.by_router, now=now)
        self._enter(BGPSessionState.Active if self.peer.is_passive else BGPSessionState.Connect, now)
        self._plan_all()

    def _lost(self, *, is_dropped: bool, now: float) -> None:
        """`is_dropped`: the router has ended it, and so has dropped the routes (RFC 4271 §9, RFC 4724 §4.2)."""
        if self._is_up and not is_dropped:
            until = now + self.outlives_seconds + CLOCK_MARGIN_SECONDS
            for prefix in self._exposed:
                self._stale[prefix] = max(until, self._stale.get(prefix, 0.0))
        self._downs += self._is_up
        self._is_up = self._is_synced = False
        self._families, self._hold_seconds = frozenset(), None
        self._changed.update(self._exposed, self._on_wire)
        for gone in (self._in_flight, self._on_wire, self._exposed, self._unacknowledged, self._probed_by_end_of_rib):
            gone.clear()

    def _drop_stale(self) -> None:
        self._changed.update(self._stale)
        self._stale.clear()

    def _enter(self, state: BGPSessionState, now: float) -> None:
        if state is not self._state:
            self._state, self._since = state, now

    # Changes

    def _is_live(self, prefix: Prefix) -> bool:
        return self._is_up and family_of(prefix) in self._families

    def _plan_all(self) -> None:
        self._due.clear()
        self._plan(differing(self._told, self._wanted))

    def _plan(self, prefixes: Iterable[Prefix]) -> None:
        for prefix in prefixes:
            if self._needs_command(prefix):
                self._due[prefix] = None
            else:
                self._due.pop(prefix, None)

    def _needs_command(self, prefix: Prefix) -> bool:
        """Announcements wait for the session; until then ExaBGP is only made to forget."""
        told, wanted = self._told.get(prefix), self._wanted.get(prefix)
        if told == wanted or prefix in self._in_flight or not self._is_running:
            return False
        if wanted is None:
            return True
        return self._is_live(prefix) and self._refused.get(prefix) != wanted and self._can_be_sent(wanted)

    def _can_be_sent(self, route: Route) -> bool:
        if not commands.needs_next_hop(route, _family(self.peer)):
            return True
        self.last_error = f"{route.prefix} can't be sent: no next hop of its family is known on this session"
        return False

    def _say_changes(self, room: int, now: float) -> None:
        """Withdrawals first."""
        if self._due and not self._in_flight:
            self._sent_at = now
        some = [prefix for prefix, _ in zip(self._due, range(room * commands.PREFIXES_PER_LINE), strict=False)]
        gone = [prefix for prefix in some if prefix not in self._wanted]
        routes = [self._wanted[prefix] for prefix in some if prefix in self._wanted]
        for line, prefixes in commands.withdrawals(gone):
            self._say(line, Step.Withdraw, prefixes)
        if routes and self.permit is not None and not self._is_permitted:
            self._query(is_permit_needed=True)
        announcements = commands.announcements(routes, my_asn=self.peer.my_asn, is_internal=self.peer.is_internal)
        for line, prefixes in announcements:
            if len(self._unanswered) >= LINES_IN_FLIGHT:
                return
            self._say(line, Step.Announce, prefixes)

    def _say(self, line: str, step: Step, prefixes: list[Prefix]) -> None:
        before = {prefix: self._told.get(prefix) for prefix in prefixes}
        self._unanswered.append(_Command(line, step, before))
        self._unanswered_prefixes.update(prefixes)
        for prefix in prefixes:
            del self._due[prefix]
            if step is Step.Withdraw:
                del self._told[prefix]
            else:
                self._told[prefix] = self._wanted[prefix]
                self._exposed.add(prefix)
            if self._is_live(prefix):
                self._in_flight[prefix] = step

    def _answered(self, is_done: bool, now: float) -> None:
        self._answered_at = now
        if not self._unanswered:
            self._fault = "ExaBGP answered more than it was asked"
            return
        command = self._unanswered.popleft()
        self._unanswered_prefixes.subtract(list(command.before))
        for prefix in command.before:
            if not self._unanswered_prefixes[prefix]:
                del self._unanswered_prefixes[prefix]
                self._changed.add(prefix)
        if not is_done and command.step is Step.Withdraw:
            self._fault = f"ExaBGP refused a withdrawal: {command.line[:100]}"
        elif not is_done and command.step is Step.Announce:
            self._take_back(command)

    def _take_back(self, command: _Command) -> None:
        """Nothing of it was taken. Said once; not tried again until the route is another one."""
        self.last_error = f"ExaBGP refused a route: {command.line[:100]}"
        for prefix, before in command.before.items():
            if (route := self._told.pop(prefix, None)) is not None:
                self._refused[prefix] = route
            if before is not None:
                self._told[prefix] = before
            elif prefix not in self._on_wire:
                self._exposed.discard(prefix)
            self._in_flight.pop(prefix, None)
        self._plan(command.before)

    def _sent(self, event: events.Sent, now: float) -> None:
        self._sent_at = now
        self._on_wire.update(event.announced)
        self._exposed.update(event.announced)
        self._changed.update(event.announced, event.withdrawn)
        self._unacknowledged.difference_update(event.announced)
        self._landed((prefix for prefix in event.announced if self._in_flight.get(prefix) is Step.Announce), now)
        self._on_wire.difference_update(event.withdrawn)
        self._landed((prefix for prefix in event.withdrawn if self._in_flight.get(prefix) is Step.Withdraw), now)

    def _landed(self, prefixes: Iterable[Prefix], now: float) -> None:
        landed = list(prefixes)
        for prefix in landed:
            if self._in_flight.pop(prefix) is Step.Withdraw:
                self._await_acknowledgement(now)
                self._unacknowledged.add(prefix)
        self._plan(landed)

    # End-of-RIB

    def _say_end_of_rib(self, now: float) -> None:
        """Once after all was sent; again to find out what became of withdrawals that nothing is seen of: they are not
        sent when nothing of the prefix was."""
        if not self._is_up or self._probed_by_end_of_rib or any(command.step for command in self._unanswered):
            return
        lost = {prefix for prefix, step in self._in_flight.items() if step is Step.Withdraw}
        if lost and now - self._sent_at >= PROBE_SECONDS:
            families = frozenset(map(family_of, lost))
        elif self._is_complete and not (self._due or self._in_flight):
            families = self._families - self._marked
        else:
            return
        for family in sorted(families):
            self._probed_by_end_of_rib[family] = {prefix for prefix in lost if family_of(prefix) == family}
            self._unanswered.append(_Command(commands.end_of_rib(family)))

    def _end_of_rib_sent(self, family: Family, now: float) -> None:
        probed = self._probed_by_end_of_rib.pop(family, set())
        # With one still on the wire this is a mark that was asked for in an earlier session: another one is asked for.
        probed -= self._on_wire
        self._landed((prefix for prefix in probed if self._in_flight.get(prefix) is Step.Withdraw), now)
        if self._is_complete and not (self._due or self._in_flight):
            self._marked |= {family}
            self._await_acknowledgement(now)

    # What the router's TCP has

    def _await_acknowledgement(self, now: float) -> None:
        if not self._unacknowledged:
            self._acknowledged_at = now
        self._ask_at, self._ask_again_after = now, FIRST_QUERY_SECONDS

    def _ask(self, now: float) -> None:
        if not self._is_asking and now >= self._ask_at:
            self._query(is_permit_needed=not self.is_clean)

    def _query(self, *, is_permit_needed: bool) -> None:
        self._is_asking, self._is_permitted = True, is_permit_needed and self.permit is not None
        self._unanswered.append(_Command(commands.query(self.permit, is_needed=is_permit_needed)))

    def _asked(self, event: events.Unacknowledged, now: float) -> None:
        """What this says is so of everything whose UPDATE was seen before: ExaBGP writes it on in between."""
        self._is_asking = False
        if event.trouble and not self._is_up:
            self.last_error = _trouble_words(event.trouble, has_password=self.peer.password is not None)
        if event.byte_count == 0:
            self._acknowledged()
        elif event.byte_count < self._pending_bytes:
            self._acknowledged_at = now
        self._pending_bytes = event.byte_count
        is_waiting = bool(self._unacknowledged) or (
            self._is_up and not self._is_synced and self._marked == self._families
        )
        self._ask_at = now + (self._ask_again_after if is_waiting else HEARTBEAT_SECONDS)
        if is_waiting:
            self._ask_again_after = min(2 * self._ask_again_after, LAST_QUERY_SECONDS)
        elif self._in_flight:
            self._ask_at = now + PROBE_SECONDS / 2

    def _acknowledged(self) -> None:
        self._changed.update(self._unacknowledged)
        for prefix in self._unacknowledged:
            if prefix not in self._told and prefix not in self._in_flight:
                self._exposed.discard(prefix)
        self._unacknowledged.clear()
        if self._is_up and self._marked == self._families and not self._is_synced:
            self._is_synced = True
            self._drop_stale()


def _family(peer: PeerConfig) -> Family:
    return "ipv4" if peer.peer_address.version == 4 else "ipv6"


def _down_words(reason: str) -> str:
    """ExaBGP's reasons are about itself; what it means by this one is that TCP has ended."""
    return "the connection was closed or lost" if reason in ("", "closing connection") else reason


def _trouble_words(trouble: str, *, has_password: bool) -> str:
    hint = "; with a wrong password it looks like this too" if has_password and "timed out" in trouble else ""
    return f"no connection: {trouble}{hint}"
