"""One process has ExaBGP loaded, and forks those of the sessions."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.exabgp.io.forker import Forker
from tests.speaker.bgp.exabgp.test_session import PEER

pytestmark = [pytest.mark.asyncio]
PEERS = {
    name: replace(PEER, name=name, peer_address=IPv4Address(f"127.0.0.{number}"), peer_port=9)
    for number, name in enumerate(("one", "two", "three"), 2)
}


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def driving(directory: Path) -> AsyncIterator[BgpDriver]:
    driver = BgpDriver(directory / "bgp", on_change=lambda: None)
    running = asyncio.create_task(driver.run())
    await asyncio.sleep(0)
    try:
        yield driver
    finally:
        running.cancel()
        await asyncio.wait([running])


def children() -> dict[int, str]:
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = {int(pid): Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    return {pid: name for pid, name in names.items() if name.startswith("berth-bgp")}


def own_kib(pid: int) -> int:
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines())
    return sum(int(row[1]) for row in rows if row[0].startswith("Private"))


async def test_sessions_share_what_is_loaded_and_outlive_the_process_that_forked_them(tmp_path: Path) -> None:
    async with driving(tmp_path) as driver:
        driver.set_peers({name: PEERS[name] for name in ("one", "two")})
        await until(lambda: len(driver.exabgp_pids()) == 2 and "refused" in driver.sessions["two"].last_error)
        pids = driver.exabgp_pids()
        assert max(map(own_kib, pids.values())) < 12_000, "it takes 17,000 when it is loaded for each"
        (loader,) = [pid for pid, name in children().items() if name == "berth-bgp-load"]
        assert children() == {loader: "berth-bgp-load", **dict.fromkeys(pids.values(), "berth-bgp")}
        os.kill(loader, signal.SIGKILL)
        await until(lambda: loader not in children())
        driver.set_peers(PEERS)
        await until(lambda: "refused" in driver.sessions["three"].last_error)
        assert driver.exabgp_pids().items() >= pids.items()
    assert children() == {}


async def test_a_fork_that_nobody_wants_any_more_is_ended(tmp_path: Path) -> None:
    """It may be under way when its session is given up."""
    forker = Forker()
    words = os.open(os.devnull, os.O_WRONLY)
    os.mkfifo(tmp_path / "commands")
    os.mkfifo(tmp_path / "events")
    asking = asyncio.create_task(forker.fork(tmp_path / "none.conf", words))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await until(lambda: set(children().values()) == {"berth-bgp-load"})
    os.close(words)
    await forker.close()
    await until(lambda: children() == {})
