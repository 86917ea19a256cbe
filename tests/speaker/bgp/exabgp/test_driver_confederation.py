"""The driver and routers in another member AS of one confederation (RFC 5065): 65000, of 64512 and 64513."""

import asyncio
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from crds.speaker import Acknowledger
from lab.net.segment import Namespace
from lab.routers.links import NODE_ASN, ROUTER_ASN, Bird, Frr, GoBgp, Link, routes
from speaker.bgp.model import PeerConfig, Route
from speaker.own.paths import PathAttributes
from tests.speaker.bgp.exabgp.conftest import driving, left_gracefully

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, OTHER, V6 = ip_network("10.9.0.1/32"), ip_network("10.9.0.2/32"), ip_network("fd09::1/128")
BEYOND = ip_network("10.8.0.0/24")
CONFEDERATION, OUTSIDE_ASN = 65000, 65100
FRR_MEMBER = (f"bgp confederation identifier {CONFEDERATION}", f"bgp confederation peers {NODE_ASN}")
BIRD_MEMBER = f"confederation {CONFEDERATION}; confederation member yes;"
AS_PATH, LOCAL_PREF, AS_CONFED_SEQUENCE = 2, 5, 3

Routers = Bird | Frr | GoBgp


def member(link: Link, **changes: object) -> PeerConfig:
    return link.peer(is_confederation_member=True, **changes)


def started(kind: str, link: Link, directory: Path) -> Routers:
    match kind:
        case "frr":
            return Frr(link, directory, bgp=FRR_MEMBER)
        case "bird":
            return Bird(link, directory, bgp=f"{BIRD_MEMBER} debug {{ packets }};")
        case "bird-as2":
            return Bird(link, directory, bgp=f"{BIRD_MEMBER} enable as4 off;")
        case _:
            return GoBgp(link, directory, confederation=CONFEDERATION)


def received(router: Routers, prefix: object) -> tuple[str, int | None]:
    """AS_PATH, with members in parentheses, and LOCAL_PREF."""
    match router:
        case Frr():
            seen = router.route(prefix)
            return seen.get("aspath", {}).get("string", ""), seen.get("locPrf")
        case Bird():
            said = router.route(prefix)
            return said.get("BGP.as_path", ""), int(said.get("BGP.local_pref", -1))
        case GoBgp():
            given = router.route(prefix)
            segments = given.get(AS_PATH, {}).get("as_paths", [])
            words = [
                ("({})" if one["segment_type"] == AS_CONFED_SEQUENCE else "{}").format(" ".join(map(str, one["asns"])))
                for one in segments
            ]
            return " ".join(words), given.get(LOCAL_PREF, {}).get("value")


@pytest.mark.parametrize("kind", ["frr", "bird", "bird-as2", "gobgp"])
async def test_routes_come_with_the_members_path_and_the_local_preference_and_go(
    link: Link, opened: ExitStack, tmp_path: Path, kind: str
) -> None:
    """`bird-as2`: of a router that knows AS numbers of two octets alone."""
    router = opened.enter_context(started(kind, link, tmp_path))
    async with driving(link.node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers({"tor": member(link)})
        attributes = {"local_pref": 300, "med": 5, "communities": ((65000, 1),), "prepend": 2}
        first = routes(str(V4), str(OTHER), **attributes) | routes(str(V6), next_hop=link.ours_v6, **attributes)
        driver.set_routes("tor", first)
        await driven.until("all are there", lambda: router.prefixes() == {V4, OTHER, V6})
        for prefix in (V4, V6):
            assert received(router, prefix) == (f"({NODE_ASN})", 300)
        told = PathAttributes(("tor",), local_pref=300, med=5, communities=("65000:1",))
        await driven.until("it is told", lambda: driver.paths_to(V4) == (told,))
        driver.drain()
        await driven.until("it drains", lambda: received(router, V6) == (f"({NODE_ASN})", 0))
        driver.drain(False)
        driver.change_routes("tor", {V4: Route(V4)})
        await driven.until("it has what ExaBGP says", lambda: received(router, V4) == (f"({NODE_ASN})", 100))
        await driven.until("that is told", lambda: driver.paths_to(V4) == (PathAttributes(("tor",), local_pref=100),))
        driver.change_routes("tor", {V4: None, V6: None})
        for prefix in (V4, V6):
            await driven.until_confirmed(prefix)
        await driven.until("the router has worked it off", lambda: router.prefixes() == {OTHER}, 5)
        assert driver.sessions["tor"].withdrawals_acknowledged_by is Acknowledger.Process
        assert driver.sessions["tor"].downs == 0


@pytest.mark.parametrize("is_member", [True, False], ids=["member", "outside"])
@pytest.mark.parametrize("kind", ["frr", "bird", "gobgp"])
async def test_a_router_that_sees_it_otherwise_than_its_peer_says_takes_nothing(
    link: Link, opened: ExitStack, tmp_path: Path, kind: str, is_member: bool
) -> None:
    """Until the peer says it as it is."""
    plain = {"frr": Frr, "bird": Bird, "gobgp": GoBgp}[kind]
    router = opened.enter_context(started(kind, link, tmp_path) if is_member else plain(link, tmp_path))
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(is_confederation_member=not is_member)})
        driven.driver.set_routes("tor", routes(str(V4), local_pref=300))
        if is_member and kind == "gobgp":
            await driven.until("it ends the session", lambda: driven.driver.sessions["tor"].downs)
            await driven.until("it is told", lambda: "(3/11); is it in" in driven.driver.sessions["tor"].last_error)
        else:
            await driven.until("all were sent", lambda: driven.driver.synced_routers)
            await asyncio.sleep(1)
        assert router.prefixes() == set()
        driven.driver.set_peers({"tor": link.peer(is_confederation_member=is_member)})
        path = f"({NODE_ASN})" if is_member else str(NODE_ASN)
        await driven.until("it is there", lambda: received(router, V4)[0] == path)


