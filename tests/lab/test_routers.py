"""The lab's routers learn from nodes, and what they are asked is what they have: drivers of two nodes are the peers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.net import hosts
from lab.net.netns import Sandbox, Unsupported
from lab.process import Process
from lab.routers import base as routers
from lab.routers.base import KernelHop, Place, Router, RouterSettings
from lab.routers.bird import Bird
from lab.routers.daemons import Site
from lab.routers.frr import Frr
from lab.waiting import wait_for
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.model import PeerConfig, Route

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow]

ADDRESS, PREFIX, PREFIX_V6 = "192.0.2.1", "192.0.2.1/32", "2001:db8::1/128"
TOPOLOGY = hosts.plan_topology(2)
WAIT_SECONDS = 40


class Running:
    """A lab's network with one router; what was started is killed at the end."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        hosts.build(sandbox, TOPOLOGY)
        self.sandbox, self.directory = sandbox, directory
        self.started: list[Process] = []

    def start(self, name: str, host: str | None, command) -> Process:
        enter = self.sandbox.namespaces.enter(host)
        process = Process(name, command, log_path=self.directory / f"{name}.log", enter=enter)
        process.start()
        self.started.append(process)
        return process

    def router(self, kind: type[Router], **settings: object) -> Router:
        namespaces, host = self.sandbox.namespaces, TOPOLOGY.router
        enter = tuple(namespaces.enter(host.name))
        site = Site(
            host.name,
            self.directory / "router",
            enter,
            lambda name, command: self.start(name, host.name, command),
        )
        place = Place(site, host, TOPOLOGY.nodes, namespaces.rootless)
        try:
            return kind(place, RouterSettings(**settings))
        except Unsupported as refused:
            pytest.skip(str(refused))


@pytest.fixture
def running(sandbox: Sandbox, tmp_path: Path) -> Iterator[Running]:
    made = Running(sandbox, tmp_path)
    yield made
    for process in made.started:
        process.kill()


def peer(node: hosts.Node, **changes) -> PeerConfig:
    made = PeerConfig(
        name="tor",
        my_asn=routers.NODE_ASN,
        peer_asn=routers.ROUTER_ASN,
        peer_address=TOPOLOGY.router.ipv4,
        router_id=node.ipv4,
        families=frozenset({"ipv4", "ipv6"}),
        connect_retry_seconds=1,
    )
    return replace(made, **changes)


@asynccontextmanager
async def speaking(running: Running, routes: Callable[[hosts.Node], list[Route]], **changes) -> AsyncIterator[dict]:
    """A driver on each node, with these routes."""
    drivers = {}
    async with asyncio.TaskGroup() as group:
        tasks = []
        for node in TOPOLOGY.nodes:
            prefix = tuple(running.sandbox.namespaces.enter(node.name))
            driver = BgpDriver(running.directory / f"bgp-{node.name}", on_change=lambda: None, prefix=prefix)
            drivers[node.name] = driver
            tasks.append(group.create_task(driver.run()))
            await asyncio.sleep(0)
            driver.set_peers({"tor": peer(node, **changes)})
            driver.set_routes("tor", {route.prefix: route for route in routes(node)})
        try:
            yield drivers
        finally:
            for task in tasks:
                task.cancel()


async def until(what: str, ask: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_for, what, ask, timeout_seconds=WAIT_SECONDS, poll_seconds=0.1)


def attributed(node: hosts.Node) -> list[Route]:
    about = {"communities": ((64512, 100), (65535, 0)), "large_communities": ((64512, 1, 2),), "med": 7}
    shared = Route(ip_network(PREFIX), link_bandwidth=1_000_000.0 * (4 - node.index * 1), **about)
    return [shared, Route(ip_network(PREFIX_V6), next_hop=node.ipv6), Route(ip_network(f"192.0.2.{100 + node.index}"))]


def has_all(router: Router) -> bool:
    """From both nodes. They come by several UPDATEs, each in its own time, and go so."""
    all_routes = {node.name: {str(route.prefix) for route in attributed(node)} for node in TOPOLOGY.nodes}
    return router.prefixes() == all_routes


