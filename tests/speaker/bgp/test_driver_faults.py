"""What befalls one session: the router next to it notices nothing, and no withdrawal is confirmed that is not one."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.speaker.bgp.conftest import Driven, driving
from tests.speaker.bgp.routers import Bird, Link, routes
from tests.speaker.l2.segment import Namespace

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
KEPT, GOES = ip_network("10.9.0.1/32"), ip_network("10.9.0.2/32")
HOLD_SECONDS = 3
MANY = [f"10.{10 + number // 65536}.{number // 256 % 256}.{number % 256}/32" for number in range(6000)]


def kill(driven: Driven, _: Link, __: Bird) -> None:
    os.kill(driven.driver.engine_pids()["sick"], signal.SIGKILL)


def freeze(driven: Driven, _: Link, __: Bird) -> None:
    os.kill(driven.driver.engine_pids()["sick"], signal.SIGSTOP)


def starve(driven: Driven, _: Link, __: Bird) -> None:
    """What it gets to hold is more than it has room for."""
    pid = driven.driver.engine_pids()["sick"]
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (1 << 20)
    subprocess.run(["prlimit", f"--pid={pid}", f"--as={limit}"], check=True)
    driven.driver.set_routes("sick", routes(str(GOES), *MANY))


def flap(_: Driven, __: Link, bird: Bird) -> None:
    for _ in range(3):
        bird.ask("restart", "node")


def cut(_: Driven, link: Link, __: Bird) -> None:
    link.node.run("ip", "link", "set", f"eth{link.number}", "down")


def delete(driven: Driven, link: Link, bird: Bird) -> None:
    """With a withdrawal on its way that nobody can confirm."""
    cut(driven, link, bird)
    driven.driver.set_routes("sick", {})
    driven.driver.set_peers({"well": driven.driver._peers["well"]})


@pytest.mark.parametrize("befall", [kill, freeze, starve, flap, cut, delete])
async def test_one_session_is_hit_and_the_other_is_not(
    node: Namespace,
    opened: ExitStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    befall: Callable[[Driven, Link, Bird], None],
) -> None:
    monkeypatch.setattr("speaker.bgp.session.CONFIRM_SECONDS", 3.0)
    sick, well = Link(node, 1), Link(node, 2)
    birds = Bird(sick, tmp_path), Bird(well, tmp_path)
    for each in (*birds, sick, well):
        opened.callback(each.close)
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        peers = {"sick": sick.peer("sick", hold_time_seconds=HOLD_SECONDS), "well": well.peer("well")}
        driver.set_peers(peers)
        driver.set_routes("sick", routes(str(GOES)))
        driver.set_routes("well", routes(str(KEPT)))
        await driven.until("both have theirs", lambda: [bird.prefixes() for bird in birds] == [{GOES}, {KEPT}])
        before = birds[1].since(), driver.engine_pids()["well"]
        pid = driver.engine_pids()["sick"]
        befall(driven, sick, birds[0])
        if befall is starve:
            await driven.until("it has died of it", lambda: driver.engine_pids().get("sick", pid) != pid)
        await asyncio.sleep(0.2)
        driver.set_routes("sick", {})
        await driven.until_confirmed(GOES, 60)
        if befall in (cut, delete):  # nothing could be said: it is the router's hold time that counts
            await driven.until("the router has dropped it", lambda: GOES not in birds[0].prefixes(), 1)
        else:
            await driven.until("the router has worked it off", lambda: GOES not in birds[0].prefixes(), 5)
        assert (birds[1].since(), driver.engine_pids()["well"]) == before
        assert birds[1].prefixes() == {KEPT}
