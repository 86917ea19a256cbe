"""Routers that hold BGP sessions with the nodes' speakers and keep their routes, and the speakers' end of it.

A session's end (speaker.bgp.exabgp and the process behind it) is played: what it says of routers is what its contract
(speaker.bgp.exabgp.io.driver.BgpDriver) promises. What a router does is RFC 4271 and RFC 4724.
"""

import asyncio
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crds.speaker import BGPSessionState
from speaker.bgp.exabgp.config import outlives_seconds
from speaker.bgp.model import EXABGP_PERMIT_SECONDS, PeerConfig, Prefix, Route, SessionView, whole_seconds
from speaker.bgp.paths import paths_of
from speaker.own.paths import PathAttributes
from tests.sim.clocks import ProcessLoop, World

if TYPE_CHECKING:
    from tests.sim.machines import SpeakerProcess

CONNECT_SECONDS = 0.3
ROUND_TRIP_SECONDS = 0.01
CLOCK_MARGIN_SECONDS = 2.0
POLL_SECONDS = 1.0


@dataclass
class Kept:
    """A route in a router's table. `uid`: of the IPAllocation that the speaker knew when it sent it. `is_overdue`: the
    router hung for so long that nobody waits for it."""

    route: Route
    uid: str
    is_stale: bool = False
    is_overdue: bool = False


def _nobody(router: "Router", machine: str, prefix: Prefix) -> None:
    """Is told."""


@dataclass
class Router:
    """`adj_in`: by machine, what it has of it: two machines of one node's name have addresses of their own.
    `cut_off`: nodes with which it exchanges nothing. `is_hung`: its process does nothing, and what it installed
    stays. `was_hung_seconds`: how long, while it works off what came meanwhile."""

    world: World
    address: str
    adj_in: dict[str, dict[Prefix, Kept]] = field(default_factory=dict)
    cut_off: set[str] = field(default_factory=set)
    is_hung: bool = False
    was_hung_seconds: float = 0.0
    sessions: dict[str, "Session"] = field(default_factory=dict)
    on_route: Callable[["Router", str, Prefix], None] = _nobody
    _stale: dict[str, int] = field(default_factory=dict)
    _late: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    _hung_at: float = 0.0

    def reaches(self, node: str) -> bool:
        return node not in self.cut_off

    def knows(self, machine: str) -> bool:
        """Whether it has a route of it, or may get one that is on its way."""
        return self.is_hung or machine in self.sessions or bool(self.adj_in.get(machine))

    def do(self, what: Callable[..., None], *arguments: Any) -> None:
        """When its process runs again, if it is hung."""
        if self.is_hung:
            self._late.append((what, arguments))
        else:
            what(*arguments)

    def hang(self) -> None:
        self.is_hung, self._hung_at = True, self.world.now

    def thaw(self) -> None:
        """What it gets to read is in order: what it has in between counts for nobody."""
        self.is_hung, self.was_hung_seconds = False, self.world.now - self._hung_at
        late, self._late = self._late, []
        told, self.on_route = self.on_route, _nobody
        for what, arguments in late:
            what(*arguments)
        self.on_route, self.was_hung_seconds = told, 0.0
        for machine, table in self.adj_in.items():
            for prefix in list(table):
                told(self, machine, prefix)

    def take(self, session: "Session", prefix: Prefix, kept: Kept | None) -> None:
        if self.sessions.get(session.machine) is not session:
            return
        table = self.adj_in.setdefault(session.machine, {})
        if kept is None:
            table.pop(prefix, None)
        else:
            table[prefix] = kept
            self.on_route(self, session.machine, prefix)

    def ended(self, session: "Session", *, is_clean: bool) -> None:
        """`is_clean`: by a NOTIFICATION, after which nothing is kept (RFC 4724 §4)."""
        if self.sessions.get(session.machine) is not session:
            return
        del self.sessions[session.machine]
        restart = session.peer.graceful_restart_seconds
        if is_clean or restart is None:
            self.adj_in.pop(session.machine, None)
            return
        for kept in self.adj_in.get(session.machine, {}).values():
            kept.is_stale = True
            kept.is_overdue = self.was_hung_seconds > session.peer.hold_time_seconds
        number = self._stale[session.machine] = self._stale.get(session.machine, 0) + 1
        self.world.after(restart, self.do, self._drop_stale, session.machine, number)

    def _drop_stale(self, machine: str, number: int) -> None:
        if self._stale.get(machine) == number:
            self.end_of_rib(machine)

    def end_of_rib(self, machine: str) -> None:
        self._stale[machine] = self._stale.get(machine, 0) + 1
        table = self.adj_in.get(machine, {})
        for prefix in [prefix for prefix, kept in table.items() if kept.is_stale]:
            del table[prefix]

    def opened(self, session: "Session") -> None:
        """A session of a machine that had one already: the old one is over (RFC 4724 §4.2, as if TCP had ended)."""
        old = self.sessions.get(session.machine)
        if old is not None:
            self.ended(old, is_clean=session.peer.graceful_restart_seconds is None)
        self.sessions[session.machine] = session
        if session.peer.graceful_restart_seconds is not None:
            self._stale[session.machine] = self._stale.get(session.machine, 0) + 1


