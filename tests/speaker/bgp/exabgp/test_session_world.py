"""A session between a model of ExaBGP and a model of a router, in any order of events: no withdrawal is believed early.

The model has habits that were seen in ExaBGP: it sends what it holds again when a session comes up, leaves
withdrawals out of its first round, lets no session come up that is not accepted, reports an UPDATE before it writes it,
and answers when it likes. Where the router answers ROUTE-REFRESH its TCP has everything at once, and its process reads
it when it likes.
"""

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from crds.addresses import Family
from crds.speaker import FOREVER_SECONDS, Acknowledger
from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.events import Refresh
from speaker.bgp.exabgp.ribout import Posture
from speaker.bgp.exabgp.session import RouterSession
from speaker.bgp.model import PeerConfig, Prefix, Route
from tests.examples import examples

PREFIXES = [IPv4Network(f"10.9.0.{number}/32") for number in range(4)]
CHANGES = st.dictionaries(st.sampled_from(PREFIXES), st.one_of(st.none(), st.integers(0, 1)))
HOLD_SECONDS, RESTART_SECONDS = 9, 60
HOLDS = st.sampled_from([HOLD_SECONDS, HOLD_SECONDS, HOLD_SECONDS - 2, 0])


class Exabgp:
    """What it holds, what it is about to send, and its pipes."""

    def __init__(self) -> None:
        self.commands: deque[str] = deque()
        self.said: deque[events.Event] = deque()
        self.holds: set[Prefix] = set()
        self.sending: deque[tuple[str, Prefix | None]] = deque()
        self.markers = self.refreshes = 0
        self.is_first_round = False
        self.permit = ""
        self.opens = 0
        self.awaited = ""

    @property
    def has_to_send(self) -> bool:
        return bool(self.sending or self.markers or self.refreshes)

    @property
    def is_to_announce(self) -> bool:
        """By the next command."""
        return bool(self.commands) and self.commands[0].startswith("announce attributes")


