"""Holds the BGP sessions of this node, and keeps what routers have of us at what is wanted: the agent's end of ExaBGP.

Decides nothing about addresses: the agent says which peers there are and which routes each is to have. Without
set_peers and set_routes nothing is announced.

    agent -- set_peers, change_routes, permit --> BgpDriver -- one SessionRunner a peer --> exabgp --> router
                                                               RouterSession (pure)  <-- events --
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Set
from functools import lru_cache
from pathlib import Path

from crds.speaker import BGPSessionState
from speaker.bgp.exabgp.config import ConfigError, check
from speaker.bgp.exabgp.io.forker import Forker
from speaker.bgp.exabgp.io.runner import ADMINISTRATIVE_SHUTDOWN, PEER_DECONFIGURED, Ending, SessionRunner
from speaker.bgp.exabgp.ribout import Posture
from speaker.bgp.model import PeerConfig, Prefix, Route, SessionView
from speaker.bgp.paths import paths_of
from speaker.own.paths import PathAttributes

POLL_SECONDS = 1.0
EXABGP_PERMIT_REACH_SECONDS = 8.0
"""A permit should reach so far: it is told every 2 s, and a busy machine may leave out a turn or two."""


class BgpDriver:
    """All methods are to be called in the event loop that `run` runs in. The synchronous ones return at once, may be
    called before `run`, and are idempotent: say the same as often as you like.

    `directory`: an own one, for configuration (with passwords: mode 0700) and pipes. `on_change()`: something visible
    here changed: `sessions`, `synced_routers`, or what `take_changed` tells of. `prefix`: words before the command by
    which ExaBGP is loaded. `forker`: in the place of the one that does so.
    """

    def __init__(
        self,
        directory: Path,
        *,
        on_change: Callable[[], None],
        prefix: tuple[str, ...] = (),
        forker: Forker | None = None,
    ) -> None:
        self._directory = directory
        self._on_change = on_change
        self._forker = forker or Forker(prefix)
        self._peers: dict[str, PeerConfig] = {}
        self._runners: dict[str, SessionRunner] = {}
        self._closing: list[SessionRunner] = []
        self._retired: list[SessionRunner] = []
        self._refused: dict[str, SessionView] = {}
        self._waiting: dict[str, dict[Prefix, Route]] = {}
        """The routes of peers that have no session. Those of the others are in the sessions, and nowhere else here."""
        self._permit: float | None = None
        self._covered: dict[str, int] | None = None
        self._changed: set[Prefix] = set()
        self._is_silent = self._is_draining = self._spares_graceful = self._is_stopped = False
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[SessionRunner, asyncio.Task[None]] = {}
        self._count = 0

    async def run(self) -> None:
        """Hold the sessions until cancelled; then every one is dropped without a word. `stop` is the clean way."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._reconcile()
                while True:
                    await asyncio.sleep(POLL_SECONDS)
                    self._pass_time(time.monotonic())
        finally:
            self._group = None
            await self._forker.close()

    @property
    def sessions(self) -> Mapping[str, SessionView]:
        """By peer name: each configured peer, also one that is refused (state Idle; last_error says why)."""
        views = {name: runner.session.view() for name, runner in self._runners.items()}
        return {
            name: views.get(name) or self._refused[name]
            for name in self._peers
            if name in views or name in self._refused
        }

    @property
    def routers(self) -> Mapping[str, int]:
        """The routers that have routes of ours, may keep some, or may be given some at any moment, by their names.
        For how many seconds each may keep them after the end of this process: of sessions by their hold time (as
        agreed, or as configured while it isn't) and graceful restart time, of those that are no more what is left."""
        now, found = time.monotonic(), dict[str, int]()
        for runner in self._all():
            seconds = runner.session.kept_seconds(now)
            if runner not in self._retired:
                seconds = max(seconds, runner.session.outlives_seconds)
            if seconds:
                found[runner.peer.router] = max(seconds, found.get(runner.peer.router, 0))
        return found

    @property
    def synced_routers(self) -> frozenset[str]:
        """The routers whose session is up and has had all that there was to have when it came up, and End-of-RIB,
        acknowledged by their TCP: whatever an earlier speaker said here, they have dropped."""
        return frozenset(one.session.peer.router for one in self._runners.values() if one.session.is_synced)

    def set_peers(self, peers: Mapping[str, PeerConfig]) -> None:
        """The routers to hold sessions with, by name: all of them. A changed peer resets that session, where it can't
        be the same (speaker.bgp.exabgp.config), and no other; one that is gone, or is at another address, is withdrawn
        from and closed. Of two peers with one address the one that was there first (then: whose name sorts first) is
        used, and the other is refused. The routes of a peer that is gone are forgotten."""
        for name in self._peers.keys() - peers.keys():
            self._waiting.pop(name, None)
        self._peers = dict(peers)
        self._reconcile()

    def set_routes(self, peer: str, routes: Mapping[Prefix, Route]) -> None:
        """The routes that the peer is to have: all of them (adj-RIB-out). Only what differs is sent. A name that is no
        peer's (yet) is remembered. A peer's End-of-RIB waits for this, so say it also when there are none."""
        if (runner := self._runners.get(peer)) is not None:
            runner.session.want(routes)
            runner.poke()
        else:
            self._waiting[peer] = dict(routes)

    def change_routes(self, peer: str, changes: Mapping[Prefix, Route | None]) -> None:
        """What is to be otherwise of the routes that the peer is to have; None = withdraw it. Costs only that much. For
        a peer of which nothing was said yet these are all there are, and End-of-RIB waits for it: see set_routes."""
        if (runner := self._runners.get(peer)) is not None:
            runner.session.change(changes)
            runner.poke()
            return
        routes = self._waiting.setdefault(peer, {})
        for prefix, route in changes.items():
            if route is None:
                routes.pop(prefix, None)
            else:
                routes[prefix] = route

    def permit(self, until: float) -> None:
        """Until when routers may have routes of us without hearing from this process (CLOCK_BOOTTIME, seconds; see
        EXABGP_PERMIT_REACH_SECONDS). Each ExaBGP is told with the query that it gets every 2 s, and before its first
        route; when the last one it was told has passed, the kernel kills it, and its connection is closed: however
        frozen this process is, its routes go (under graceful restart: when the restart time has passed). Before the
        first call nothing is limited. While silenced no call is needed: ExaBGP lives on, without a limit, once it holds
        no route and the withdrawals are confirmed; otherwise it is killed in time, and the next one has no routes.
        `resume` wants a permit first: with a passed one ExaBGP is killed, again and again, before it announces
        anything."""
        self._permit = until
        for runner in self._all():
            runner.session.permit = until

    def cover(self, covered: Mapping[str, int]) -> None:
        """For how many seconds after the end of this process whoever judges it knows that a router may keep routes, by
        PeerConfig.router. A session that was agreed on with longer times does not come up. Before the first call
        nothing is limited."""
        self._covered = dict(covered)
        for runner in self._all():
            self._set_covered(runner)
            runner.poke()

    def drop_kept(self, routers: Set[str]) -> None:
        """Somebody knows that these routers keep nothing of sessions that are no more. Says nothing of the others."""
        for runner in self._retired:
            if runner.peer.router in routers:
                runner.session.router_started_anew()

    def drain(self, is_draining: bool = True, *, spare_graceful: bool = False) -> None:
        """While draining, every route carries GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 on iBGP (RFC 8326): routers move
        traffic away before the routes go. `spare_graceful`: not those of peers with graceful restart, which stay."""
        self._is_draining, self._spares_graceful = is_draining, spare_graceful
        self._set_postures()

    def silence(self) -> None:
        """Withdraw everything and send nothing until `resume`. A session that does not confirm in time is ended."""
        self._is_silent = True
        self._set_postures()

    def resume(self) -> None:
        """Send again what is wanted."""
        self._is_silent = False
        self._set_postures()

    def may_be_heard(self, prefix: Prefix) -> bool:
        """Whether any router may have a route to exactly this prefix from us. False only when each peer never got it,
        or was sent the withdrawal and its TCP has acknowledged that, or has surely dropped the session since. Deleted
        peers count too. True as long as it is wanted of a peer (set_routes) and not silenced."""
        return any(runner.session.may_be_heard(prefix) for runner in self._all())

    def sent_to(self, prefix: Prefix) -> tuple[str, ...]:
        """The peers to which an UPDATE with exactly this prefix was seen to be sent, and none that withdraws it, in the
        session that is up: their names, sorted. Deleted peers count until they are withdrawn from."""
        return _sorted(frozenset(one.session.peer.name for one in self._all() if one.session.has_sent(prefix)))

    def paths_to(self, prefix: Prefix) -> tuple[PathAttributes, ...]:
        """With which attributes it was sent to which of `sent_to`, as far as that is known."""
        routes = ((one.session.peer.name, one.session.sent_route(prefix)) for one in self._all())
        return paths_of(prefix, ((name, route) for name, route in routes if route is not None))

    def take_changed(self) -> set[Prefix]:
        """The prefixes of which an answer of `sent_to`, `paths_to` or `may_be_heard` may have changed since this was
        asked last."""
        for runner in self._all():
            self._changed |= runner.session.take_changed()
        changed, self._changed = self._changed, set()
        return changed

    async def stop(self, *, graceful: bool) -> None:
        """End all sessions: withdraw everything, wait up to 12 s for the confirmations, and say goodbye (NOTIFICATION
        Cease, administrative shutdown). `graceful`: peers with graceful restart are dropped without a word instead, so
        that routers keep the routes until we are back (RFC 4724); nothing was withdrawn from them then. Never raises
        for what a router does. `may_be_heard` tells afterwards what is certain; `run` goes on with nothing to do."""
        self._is_stopped = True
        for runner in list(self._runners.values()):
            is_kept = graceful and runner.session.peer.graceful_restart_seconds is not None
            self._retire(runner, Ending.Dropped if is_kept else Ending.Closed, ADMINISTRATIVE_SHUTDOWN)
        if tasks := list(self._tasks.values()):
            await asyncio.wait(tasks)

    def exabgp_pids(self) -> dict[str, int]:
        """The ExaBGP processes that run, by peer name."""
        processes = {name: runner.process for name, runner in self._runners.items()}
        return {
            name: process.pid for name, process in processes.items() if process and process.pid and not process.is_lost
        }

    def _all(self) -> list[SessionRunner]:
        return [*self._runners.values(), *self._closing, *self._retired]

    def _reconcile(self) -> None:
        """Runners as the peers are. Called again when a session that is in the way has ended."""
        if self._group is None or self._is_stopped:
            return
        usable = self._usable()
        for name, runner in list(self._runners.items()):
            if name not in usable or usable[name].router != runner.peer.router:
                self._retire(runner, Ending.Closed, PEER_DECONFIGURED)
        for name, peer in usable.items():
            if name in self._runners:
                self._change(self._runners[name], peer)
            elif in_the_way := next((one for one in self._closing if one.peer.router == peer.router), None):
                self._refuse(
                    peer, f"waits for the end of the session that {in_the_way.peer.name} had with this address"
                )
            else:
                self._start(peer)
        self._on_change()

    def _change(self, runner: SessionRunner, peer: PeerConfig) -> None:
        if peer != runner.peer:
            runner.change(peer)
            self._set_posture(runner)

    def _usable(self) -> dict[str, PeerConfig]:
        usable: dict[str, PeerConfig] = {}
        owners: dict[object, str] = {}
        self._refused = {}
        for name in sorted(self._peers, key=lambda name: (not self._has_same_router(name), name)):
            peer = self._peers[name]
            try:
                check(peer)
            except ConfigError as error:
                self._refuse(peer, str(error))
                continue
            owner = owners.setdefault(peer.router, name)
            if owner != name:
                self._refuse(peer, f"the peer {owner} has the same address, and one session with it")
                continue
            place = ("listens at", peer.source_address, peer.listen_port) if peer.is_passive else name
            listener = owners.setdefault(place, name)
            if listener != name:
                self._refuse(peer, f"{peer.source_address} is where {listener} is waited for: only one peer can be")
                continue
            usable[name] = peer
        return usable

    def _has_same_router(self, name: str) -> bool:
        return name in self._runners and self._runners[name].peer.router == self._peers[name].router

    def _refuse(self, peer: PeerConfig, why: str) -> None:
        self._refused[peer.name] = SessionView(
            peer.name, peer.peer_address, BGPSessionState.Idle, time.monotonic(), last_error=why
        )

    def _start(self, peer: PeerConfig) -> None:
        assert self._group is not None
        self._count += 1
        runner = SessionRunner(
            self._directory / f"{self._count}", peer, on_change=self._runner_changed, forker=self._forker
        )
        runner.session.permit = self._permit
        self._set_covered(runner)
        self._runners[peer.name] = runner
        self._set_posture(runner)
        if (routes := self._waiting.pop(peer.name, None)) is not None:
            runner.session.want(routes)
        self._tasks[runner] = self._group.create_task(self._run(runner))

    async def _run(self, runner: SessionRunner) -> None:
        try:
            await runner.run()
        finally:
            del self._tasks[runner]
            if runner in self._closing:
                self._closing.remove(runner)
                self._retired.append(runner)
            self._reconcile()

    def _retire(self, runner: SessionRunner, ending: Ending, subcode: int) -> None:
        name = runner.session.peer.name
        del self._runners[name]
        if name in self._peers and (routes := runner.session.wanted) is not None:
            self._waiting[name] = routes
        self._closing.append(runner)
        runner.end(ending, subcode=subcode)

    def _set_covered(self, runner: SessionRunner) -> None:
        runner.session.covered_seconds = None if self._covered is None else self._covered.get(runner.peer.router, 0)

    def _set_postures(self) -> None:
        for runner in self._runners.values():
            self._set_posture(runner)

    def _set_posture(self, runner: SessionRunner) -> None:
        is_spared = self._spares_graceful and runner.peer.graceful_restart_seconds is not None
        is_draining = self._is_draining and not is_spared
        heard = Posture.Draining if is_draining else Posture.Normal
        runner.session.set_posture(Posture.Silent if self._is_silent else heard)
        runner.poke()

    def _runner_changed(self, runner: SessionRunner) -> None:
        self._changed |= runner.session.take_changed()
        if runner.session.is_synced:
            for old in self._retired:
                if old.peer.router == runner.peer.router:
                    old.session.router_started_anew()
        self._on_change()

    def _pass_time(self, now: float) -> None:
        for runner in self._all():
            runner.session.pass_time(now)
        kept = [runner for runner in self._retired if runner.session.has_kept]
        if any(runner.session.has_changed for runner in self._all()) or len(kept) < len(self._retired):
            for runner in self._all():
                self._changed |= runner.session.take_changed()
            self._retired = kept
            self._on_change()


@lru_cache(maxsize=256)
def _sorted(names: frozenset[str]) -> tuple[str, ...]:
    """One value for all prefixes that were sent to the same peers."""
    return tuple(sorted(names))
