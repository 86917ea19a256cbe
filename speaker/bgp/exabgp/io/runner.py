"""Keeps the session with one peer: an ExaBGP process for it, started again when it dies, killed when it does not obey.

Decides nothing about routes: what to write, and when enough is enough, is session.py's.

    start -> pump: lines out, events in -> dead, overdue, changed or to be closed -> wait (backoff) -> start ...
"""

import asyncio
import contextlib
import random
import shutil
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

import structlog

from kube.backoff import Backoff
from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.config import ConfigError, is_same_session
from speaker.bgp.exabgp.connection import start_words
from speaker.bgp.exabgp.io.forker import Forker
from speaker.bgp.exabgp.io.process import ExaBgpError, ExaBgpProcess
from speaker.bgp.exabgp.ribout import Posture
from speaker.bgp.exabgp.session import CONFIRM_SECONDS, RouterSession
from speaker.bgp.model import PeerConfig

BACKOFF = Backoff(base_seconds=0.5, cap_seconds=30.0)
STEADY_SECONDS = 60.0
"""A process that lived so long is started again without much ado."""
CLOSE_SECONDS = CONFIRM_SECONDS + 2.0
GOODBYE_SECONDS = 2.0
ADMINISTRATIVE_SHUTDOWN, PEER_DECONFIGURED, CONFIGURATION_CHANGE = 2, 3, 6  # RFC 4486 §3

log = structlog.get_logger()


class Ending(Enum):
    """How a session is to end. Closed: withdrawn from and told so; dropped: without a word."""

    Closed = "closed"
    Dropped = "dropped"


