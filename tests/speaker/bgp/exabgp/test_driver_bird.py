"""The driver and BIRD: BIRD's table is the judge."""

import asyncio
import os
import signal
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from crds.speaker import FOREVER_SECONDS
from lab.net.segment import Namespace
from lab.routers.links import Bird, Link, routes
from speaker.bgp.model import Route
from speaker.own.paths import PathAttributes
from tests.speaker.bgp.exabgp.conftest import driving, left_gracefully, lose_commands

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, V6 = ip_network("10.9.0.1/32"), ip_network("fd09::1/128")
OTHER = ip_network("10.9.0.2/32")


async def test_routes_of_both_families_appear_and_go(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
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
            await driven.until("the router has worked it off", lambda: prefix not in bird.prefixes(), 5)  # noqa: B023
        assert driver.may_be_heard(OTHER)
        await driven.until("it counts what is left", lambda: driver.sessions["tor"].routes_sent == 1)


async def test_attributes_arrive_and_change(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        first = routes(
            str(V4),
            med=7,
            prepend=2,
            communities=((64512, 100), (65535, 65281)),
            large_communities=((64512, 1, 2),),
            link_bandwidth=1e6,
        )
        driven.driver.set_routes("tor", first)
        await driven.until("it is there", lambda: V4 in bird.prefixes())
        seen = bird.route(V4)
        assert seen["BGP.as_path"] == "64512 64512 64512"
        assert seen["BGP.med"] == "7"
        assert seen["BGP.next_hop"] == str(link.ours)
        assert seen["BGP.community"] == "(64512,100) (65535,65281)"
        assert seen["BGP.large_community"] == "(64512, 1, 2)"
        assert seen["BGP.ext_community"] == "(unknown 0x4004, 64512, 1232348160)"  # 0x49742400 = 1e6
        communities = ("64512:100", "65535:65281", "large:64512:1:2")
        told = PathAttributes(("tor",), med=7, prepend=2, communities=communities, bandwidth=1_000_000)
        await driven.until("it is told", lambda: driven.driver.paths_to(V4) == (told,))
        assert driven.driver.sessions["tor"].own_address == str(link.ours)  # the next hop
        driven.driver.set_routes("tor", {V4: first[V4]._replace(med=8, prepend=0)})
        await driven.until("it has changed", lambda: bird.route(V4).get("BGP.med") == "8")
        assert bird.route(V4)["BGP.as_path"] == "64512"
        told = told._replace(med=8, prepend=0)
        await driven.until("it is told", lambda: driven.driver.paths_to(V4) == (told,))
        driven.driver.drain()
        await driven.until("it drains", lambda: "(65535,0)" in bird.route(V4).get("BGP.community", ""))
        drained = ("64512:100", "65535:0", *communities[1:])
        told = told._replace(communities=drained)
        await driven.until("that is told", lambda: driven.driver.paths_to(V4) == (told,))
        driven.driver.drain(False)
        await driven.until("it is as before", lambda: "(65535,0)" not in bird.route(V4)["BGP.community"])


@pytest.mark.parametrize("last_words", ["acknowledged", "unacknowledged"])
@pytest.mark.parametrize("version", [4, 6])
async def test_a_session_that_comes_back_from_another_address_names_that_one_as_next_hop(
    link: Link, opened: ExitStack, tmp_path: Path, version: int, last_words: str
) -> None:
    """Also of routes that were sent before. And it gives the session up when that address is taken off the node: also
    with data under way, whose acknowledgement can't arrive any more."""
    old, theirs, new, length, prefix = (
        (link.ours, link.theirs, ip_address("10.0.1.9"), 24, V4)
        if version == 4
        else (link.ours_v6, link.theirs_v6, ip_address("fd00:0:1::9"), 64, V6)
    )
    protocols = "\n".join(
        f"protocol bgp {name} {{ local {theirs} as 64513; neighbor {ours} as 64512; passive;"
        f" ipv{version} {{ import all; export none; }}; }}"
        for name, ours in (("before", old), ("later", new))
    )
    bird = Bird(link, tmp_path, extra=protocols)
    opened.enter_context(bird)
    bird.ask("disable node")
    route = lambda protocol: bird.ask(f"show route {prefix} protocol {protocol} all")  # noqa: E731
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_address=theirs)})
        driven.driver.set_routes("tor", routes(str(prefix)))
        await driven.until("it is there", lambda: f"BGP.next_hop: {old}" in route("before"))
        address = f"ip -{version} address add {new}/{length} dev eth1" + (" nodad" if version == 6 else "")
        link.node.run(*address.split())
        link.node.run(*f"ip -{version} route replace {theirs}/{128 if version == 6 else 32} dev eth1 src {new}".split())
        bird.ask("disable before")
        await driven.until("it is there again", lambda: "BGP.next_hop" in route("later"))
        assert f"BGP.next_hop: {new}" in route("later")
        bird.ask("enable before")
        link.node.run(*f"ip -{version} route del {theirs}/{128 if version == 6 else 32} dev eth1".split())
        link.node.run(*f"ip -{version} address del {new}/{length} dev eth1".split())
        if last_words == "unacknowledged":
            driven.driver.set_routes("tor", routes(str(prefix), med=7))
        await driven.until("it has left the old address", lambda: "BGP.next_hop" not in route("later"), 10)
        await driven.until("it is there from the one left", lambda: f"BGP.next_hop: {old}" in route("before"))


