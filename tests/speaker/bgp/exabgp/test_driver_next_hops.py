"""IPv4 routes with an IPv6 next hop (RFC 8950) and the driver: BIRD, FRR, and the router's kernel as judges."""

from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.routers.links import Bird, Frr, Link, routes
from tests.speaker.bgp.exabgp.conftest import driving

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, V6 = ip_network("10.9.0.1/32"), ip_network("fd09::1/128")
KNOWN = "extended next hop on;"


async def test_ipv4_traffic_takes_the_way_of_an_ipv6_next_hop(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    """There is no IPv4 address on the link that anything could go by."""
    link.node.run("ip", "address", "add", str(V4), "dev", "lo")
    link.node.run("ip", "address", "del", f"{link.ours}/24", "dev", "eth1")
    bird = Bird(link, tmp_path, ipv4=KNOWN, over_ipv6=True, installs=True)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_address=link.theirs_v6)})
        driven.driver.set_routes("tor", routes(str(V4), str(V6)))
        kernel = lambda: link.router.run("ip", "route", "show", str(V4))  # noqa: E731
        await driven.until("it is in the kernel", lambda: f"via inet6 {link.ours_v6}" in kernel())
        assert bird.route(V4)["BGP.next_hop"] == str(link.ours_v6)
        link.node.run("ip", "route", "add", str(link.theirs), "via", "inet6", str(link.theirs_v6), "dev", "eth1")
        link.router.run("ping", "-c", "1", "-W", "2", str(V4.network_address))
        driven.driver.set_routes("tor", routes(str(V6)))
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: not kernel(), 5)


async def test_what_the_router_did_not_agree_to_is_never_sent(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    """Nor in the next session, of what was sent in the last one."""
    bird = Bird(link, tmp_path, ipv4=KNOWN, over_ipv6=True, bgp="debug all;")
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_address=link.theirs_v6)})
        named = routes("10.9.0.2/32", next_hop=link.ours)
        driven.driver.set_routes("tor", routes(str(V4), str(V6)) | named)
        await driven.until("all are there", lambda: bird.prefixes() == {V4, V6, *named})
        assert bird.route(next(iter(named)))["BGP.next_hop"] == str(link.ours_v6)
        process = driven.driver.exabgp_pids()
        bird.reconfigure(KNOWN, "")
        await driven.until("it is not agreed any more", lambda: not driven.driver.sessions["tor"].ipv6_next_hops)
        await driven.until("the others are there", lambda: bird.prefixes() == {V6, *named})
        came = [line for line in bird.log().splitlines() if " > added" in line and str(V4) in line]
        assert len(came) == 1
        assert "<RMT>" not in bird.log()  # what BIRD finds wrong with an UPDATE
        assert bird.route(next(iter(named)))["BGP.next_hop"] == str(link.ours)
        await driven.until("it is told", lambda: "can't be sent" in driven.driver.sessions["tor"].last_error)
        bird.reconfigure("ipv4 { import all;", f"ipv4 {{ import all; {KNOWN}")
        await driven.until("all are there again", lambda: bird.prefixes() == {V4, V6, *named})
        assert driven.driver.exabgp_pids() == process
        assert driven.driver.sessions["tor"].downs == 2


@pytest.mark.parametrize("families", [("ipv4", "ipv6"), ("ipv4",)])
async def test_frr_takes_them_with_or_without_ipv6_routes(
    link: Link, opened: ExitStack, tmp_path: Path, families: tuple[str, ...]
) -> None:
    frr = Frr(link, tmp_path, neighbor=("capability extended-nexthop",), over_ipv6=True, families=families)
    opened.enter_context(frr)
    wanted = {V4, V6} if len(families) == 2 else {V4}
    async with driving(link.node, tmp_path) as driven:
        known = frozenset({f"IPv{prefix.version}" for prefix in wanted})
        driven.driver.set_peers({"tor": link.peer(peer_address=link.theirs_v6, families=known)})
        driven.driver.set_routes("tor", routes(*map(str, wanted)))
        await driven.until("they are there", lambda: frr.prefixes() == wanted)
        assert frr.route(V4)["nexthops"][0]["ip"] == str(link.ours_v6)
        driven.driver.set_routes("tor", {})
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: not frr.prefixes(), 5)


async def test_a_router_that_knows_no_such_next_hops_has_its_session(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """FRR without the word closed sessions with an empty capability."""
    frr = Frr(link, tmp_path, over_ipv6=True)
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_address=link.theirs_v6)})
        driven.driver.set_routes("tor", routes(str(V4), str(V6)))
        await driven.until("it is there", lambda: frr.prefixes() == {V6})
        await driven.until("it was sent", lambda: driven.driver.sessions["tor"].routes_sent == 1)
        assert not driven.driver.sessions["tor"].ipv6_next_hops
