"""A driver on a node, and routers beside it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from lab.net.segment import Namespace
from lab.routers.links import Bird, Link, routes
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.model import PeerConfig, Prefix


@pytest.fixture
def node() -> Iterator[Namespace]:
    try:
        made = Namespace()
    except PermissionError as error:
        pytest.skip(str(error))
    yield made
    made.close()


@pytest.fixture
def link(node: Namespace) -> Iterator[Link]:
    made = Link(node, 1)
    yield made
    made.close()


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """What is put in here is closed after the test."""
    with ExitStack() as stack:
        yield stack


class Driven:
    """A driver that runs, and what it says of itself."""

    def __init__(self, driver: BgpDriver) -> None:
        self.driver = driver

    async def until(self, what: str, is_so: Callable[[], object], seconds: float = 30.0) -> None:
        """Poll, off the loop what may take long (birdc, vtysh)."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not await asyncio.to_thread(is_so):
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"not within {seconds:g} s: {what}; {dict(self.driver.sessions)}")
            await asyncio.sleep(0.01)

    async def until_up(self, peer: str = "tor", seconds: float = 30.0) -> None:
        await self.until(f"{peer} is up", lambda: self.driver.sessions[peer].state == "Established", seconds)

    async def until_confirmed(self, prefix: Prefix, seconds: float = 30.0) -> None:
        await self.until(f"{prefix} is withdrawn", lambda: not self.driver.may_be_heard(prefix), seconds)


@asynccontextmanager
async def driving(node: Namespace, directory: Path) -> AsyncIterator[Driven]:
    driver = BgpDriver(directory / "bgp", on_change=lambda: None, prefix=tuple(node.prefix))
    running = asyncio.create_task(driver.run())
    await asyncio.sleep(0)
    try:
        yield Driven(driver)
    finally:
        running.cancel()
        await asyncio.wait([running])
        if not running.cancelled() and (error := running.exception()):
            raise error


async def left_gracefully(link: Link, directory: Path, peer: PeerConfig, router: Bird, *prefixes: Prefix) -> None:
    """A driver gave the router these and stopped, and a second later the router keeps them."""
    async with driving(link.node, directory) as driven:
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(*map(str, prefixes)))
        await driven.until("all are there", lambda: router.prefixes() == set(prefixes))
        await driven.driver.stop(graceful=True)
        assert driven.driver.may_be_heard(prefixes[0])
    await asyncio.sleep(1)
    assert router.prefixes() == set(prefixes)


def lose_commands(driver: BgpDriver, peer: str) -> None:
    """The pipe of the commands to that ExaBGP has its end, as if the agent had closed it."""
    process = driver._runners[peer].process
    assert process is not None
    assert process._lines is not None
    os.dup2(os.open(os.devnull, os.O_WRONLY), process._lines.get_extra_info("pipe").fileno())
