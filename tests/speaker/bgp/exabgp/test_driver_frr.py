"""The driver and FRR: what protects a session (MD5, GTSM, timers, AS numbers), and weights."""

import asyncio
import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.net.segment import Namespace
from lab.routers.links import Frr, Link, routes
from speaker.bgp.model import PeerConfig
from speaker.bgp.sessionfaults import faults_in_sessions
from tests.speaker.bgp.exabgp.conftest import driving

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, V6 = ip_network("10.9.0.1/32"), ip_network("fd09::1/128")
PASSWORD = """it's "secret"; }\\ neighbor 1.2.3.4 { # %s $x"""


async def test_routes_of_both_families_with_attributes(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    frr = Frr(link, tmp_path)
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        attributes = {"med": 5, "communities": ((65000, 1), (65535, 0)), "large_communities": ((1, 2, 3),)}
        wanted = routes(str(V4), link_bandwidth=3e6, **attributes) | routes(
            str(V6), next_hop=link.ours_v6, **attributes
        )
        driven.driver.set_routes("tor", wanted)
        await driven.until("both are there", lambda: frr.prefixes() == {V4, V6})
        for prefix in (V4, V6):
            seen = frr.route(prefix)
            assert seen["metric"] == 5
            assert seen["community"]["string"] == "65000:1 graceful-shutdown"
            assert seen["largeCommunity"]["string"] == "1:2:3"
        assert frr.route(V4)["extendedCommunity"]["string"] == "LB:64512:3000000 (24.000 Mbps)"
        driven.driver.set_routes("tor", {})
        for prefix in (V4, V6):
            await driven.until_confirmed(prefix)
        await driven.until("the router has worked it off", lambda: not frr.prefixes(), 5)


async def test_a_family_that_the_router_did_not_agree_to_is_known(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    frr = Frr(link, tmp_path, families=("ipv6",))
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        peer = link.peer()
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(V4)) | routes(str(V6), next_hop=link.ours_v6))
        await driven.until("the other one is there", lambda: frr.prefixes() == {V6})
        (fault,) = faults_in_sessions({"tor": peer}, driven.driver.sessions, {}, 0.0)
        assert "does not exchange IPv4 routes" in fault.message


@pytest.mark.parametrize(
    ("neighbor", "changes"),
    [
        pytest.param((f"password {'s' * 80}",), {"password": "s" * 80}, id="md5"),
        pytest.param(("ttl-security hops 1",), {"ttl_security": 1}, id="gtsm"),
        pytest.param(("ebgp-multihop 5",), {"multihop_ttl": 5}, id="multihop"),
        pytest.param((), {"source_interface": "eth1"}, id="interface"),
        pytest.param((), {"source_address": "ours"}, id="source"),
        pytest.param((), {"peer_asn": None}, id="external"),
        pytest.param(("timers 9 30",), {"hold_time_seconds": 60}, id="hold"),
    ],
)
async def test_a_session_with(
    link: Link, opened: ExitStack, tmp_path: Path, neighbor: tuple[str, ...], changes: dict[str, object]
) -> None:
    frr = Frr(link, tmp_path, neighbor=neighbor)
    opened.enter_context(frr)
    if changes.get("source_address"):
        changes = {"source_address": link.ours}
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(**changes)})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: V4 in frr.prefixes())
        if "hold_time_seconds" in changes:
            assert driven.driver.sessions["tor"].hold_time_seconds == 30


async def test_four_octet_as_numbers(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    frr = Frr(link, tmp_path, asn=4200000001, node_asn="4200000002")
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(my_asn=4200000002, peer_asn=4200000001)})
        driven.driver.set_routes("tor", routes(str(V4), prepend=1, link_bandwidth=1e6))
        await driven.until("it is there", lambda: V4 in frr.prefixes())
        assert frr.route(V4)["aspath"]["string"] == "4200000002 4200000002"


