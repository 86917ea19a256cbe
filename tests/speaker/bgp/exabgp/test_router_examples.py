"""The routers' configurations in docs/routers.md take routes of the pools, and no others."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.routers.bird import BirdDaemon
from lab.routers.daemons import site_in
from lab.routers.frr import FrrDaemons
from lab.routers.links import Link, routes
from speaker.bgp.model import Prefix
from tests.speaker.bgp.exabgp.conftest import driving

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
DOCUMENT = Path(__file__).parents[4] / "docs" / "routers.md"
TAKEN = {ip_network("198.51.100.1/32"), ip_network("2001:db8:1::1/128")}
REFUSED = {ip_network("203.0.113.1/32"), ip_network("2001:db8:2::1/128")}


def shown(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return str(text)


def example(language: str, link: Link, more: str = "", after: str = "") -> str:
    """With the link's addresses. `more`: of another example, after the line that begins so."""
    text = shown(language)
    if more:
        text, count = re.subn(rf"^ *{after} .*\n", lambda line: line[0] + shown(more), text, flags=re.MULTILINE)
        assert count == 1
    return text.replace("192.0.2.0/24", f"10.0.{link.number}.0/24").replace("192.0.2.1", str(link.theirs))


def with_bird(link: Link, directory: Path, opened: ExitStack, more: str) -> Callable[[], set[Prefix]]:
    bird = BirdDaemon(site_in(link.router, directory / "bird"))
    opened.enter_context(bird)
    bird.start(example("bird", link, more and f"bird-{more}", after="dynamic name"))
    return lambda: {ip_network(line.split()[0]) for line in bird.ask("show route").splitlines() if "[node1" in line}


def with_frr(link: Link, directory: Path, opened: ExitStack, more: str) -> Callable[[], set[Prefix]]:
    site = site_in(link.router, directory / "frr")
    frr = FrrDaemons(site, str(site.directory))
    opened.enter_context(frr)
    configuration = example("frr", link, more and f"frr-{more}", after="bgp router-id")
    frr.start({"bgpd": configuration}, options=["--skip_runas", "--no_kernel", "--no_zebra"])
    families = ("ipv4", "ipv6")
    return lambda: {
        ip_network(prefix) for each in families for prefix in frr.ask("bgpd", f"show bgp {each} unicast")["routes"]
    }


@pytest.mark.parametrize("more", ["", "confederation"])
@pytest.mark.parametrize("router", [with_bird, with_frr])
async def test_an_example_takes_the_pools_routes_and_no_others(
    link: Link,
    opened: ExitStack,
    tmp_path: Path,
    router: Callable[[Link, Path, ExitStack, str], Callable[[], set[Prefix]]],
    more: str,
) -> None:
    prefixes = router(link, tmp_path, opened, more)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(is_confederation_member=bool(more))})
        every = [*TAKEN, *REFUSED]
        sent = routes(*(str(one) for one in every if one.version == 4))
        sent |= routes(*(str(one) for one in every if one.version == 6), next_hop=link.ours_v6)
        driven.driver.set_routes("tor", sent)
        await driven.until("all were sent", lambda: driven.driver.synced_routers)
        await driven.until("the router has worked it off", lambda: prefixes() == TAKEN, 5)
