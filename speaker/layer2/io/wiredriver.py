"""Carries out what speaker.layer2.orders wants of the wire process, one order after the other, withdrawals first.

Decides nothing; what the wire has confirmed goes back to the announcer.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from kube.io.clock import timestamp
from speaker.io.metrics import SpeakerMetrics
from speaker.layer2.course import Announcer
from speaker.layer2.orders import Interfaces
from speaker.wire.io.link import OrderRefusedError, WireLink
from speaker.wire.messages import Announce, UseInterfaces, Withdraw

WITHDRAWALS_AT_A_TIME = 256
ANNOUNCEMENTS_AT_A_TIME = 64

log = structlog.get_logger()


class WireDriver:
    """`may_announce()` is asked before each announcement; `probe_some()` has the wire probe addresses that wait for it,
    and returns whether there were any; `on_done()` comes after each order that was carried out."""

    def __init__(
        self,
        link: WireLink,
        announcer: Announcer,
        metrics: SpeakerMetrics,
        *,
        probe_some: Callable[[], Awaitable[bool]],
        may_announce: Callable[[], bool],
        on_done: Callable[[], None],
    ) -> None:
        self._link = link
        self._announcer = announcer
        self._metrics = metrics
        self._probe_some = probe_some
        self._may_announce = may_announce
        self._on_done = on_done
        self._work = asyncio.Event()
        self._interfaces: tuple[str, ...] = ()
        self.has_left = asyncio.Event()
        """Set while nothing that is to leave this node is on its wire, as far as is decided."""

    def poke(self) -> None:
        """There may be something to do."""
        self._work.set()

    def use_interfaces(self, names: tuple[str, ...]) -> None:
        """Those to announce on from now on. What was refused is tried again."""
        self._interfaces = names
        self._announcer.orders.retry_refused()
        self._work.set()

    async def run(self) -> None:
        """Until cancelled. An error of the link ends the speaker."""
        used: tuple[str, ...] = ()
        while True:
            await self._wait()
            self._work.clear()
            self._announcer.orders.give_up_waiting(time.monotonic())
            if used != self._interfaces:
                used = self._interfaces
                await self._link.carry_out(UseInterfaces(used))
            while await self._carry_out_some():
                pass
            (self.has_left.clear if self._announcer.is_handing_over else self.has_left.set)()

    async def _wait(self) -> None:
        """Forever, or until a successor should have taken over."""
        give_up_at = self._announcer.orders.gives_up_at
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if give_up_at is None else max(0.0, give_up_at - time.monotonic())):
                await self._work.wait()

    async def _carry_out_some(self) -> bool:
        orders = self._announcer.orders
        if addresses := orders.next_withdrawals(WITHDRAWALS_AT_A_TIME):
            began = time.monotonic()
            await self._link.carry_out(Withdraw(tuple(addresses)))
            self._announcer.withdrawn(addresses)
            self._metrics.withdrawn(time.monotonic() - began)
            log.debug("withdrawn", addresses=addresses)
        elif self._may_announce() and await self._probe_some():
            return True
        elif self._may_announce() and (entries := orders.next_announcements(ANNOUNCEMENTS_AT_A_TIME)):
            await self._announce(entries)
        else:
            return False
        self._on_done()
        return True

    async def _announce(self, entries: list[tuple[str, Interfaces]]) -> None:
        """Together; if the wire refuses, one by one, to know which."""
        try:
            await self._link.carry_out(Announce(tuple(entries)))
        except OrderRefusedError as error:
            if len(entries) > 1:
                for entry in entries:
                    await self._announce([entry])
                return
            log.warning("the wire refused", address=entries[0][0], error=str(error))
            self._announcer.refused(entries[0][0])
            return
        self._announcer.announced(entries, timestamp())
        log.debug("announced", addresses=[address for address, _ in entries])