class Session:
    """One with one router, from the node's side: what it sent, and what the router may have of it."""

    def __init__(self, driver: "PlayedDriver", peer: PeerConfig, router: Router) -> None:
        self.driver, self.peer, self.router = driver, peer, router
        self.node = driver.process.node
        self.machine = driver.process.machine.name
        self.is_up = False
        self.is_over = False
        self.is_synced = False
        self.sent: dict[Prefix, Kept] = {}
        self.kept: dict[Prefix, float] = {}
        """Until when the router may have what earlier sessions, or withdrawals under way, left (monotonic)."""
        self.since = driver.clock.monotonic()
        self.downs = 0
        self.last_error = ""
        self._generation = 0

    @property
    def outlives(self) -> float:
        return outlives_seconds(self.peer)

    def keep(self, until: float) -> None:
        for prefix in self.sent:
            self.kept[prefix] = max(until, self.kept.get(prefix, 0.0))
        self.sent.clear()

    def may_be_heard(self, prefix: Prefix) -> bool:
        return prefix in self.sent or self.kept.get(prefix, 0.0) > self.driver.clock.monotonic()

    # ---- comes and goes

    def try_to_connect(self) -> None:
        generation = self._generation = self._generation + 1
        self.driver.world.after(CONNECT_SECONDS, self._connect, generation)

    def _connect(self, generation: int) -> None:
        driver, router = self.driver, self.router
        if generation != self._generation or self.is_over or self.is_up or driver.is_dead:
            return
        is_covered = driver.covered is None or driver.covered.get(self.peer.router, 0) >= self.outlives_whole
        if driver.is_frozen or not router.reaches(self.node) or router.is_hung or not is_covered:
            driver.world.after(POLL_SECONDS, self._connect, generation)
            return
        router.opened(self)
        self.is_up, self.is_synced = True, False
        self.since = driver.clock.monotonic()
        if self.peer.graceful_restart_seconds is None:
            self.kept.clear()
        self.settle()
        driver.changed()

    @property
    def outlives_whole(self) -> int:
        return whole_seconds(self.outlives + EXABGP_PERMIT_SECONDS)

    def lost(self, *, is_seen_by_router: bool, is_clean: bool) -> None:
        """`is_seen_by_router`: it hears the end now, and not when the hold time is over."""
        if not self.is_up:
            return
        self._generation += 1
        self.is_up, self.is_synced = False, False
        for prefix in self.sent:
            self.driver.note(prefix)
        self.downs += 1
        self.since = self.driver.clock.monotonic()
        if is_seen_by_router and (is_clean or self.peer.graceful_restart_seconds is None):
            self.sent.clear()
        else:
            self.keep(self.driver.clock.monotonic() + self.outlives + CLOCK_MARGIN_SECONDS)
        hold = 0.0 if is_seen_by_router else float(self.peer.hold_time_seconds)
        self.driver.world.after(hold + ROUND_TRIP_SECONDS / 2, self._router_notices, is_clean)
        if not self.is_over and not self.driver.is_dead:
            self.try_to_connect()
        self.driver.changed()

    def _router_notices(self, is_clean: bool) -> None:
        self.router.do(_ended, self.router, self, is_clean)

    # ---- routes

    def settle(self) -> None:
        """Send what differs from what is wanted."""
        driver = self.driver
        if not self.is_up:
            return
        if not self.router.reaches(self.node):
            driver.world.after(0.2, self.settle)  # TCP sends it again
            return
        wanted = {} if driver.is_silent or self.is_over else driver.wanted.get(self.peer.name, {})
        for prefix in [prefix for prefix in self.sent if prefix not in wanted]:
            self._withdraw(prefix)
        for prefix, route in wanted.items():
            known = self.sent.get(prefix)
            uid = driver.process.uid_of(str(prefix.network_address))
            if known is None or known.route != route or known.uid != uid:
                kept = self.sent[prefix] = Kept(route, uid)
                driver.note(prefix)
                self._deliver(self.router.take, self, prefix, kept)
        if not self.is_synced and (driver.is_silent or self.peer.name in driver.wanted):
            self.is_synced = True
            driver.world.after(2 * ROUND_TRIP_SECONDS, self._synced, self._generation)

    def _synced(self, generation: int) -> None:
        if self.is_up and generation == self._generation and self.router.reaches(self.node) and not self.router.is_hung:
            self.router.end_of_rib(self.machine)
            self.kept.clear()
            self.driver.synced.add(self.peer.router)
            self.driver.changed()

    def _withdraw(self, prefix: Prefix) -> None:
        """Until TCP acknowledges it the router may have it."""
        del self.sent[prefix]
        self.kept[prefix] = float("inf")
        self._deliver(self.router.take, self, prefix, None)
        self.driver.world.after(2 * ROUND_TRIP_SECONDS, self._acknowledged, prefix, self._generation)
        self.driver.note(prefix)

    def _acknowledged(self, prefix: Prefix, generation: int) -> None:
        if generation != self._generation or not self.is_up:
            if self.kept.get(prefix) == float("inf"):
                self.kept[prefix] = self.driver.clock.monotonic() + self.outlives + CLOCK_MARGIN_SECONDS
            return
        if self.router.reaches(self.node):
            self.kept.pop(prefix, None)
            self.driver.note(prefix)
            self.driver.changed()
        else:
            self.driver.world.after(0.2, self._acknowledged, prefix, generation)

    def _deliver(self, what: Callable[..., None], *arguments: Any) -> None:
        self.driver.world.after(ROUND_TRIP_SECONDS / 2, self._arrive, what, arguments, self._generation)

    def _arrive(self, what: Callable[..., None], arguments: tuple[Any, ...], generation: int) -> None:
        if not self.is_up or generation != self._generation:
            return
        if self.router.reaches(self.node):
            self.router.do(what, *arguments)
        else:
            self.driver.world.after(0.2, self._arrive, what, arguments, generation)


