"""The driver and GoBGP: a third implementation of the protocol that has to understand what is sent."""

from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest

from lab.routers.links import GoBgp, Link, routes
from tests.speaker.bgp.exabgp.conftest import driving

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.asyncio]
V4, OTHER, V6 = ip_network("10.9.0.1/32"), ip_network("10.9.0.0/24"), ip_network("fd09::1/128")
AS_PATH, MED, LOCAL_PREF, COMMUNITIES, EXTENDED_COMMUNITIES, LARGE_COMMUNITIES = 2, 4, 5, 8, 16, 32


async def test_routes_of_both_families_with_attributes(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    router = GoBgp(link, tmp_path)
    opened.enter_context(router)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer()})
        attributes = {
            "med": 5,
            "communities": ((65000, 1), (65535, 0)),
            "large_communities": ((1, 2, 3),),
            "prepend": 2,
        }
        wanted = routes(str(V4), str(OTHER), link_bandwidth=3e6, **attributes) | routes(
            str(V6), next_hop=link.ours_v6, **attributes
        )
        driven.driver.set_routes("tor", wanted)
        await driven.until("all are there", lambda: router.prefixes() == {V4, OTHER, V6})
        for prefix in (V4, V6):
            seen = router.route(prefix)
            assert seen[MED]["metric"] == 5
            assert seen[COMMUNITIES]["communities"] == [65000 << 16 | 1, 65535 << 16]
            assert seen[LARGE_COMMUNITIES]["value"] == [{"ASN": 1, "LocalData1": 2, "LocalData2": 3}]
            assert [one["asns"] for one in seen[AS_PATH]["as_paths"]] == [[64512, 64512, 64512]]
        (weight,) = router.route(V4)[EXTENDED_COMMUNITIES]["value"]
        assert (weight["asn"], weight["bandwidth"]) == (64512, 3000000)
        driven.driver.change_routes("tor", {V4: None, V6: None})
        for prefix in (V4, V6):
            await driven.until_confirmed(prefix)
        await driven.until("the router has worked it off", lambda: router.prefixes() == {OTHER}, 5)


async def test_an_internal_session_with_a_password(link: Link, opened: ExitStack, tmp_path: Path) -> None:
    router = GoBgp(link, tmp_path, asn=64512, password="sesame")
    opened.enter_context(router)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": link.peer(peer_asn=64512, password="sesame")})
        driven.driver.set_routes("tor", routes(str(V4), local_pref=300))
        await driven.until("it is there", lambda: router.prefixes() == {V4})
        assert router.route(V4)[LOCAL_PREF]["value"] == 300


async def test_graceful_restart_keeps_what_comes_back_and_drops_the_rest(
    link: Link, opened: ExitStack, tmp_path: Path
) -> None:
    router = GoBgp(link, tmp_path)
    opened.enter_context(router)
    peer = link.peer(graceful_restart_seconds=60)
    async with driving(link.node, tmp_path) as driven:
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(V4), str(OTHER)))
        await driven.until("they are there", lambda: router.prefixes() == {V4, OTHER})
        await driven.until("End-of-RIB was sent", lambda: driven.driver.synced_routers)
        await driven.driver.stop(graceful=True)
        assert driven.driver.may_be_heard(V4)
    await driven.until("the router keeps them", lambda: router.is_stale(V4) and router.is_stale(OTHER))
    (tmp_path / "again").mkdir()
    async with driving(link.node, tmp_path / "again") as driven:
        driven.driver.set_peers({"tor": peer})
        driven.driver.set_routes("tor", routes(str(V4)))
        await driven.until("what did not come back is dropped", lambda: router.prefixes() == {V4})
        assert not router.is_stale(V4)