class SessionRunner:
    """`on_change(runner)`: the session's view or an answer of its `may_be_heard` may have changed."""

    def __init__(
        self,
        directory: Path,
        peer: PeerConfig,
        *,
        on_change: Callable[["SessionRunner"], None],
        forker: Forker,
    ) -> None:
        self.session = RouterSession(peer, time.monotonic())
        self.process: ExaBgpProcess | None = None
        self._directory = directory
        self._on_change = on_change
        self._forker = forker
        self._wake = asyncio.Event()
        self._next: PeerConfig | None = None
        self._ending: Ending | None = None
        self._close_by = 0.0
        self._subcode = ADMINISTRATIVE_SHUTDOWN
        self._seen: object = None
        self._fault = ""

    @property
    def peer(self) -> PeerConfig:
        """As it is to be; the session may not be there yet."""
        return self._next or self.session.peer

    @property
    def is_ending(self) -> bool:
        return self._ending is not None

    def poke(self) -> None:
        """Something is wanted of the session."""
        self._wake.set()

    def change(self, peer: PeerConfig) -> None:
        """The same router, to be spoken to in another way: the session is reset, where it can't be the same."""
        if peer == self.peer:
            return
        if self._next is None and is_same_session(self.session.peer, peer):
            self.session.configure(peer)
        else:
            self._next = peer
        self._wake.set()

    def end(self, ending: Ending, *, subcode: int = ADMINISTRATIVE_SHUTDOWN) -> None:
        """`run` returns soon. To be closed: it withdraws, and waits a while for the confirmations."""
        if self._ending is None:
            self._close_by = time.monotonic() + CLOSE_SECONDS
        self._ending, self._subcode = ending, subcode
        if ending is Ending.Closed:
            self.session.set_posture(Posture.Silent)
        self._wake.set()

    async def run(self) -> None:
        """Until `end`, or cancelled: then it is dropped."""
        failures = 0
        try:
            while not self.is_ending:
                began = time.monotonic()
                is_wanted_so = await self._live()
                if self.is_ending:
                    return
                failures = 0 if is_wanted_so or time.monotonic() - began > STEADY_SECONDS else failures + 1
                if failures:
                    await self._back_off(failures)
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._notify()

    async def _live(self) -> bool:
        """One process from start to end. True when it was to end."""
        if self._next is not None:
            self.session.configure(self._next)
            self._next = None
        peer = self.session.peer
        why = "the agent let go of it"
        self.process = process = ExaBgpProcess(
            self._directory, on_event=self._on_event, on_lost=self._wake.set, forker=self._forker
        )
        is_wanted_so, self._fault = False, ""
        try:
            await process.start(peer)
            self.session.exabgp_started(time.monotonic())
            is_wanted_so, why = await self._pump(process)
        except (ExaBgpError, ConfigError) as error:
            why = start_words(str(error), peer)
        except Exception as error:  # a fault of ours ends this session, and no other
            log.exception("a BGP session could not go on", peer=peer.name)
            why = f"the speaker could not go on with it: {error!r}"
        finally:
            words = await self._kill(process)
            if not is_wanted_so:
                log.warning("a BGP session's process has ended", peer=peer.name, reason=why, words=words)
            self.session.exabgp_ended("" if is_wanted_so else why, time.monotonic())
            self._notify()
        return is_wanted_so

    async def _kill(self, process: ExaBgpProcess) -> str:
        """Its last words. The signal comes before anything that can fail."""
        try:
            return await process.kill()
        except Exception as error:
            log.exception("what is left of a BGP session's process could not be cleared away", peer=self.peer.name)
            return repr(error)

    async def _pump(self, process: ExaBgpProcess) -> tuple[bool, str]:
        """Whether the end was wanted, and why it came."""
        session = self.session
        while not process.is_lost:
            now = time.monotonic()
            if why := self._fault or session.overdue(now):
                return False, why
            if self._ending is Ending.Dropped:
                return True, "dropped"
            if self._next is not None:
                await self._reset(process)
                return True, "the peer was changed"
            if self._ending is Ending.Closed and (session.is_clean or now >= self._close_by):
                await self._say_goodbye(process, self._subcode)
                return True, "closed"
            process.write(session.next_lines(now))
            self._notify()
            await self._wait(session.deadline())
        return False, "ExaBGP has died"

    async def _reset(self, process: ExaBgpProcess) -> None:
        """With graceful restart the router keeps the routes, so it is told nothing."""
        if self.session.peer.graceful_restart_seconds is None:
            await self._say_goodbye(process, CONFIGURATION_CHANGE)

    async def _say_goodbye(self, process: ExaBgpProcess, subcode: int) -> None:
        until = time.monotonic() + GOODBYE_SECONDS
        if self.session.is_up:
            process.write([self.session.goodbye_line(subcode)])
        while self.session.is_up and not process.is_lost and time.monotonic() < until:
            await self._wait(until)

    async def _wait(self, until: float | None) -> None:
        """Until that time, or until something happens; None: only the latter."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else max(0.0, until - time.monotonic())):
                await self._wake.wait()
        self._wake.clear()

    async def _back_off(self, failures: int) -> None:
        """With jitter, so that the speakers of a cluster do not come back at the same moment."""
        until = time.monotonic() + BACKOFF.delay_seconds(failures - 1, random.random())
        while not self.is_ending and self._next is None and time.monotonic() < until:
            await self._wait(until)

    def _on_event(self, event: events.Event) -> None:
        was_up = self.session.is_up
        try:
            self.session.handle(event, time.monotonic())
        except Exception as error:  # a fault of ours ends this session, and no other
            log.exception("an event of a BGP session could not be handled", peer=self.session.peer.name)
            self._fault = f"an event could not be handled: {error}"
        if self.session.is_up != was_up:
            view = self.session.view()
            log.info(
                "BGP session is up" if view.state == "Established" else "BGP session is down",
                peer=view.peer,
                reason=view.last_error,
            )
        self._wake.set()

    def _notify(self) -> None:
        seen = (self.session.view(), self.session.is_synced)
        if seen != self._seen or self.session.has_changed:
            self._seen = seen
            self._on_change(self)
