"""Peers on links and the driver, with BIRD and FRR: link-local addresses, and routers found by router discovery.

The router's kernel is the judge. There is no address on the link but link-local ones.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address, ip_network
from pathlib import Path

import pytest

from crds.bfdprofile import BFDProfileSpec
from lab.net.segment import Namespace
from lab.routers.links import Bird, GoBgp, InstallingFrr, Link, routes
from speaker.bgp.bfdsessions import session_config
from speaker.bgp.model import PeerConfig
from speaker.wire.messages import Bfd, Discover
from tests.speaker.bgp.exabgp.conftest import Driven, driving
from tests.speaker.wire.conftest import wire_on

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, V6 = ip_network("198.51.100.1/32"), ip_network("2001:db8:1::1/128")
NEXT_HOP, MP_REACH_NLRI = 3, 14  # RFC 4271 §5.1.3, RFC 4760 §3
DOCUMENT = Path(__file__).parents[4] / "docs" / "routers.md"


@pytest.fixture
def link(node: Namespace) -> Iterator[Link]:
    made = Link(node, 1)
    for host, interface in ((made.node, made.interface), (made.router, "eth0")):
        host.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.accept_dad=0", "net.ipv4.conf.all.rp_filter=0")
    made.have_no_ipv4()
    yield made
    made.close()


def on_link(link: Link, address: IPv6Address, **changes: object) -> PeerConfig:
    return link.peer(peer_address=address, source_interface=link.interface, **changes)


async def traffic_gets_through(driven: Driven, link: Link) -> None:
    """To both addresses, by the routes that the router has in its kernel."""
    for version, prefix in ((4, V4), (6, V6)):
        link.node.run("ip", "address", "add", str(prefix), "dev", "lo")
        kernel = lambda: link.router.run("ip", f"-{version}", "route", "show", str(prefix))  # noqa: B023, E731
        await driven.until("it is in the kernel", lambda: f"{link.ours_on_link} dev eth0" in kernel())  # noqa: B023
    way_back = ("via", "inet6", str(link.theirs_on_link), "dev", link.interface)
    link.node.run("ip", "route", "add", str(link.theirs), *way_back, "src", str(V4.network_address))
    link.router.run("ping", "-c", "1", "-W", "2", "-I", str(link.theirs), str(V4.network_address))


@pytest.mark.parametrize("password", ["", "secret"])
async def test_a_router_at_a_link_local_address(link: Link, opened: ExitStack, tmp_path: Path, password: str) -> None:
    theirs, ours = link.theirs_on_link, link.ours_on_link
    secret = f'password "{password}";' if password else ""
    bird = Bird(
        link,
        tmp_path,
        extra=f'protocol bgp tor {{ local {theirs} as 64513; neighbor {ours} as 64512; interface "eth0"; {secret}'
        " passive; ipv4 { import all; export none; extended next hop on; }; ipv6 { import all; export none; }; }",
        installs=True,
    )
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": on_link(link, theirs, password=password or None)})
        driven.driver.set_routes("tor", routes(str(V4), str(V6)))
        await driven.until_up()
        await traffic_gets_through(driven, link)
        driven.driver.set_routes("tor", {})
        for prefix in (V4, V6):
            await driven.until_confirmed(prefix)
        await driven.until("it is gone", lambda: not link.router.run("ip", "route", "show", str(V4)), 5)


async def test_gobgp_takes_ipv4_routes_by_an_ipv6_next_hop(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    """A third implementation of RFC 8950. It looks for its neighbour among those that its kernel knows."""
    link.router.run("ping", "-c", "1", "-w", "10", f"{link.ours_on_link}%eth0")
    router = opened.enter_context(GoBgp(link, tmp_path, unnumbered=True))
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": on_link(link, link.theirs_on_link)})
        driven.driver.set_routes("tor", routes(str(V4), str(V6)))
        await driven.until("both are there", lambda: router.prefixes() == {V4, V6})
        assert driven.driver.sessions["tor"].ipv6_next_hops
        for prefix in (V4, V6):
            assert router.route(prefix)[MP_REACH_NLRI]["nexthop"] == str(link.ours_on_link)
            assert NEXT_HOP not in router.route(prefix)
        driven.driver.set_routes("tor", routes(str(V6)))
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: router.prefixes() == {V6}, 5)


async def test_a_router_that_is_found_on_its_link_and_found_again_at_another_address(
    link: Link, opened: ExitStack, tmp_path: Path, open_path: Path
) -> None:
    """FRR is told as docs/routers.md has it."""
    filters, unnumbered = (
        re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)[0]
        for language in ("frr", "frr-link")
    )
    here = "router bgp 64513\n neighbor eth0 bfd\n neighbor eth0 timers connect 1\n"
    whole = filters.partition("router bgp")[0] + unnumbered.replace("192.0.2.1", str(link.theirs)) + here
    frr = InstallingFrr(link, open_path, whole)
    opened.enter_context(frr)
    async with wire_on(link.node, interfaces=()) as (wire, _), driving(link.node, tmp_path) as driven:
        await wire.carry_out(Discover((link.interface,)))
        found = lambda: wire.link_routers.get(link.interface)  # noqa: E731
        await driven.until("the router is heard", lambda: found() and found().routers and not found().fault)
        assert (found().routers, found().fault) == ((str(link.theirs_on_link),), "")
        peer = on_link(link, IPv6Address(found().routers[0]))
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(V4), str(V6)))
        await driven.until_up(seconds=60)
        await traffic_gets_through(driven, link)
        await wire.carry_out(Bfd({"tor": session_config(peer, BFDProfileSpec())}))
        await driven.until("BFD is up", lambda: wire.bfd_sessions["tor"].state == "Up")

        link.router.run("ip", "address", "add", "fe80::77/64", "dev", "eth0", "nodad", "scope", "link")
        link.router.run("ip", "address", "del", f"{peer.peer_address}/64", "dev", "eth0")
        await driven.until("it is heard at the other one", lambda: found().routers == ("fe80::77",), 30)
        driven.driver.set_peers({"tor": on_link(link, IPv6Address("fe80::77"))})
        await driven.until("it is there", lambda: driven.driver.sessions["tor"].state == "Established", 60)
        assert driven.driver.sessions["tor"].peer_address == IPv6Address("fe80::77")
        await driven.until("the route is there", lambda: "inet6" in link.router.run("ip", "route", "show", str(V4)))