async def test_a_router_that_does_not_know_our_as_as_a_member_has_no_session(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    opened.enter_context(Frr(link, tmp_path, bgp=FRR_MEMBER[:1]))
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": member(link)})
        last_error = lambda: driven.driver.sessions["tor"].last_error  # noqa: E731
        await driven.until("it is told", lambda: f"(64513); does it know AS {NODE_ASN} as" in last_error())


async def test_a_router_outside_knows_the_whole_by_its_identifier(
    node: Namespace, opened: ExitStack, tmp_path: Path
) -> None:
    """One behind a member, and one that the node itself has a session with; `myASN` is the identifier there. What the
    outside sends comes to the node with segments of the confederation in its paths."""
    inside, beyond = opened.enter_context(Link(node, 1)), opened.enter_context(Link(node, 3))
    behind = opened.enter_context(Link(inside.router, 2))
    relay = Bird(
        inside,
        tmp_path,
        bgp=BIRD_MEMBER,
        extra=f"protocol direct {{ ipv4; }}\nprotocol bgp outer {{ local {behind.ours} as {ROUTER_ASN};"
        f" neighbor {behind.theirs} as {OUTSIDE_ASN}; confederation {CONFEDERATION}; connect retry time 1;"
        f" connect delay time 1; ipv4 {{ import all; export all; }}; }}",
    )
    theirs = ("no bgp network import-check", f"network {BEYOND}")
    outer = Frr(behind, tmp_path, asn=OUTSIDE_ASN, node_asn=str(CONFEDERATION), bgp=theirs)
    other = Frr(beyond, tmp_path, asn=OUTSIDE_ASN, node_asn=str(CONFEDERATION))
    for router in (relay, outer, other):
        opened.enter_context(router)
    async with driving(node, tmp_path) as driven:
        driver = driven.driver
        driver.set_peers(
            {"tor": member(inside), "other": beyond.peer("other", my_asn=CONFEDERATION, peer_asn=OUTSIDE_ASN)}
        )
        for peer in ("tor", "other"):
            driver.set_routes(peer, routes(str(V4), str(OTHER), local_pref=300))
        await driven.until("the member has it", lambda: received(relay, V4) == (f"({NODE_ASN})", 300))
        for router in (outer, other):
            await driven.until("it is outside", lambda router=router: V4 in router.prefixes())
            assert router.route(V4)["aspath"]["string"] == str(CONFEDERATION)
        await driven.until("the member has theirs", lambda: f"{BEYOND}" in relay.ask("show route"))
        sent = lambda: relay.ask("show route export node all")  # noqa: E731
        await driven.until("it sends theirs to the node", lambda: f"BGP.as_path: {OUTSIDE_ASN}" in sent())
        for peer in ("tor", "other"):
            driver.set_routes(peer, routes(str(OTHER)))
        await driven.until_confirmed(V4)
        await driven.until(
            "it is gone everywhere", lambda: all(V4 not in one.prefixes() for one in (relay, outer, other))
        )
        assert {name: session.downs for name, session in driver.sessions.items()} == {"tor": 0, "other": 0}


async def test_a_member_keeps_the_routes_through_a_restart(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    bird = opened.enter_context(Bird(link, tmp_path, bgp=f"{BIRD_MEMBER} graceful restart aware;"))
    peer = member(link, graceful_restart_seconds=60)
    await left_gracefully(link, tmp_path, peer, bird, V4, OTHER)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(OTHER), local_pref=300))
        await driven.until("what is stale is swept", lambda: bird.prefixes() == {OTHER})
        assert received(bird, OTHER) == (f"({NODE_ASN})", 300)


@pytest.mark.parametrize("kind", ["frr", "bird", "gobgp"])
async def test_a_router_that_asks_for_our_routes_gets_them_as_they_were(
    link: Link, opened: ExitStack, tmp_path: Path, kind: str
) -> None:
    router = opened.enter_context(started(kind, link, tmp_path))
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": member(link)})
        driven.driver.set_routes("tor", routes(str(V4), local_pref=300))
        await driven.until("it is there", lambda: router.prefixes() == {V4} and driven.driver.synced_routers)
        match router:
            case Frr():
                before = router.counts(link.ours)
                router.tell("bgpd", f"clear bgp {link.ours} in")
                await driven.until("it has them again", lambda: router.counts(link.ours)[1] > before[1])
            case Bird():
                before = router.log().count("Got UPDATE")
                router.ask("reload in node")
                await driven.until("it has them again", lambda: router.log().count("Got UPDATE") > before)
            case GoBgp():
                router.site.run("gobgp", "neighbor", str(link.ours), "softresetin")
                await asyncio.sleep(1)
        assert received(router, V4) == (f"({NODE_ASN})", 300)
        assert driven.driver.sessions["tor"].downs == 0


async def test_four_octets_of_a_members_number(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    members = (FRR_MEMBER[0], "bgp confederation peers 4200000002")
    frr = opened.enter_context(Frr(link, tmp_path, asn=4200000001, node_asn="4200000002", bgp=members))
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": member(link, my_asn=4200000002, peer_asn=4200000001)})
        driven.driver.set_routes("tor", routes(str(V4), link_bandwidth=1e6))
        await driven.until("it is there", lambda: received(frr, V4) == ("(4200000002)", 100))