async def test_a_peer_that_sees_us_with_another_as_gets_paths_that_begin_with_it(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    frr = Frr(link, tmp_path, asn=64999, node_asn="65010")
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        peer = link.peer(my_asn=64512, peer_asn=64999, local_asn=65010)
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: V4 in frr.prefixes())
        assert frr.route(V4)["aspath"]["string"] == "65010 64512"
        driven.driver.set_routes("tor", routes(str(V4), prepend=1))
        await driven.until("it is longer", lambda: frr.route(V4)["aspath"]["string"] == "65010 64512 64512")
        driven.driver.set_peers({"tor": replace(peer, my_asn=64513)})
        await driven.until("it is told anew", lambda: V4 in frr.prefixes() and "64513" in str(frr.route(V4)["aspath"]))
        assert frr.route(V4)["aspath"]["string"] == "65010 64513 64513"


async def test_a_wrong_password_is_no_session_and_a_corrected_one_is(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    frr = Frr(link, tmp_path, neighbor=("password right",))
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        wrong = link.peer(password=PASSWORD)
        driven.driver.set_peers({"tor": wrong})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is told", lambda: "wrong password" in driven.driver.sessions["tor"].last_error)
        await driven.until("the router has worked it off", lambda: not frr.prefixes(), 5)
        driven.driver.set_peers({"tor": replace(wrong, password="right")})
        await driven.until("it is there", lambda: frr.prefixes() == {V4})
    assert not list((tmp_path / "bgp").rglob("*.conf"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"peer_asn": 65001}, ("we sent", "bad peer AS (2/2)"), id="theirs"),
        pytest.param({"my_asn": 65001}, ("the router sent", "bad peer AS (2/2)"), id="ours"),
        pytest.param({"my_asn": 64513, "peer_asn": None}, ("bad peer AS (2/2)",), id="not-external"),
    ],
)
async def test_a_wrong_as_number_is_told_in_words(
    link: Link, opened: ExitStack, tmp_path: Path, changes: dict[str, int], words: tuple[str, ...]
) -> None:
    frr = Frr(link, tmp_path)
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(**changes)})
        driven.driver.set_routes("tor", routes(str(V4)))
        last_error = lambda: driven.driver.sessions["tor"].last_error  # noqa: E731
        await driven.until("it is told", lambda: all(word in last_error() for word in words))


async def test_ttl_security_keeps_out_who_sends_with_an_ordinary_ttl(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    frr = Frr(link, tmp_path, neighbor=("passive",))
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(ttl_security=1)})
        await driven.until("TCP is open", lambda: driven.driver.sessions["tor"].state == "OpenSent")
        await asyncio.sleep(2)
        assert driven.driver.sessions["tor"].state == "OpenSent"  # the router's OPEN, with a TTL of 1, was not let in


async def test_a_router_that_freezes_is_noticed_by_the_hold_time(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    frr = Frr(link, tmp_path)
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(hold_time_seconds=3)})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: frr.prefixes() == {V4})
        frr.freeze()
        await driven.until("it is told", lambda: "hold timer expired" in driven.driver.sessions["tor"].last_error)
        driven.driver.set_routes("tor", {})
        await asyncio.sleep(0.5)  # ExaBGP has forgotten it by then
        assert driven.driver.may_be_heard(V4)  # it may go on forwarding
        frr.resume()
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: not frr.prefixes(), 5)


async def test_a_router_that_opens_the_session_itself(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    frr = Frr(link, tmp_path)
    opened.enter_context(frr)
    async with driving(link.node, tmp_path) as driven:
        passive: PeerConfig = link.peer(is_passive=True, source_address=link.ours)
        driven.driver.set_peers({"tor": passive})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: frr.prefixes() == {V4})
        driven.driver.set_routes("tor", {})
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: not frr.prefixes(), 5)


async def test_sessions_over_ipv6_carry_both_families(node: Namespace, opened: ExitStack, tmp_path: Path) -> None:
    link = Link(node, 1)
    opened.enter_context(link)
    frr = Frr(link, tmp_path, over_ipv6=True)
    opened.enter_context(frr)
    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_address=link.theirs_v6)})
        wanted = routes(str(V6)) | routes(str(V4), next_hop=link.ours)
        driven.driver.set_routes("tor", wanted)
        await driven.until("both are there", lambda: frr.prefixes() == {V4, V6})
        os.kill(driven.driver.exabgp_pids()["tor"], signal.SIGKILL)
        driven.driver.set_routes("tor", {})
        await driven.until_confirmed(V6)
        await driven.until("the router has worked it off", lambda: not frr.prefixes(), 5)
