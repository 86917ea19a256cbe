"""The driver and BIRD: BIRD's table is the judge."""

from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.speaker.bgp.conftest import driving
from tests.speaker.bgp.routers import Bird, Link, routes

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, V6 = ip_network("10.9.0.1/32"), ip_network("fd09::1/128")


async def test_routes_of_both_families_appear_and_go(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.callback(bird.close)
    async with driving(link.node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": link.peer()})
        wanted = routes("10.9.0.1/32", "10.9.0.2/32") | routes("fd09::1/128", next_hop=link.ours_v6)
        driver.set_routes("tor", wanted)
        await driven.until("all are there", lambda: bird.prefixes() == set(wanted))
        assert driver.may_be_heard(V4)
        driver.set_routes("tor", routes("10.9.0.2/32"))
        for prefix in (V4, V6):
            await driven.until_confirmed(prefix)
            assert prefix not in bird.prefixes()
        assert driver.may_be_heard(ip_network("10.9.0.2/32"))
        assert driver.sessions["tor"].routes_sent == 1