def _ended(router: Router, session: Session, is_clean: bool) -> None:
    router.ended(session, is_clean=is_clean)


class PlayedDriver:
    """In the place of BgpDriver."""

    def __init__(self, world: World, loop: ProcessLoop, routers: Mapping[str, Router]) -> None:
        self.world, self.loop, self.clock = world, loop, loop.clock
        self.routers_there = routers
        self.process: SpeakerProcess
        self.peers: dict[str, PeerConfig] = {}
        self.wanted: dict[str, dict[Prefix, Route]] = {}
        self.live: dict[str, Session] = {}
        self.retired: list[Session] = []
        self.synced: set[str] = set()
        self.covered: dict[str, int] | None = None
        self.is_silent = self.is_dead = False
        self.permit_until = float("inf")
        self._changed: set[Prefix] = set()
        self._waits = False

    @property
    def is_frozen(self) -> bool:
        return self.world.now < self.loop.frozen_until

    def note(self, prefix: Prefix) -> None:
        self._changed.add(prefix)

    def changed(self) -> None:
        if not self.is_dead and not self._waits:
            self._waits = True
            self.world.after(0.001, self._say_changed)

    def _say_changed(self) -> None:
        self._waits = False
        if not self.is_dead:
            self.loop.call_soon(self.process.agent.routers_changed)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            self._pass_time()

    def _pass_time(self) -> None:
        now = self.clock.monotonic()
        for session in [*self.live.values(), *self.retired]:
            for prefix in [prefix for prefix, until in session.kept.items() if until <= now]:
                del session.kept[prefix]
                self.note(prefix)
                self.changed()
        self.retired = [one for one in self.retired if one.kept]

    def look(self) -> None:
        """At the path to each router and at the permit, now and then: what fails by silence."""
        if self.is_dead:
            return
        self.world.after(POLL_SECONDS, self.look)
        for session in list(self.live.values()):
            if not session.is_up:
                continue
            if self.clock.boottime() > self.permit_until and session.sent:
                session.lost(is_seen_by_router=session.router.reaches(self.process.node), is_clean=False)
                continue
            is_well = session.router.reaches(self.process.node) and not session.router.is_hung
            silent = session.silent_since = (
                None if is_well else (getattr(session, "silent_since", None) or self.world.now)
            )
            if silent is not None and self.world.now - silent >= session.peer.hold_time_seconds:
                session.lost(is_seen_by_router=True, is_clean=False)

    # ---- as BgpDriver

    @property
    def sessions(self) -> dict[str, SessionView]:
        return {name: self._view(one) for name, one in self.live.items()}

    def _view(self, one: Session) -> SessionView:
        state = BGPSessionState.Established if one.is_up else BGPSessionState.Active
        families = one.peer.families if one.is_up else frozenset()
        return SessionView(
            one.peer.name, one.peer.peer_address, state, one.since, families, len(one.sent), downs=one.downs
        )

    @property
    def routers(self) -> dict[str, int]:
        found: dict[str, int] = {}
        now = self.clock.monotonic()
        for one in self.live.values():
            found[one.peer.router] = max(found.get(one.peer.router, 0), one.outlives_whole)
        for one in [*self.live.values(), *self.retired]:
            left = max((min(until, now + one.outlives) - now for until in one.kept.values()), default=0.0)
            if left > 0:
                found[one.peer.router] = max(found.get(one.peer.router, 0), whole_seconds(left))
        return found

    @property
    def synced_routers(self) -> frozenset[str]:
        return frozenset(one.peer.router for one in self.live.values() if one.is_up and one.peer.router in self.synced)

    def cover(self, covered: Mapping[str, int]) -> None:
        self.covered = dict(covered)

    def drop_kept(self, routers: Set[str]) -> None:
        for one in self.retired:
            if one.peer.router in routers:
                one.kept.clear()

    def set_peers(self, peers: Mapping[str, PeerConfig]) -> None:
        self.peers = dict(peers)
        for name, session in list(self.live.items()):
            if peers.get(name) != session.peer:
                self._retire(name)
        for name, peer in sorted(peers.items()):
            router = self.routers_there.get(str(peer.peer_address))
            if name not in self.live and router is not None and self.peer_of(router) is None:
                made = self.live[name] = Session(self, peer, router)
                made.try_to_connect()
        self.changed()

    def peer_of(self, router: Router) -> str | None:
        """The peer by which it has a session with the router: of two with one address the first that was there, then
        the first by name. None = there is none."""
        return next((name for name, one in self.live.items() if one.router is router), None)

    def _retire(self, name: str) -> None:
        session = self.live.pop(name)
        session.is_over = True
        self.retired.append(session)
        for prefix in [*session.sent, *session.kept]:
            self.note(prefix)
        session.lost(is_seen_by_router=session.router.reaches(self.process.node), is_clean=True)

    def set_routes(self, peer: str, routes: Mapping[Prefix, Route]) -> None:
        self.wanted[peer] = dict(routes)
        self._settle(peer)

    def change_routes(self, peer: str, changes: Mapping[Prefix, Route | None]) -> None:
        routes = self.wanted.setdefault(peer, {})
        for prefix, route in changes.items():
            if route is None:
                routes.pop(prefix, None)
            else:
                routes[prefix] = route
        self._settle(peer)

    def _settle(self, peer: str) -> None:
        if (session := self.live.get(peer)) is not None:
            session.settle()
        self.changed()

    def permit(self, until: float) -> None:
        self.permit_until = until

    def silence(self) -> None:
        self.is_silent = True
        self._settle_all()

    def resume(self) -> None:
        self.is_silent = False
        self._settle_all()

    def _settle_all(self) -> None:
        for session in self.live.values():
            session.settle()
        self.changed()

    def drain(self, is_draining: bool = True, *, spare_graceful: bool = False) -> None:
        """Another attribute, which is nobody's business here."""

    def may_be_heard(self, prefix: Prefix) -> bool:
        is_wanted = not self.is_silent and any(prefix in self.wanted.get(name, {}) for name in self.live)
        return is_wanted or any(one.may_be_heard(prefix) for one in [*self.live.values(), *self.retired])

    def sent_to(self, prefix: Prefix) -> tuple[str, ...]:
        return tuple(sorted(name for name, one in self.live.items() if one.is_up and prefix in one.sent))

    def paths_to(self, prefix: Prefix) -> tuple[PathAttributes, ...]:
        sent = {name: one.sent[prefix].route for name, one in self.live.items() if one.is_up and prefix in one.sent}
        return paths_of(prefix, sent.items())

    def take_changed(self) -> set[Prefix]:
        changed, self._changed = self._changed, set()
        return changed

    async def stop(self, *, graceful: bool) -> None:
        for name, session in list(self.live.items()):
            if graceful and session.peer.graceful_restart_seconds is not None and session.is_up:
                self.live.pop(name)
                session.is_over = True
                self.retired.append(session)
                session.lost(is_seen_by_router=session.router.reaches(self.process.node), is_clean=False)
            else:
                self._retire(name)
        await asyncio.sleep(3 * ROUND_TRIP_SECONDS)

    def kill(self, *, with_machine: bool) -> None:
        """The process is gone, and with it the sessions. `with_machine`: routers hear nothing of it."""
        for session in self.live.values():
            heard = not with_machine and session.router.reaches(self.process.node)
            session.lost(is_seen_by_router=heard, is_clean=False)
        self.is_dead = True


class NoBlackholes:
    """In the place of speaker.bgp.io.blackhole.Blackholes."""

    fault = ""

    async def run(self) -> None:
        await asyncio.get_running_loop().create_future()

    def set(self, prefixes: frozenset[Prefix]) -> None:
        """Nothing is sent here."""
