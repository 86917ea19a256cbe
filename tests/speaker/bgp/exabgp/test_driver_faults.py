"""What befalls one session: the router next to it notices nothing, and no withdrawal is confirmed that is not one."""

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lab.net.segment import Namespace
from lab.routers.links import SAME_SECONDS, Bird, Frr, Link, routes
from tests.speaker.bgp.exabgp.conftest import Driven, driving, lose_commands

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
KEPT, GOES = ip_network("10.9.0.1/32"), ip_network("10.9.0.2/32")
HOLD_SECONDS = 3
MANY = [f"10.{10 + number // 65536}.{number // 256 % 256}.{number % 256}/32" for number in range(6000)]
FLOOD = [f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}/32" for number in range(100_000)]


def kill(driven: Driven, _: Link, __: Bird) -> None:
    os.kill(driven.driver.exabgp_pids()["sick"], signal.SIGKILL)


def freeze(driven: Driven, _: Link, __: Bird) -> None:
    os.kill(driven.driver.exabgp_pids()["sick"], signal.SIGSTOP)


def starve(driven: Driven, _: Link, __: Bird) -> None:
    """What it gets to hold is more than it has room for."""
    pid = driven.driver.exabgp_pids()["sick"]
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (1 << 20)
    subprocess.run(["prlimit", f"--pid={pid}", f"--as={limit}"], check=True)
    driven.driver.set_routes("sick", routes(str(GOES), *MANY))


def lose_pipe(driven: Driven, _: Link, __: Bird) -> None:
    lose_commands(driven.driver, "sick")


def notify(_: Driven, __: Link, bird: Bird) -> None:
    bird.ask("disable node")


def flood(_: Driven, __: Link, bird: Bird) -> None:
    bird.add("protocol static { ipv4; " + " ".join(f"route {prefix} blackhole;" for prefix in FLOOD) + " }")


def freeze_router(_: Driven, __: Link, bird: Bird) -> None:
    """Until `thaw`."""
    bird.freeze()


async def thaw(driven: Driven, bird: Bird) -> None:
    """With a withdrawal that its process has not read, while its TCP has it: until the session has ended, and after."""
    last_error = lambda: driven.driver.sessions["sick"].last_error  # noqa: E731
    driven.driver.set_routes("sick", {})
    await driven.until("it is told", lambda: "hold timer expired" in last_error())
    await asyncio.sleep(0.5)  # ExaBGP has forgotten it by then; the router has not
    assert driven.driver.may_be_heard(GOES)
    bird.resume()


def flap(_: Driven, __: Link, bird: Bird) -> None:
    for _ in range(3):
        bird.ask("restart node")


def cut(_: Driven, link: Link, __: Bird) -> None:
    """The interfaces stay up, so that the router has nothing but its hold time to go by."""
    chains = (
        f"add chain inet cut {hook} {{ type filter hook {hook} priority 0; }};"
        f" add rule inet cut {hook} {direction} eth{link.number} drop;"
        for hook, direction in (("input", "iifname"), ("output", "oifname"))
    )
    link.node.run("nft", f"add table inet cut; {' '.join(chains)}")


def delete(driven: Driven, link: Link, bird: Bird) -> None:
    """With a withdrawal on its way that nobody can confirm."""
    cut(driven, link, bird)
    driven.driver.set_routes("sick", {})
    driven.driver.set_peers({"well": driven.driver._peers["well"]})


@pytest.mark.parametrize(
    "befall",
    [kill, freeze, starve, lose_pipe, notify, flood, freeze_router, flap, cut, delete],
)
async def test_one_session_is_hit_and_the_other_is_not(
    node: Namespace,
    opened: ExitStack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    befall: Callable[[Driven, Link, Bird], None],
) -> None:
    monkeypatch.setattr("speaker.bgp.exabgp.session.CONFIRM_SECONDS", 3.0)
    sick, well = Link(node, 1), Link(node, 2)
    birds = Bird(sick, tmp_path), Bird(well, tmp_path)
    for each in (*birds, sick, well):
        opened.enter_context(each)
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        peers = {"sick": sick.peer("sick", hold_time_seconds=HOLD_SECONDS), "well": well.peer("well")}
        driver.set_peers(peers)
        driver.set_routes("sick", routes(str(GOES)))
        driver.set_routes("well", routes(str(KEPT)))
        await driven.until("both have theirs", lambda: [bird.prefixes() for bird in birds] == [{GOES}, {KEPT}])
        before, well_pid = (birds[1].since(), birds[1].came(KEPT)), driver.exabgp_pids()["well"]
        pid = driver.exabgp_pids()["sick"]
        befall(driven, sick, birds[0])
        if befall is starve:
            await driven.until("it has died of it", lambda: driver.exabgp_pids().get("sick", pid) != pid)
        await asyncio.sleep(0.2)
        if befall is freeze_router:
            await thaw(driven, birds[0])
        driver.set_routes("sick", {})
        await driven.until_confirmed(GOES, 60)
        if befall in (cut, delete):  # nothing could be said: it is the router's hold time that counts
            assert GOES not in birds[0].prefixes()
        else:
            await driven.until("the router has worked it off", lambda: GOES not in birds[0].prefixes(), 5)
        if befall is flood:
            sent = f"{len(FLOOD)} exported"
            await driven.until("all have been sent", lambda: sent in birds[0].ask("show protocols all node"))
        assert (birds[1].since(), birds[1].came(KEPT)) == pytest.approx(before, abs=SAME_SECONDS)
        assert driver.exabgp_pids()["well"] == well_pid
        assert birds[1].prefixes() == {KEPT}
        assert driver.sessions["well"].downs == 0
        assert befall in (delete, flood) or driver.sessions["sick"].downs >= 1  # one is gone, one has not been down