async def test_a_router_in_169_254_is_one_like_others(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    """Some providers' routers are there and nowhere else, behind the gateway."""
    address = ip_address("169.254.255.1")
    link.router.run("ip", "address", "add", f"{address}/32", "dev", "lo")
    link.node.run("ip", "route", "add", f"{address}/32", "via", str(link.theirs))
    theirs = f"protocol bgp provider {{ local {address} as 64513; neighbor {link.ours} as 64512; multihop 5; passive;"
    bird = Bird(link, tmp_path, extra=f"{theirs} ipv4 {{ import all; export none; }}; }}")
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_address=address, multihop_ttl=5)})
        driven.driver.set_routes("tor", routes(str(V4)))
        route = lambda: bird.ask(f"show route {V4} protocol provider all")  # noqa: E731
        await driven.until("it is there", lambda: f"BGP.next_hop: {link.ours}" in route())


async def test_a_router_without_capabilities_gets_ipv4_routes(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path, bgp="capabilities off;")
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})


async def test_a_router_that_wants_no_hold_time_is_refused_where_ours_is_one(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    opened.enter_context(Bird(link, tmp_path, bgp="hold time 0;"))
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        wanted = "we sent: OPEN message error: unacceptable hold time (2/6)"
        await driven.until("it is told", lambda: wanted in driven.driver.sessions["tor"].last_error)
        assert driven.driver.sessions["tor"].downs == 0
        assert driven.driver.routers == {str(link.theirs): 105}


async def test_local_preference_goes_to_internal_peers_only(node: Namespace, opened: ExitStack, tmp_path: Path) -> None:
    outer, inner = Link(node, 1), Link(node, 2)
    birds = Bird(outer, tmp_path), Bird(inner, tmp_path, asn=64512, extra="protocol direct { ipv4; ipv6; }")
    for each in (*birds, outer, inner):
        opened.enter_context(each)
    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"outer": outer.peer("outer"), "inner": inner.peer("inner", peer_asn=64512)})
        for peer in ("outer", "inner"):
            driven.driver.set_routes(peer, routes(str(V4), local_pref=250, prepend=3))
        await driven.until("both have it", lambda: all(V4 in bird.prefixes() for bird in birds))
        assert birds[0].route(V4)["BGP.as_path"] == "64512 64512 64512 64512"
        assert birds[0].route(V4)["BGP.local_pref"] == "100"
        assert birds[1].route(V4)["BGP.local_pref"] == "250"
        assert birds[1].route(V4)["BGP.as_path"].strip() == ""
        told = {PathAttributes(("outer",), prepend=3), PathAttributes(("inner",), local_pref=250)}
        await driven.until("both are told", lambda: set(driven.driver.paths_to(V4)) == told)
        driven.driver.set_routes("inner", routes(str(V4)))
        await driven.until("it has what ExaBGP says", lambda: birds[1].route(V4).get("BGP.local_pref") == "100")
        told = {PathAttributes(("outer",), prepend=3), PathAttributes(("inner",), local_pref=100)}
        await driven.until("that is told", lambda: set(driven.driver.paths_to(V4)) == told)


