"""A driver that nobody controls any more, and BIRD: its routes go when the last permit has passed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.net.segment import Namespace
from lab.routers.links import SAME_SECONDS, Bird, Link, peer_on, routes
from lab.waiting import wait_for
from speaker.bgp.exabgp.io.driver import BgpDriver
from tests.speaker.bgp.exabgp.conftest import driving

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.alone, pytest.mark.asyncio]
V4, OTHER = ip_network("10.9.0.1/32"), ip_network("10.9.0.2/32")
PERMIT_SECONDS = 4.0
UP_SECONDS = 30.0


def boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def agent(number: int, directory: Path) -> None:
    """A process of its own, in the node's namespace. It extends the permit as long as it runs."""
    driver = BgpDriver(directory / "bgp", on_change=lambda: None)
    running = asyncio.create_task(driver.run())
    peer = peer_on(number)
    driver.set_peers({"tor": peer})
    driver.set_routes("tor", routes(str(V4)))
    while not running.done():
        driver.permit(boottime() + PERMIT_SECONDS)
        await asyncio.sleep(0.25)


@contextmanager
def an_agent(node: Namespace, link: Link, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*node.prefix, sys.executable, "-m", __name__, str(link.number), str(directory)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[4]) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_frozen_agent_leaves_no_route_behind(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """The hold time is far longer than this, so BIRD has nothing else to go by."""
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    process = opened.enter_context(an_agent(node, link, tmp_path))
    wait_for("it is there", lambda: bird.prefixes() == {V4}, timeout_seconds=UP_SECONDS)
    await asyncio.sleep(2 * PERMIT_SECONDS)
    since = bird.since()
    assert bird.prefixes() == {V4}
    process.send_signal(signal.SIGSTOP)
    frozen = boottime()
    wait_for("it is gone", lambda: not bird.prefixes(), timeout_seconds=PERMIT_SECONDS + 5)
    assert boottime() - frozen < PERMIT_SECONDS + 3
    assert "Received" not in bird.ask("show protocols all node")  # no NOTIFICATION: the connection is gone
    process.send_signal(signal.SIGCONT)
    wait_for("it is there again", lambda: bird.prefixes() == {V4}, timeout_seconds=UP_SECONDS)
    assert bird.since() != pytest.approx(since, abs=SAME_SECONDS)


async def test_a_frozen_exabgp_is_killed_by_its_permit(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    """By the kernel: nothing in a process that is stopped could do it. The driver would wait longer."""
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.permit(boottime() + PERMIT_SECONDS)
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        pid = driven.driver.exabgp_pids()["tor"]
        os.kill(pid, signal.SIGSTOP)
        await driven.until("it is dead", lambda: "tor" not in driven.driver.exabgp_pids(), PERMIT_SECONDS + 3)
        await driven.until("it is gone", lambda: not bird.prefixes(), 2)
        driven.driver.permit(boottime() + 60)
        await driven.until("it is there again", lambda: bird.prefixes() == {V4})


async def test_nothing_is_announced_with_a_permit_that_has_passed(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    bird = Bird(link, tmp_path, bgp="debug { routes };")
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.permit(boottime() - 1)
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", {})
        await driven.until_up()
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it has died", lambda: driven.driver.sessions["tor"].state != "Established")
        await asyncio.sleep(3)
        assert "added" not in bird.log()
        driven.driver.permit(boottime() + 60)
        await driven.until("it is there", lambda: bird.prefixes() == {V4})


async def test_a_silent_session_stays_up_without_permits(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.permit(boottime() + PERMIT_SECONDS)
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        since = bird.since()
        driven.driver.silence()
        await driven.until_confirmed(V4)
        await asyncio.sleep(2 * PERMIT_SECONDS)
        assert bird.is_up()
        driven.driver.permit(boottime() + 60)
        driven.driver.resume()
        await driven.until("it is there again", lambda: bird.prefixes() == {V4})
        assert bird.since() == pytest.approx(since, abs=SAME_SECONDS)


async def test_a_graceful_stop_keeps_the_routes_only_where_a_restart_was_agreed(
    node: Namespace, opened: ExitStack, tmp_path: Path
) -> None:
    left, right = Link(node, 1), Link(node, 2)
    birds = [Bird(one, tmp_path, bgp="graceful restart aware; debug { routes };") for one in (left, right)]
    for each in (*birds, left, right):
        opened.enter_context(each)
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"left": left.peer("left", graceful_restart_seconds=60), "right": right.peer("right")})
        driver.set_routes("left", routes(str(V4)))
        driver.set_routes("right", routes(str(V4), str(OTHER)))
        await driven.until("all are there", lambda: [len(bird.prefixes()) for bird in birds] == [1, 2])
        await driver.stop(graceful=True)
        assert driver.may_be_heard(V4)
        assert not driver.may_be_heard(OTHER)
        assert not birds[1].prefixes()
        said = birds[1].log()
        assert "removed" in said[: said.index("Administrative shutdown")]  # withdrawn, and only then closed
    assert birds[0].prefixes() == {V4}
    assert "removed" not in birds[0].log()


if __name__ == "__main__":
    asyncio.run(agent(int(sys.argv[1]), Path(sys.argv[2])))
