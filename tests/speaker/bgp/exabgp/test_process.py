"""A process that stands in for ExaBGP: it is read to its end; what the machine refuses ends one session only."""

import asyncio
import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.io import runner
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.exabgp.io.forker import Forked, Forker
from speaker.bgp.exabgp.io.process import REST_SECONDS, ExaBgpProcess
from speaker.bgp.exabgp.session import RouterSession
from speaker.bgp.model import PeerConfig

pytestmark = [pytest.mark.asyncio]
PEER = PeerConfig(
    name="tor",
    my_asn=64512,
    peer_asn=64513,
    peer_address=IPv4Address("10.0.0.2"),
    router_id=IPv4Address("10.0.0.1"),
    families=frozenset({"ipv4"}),
)
STAND_IN = """
for last; do :; done
folder=${{last%/*}}
relay="exec 1<>$folder/events 2>/dev/null; timeout 65 cat $folder/commands >/dev/null & sleep {seconds}; echo done"
setsid sh -c "$relay" &
exec sleep 60
"""


class StandIns(Forker):
    """Starts that script in the place of ExaBGP."""

    def __init__(self, script: Path) -> None:
        super().__init__()
        self._script = script

    async def fork(self, configuration: Path, stderr: int) -> Forked:
        command = ["/bin/sh", str(self._script), str(configuration)]
        words = [(os.POSIX_SPAWN_DUP2, stderr, 2)]
        return Forked(os.posix_spawn(command[0], command, os.environ, file_actions=words, setpgroup=0))


@pytest.mark.parametrize(("seconds", "read"), [(0.2, [events.Answer(True)]), (REST_SECONDS + 2, [])])
async def test_what_is_on_its_way_when_it_is_killed_is_read_for_a_moment(
    tmp_path: Path, seconds: float, read: list[events.Event]
) -> None:
    script = tmp_path / "stand-in"
    script.write_text(STAND_IN.format(seconds=seconds))
    seen: list[events.Event] = []
    process = ExaBgpProcess(tmp_path / "pipes", on_event=seen.append, on_lost=lambda: None, forker=StandIns(script))
    await process.start(PEER)
    began = time.monotonic()
    await process.kill()
    assert seen == read
    assert time.monotonic() - began < REST_SECONDS + 1


async def test_what_its_relay_holds_open_stays_open_there_alone(tmp_path: Path) -> None:
    """It lives on for a moment when ExaBGP is dead, and has its stderr."""
    script = tmp_path / "stand-in"
    script.write_text(STAND_IN.format(seconds=REST_SECONDS + 2).replace("2>/dev/null", ""))
    before = os.listdir("/proc/self/fd")
    process = ExaBgpProcess(tmp_path / "pipes", on_event=lambda _: None, on_lost=lambda: None, forker=StandIns(script))
    await process.start(PEER)
    async with asyncio.timeout(10):
        await process.kill()
    await asyncio.sleep(0)
    assert os.listdir("/proc/self/fd") == before


def refusing(call: Callable[..., object], number: int, where: str) -> Callable[..., object]:
    """The same, but for paths with that in them, which the kernel refuses."""

    def refuse(path: object, *arguments: object) -> object:
        if where in str(path):
            raise OSError(number, os.strerror(number))
        return call(path, *arguments)

    return refuse


@pytest.mark.parametrize(
    ("name", "number", "where"),
    [("mkfifo", errno.ENOSPC, "/1/"), ("open", errno.EMFILE, "/1/events"), ("open", errno.EMFILE, "/1/commands")],
)
async def test_what_the_machine_refuses_ends_one_session_which_says_so_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int, where: str
) -> None:
    monkeypatch.setattr(runner, "BACKOFF", replace(runner.BACKOFF, base_seconds=0.05))
    script = tmp_path / "stand-in"
    script.write_text(STAND_IN.format(seconds=60))
    driver = BgpDriver(tmp_path / "run" / "bgp", on_change=lambda: None, forker=StandIns(script))
    driver.set_peers({"tor": PEER, "tor2": replace(PEER, name="tor2", peer_address=IPv4Address("10.0.0.3"))})
    with monkeypatch.context() as full:
        full.setattr(os, name, refusing(getattr(os, name), number, where))
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0)
        while os.strerror(number) not in driver.sessions["tor"].last_error or "tor2" not in driver.exabgp_pids():
            await asyncio.sleep(0.01)
            assert not running.done()
        assert "tor" not in driver.exabgp_pids()
    while "tor" not in driver.exabgp_pids():
        await asyncio.sleep(0.01)
        assert not running.done()
    assert (tmp_path / "run" / "bgp").stat().st_mode & 0o777 == 0o700
    running.cancel()
    await asyncio.wait([running])


async def test_a_fault_of_ours_ends_one_session_which_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "BACKOFF", replace(runner.BACKOFF, base_seconds=0.05))
    script = tmp_path / "stand-in"
    script.write_text(STAND_IN.format(seconds=60))
    driver = BgpDriver(tmp_path / "bgp", on_change=lambda: None, forker=StandIns(script))
    driver.set_peers({"tor": PEER})

    def faulty(session: RouterSession, now: float) -> list[str]:
        raise KeyError("planted")

    with monkeypatch.context() as planted:
        planted.setattr(RouterSession, "next_lines", faulty)
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0)
        while "planted" not in driver.sessions["tor"].last_error:
            await asyncio.sleep(0.01)
            assert not running.done()
    while "tor" not in driver.exabgp_pids():
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