class World(RuleBasedStateMachine):
    @initialize(graceful=st.booleans(), is_limited=st.booleans(), offer=st.sampled_from([*Refresh]))
    def begin(self, graceful: bool, is_limited: bool, offer: Refresh) -> None:
        self.offer = offer
        self.now = 1000.0
        self.graceful = graceful
        peer = PeerConfig(
            name="tor",
            my_asn=64512,
            peer_asn=64513,
            peer_address=IPv4Address("10.0.0.2"),
            router_id=IPv4Address("10.0.0.1"),
            families=frozenset({Family.IPv4}),
            hold_time_seconds=HOLD_SECONDS,
            graceful_restart_seconds=RESTART_SECONDS if graceful else None,
        )
        self.session = RouterSession(peer, self.now)
        self.is_limited = is_limited
        self.session.permit = self.now if is_limited else None
        self.wanted: dict[Prefix, Route] = {}
        self.answers: dict[Prefix, tuple[bool, bool]] = {}
        self.exabgp: Exabgp | None = None
        self.is_up = False
        self.hold_seconds = self.offered_seconds = HOLD_SECONDS
        """What the session has, or had last; and what was agreed for the next one, which is not up yet."""
        self.session.covered_seconds = HOLD_SECONDS + RESTART_SECONDS + 15
        self.tcp: deque[tuple[str, Prefix | None]] = deque()
        self.late: deque[tuple[str, Prefix | None]] = deque()
        self.table: set[Prefix] = set()
        self.stale: set[Prefix] = set()
        self.lost_at: float | None = None

    @rule(wanted=st.sets(st.sampled_from(PREFIXES)), med=st.integers(0, 1))
    def want(self, wanted: set[Prefix], med: int) -> None:
        self.wanted = {prefix: Route(prefix, med=med) for prefix in wanted}
        self.session.want(self.wanted)

    @rule(changes=CHANGES)
    def change(self, changes: dict[Prefix, int | None]) -> None:
        """In two parts, and the second one twice: saying the same again changes nothing."""
        for prefix, med in changes.items():
            route = None if med is None else Route(prefix, med=med)
            self.session.change({prefix: route})
            if route is None:
                self.wanted.pop(prefix, None)
            else:
                self.wanted[prefix] = route
        self.session.change({prefix: self.wanted.get(prefix) for prefix in changes})

    @rule(posture=st.sampled_from([Posture.Normal, *Posture]))
    def set_posture(self, posture: Posture) -> None:
        self.session.set_posture(posture)

    @precondition(lambda self: self.exabgp is None)
    @rule()
    def exabgp_starts(self) -> None:
        self.exabgp = Exabgp()
        self.session.exabgp_started(self.now)

    @precondition(lambda self: self.exabgp is not None)
    @rule(is_read=st.booleans())
    def exabgp_dies(self, is_read: bool) -> None:
        """What it said before may be lost. Not under graceful restart: that is the driver's business."""
        while self.exabgp.said and (is_read or self.graceful):
            self.read()
        self._lose()
        self.exabgp = None
        self.session.exabgp_ended("died", self.now)

    @precondition(lambda self: self.exabgp is not None)
    @rule()
    def write(self) -> None:
        self._write()

    def _write(self) -> None:
        """How often to connect is no matter here: that is taken at once."""
        for line in self.session.next_lines(self.now):
            if line.startswith("pace"):
                assert not self.exabgp.commands
                self.session.handle(events.Answer(True), self.now)
            else:
                self.exabgp.commands.append(line)

    @precondition(lambda self: self.exabgp is not None and self.exabgp.commands)
    @rule(answers_late=st.booleans())
    def work(self, answers_late: bool) -> None:
        exabgp, line = self.exabgp, self.exabgp.commands.popleft()
        prefixes = [IPv4Network(word) for word in line.partition(" nlri ")[2].split()]
        if line.startswith("announce eor"):
            if not self.is_up:
                exabgp.said.append(events.Answer(False))
                return
            exabgp.markers += 1
        elif line.startswith("refresh"):
            exabgp.refreshes += self.is_up
        elif line == "nudge":
            pass
        elif line.startswith("accept"):
            if line == exabgp.awaited:
                self._come_up()
        elif line.startswith("unacknowledged"):
            exabgp.permit = line.partition(" ")[2] or exabgp.permit
            answers = self.session.view().withdrawals_acknowledged_by is Acknowledger.Process
            exabgp.said.append(events.Unacknowledged(0 if answers else len(self.tcp)))
        elif line.startswith("announce"):
            exabgp.holds.update(prefixes)
            if self.is_up:
                exabgp.sending.extend(("announce", prefix) for prefix in prefixes)
        else:
            exabgp.holds.difference_update(prefixes)
            exabgp.sending = deque(one for one in exabgp.sending if one[1] not in prefixes)
            if self.is_up:
                exabgp.sending.extend(("withdraw", prefix) for prefix in prefixes)
        if answers_late and self.is_up:
            self._send_one()
        exabgp.said.append(events.Answer(True))

    @precondition(lambda self: self.exabgp is not None and self.exabgp.is_to_announce)
    @rule()
    def refuse(self) -> None:
        """It takes nothing of an announcement."""
        self.exabgp.commands.popleft()
        self.exabgp.said.append(events.Answer(False))

    @precondition(lambda self: self.exabgp is not None)
    @rule(
        changes=CHANGES,
        rounds=st.integers(0, 6),
        last=st.sampled_from(["write", "work", "send", "read", "arrive"]),
        hold_seconds=HOLDS,
    )
    def goes_on(self, changes: dict[Prefix, int | None], rounds: int, last: str, hold_seconds: int) -> None:
        """As it should for a while, and no further than this."""
        self.change(changes)
        if not self.is_up and not self.exabgp.awaited:
            self.opens(hold_seconds)
        for _ in range(rounds):
            self._go_on("arrive")
        self._go_on(last)

    def _go_on(self, last: str) -> None:
        exabgp = self.exabgp
        steps = {
            "write": self._write,
            "work": lambda: exabgp.commands and self.work(False),
            "send": lambda: exabgp.has_to_send and self._send_one(),
            "read": lambda: [self.read() for _ in range(len(exabgp.said))],
            "arrive": lambda: self.tcp and self.arrive(),
        }
        for name, step in steps.items():
            step()
            self.what_a_router_may_have_may_be_heard()
            self.what_a_router_may_have_it_keeps_no_longer_than_is_known()
            if name == last:
                break
        self.now += 0.01

    @precondition(lambda self: self.is_up and self.exabgp.has_to_send)
    @rule()
    def send(self) -> None:
        self._send_one()

    @precondition(lambda self: self.exabgp is not None and self.exabgp.said)
    @rule()
    def read(self) -> None:
        self.session.handle(self.exabgp.said.popleft(), self.now)

    @precondition(lambda self: self.exabgp is not None and not self.is_up and not self.exabgp.awaited)
    @rule(hold_seconds=HOLDS)
    def opens(self, hold_seconds: int = HOLD_SECONDS) -> None:
        """OPEN was exchanged: the router agrees to our hold time, or has a shorter one, or none."""
        exabgp = self.exabgp
        exabgp.opens += 1
        exabgp.awaited, self.offered_seconds = f"accept {exabgp.opens} {hold_seconds}", hold_seconds
        exabgp.said.extend(
            [events.Connected(), events.Negotiated(hold_seconds, frozenset({Family.IPv4}), refresh=self.offer)]
        )

    @precondition(lambda self: self.exabgp is not None and self.exabgp.awaited)
    @rule()
    def closes_before_it_comes_up(self) -> None:
        self.exabgp.awaited = ""
        self.exabgp.said.append(events.Down("closing connection", False))

    def _come_up(self) -> None:
        """The router has dropped an earlier session by now, or kept its routes as stale ones."""
        self.late.clear()
        self.stale = (self.table | self.stale) if self.graceful else set()
        self.table = set()
        self.is_up, self.lost_at, self.hold_seconds = True, None, self.offered_seconds
        exabgp = self.exabgp
        exabgp.sending = deque(("announce", prefix) for prefix in sorted(exabgp.holds))
        exabgp.is_first_round, exabgp.markers, exabgp.refreshes = True, 0, 0
        exabgp.awaited = ""
        exabgp.said.append(events.Up())

    @precondition(lambda self: self.is_up)
    @rule(by_router=st.booleans())
    def goes_down(self, by_router: bool) -> None:
        if by_router:
            self.tcp.clear()
            self.exabgp.said.append(events.Notified("cease", True))
        self._lose()
        if by_router:
            self._router_drops()
        reason = "notification received (6,2)" if by_router else "closing connection"
        self.exabgp.said.append(events.Down(reason, by_router))

    @precondition(lambda self: self.tcp or self.late)
    @rule()
    def arrive(self) -> None:
        """At the router; after a connection's end what was on its way still does."""
        deed, prefix = (self.tcp or self.late).popleft()
        if deed == "announce":
            self.table.add(prefix)
            self.stale.discard(prefix)
        elif deed == "withdraw":
            self.table.discard(prefix)
            self.stale.discard(prefix)
        elif deed == "marker":
            self.stale.clear()
            if self.is_up and self.offer is Refresh.Normal:
                self.exabgp.said.append(events.RouterEndOfRib(Family.IPv4))  # its own, one after each of ours
        elif self.is_up:
            answers = {
                Refresh.Enhanced: events.RefreshBegun(Family.IPv4),
                Refresh.Normal: events.RouterEndOfRib(Family.IPv4),
            }
            self.exabgp.said.append(answers[self.offer])

    @precondition(lambda self: not self.is_up)
    @rule()
    def router_notices(self) -> None:
        if not self.graceful:
            self._router_drops()

    @rule(seconds=st.sampled_from([0.01, 1.5, 20.0, 80.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        keeps = (self.hold_seconds or inf) + (RESTART_SECONDS if self.graceful else 0)
        if self.lost_at is not None and self.now > self.lost_at + keeps:
            self._router_drops()

    @invariant()
    def what_a_router_may_have_may_be_heard(self) -> None:
        on_its_way = {prefix for deed, prefix in (*self.tcp, *self.late) if deed == "announce"}
        for prefix in PREFIXES:
            if prefix in self.table | self.stale | on_its_way:
                assert self.session.may_be_heard(prefix), prefix

    @rule(is_forever=st.booleans())
    def cover(self, is_forever: bool) -> None:
        """Lowered only, as by the core, when the session does not need it any more."""
        covered = FOREVER_SECONDS if is_forever else HOLD_SECONDS + RESTART_SECONDS + 15
        if covered >= max(self.session.outlives_seconds, self.session.kept_seconds(self.now)):
            self.session.covered_seconds = covered

    @invariant()
    def what_a_router_may_have_it_keeps_no_longer_than_is_known(self) -> None:
        if self.table or self.stale:
            seconds = (self.hold_seconds or inf) + (RESTART_SECONDS if self.graceful else 0)
            left = seconds if self.is_up else self.lost_at + seconds - self.now
            assert left <= self.session.covered_seconds or self.session.covered_seconds == FOREVER_SECONDS

    @invariant()
    def an_exabgp_that_holds_a_route_lives_as_long_as_it_is_permitted(self) -> None:
        """Its router, if it has one from it."""
        is_heard = self.exabgp is not None and (self.exabgp.holds or (self.is_up and self.table))
        if self.is_limited and is_heard:
            assert self.exabgp.permit == f"{self.session.permit:.3f}"

    @invariant()
    def every_answer_that_changes_is_told(self) -> None:
        self.session.pass_time(self.now)
        changed = self.session.take_changed()
        for prefix in PREFIXES:
            answers = self.session.may_be_heard(prefix), self.session.has_sent(prefix)
            assert prefix in changed or answers == self.answers.get(prefix, (False, False)), prefix
            self.answers[prefix] = answers

    def teardown(self) -> None:
        """When all calms down, every withdrawal is confirmed, and what is wanted is there."""
        if not hasattr(self, "session"):
            return
        kept = sorted(self.wanted)[:1] or [PREFIXES[0]]
        self.session.set_posture(Posture.Normal)
        self.session.want({prefix: Route(prefix) for prefix in kept})
        if self.exabgp is not None and {self.hold_seconds, self.offered_seconds} != {HOLD_SECONDS}:
            self.exabgp_dies(True)  # what a router keeps for ever would be heard for ever
        if self.exabgp is not None and self.session.overdue(self.now) is not None:
            self.exabgp_dies(True)  # as the agent would have it
        if self.exabgp is None:
            self.exabgp_starts()
        self.cover(True)
        if not self.is_up and not self.exabgp.awaited:
            self.opens()
        self._calm_down(kept)
        self.now += 3.0
        self.session.change({prefix: None for prefix in kept})
        self.every_answer_that_changes_is_told()
        self._calm_down([])
        self.session.change({prefix: Route(prefix) for prefix in kept})
        self._calm_down(kept)
        self.exabgp_dies(True)
        self.every_answer_that_changes_is_told()
        self.session.change({prefix: None for prefix in kept})
        self.every_answer_that_changes_is_told()
        assert all(self.session.may_be_heard(prefix) for prefix in kept)
        self.now += HOLD_SECONDS + RESTART_SECONDS + 2
        self.every_answer_that_changes_is_told()
        assert not any(self.session.may_be_heard(prefix) for prefix in PREFIXES)

    def _calm_down(self, wanted: list[Prefix]) -> None:
        exabgp = self.exabgp
        for _ in range(60):
            self.write()
            while exabgp.commands:
                self._checked(lambda: self.work(False))
            while exabgp.has_to_send:
                self._checked(self._send_one)
            while self.tcp:
                self._checked(self.arrive)
            while exabgp.said:
                self._checked(self.read)
            self.now += 0.3
            assert self.session.overdue(self.now) is None
        assert self.table == set(wanted)
        for answer in (lambda prefix: self.session.may_be_heard(prefix), self.session.has_sent):
            assert [prefix for prefix in PREFIXES if answer(prefix)] == wanted
        assert self.session.is_synced
        if self.is_limited:
            assert (exabgp.permit == "unlimited") == (not wanted)

    def _checked(self, step: Callable[[], None]) -> None:
        step()
        self.an_exabgp_that_holds_a_route_lives_as_long_as_it_is_permitted()
        self.every_answer_that_changes_is_told()

    def _send_one(self) -> None:
        exabgp = self.exabgp
        if exabgp.is_first_round:  # it is taken together when it begins
            exabgp.is_first_round = False
            exabgp.sending = deque(one for one in exabgp.sending if one[0] != "withdraw")
        if exabgp.sending:
            deed, prefix = exabgp.sending.popleft()
            if deed == "announce":
                exabgp.said.append(events.Sent(announced=(prefix,)))
            else:
                exabgp.said.append(events.Sent(withdrawn=(prefix,)))
            self.tcp.append((deed, prefix))
        elif exabgp.markers:
            exabgp.markers -= 1
            exabgp.said.append(events.EndOfRib(Family.IPv4))
            self.tcp.append(("marker", None))
        elif exabgp.refreshes:
            exabgp.refreshes -= 1
            exabgp.said.append(events.RefreshSent(Family.IPv4))
            self.tcp.append(("refresh", None))

    def _lose(self) -> None:
        self.exabgp.awaited = ""
        if self.is_up:
            self.is_up, self.lost_at = False, self.now
            self.late, self.tcp = self.tcp, deque()
            self.exabgp.sending.clear()
            self.exabgp.markers = self.exabgp.refreshes = 0

    def _router_drops(self) -> None:
        self.table.clear()
        self.stale.clear()
        self.late.clear()
        self.lost_at = None


TestWorld = pytest.mark.slow(World.TestCase)
TestWorld.settings = settings(max_examples=examples(150), stateful_step_count=60, deadline=None)
