"""Holds the BGP sessions as the core orders it, and reports what the routers have: the shell of speaker.bgp.course."""

import asyncio
from collections.abc import Callable, Set

from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.io.blackhole import Blackholes
from speaker.bgp.model import Prefix
from speaker.bgp.routers import RouterOrders, RouterReport


class Routers:
    """`on_change()`: there is something to report. `report` says it."""

    def __init__(self, driver: BgpDriver, blackholes: Blackholes, on_change: Callable[[], None]) -> None:
        self._driver = driver
        self._blackholes = blackholes
        self._on_change = on_change
        self._asks: Set[Prefix] = frozenset()
        self._has_stopped = False

    async def run(self) -> None:
        """Until cancelled; with a clean end ordered first, or the routers hear nothing of it."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._driver.run())
            group.create_task(self._blackholes.run())
            await asyncio.Event().wait()

    def carry_out(self, orders: RouterOrders) -> RouterReport | None:
        """All of it, at once. What the routers have right after that; None = nothing can have changed."""
        if orders.covered is not None:
            self._driver.cover(orders.covered)
        if orders.dropped:
            self._driver.drop_kept(orders.dropped)
        if orders.permit_until is not None:
            self._driver.permit(orders.permit_until)
        for peer, routes in orders.routes.items():
            self._driver.set_routes(peer, routes)
        for peer, changes in orders.changes.items():
            self._driver.change_routes(peer, changes)
        if orders.is_draining is not None:
            self._driver.drain(orders.is_draining, spare_graceful=orders.spares_graceful)
        if orders.is_silent is not None:
            (self._driver.silence if orders.is_silent else self._driver.resume)()
        if orders.peers is not None:
            self._driver.set_peers(orders.peers)
        if orders.blackholes is not None:
            self._blackholes.set(orders.blackholes)
        if orders.asks is not None:
            self._asks = orders.asks
        if orders.stops:
            self._group.create_task(self._stop())
        return self.report() if orders.changes_routes else None

    def report(self) -> RouterReport:
        """As things stand."""
        driver = self._driver
        changed = driver.take_changed()
        return RouterReport(
            sessions=driver.sessions,
            sent={prefix: driver.sent_to(prefix) for prefix in changed},
            paths={prefix: driver.paths_to(prefix) for prefix in changed},
            answers={prefix: driver.may_be_heard(prefix) for prefix in self._asks},
            routers=driver.routers,
            synced=driver.synced_routers,
            blackhole_fault=self._blackholes.fault,
            has_stopped=self._has_stopped,
        )

    async def _stop(self) -> None:
        await self._driver.stop(graceful=True)
        self._has_stopped = True
        self._on_change()