@pytest.mark.parametrize("deed", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_exabgp_that_is_killed_or_frozen_is_replaced(
    link: Link, opened: ExitStack, tmp_path: Path, deed: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speaker.bgp.exabgp.session.CONFIRM_SECONDS", 3.0)
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4), str(OTHER)))
        await driven.until("both are there", lambda: bird.prefixes() == {V4, OTHER})
        pid = driven.driver.exabgp_pids()["tor"]
        os.kill(pid, deed)
        driven.driver.set_routes("tor", routes(str(OTHER)))
        assert driven.driver.may_be_heard(V4)
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: V4 not in bird.prefixes(), 5)
        await driven.until("the other is back", lambda: bird.prefixes() == {OTHER})
        assert driven.driver.exabgp_pids()["tor"] != pid
        assert driven.driver.sessions["tor"].last_error


async def test_a_lost_pipe_is_the_end_of_its_exabgp(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        pid = driven.driver.exabgp_pids()["tor"]
        lose_commands(driven.driver, "tor")
        await driven.until("another runs", lambda: driven.driver.exabgp_pids().get("tor", pid) != pid)
        await driven.until_up()
        await driven.until("it is there again", lambda: bird.prefixes() == {V4})


async def test_an_edit_or_a_deletion_touches_one_session_only(
    node: Namespace, opened: ExitStack, tmp_path: Path
) -> None:
    left, right = Link(node, 1), Link(node, 2)
    birds = Bird(left, tmp_path), Bird(right, tmp_path)
    for each in (*birds, left, right):
        opened.enter_context(each)
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        peers = {"left": left.peer("left"), "right": right.peer("right")}
        driver.set_peers(peers)
        for name in peers:
            driver.set_routes(name, routes(str(V4)))
        await driven.until("both have it", lambda: all(bird.prefixes() == {V4} for bird in birds))
        before = {name: (driver.sessions[name].since, driver.exabgp_pids()[name]) for name in peers}
        peers["left"] = replace(peers["left"], connect_retry_seconds=60)
        driver.set_peers(peers)
        driver.set_routes("left", routes(str(V4), str(OTHER)))
        await driven.until("left goes on", lambda: birds[0].prefixes() == {V4, OTHER})
        assert (driver.sessions["left"].since, driver.exabgp_pids()["left"]) == before["left"]
        driver.set_peers({**peers, "left": replace(peers["left"], hold_time_seconds=30)})
        await driven.until("left is as it is to be", lambda: driver.sessions["left"].hold_time_seconds == 30)
        driver.set_peers({"right": peers["right"]})
        await driven.until("left has nothing", lambda: not birds[0].prefixes())
        await driven.until("left is closed", lambda: not birds[0].is_up())
        assert driver.may_be_heard(V4)
        assert (driver.sessions["right"].since, driver.exabgp_pids()["right"]) == before["right"]
        driver.set_routes("right", {})
        await driven.until_confirmed(V4)
        assert set(driver.sessions) == {"right"}


@pytest.mark.parametrize("left", [(str(OTHER),), ()], ids=["one", "none"])
async def test_routes_outlive_the_driver_under_graceful_restart(
    link: Link, opened: ExitStack, tmp_path: Path, left: tuple[str, ...]
) -> None:
    bird = Bird(link, tmp_path, bgp="graceful restart aware;")
    opened.enter_context(bird)
    peer = link.peer(graceful_restart_seconds=60)
    await left_gracefully(link, tmp_path, peer, bird, V4, OTHER)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": peer})
        await driven.until_up()
        await asyncio.sleep(1)
        assert bird.prefixes() == {V4, OTHER}  # no End-of-RIB before the first full set
        driven.driver.set_routes("tor", routes(*left))
        await driven.until("End-of-RIB has swept what is stale", lambda: bird.prefixes() == set(map(ip_network, left)))


async def test_a_clean_stop_withdraws_also_under_graceful_restart(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    bird = Bird(link, tmp_path, bgp="graceful restart aware;")
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(graceful_restart_seconds=60)})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        await driven.driver.stop(graceful=False)
        assert not driven.driver.may_be_heard(V4)
        assert not bird.prefixes()