@contextmanager
def listening(link: Link, greeting: bytes | None, times: list[float] | None = None) -> Iterator[None]:
    """A router that takes connections, says this, and no more; None = it hangs up. `times`: gets when each came."""
    taken: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # the end
            while True:
                taken.append(listener.accept()[0])
                if times is not None:
                    times.append(time.monotonic())
                if greeting is None:
                    taken.pop().close()
                    continue
                with suppress(ConnectionError):
                    taken[-1].sendall(greeting)

    with link.router.entered():
        listener = socket.create_server((str(link.theirs), 179))
    server = threading.Thread(target=serve)
    server.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        server.join()
        for each in (listener, *taken):
            each.close()


async def test_attempts_are_as_far_apart_as_the_peer_says(node: Namespace, opened: ExitStack, tmp_path: Path) -> None:
    """The first ones come sooner. This router hangs up at once."""
    link = Link(node, 1)
    opened.enter_context(link)
    taken: list[float] = []
    opened.enter_context(listening(link, None, taken))
    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(connect_retry_seconds=3)})
        await driven.until("it has been tried five times", lambda: len(taken) == 5)
        assert f"does it know this node's address {link.ours}?" in driven.driver.sessions["tor"].last_error
    gaps = [later - earlier for earlier, later in pairwise(taken[:5])]
    assert gaps == pytest.approx([1, 2, 3, 3], rel=0.1, abs=0.6)


async def test_a_session_that_does_not_last_counts_as_an_attempt_that_failed(
    node: Namespace, opened: ExitStack, tmp_path: Path
) -> None:
    """A router that takes the session and ends it each time, by its prefix limit."""
    link = Link(node, 1)
    opened.enter_context(link)
    bird = Bird(link, tmp_path, bgp="passive; debug { states };", ipv4="import limit 1 action restart;")
    opened.enter_context(bird)
    ups = lambda: bird.log().count("node: State changed to up")  # noqa: E731
    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(connect_retry_seconds=30)})
        driven.driver.set_routes("tor", routes(str(KEPT), str(GOES)))
        await driven.until("it was up", ups)
        await asyncio.sleep(10)  # after 1, 2 and 4 s, and not after 1 s each time
        assert ups() <= 4
        await driven.until("it was up a third time", lambda: ups() >= 3)


async def test_a_connect_time_that_changes_counts_for_the_wait_under_way(
    node: Namespace, opened: ExitStack, tmp_path: Path
) -> None:
    link = Link(node, 1)
    opened.enter_context(link)
    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(connect_retry_seconds=600)})
        await driven.until("it was tried", lambda: "refused" in driven.driver.sessions["tor"].last_error)
        pids = driven.driver.exabgp_pids()
        opened.enter_context(Frr(link, tmp_path))
        driven.driver.set_peers({"tor": link.peer(connect_retry_seconds=1)})
        await driven.until_up()
        assert driven.driver.exabgp_pids() == pids


@pytest.mark.parametrize(
    ("neighbor", "changes", "words"),
    [
        pytest.param((), {"my_asn": 65001}, "bad peer AS (2/2)", id="wrong AS number"),
        pytest.param(("password right",), {"password": "wrong"}, "wrong password", id="wrong password"),
        pytest.param((), {"peer_address": IPv4Address("10.0.1.99")}, "no connection", id="unreachable"),
        pytest.param(None, {}, "connection not synchronized", id="garbage"),
        pytest.param(None, {}, "says nothing: is ttlSecurity set on one side only?", id="silence"),
    ],
)
async def test_a_session_that_never_comes_up_holds_nothing_back_and_disturbs_no_other(
    node: Namespace,
    opened: ExitStack,
    tmp_path: Path,
    neighbor: tuple[str, ...] | None,
    changes: Mapping[str, Any],
    words: str,
) -> None:
    sick, well = Link(node, 1), Link(node, 2)
    opened.enter_context(sick)
    opened.enter_context(well)
    if neighbor is None:
        opened.enter_context(listening(sick, b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50 if "not sync" in words else b""))
    else:
        opened.enter_context(Frr(sick, tmp_path, neighbor=neighbor))
    frr = Frr(well, tmp_path)
    opened.enter_context(frr)
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"well": well.peer("well")})
        driver.set_routes("well", routes(str(KEPT)))
        await driven.until("it is there", lambda: frr.prefixes() == {KEPT} and driver.synced_routers)
        before = frr.counts(well.ours), driver.exabgp_pids()["well"], driver.sessions["well"].since
        bad = sick.peer("sick", hold_time_seconds=HOLD_SECONDS, **changes)
        driver.set_peers({"sick": bad, "well": well.peer("well")})
        driver.set_routes("sick", routes(str(GOES)))
        await driven.until("it has been tried", lambda: words in driver.sessions["sick"].last_error)
        await driven.until("it runs", lambda: "sick" in driver.exabgp_pids())
        await asyncio.sleep(HOLD_SECONDS + 1)  # nothing of the other one may end in that time, or be told anew
        assert driver.sessions["sick"].state != "Established"
        assert driver.may_be_heard(GOES)
        driver.set_routes("sick", {})
        await driven.until_confirmed(GOES, 1)
        driver.set_peers({"well": well.peer("well")})
        await driven.until("it has ended", lambda: not driver._closing)
        assert (frr.counts(well.ours), driver.exabgp_pids()["well"], driver.sessions["well"].since) == before
        assert frr.prefixes() == {KEPT}
