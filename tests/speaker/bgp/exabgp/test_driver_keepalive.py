"""How often a router hears KEEPALIVE, and what the hold time has to do with it. Asserted on BIRD's log."""

import asyncio
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from exabgp.bgp.message import KeepAlive, Notify
from exabgp.bgp.message.open.holdtime import HoldTime

from lab.net.segment import Namespace
from lab.routers.links import Bird, Link
from speaker.bgp.exabgp.io import changed
from tests.speaker.bgp.exabgp.conftest import driving


@pytest.mark.root
@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.asyncio
async def test_keepalive_goes_as_often_as_the_peer_says_and_the_hold_time_stays(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """Another interval is another one at once, in the session that is up."""
    bird = opened.enter_context(Bird(link, tmp_path, bgp="debug { packets };"))

    async def heard_in(seconds: float) -> int:
        before = bird.log().count("Got KEEPALIVE")
        await asyncio.sleep(seconds)
        return bird.log().count("Got KEEPALIVE") - before

    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(hold_time_seconds=90, keepalive_seconds=1)})
        driven.driver.set_routes("tor", {})
        await driven.until("it is up", lambda: driven.driver.synced_routers)
        assert 3 <= await heard_in(4.5) <= 6
        assert "/90" in next(row for row in bird.ask("show protocols all node").splitlines() if "Hold timer" in row)
        driven.driver.set_peers({"tor": link.peer(hold_time_seconds=90)})
        await asyncio.sleep(1.5)
        assert await heard_in(4.5) == 0
        assert driven.driver.sessions["tor"].downs == 0


def test_an_interval_is_never_longer_than_a_third_of_what_was_agreed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for wanted, hold, expected in ((0, 90, 30), (5, 90, 5), (60, 90, 30), (5, 9, 3), (5, 0, None)):
        monkeypatch.setattr(changed._Pace, "keepalive_seconds", wanted)
        sending = changed._SendTimer("", HoldTime(hold))
        due = []
        for _ in range(100):
            now += 1
            if sending.need_ka():
                due.append(now)
        assert {later - earlier for earlier, later in pairwise(due)} == (set() if expected is None else {expected})


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_the_timers_of_a_session_do_not_look_at_a_clock_that_is_set(
    monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """Set forward by an hour it ended the session; set back, no KEEPALIVE went for an hour."""
    now, wall = 1000.0, time.time()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    sending, receiving = changed._SendTimer("", HoldTime(90)), changed._ReceiveTimer("", HoldTime(90), 4, 0)
    monkeypatch.setattr(time, "time", lambda: wall + step)
    receiving.check_ka_timer()
    assert not sending.need_ka()
    now += 31
    assert sending.need_ka()
    receiving.check_ka_timer(KeepAlive())
    now += 89
    receiving.check_ka_timer()
    now += 2
    with pytest.raises(Notify):
        receiving.check_ka_timer()