async def test_silence_withdraws_everything_and_nothing_comes_until_it_ends(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        driven.driver.silence()
        await driven.until_confirmed(V4)
        driven.driver.set_routes("tor", routes(str(OTHER)))
        await asyncio.sleep(0.5)
        assert not bird.prefixes()
        driven.driver.resume()
        await driven.until("it speaks again", lambda: bird.prefixes() == {OTHER})


async def test_a_router_that_sends_a_hundred_thousand_routes_does_no_harm(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    rows = "\n".join(f"route 20.{n >> 16}.{n >> 8 & 255}.{n & 255}/32 blackhole;" for n in range(100_000))
    bird = Bird(link, tmp_path, extra=f"protocol static {{ ipv4; {rows} }}")
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("ours is there", lambda: V4 in bird.prefixes(), 60)
        driven.driver.set_routes("tor", {})
        await driven.until_confirmed(V4)
        status = Path(f"/proc/{driven.driver.exabgp_pids()['tor']}/status").read_text()
        assert int(status.split("VmRSS:")[1].split()[0]) < 45_000


async def test_many_routes_are_little_memory_and_what_is_never_used_is_none(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """With attributes of its own for each route it is 2 KB."""
    opened.enter_context(Bird(link, tmp_path))
    many = [f"10.64.{number >> 8}.{number & 255}/32" for number in range(4000)]
    async with driving(link.node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": link.peer()})
        driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: driver.synced_routers)
        pid = driver.exabgp_pids()["tor"]
        before = _own_memory_kib(pid)
        driver.set_routes("tor", routes(str(V4), *many))
        await driven.until("they are sent", lambda: driver.sessions["tor"].routes_sent == len(many) + 1)
        assert _own_memory_kib(pid) - before < len(many)
        assert "libssl" not in Path(f"/proc/{pid}/maps").read_text()


def _own_memory_kib(pid: int) -> int:
    """Of it and nobody else."""
    return int(Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0])


async def test_what_the_router_says_at_the_end_is_told(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        await driven.until_up()
        bird.ask('disable node "rack 12 is moved"')
        await driven.until("it is told", lambda: "rack 12 is moved" in driven.driver.sessions["tor"].last_error)
        assert "administrative shutdown (6/2)" in driven.driver.sessions["tor"].last_error
        last_error = lambda: driven.driver.sessions["tor"].last_error  # noqa: E731
        await driven.until("it was tried again", lambda: "(then: " in last_error())
        assert "rack 12 is moved" in last_error()


async def test_a_peer_that_moves_to_another_router_takes_its_routes_along(
    node: Namespace, opened: ExitStack, tmp_path: Path
) -> None:
    left, right = Link(node, 1), Link(node, 2)
    birds = Bird(left, tmp_path), Bird(right, tmp_path)
    for each in (*birds, left, right):
        opened.enter_context(each)
    async with driving(node, tmp_path) as driven:
        driven.driver.set_peers({"tor": left.peer("tor")})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("left has it", lambda: birds[0].prefixes() == {V4})
        driven.driver.set_peers({"tor": right.peer("tor")})
        await driven.until("right has it", lambda: birds[1].prefixes() == {V4})
        await driven.until("left has it no more", lambda: not birds[0].prefixes())
        driven.driver.change_routes("tor", {V4: None, OTHER: Route(OTHER)})
        await driven.until("right is changed", lambda: birds[1].prefixes() == {OTHER})


async def test_a_session_that_never_expires_comes_up_only_when_that_is_known(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    """The peer has hold time 0. What ExaBGP holds from an earlier session it would send at once."""
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driver, router = driven.driver, str(link.theirs)
        driver.cover({router: 105})
        driver.set_peers({"tor": link.peer(hold_time_seconds=0)})
        driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is agreed", lambda: driver.routers == {router: FOREVER_SECONDS})
        await asyncio.sleep(2)
        assert not bird.prefixes()
        assert driver.sessions["tor"].state == "OpenConfirm"
        assert "until the API server" in driver.sessions["tor"].last_error
        driver.cover({router: FOREVER_SECONDS})
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        driver.cover({})  # as after a session that ended; it holds the route now
        bird.ask("restart node")
        await driven.until("it is down", lambda: driver.sessions["tor"].state != "Established")
        await driven.until("it is agreed again", lambda: driver.sessions["tor"].state == "OpenConfirm")
        await asyncio.sleep(1)
        assert not bird.prefixes()


async def test_a_router_is_remembered_when_its_peer_moves_while_it_cannot_be_reached(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driver, router = driven.driver, str(link.theirs)
        driver.set_peers({"tor": link.peer()})
        driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        link.node.run(
            "nft", "add table inet cut; add chain inet cut out { type filter hook output priority 0; policy drop; }"
        )
        moved = link.peer(peer_address=ip_address("192.0.2.1"))
        driver.set_peers({"tor": moved})
        assert driver.routers == {router: 105, "192.0.2.1": 105}
        await driven.until("it is no more", lambda: len(driver.exabgp_pids()) == 1 and not driver._closing)
        assert 80 < driver.routers[router] <= 91
        assert driver.may_be_heard(V4)
        driver.set_peers({"tor": replace(moved, peer_address=ip_address("192.0.2.2"))})
        assert {router, "192.0.2.2"} <= driver.routers.keys()
        driver.drop_kept({router})
        assert router not in driver.routers


async def test_two_peers_with_one_address_are_refused_and_a_rename_waits(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"b": link.peer("b")})
        driver.set_routes("b", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        driver.set_peers({"a": link.peer("a"), "b": link.peer("b")})
        assert "the peer b has the same address" in driver.sessions["a"].last_error
        assert driver.sessions["b"].state == "Established"
        driver.set_routes("a", routes(str(OTHER)))
        driver.set_peers({"a": link.peer("a")})
        await driven.until("a has taken over", lambda: bird.prefixes() == {OTHER})
        assert not driver.may_be_heard(V4)


async def test_of_two_peers_that_are_waited_for_at_one_address_the_second_is_refused(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    async with driving(link.node, tmp_path) as driven:
        driver = driven.driver
        waiting = {"is_passive": True, "source_address": link.ours}
        other = ip_address("10.0.9.9")
        driver.set_peers({"a": link.peer("a", **waiting), "b": link.peer("b", peer_address=other, **waiting)})
        assert "where a is waited for" in driver.sessions["b"].last_error
        assert not driver.sessions["a"].last_error
        driver.set_peers({"b": link.peer("b", peer_address=other, **waiting)})
        assert not driver.sessions["b"].last_error


async def test_nothing_is_confirmed_while_the_path_is_cut(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = Bird(link, tmp_path)
    opened.enter_context(bird)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("it is there", lambda: bird.prefixes() == {V4})
        link.node.run(
            "nft", "add table inet cut; add chain inet cut out { type filter hook output priority 0; policy drop; }"
        )
        driven.driver.set_routes("tor", {})
        await asyncio.sleep(2)
        assert bird.prefixes() == {V4}
        assert driven.driver.may_be_heard(V4)
        link.node.run("nft", "delete table inet cut")
        await driven.until_confirmed(V4)
        await driven.until("the router has worked it off", lambda: not bird.prefixes(), 5)


async def test_a_router_that_accepts_and_says_nothing(link: Link, tmp_path: Path) -> None:
    with link.router.entered():
        import socket

        listener = socket.create_server((str(link.theirs), 179))
    with listener:
        async with driving(link.node, tmp_path) as driven:
            driven.driver.set_peers({"tor": link.peer()})
            driven.driver.set_routes("tor", routes(str(V4)))
            await driven.until("it is connected", lambda: driven.driver.sessions["tor"].state == "OpenSent")
            assert driven.driver.may_be_heard(V4)
            driven.driver.set_routes("tor", {})
            assert not driven.driver.may_be_heard(V4)


async def test_a_router_that_talks_garbage(link: Link, tmp_path: Path) -> None:
    async def garbage(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)
        await writer.drain()

    with link.router.entered():
        server = await asyncio.start_server(garbage, str(link.theirs), 179)
    async with server, driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        wanted = "message header error: connection not synchronized"
        await driven.until("it is told", lambda: wanted in driven.driver.sessions["tor"].last_error)


async def test_no_connection_is_told_in_words(link: Link, tmp_path: Path) -> None:
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(), "bad": link.peer("bad", peer_address=ip_address("192.0.2.1"))})
        await driven.until("refused", lambda: "refused" in driven.driver.sessions["tor"].last_error.lower())
        await driven.until("unreachable", lambda: "unreachable" in driven.driver.sessions["bad"].last_error.lower())
