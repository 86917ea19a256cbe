"""Blackhole routes for aggregates, in a kernel's own table."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from speaker.blackhole import METRIC, PROTOCOL, Blackholes, have_exactly
from tests.speaker.l2.segment import Namespace

pytestmark = pytest.mark.root

V4, V6 = ip_network("192.0.2.0/24"), ip_network("2001:db8::/64")


@pytest.fixture
def host() -> Iterator[Namespace]:
    namespace = Namespace()
    namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
    namespace.run("ip", "link", "set", "lo", "up")
    yield namespace
    namespace.close()


def routes(host: Namespace, protocol: int = PROTOCOL) -> set[str]:
    found = set()
    for family in ("-4", "-6"):
        lines = host.run("ip", family, "route", "show", "type", "blackhole", "proto", str(protocol)).splitlines()
        found |= {line.split()[1] for line in lines if line}
    return found


def test_there_are_exactly_those_that_are_wanted(host: Namespace) -> None:
    with host.entered():
        have_exactly(frozenset({V4, V6}))
        assert routes(host) == {str(V4), str(V6)}
        have_exactly(frozenset({V4, V6}))
        have_exactly(frozenset({V6}))
        assert routes(host) == {str(V6)}
        have_exactly(frozenset())
        assert routes(host) == set()


def test_whatever_else_leads_there_goes_before_it(host: Namespace) -> None:
    host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    host.run("ip", "link", "set", "eth0", "up")
    host.run("ip", "link", "set", "eth1", "up")
    host.run("ip", "route", "add", str(V4), "dev", "eth0")
    with host.entered():
        have_exactly(frozenset({V4}))
    assert f"metric {METRIC}" in host.run("ip", "route", "show", "type", "blackhole")
    assert "dev eth0" in host.run("ip", "route", "get", "192.0.2.7")


def test_routes_of_others_are_left_alone(host: Namespace) -> None:
    host.run("ip", "route", "add", "blackhole", str(V4), "proto", "191")
    with host.entered():
        have_exactly(frozenset())
    assert routes(host, 191) == {str(V4)}


def test_a_thousand_of_them_come_and_go(host: Namespace) -> None:
    many = frozenset(ip_network(f"10.{number >> 8}.{number & 255}.0/24") for number in range(1000))
    with host.entered():
        have_exactly(many)
        assert len(routes(host)) == 1000
        have_exactly(frozenset())
    assert routes(host) == set()


def test_what_a_killed_speaker_left_goes_at_the_start_and_all_at_the_end(host: Namespace) -> None:
    async def live() -> None:
        blackholes = Blackholes()
        running = asyncio.create_task(blackholes.run())
        await asyncio.sleep(0.05)
        assert routes(host) == set()
        blackholes.set(frozenset({V6}))
        await asyncio.sleep(0.05)
        assert routes(host) == {str(V6)}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with host.entered():
        have_exactly(frozenset({V4}))
        asyncio.run(live())
    assert routes(host) == set()


def test_without_the_right_it_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("speaker.blackhole.have_exactly", refuse)

    async def live() -> str:
        blackholes = Blackholes()
        running = asyncio.create_task(blackholes.run())
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return blackholes.fault

    assert "NET_ADMIN" in asyncio.run(live())


def test_who_does_not_want_them_touches_nothing(host: Namespace) -> None:
    with host.entered():
        have_exactly(frozenset({V4}))
        asyncio.run(Blackholes(is_wanted=False).run())
    assert routes(host) == {str(V4)}