@pytest.mark.parametrize("kind", [Bird, Frr])
def test_a_router_tells_what_each_node_has_told_it(running: Running, kind: type[Router]) -> None:
    async def main() -> None:
        router = await asyncio.to_thread(running.router, kind, installs=True)
        async with speaking(running, attributed) as drivers:
            await until("all routes are there", lambda: has_all(router))
            assert router.nodes_with("2001:db8::1") == {"node1", "node2"}
            assert router.established() == {"node1", "node2"}
            for node in TOPOLOGY.nodes:
                told = router.routes(PREFIX)[node.name]
                assert told.next_hop == str(node.ipv4)
                assert told.as_path == (64512,)
                assert told.communities == {(64512, 100), (65535, 0)}
                assert told.large_communities == {(64512, 1, 2)}
                assert told.med == 7
                assert told.link_bandwidth == 1_000_000.0 * (4 - node.index)
            await until("the kernel has both ways", lambda: len(router.kernel_hops(ADDRESS)) == 2)
            hops = router.kernel_hops(ADDRESS)
            assert [hop.node for hop in hops] == ["node1", "node2"]
            if kind is Frr:
                assert hops[0].weight / hops[1].weight == pytest.approx(1.5, rel=0.1)
            ways_v6 = lambda: [hop.node for hop in router.kernel_hops("2001:db8::1")]  # noqa: E731
            await until("IPv6 too", lambda: ways_v6() == ["node1", "node2"])
            drivers["node1"].set_routes("tor", {})
            await until("one is withdrawn", lambda: router.nodes_with(ADDRESS) == {"node2"})
            await until("in the kernel too", lambda: router.kernel_hops(ADDRESS) == [KernelHop("node2", 1)])

    asyncio.run(main())


def test_birds_log_says_when_a_route_came_and_went(running: Running) -> None:
    async def main() -> None:
        router = await asyncio.to_thread(running.router, Bird)
        assert isinstance(router, Bird)
        async with speaking(running, attributed) as drivers:
            await until("all routes are there", lambda: has_all(router))
            before = time.time()
            drivers["node2"].set_routes("tor", {})
            await until("all of one are withdrawn", lambda: not router.prefixes().get("node2"))
            after = time.time()
        came = {event.node for event in router.route_events() if event.prefix == PREFIX and not event.removed}
        assert came == {"node1", "node2"}
        (gone,) = [event for event in router.route_events(since=before) if event.prefix == PREFIX and event.at <= after]
        assert (gone.node, gone.removed) == ("node2", True)
        (gone_v6,) = [
            event for event in router.route_events(since=before) if event.prefix == PREFIX_V6 and event.at <= after
        ]
        assert gone_v6.removed

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Bird, Frr])
def test_a_router_that_shuts_a_session_down_drops_its_routes_until_it_opens_it(running, kind: type[Router]) -> None:
    async def main() -> None:
        router = await asyncio.to_thread(running.router, kind, password="sesame")
        async with speaking(running, attributed, password="sesame"):
            await until("all routes are there", lambda: has_all(router))
            await asyncio.to_thread(router.shut, "node1")
            await until("only one node's are left", lambda: not router.prefixes().get("node1"))
            assert router.nodes_with(ADDRESS) == {"node2"}
            if isinstance(router, Bird):
                gone = {event.prefix for event in router.route_events() if event.removed and event.node == "node1"}
                assert gone == {PREFIX, PREFIX_V6, "192.0.2.101/32"}
            assert router.established() == {"node2"}
            await asyncio.to_thread(router.unshut, "node1")
            await until("it is back", lambda: router.nodes_with(ADDRESS) == {"node1", "node2"})
            await asyncio.to_thread(router.kill)
            await asyncio.to_thread(router.start)
            await until("it learns all again", lambda: router.nodes_with(ADDRESS) == {"node1", "node2"})

    asyncio.run(main())


@pytest.mark.parametrize("kind", [Bird, Frr])
def test_a_router_keeps_the_routes_of_a_restarting_node_unless_it_is_told_not_to(running, kind: type[Router]) -> None:
    async def main() -> None:
        router = await asyncio.to_thread(running.router, kind, graceful_restart=True)
        async with speaking(running, attributed, graceful_restart_seconds=60) as drivers:
            await until("both nodes' routes are there", lambda: len(router.routes(PREFIX)) == 2)
            await drivers["node1"].stop(graceful=True)
            await until("the session has ended", lambda: router.established() == {"node2"})
            assert router.nodes_with(ADDRESS) == {"node1", "node2"}

    asyncio.run(main())


def test_a_router_that_is_not_installed_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.routers.base.PACKAGES", {"no-such-router": "its-package"})
    with pytest.raises(Unsupported, match="apt install its-package"):
        routers.require_commands(["no-such-router"])
