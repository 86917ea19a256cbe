"""Real routers whose BGP process hangs while their TCP goes on: a withdrawal counts when that process has read it."""

import asyncio
import re
from contextlib import ExitStack, suppress
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

import pytest

from crds.addresses import Family
from crds.speaker import Acknowledger
from lab.net.segment import Namespace
from lab.routers.links import Bird, Frr, GoBgp, Link, routes
from tests.speaker.bgp.exabgp.conftest import Driven, driving

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
KEPT, GOES = ip_network("10.9.0.1/32"), ip_network("10.9.0.2/32")
MANY = [f"20.{number >> 16}.{number >> 8 & 255}.{number & 255}/32" for number in range(20_000)]


def acknowledged_by(driven: Driven) -> Acknowledger | None:
    return driven.driver.sessions["tor"].withdrawals_acknowledged_by


@pytest.mark.parametrize("kind", [Bird, Frr, GoBgp])
async def test_a_withdrawal_waits_for_a_process_that_hangs(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path, kind: type[Bird | Frr | GoBgp]
) -> None:
    router = opened.enter_context(kind(link, tmp_path))
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": link.peer()})
        driver.set_routes("tor", routes(str(KEPT), str(GOES)))
        await driven.until("it has both", lambda: router.prefixes() == {KEPT, GOES} and driver.synced_routers)
        driver.set_routes("tor", routes(str(KEPT)))
        await driven.until_confirmed(GOES)
        await driven.until("its process answers", lambda: acknowledged_by(driven) is Acknowledger.Process)
        driver.set_routes("tor", routes(str(KEPT), str(GOES)))
        await driven.until("it has it again", lambda: GOES in router.prefixes())
        router.freeze()
        driver.set_routes("tor", routes(str(KEPT)))
        await asyncio.sleep(3)
        assert driver.may_be_heard(GOES)
        assert driver.sessions["tor"].kept_until is not None
        assert driver.sessions["tor"].withdrawn == (GOES,)
        router.resume()
        await driven.until_confirmed(GOES, 5)
        await driven.until("it is gone there", lambda: router.prefixes() == {KEPT}, 5)
        assert driver.sessions["tor"].downs == 0
        await driven.until("nothing is owed any more", lambda: driver.sessions["tor"].withdrawn == ())


async def test_bird_is_nudged_with_the_question_itself(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other nudge comes here. Where it reads both at once, as on a busy machine, it answers when the next thing
    happens to it: so it is not said how many it answers."""
    monkeypatch.setattr("speaker.bgp.exabgp.refreshproof.FIRST_NUDGE_SECONDS", 600.0)
    monkeypatch.setattr("speaker.bgp.exabgp.refreshproof.LAST_NUDGE_SECONDS", 600.0)
    bird = opened.enter_context(Bird(link, tmp_path, bgp="debug { packets };"))
    goes = [ip_network(f"10.9.1.{number}/32") for number in range(20)]
    async with driving(node, tmp_path) as driven:
        driver, left = driven.driver, routes(str(KEPT), *map(str, goes))
        driver.set_peers({"tor": link.peer()})
        driver.set_routes("tor", left)
        await driven.until("it has them", lambda: len(bird.prefixes()) == len(left))
        answered = 0
        for prefix in goes:
            driver.change_routes("tor", {prefix: None})
            with suppress(AssertionError):
                await driven.until_confirmed(prefix, 0.5)
                answered += 1
        assert answered
        read = lambda: re.findall(r"Got (ROUTE-REFRESH|KEEPALIVE)", bird.log())  # noqa: E731
        await driven.until("it has read the last nudge", lambda: read()[-1] == "KEEPALIVE")
        behind = [later for earlier, later in pairwise(read()) if earlier == "ROUTE-REFRESH"]
        assert len(behind) >= answered
        assert set(behind) == {"KEEPALIVE"}


@pytest.mark.parametrize("families", [frozenset(Family), frozenset({Family.IPv4})], ids=["both", "IPv4"])
async def test_a_router_with_many_routes_for_us_is_not_asked_for_them(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path, families: frozenset[Family]
) -> None:
    """It may be asked for another family, if there is one. Else its TCP counts, and so it may be there, too."""
    many = "protocol static { ipv4; " + " ".join(f"route {prefix} blackhole;" for prefix in MANY) + " }"
    bird = opened.enter_context(Bird(link, tmp_path, bgp="debug { packets };", extra=many))
    expected = Acknowledger.Process if Family.IPv6 in families else Acknowledger.TCP
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": link.peer(families=families)})
        driver.set_routes("tor", routes(str(KEPT)))
        await driven.until("it is there", lambda: bird.prefixes() == {KEPT} and driver.synced_routers)
        await asyncio.sleep(2)  # its answer
        for _ in range(3):
            driver.set_routes("tor", routes(str(KEPT), str(GOES)))
            await driven.until("it has it", lambda: GOES in bird.prefixes())
            driver.set_routes("tor", routes(str(KEPT)))
            await driven.until_confirmed(GOES)
        assert acknowledged_by(driven) is expected
        updates = bird.log().count("Sending UPDATE")
        assert updates < 3 * len(MANY) * 5 / 4000, "its routes were sent once more, if at all"


async def test_the_tcp_of_a_router_that_is_not_to_be_asked_counts(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    bird = opened.enter_context(Bird(link, tmp_path, bgp="enable route refresh off;"))
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": link.peer()})
        driver.set_routes("tor", routes(str(GOES)))
        await driven.until("it has it", lambda: bird.prefixes() == {GOES})
        driver.set_routes("tor", {})
        await driven.until_confirmed(GOES, 5)
        assert acknowledged_by(driven) is Acknowledger.TCP


async def test_a_router_that_begins_to_send_its_routes_anew_gets_none_of_ours_anew(
    node: Namespace, link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """What BIRD says before and after them (RFC 7313) is no question."""
    bird = opened.enter_context(Bird(link, tmp_path, bgp="debug { packets };"))
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": link.peer()})
        driver.set_routes("tor", routes(str(KEPT)))
        await driven.until("it has it", lambda: bird.prefixes() == {KEPT} and driver.synced_routers)
        updates = bird.log().count("Got UPDATE")
        bird.ask("reload out node")
        await driven.until("it has done so", lambda: bird.log().count("Sending BEGIN-OF-RR") >= 2)
        await asyncio.sleep(1)
        assert bird.log().count("Got UPDATE") == updates
