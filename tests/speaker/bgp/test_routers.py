"""The shell that holds the BGP sessions: what is ordered is carried out at once, and reported right after that."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network

import pytest

from speaker.bgp.io.routers import Routers
from speaker.bgp.model import PeerConfig, Route
from speaker.bgp.routers import RouterOrders
from tests.speaker.agents import TableBlackholes, TableDriver
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

PREFIX = ip_network("192.0.2.1/32")
PEER = PeerConfig(
    "tor", 64512, 64513, ip_address("192.0.2.254"), ip_address("192.0.2.100"), frozenset({"ipv4"}), hold_time_seconds=30
)


class Rig:
    def __init__(self) -> None:
        self.changes = 0
        self.driver, self.blackholes = TableDriver([]), TableBlackholes()
        self.routers = Routers(self.driver, self.blackholes, self._changed)  # type: ignore[arg-type]

    def _changed(self) -> None:
        self.changes += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Rig"]:
        running = asyncio.create_task(self.routers.run())
        await asyncio.sleep(0)
        yield self
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def test_routes_are_there_before_the_session_and_answers_are_of_after_the_orders() -> None:
    rig = Rig()
    orders = RouterOrders(
        routes={"tor": {PREFIX: Route(PREFIX)}},
        peers={"tor": PEER},
        permit_until=7.0,
        blackholes=frozenset({PREFIX}),
        asks={PREFIX},
    )
    report = rig.routers.carry_out(orders)
    assert report is not None
    assert rig.driver.known_at_start == {"tor": 1}
    assert rig.driver.permit_until == 7.0
    assert rig.blackholes.prefixes == {PREFIX}
    assert report.answers == {PREFIX: True}
    assert report.sent == {PREFIX: ("tor",)}
    assert set(report.sessions) == {"tor"}
    assert report.routers == {"192.0.2.254": 30 + 15}
    report = rig.routers.carry_out(RouterOrders(changes={"tor": {PREFIX: None}}, asks={PREFIX}))
    assert report is not None
    assert report.answers == {PREFIX: False}
    assert report.sent == {PREFIX: ()}


def test_what_has_not_changed_is_not_reported_again() -> None:
    rig = Rig()
    rig.routers.carry_out(RouterOrders(routes={"tor": {PREFIX: Route(PREFIX)}}, peers={"tor": PEER}))
    assert rig.routers.report().sent == {}
    assert rig.routers.report().answers == {}


def test_silence_and_its_end_and_draining_are_passed_on() -> None:
    rig = Rig()
    rig.routers.carry_out(RouterOrders(routes={"tor": {PREFIX: Route(PREFIX)}}, peers={"tor": PEER}))
    rig.routers.carry_out(RouterOrders(is_silent=True))
    assert rig.driver.prefixes == {}
    rig.routers.carry_out(RouterOrders(is_silent=False, is_draining=True))
    assert rig.driver.prefixes == {"tor": {str(PREFIX)}}
    assert rig.driver.is_draining


@pytest.mark.parametrize("orders", [RouterOrders(), RouterOrders(permit_until=7.0)])
def test_where_nothing_can_have_changed_there_is_no_report(orders) -> None:
    assert Rig().routers.carry_out(orders) is None


@pytest.mark.asyncio
async def test_the_end_of_all_sessions_is_reported_when_it_has_come() -> None:
    async with Rig().running() as rig:
        rig.routers.carry_out(RouterOrders(peers={"tor": PEER}))
        before = rig.changes
        rig.routers.carry_out(RouterOrders(stops=True))
        assert not rig.routers.report().has_stopped
        await asyncio.sleep(0.1)
        assert rig.changes > before
        assert rig.routers.report().has_stopped
        assert rig.driver.peers == {}
