"""What a wire process tells of the networks of a real host's interfaces, as addresses, routes and settings change."""

import select
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from lab.net.segment import Host, Segment
from speaker.wire.io.poll import Poll
from speaker.wire.messages import Interface
from speaker.wire.neighbours.io.networkwatch import NetworkWatch
from speaker.wire.neighbours.networks import OTHER_TABLE
from tests.speaker.wire.conftest import Heard, wire_on

pytestmark = pytest.mark.root


@dataclass
class Told:
    """A host with a wire process, and what that tells."""

    host: Host
    heard: Heard

    def __call__(self, name: str = "eth0") -> Interface:
        found = self.heard.interface(name)
        assert found is not None
        return found

    def ip(self, line: str) -> None:
        self.host.run("ip", *line.split())

    async def until(self, condition: Callable[[], object]) -> None:
        await self.heard.until(condition)


@asynccontextmanager
async def told_on(host: Host) -> AsyncIterator[Told]:
    async with wire_on(host) as (_, heard):
        await heard.until(lambda: heard.interfaces)
        yield Told(host, heard)


def networks(one: Interface) -> list[str]:
    return [network for network, _ in one.networks]


@pytest.mark.asyncio
async def test_the_first_report_has_all_networks_and_gateways(segment: Segment) -> None:
    """Nothing is decided on half of it: an interface is not told of before its networks are known."""
    host = segment.hosts[0]
    host.use_ipv6()
    host.run("ip", "route", "add", "default", "via", "192.0.2.254")
    async with told_on(host) as told:
        for interfaces in told.heard.interfaces:
            (eth0,) = (one for one in interfaces if one.name == "eth0")
            assert eth0.networks == (("192.0.2.1/16", 0), ("2001:db8::1/64", 256))
            assert eth0.gateways == ("192.0.2.254",)
            assert eth0.ipv6


@pytest.mark.asyncio
async def test_addresses_that_come_and_go_are_told(segment: Segment) -> None:
    async with told_on(segment.hosts[0]) as told:
        assert networks(told()) == ["192.0.2.1/16"]
        told.ip("address add 10.0.0.1/24 dev eth0")
        await told.until(lambda: networks(told()) == ["10.0.0.1/24", "192.0.2.1/16"])
        told.ip("address flush dev eth0")
        await told.until(lambda: networks(told()) == [])


@pytest.mark.asyncio
async def test_addresses_of_a_host_alone_are_no_news(segment: Segment) -> None:
    async with told_on(segment.hosts[0]) as told:
        count = len(told.heard.interfaces)
        for number in range(20):
            told.ip(f"address add 10.9.9.{number}/32 dev eth0")
        told.ip("address add 10.0.0.1/24 dev eth0")
        await told.until(lambda: len(networks(told())) == 2)
        assert len(told.heard.interfaces) == count + 1


@pytest.mark.asyncio
async def test_routes_that_are_replaced_and_go_without_a_word_are_told(segment: Segment) -> None:
    """The kernel tells no IPv4 route that goes with its interface, and a replaced one only by the new one."""
    async with told_on(segment.hosts[0]) as told:
        told.ip("route add default via 192.0.2.254")
        await told.until(lambda: told().gateways == ("192.0.2.254",))
        told.ip("route replace default via 192.0.2.253")
        await told.until(lambda: told().gateways == ("192.0.2.253",))
        told.ip("route add 198.51.100.0/24 dev eth0 metric 7")
        await told.until(lambda: ("198.51.100.0/24", 7) in told().networks)
        told.ip("route add 203.0.113.0/24 dev eth0 table 77")
        await told.until(lambda: ("203.0.113.0/24", OTHER_TABLE) in told().networks)
        told.ip("link set eth0 down")
        await told.until(lambda: not told().usable)
        assert (told().networks, told().gateways) == ((), ())
        told.ip("link set eth0 up")
        await told.until(lambda: told().usable)
        assert (networks(told()), told().gateways) == (["192.0.2.1/16"], ())


@pytest.mark.asyncio
async def test_ipv6_switched_off_and_on_is_told(segment: Segment) -> None:
    host = segment.hosts[0]
    host.use_ipv6()
    async with told_on(host) as told:
        assert told().ipv6
        host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        await told.until(lambda: not told().ipv6)
        assert networks(told()) == ["192.0.2.1/16"]
        assert told().usable
        host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0")
        await told.until(lambda: told().ipv6)


@pytest.mark.asyncio
async def test_ipv6_switched_off_is_told_where_the_interface_has_no_address_at_all(segment: Segment) -> None:
    host = segment.hosts[0]
    host.use_ipv6()
    host.run("ip", "link", "set", "eth0", "addrgenmode", "none")
    host.run("ip", "address", "flush", "dev", "eth0")
    async with told_on(host) as told:
        assert told().ipv6
        host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
        await told.until(lambda: not told().ipv6)


@pytest.mark.asyncio
async def test_of_two_interfaces_on_one_network_the_metrics_tell_the_better_one(segment: Segment) -> None:
    host = segment.hosts[0]
    segment.plug(host, "eth1", "02:00:00:00:00:a1", "port1b")
    async with told_on(host) as told:
        told.ip("address add 192.0.9.1/16 dev eth1 metric 50")
        await told.until(lambda: told("eth1").networks == (("192.0.9.1/16", 50),))
        assert told().networks == (("192.0.2.1/16", 0),)


@pytest.mark.asyncio
async def test_thousands_of_addresses_and_of_a_daemons_routes_wake_nobody(segment: Segment) -> None:
    host = segment.hosts[0]
    async with told_on(host) as told:
        count = len(told.heard.interfaces)
        lines = [f"address add 10.9.{n >> 8}.{n & 255}/32 dev lo" for n in range(2000)]
        lines += [f"route add 10.{n >> 8}.{n & 255}.0/24 via 192.0.2.254 proto bird" for n in range(2000)]
        command = [*host.prefix, "ip", "-batch", "-"]
        subprocess.run(command, input="\n".join(lines), text=True, check=True, timeout=20)
        told.ip("address add 198.51.100.1/24 dev eth0")
        await told.until(lambda: "198.51.100.1/24" in networks(told()))
        assert len(told.heard.interfaces) == count + 1


class Watched(Poll):
    """A poll that can be asked whether it would wake."""

    def has_work(self, seconds: float) -> bool:
        return bool(select.select([self._epoll], [], [], seconds)[0])


@pytest.fixture
def watch(segment: Segment) -> Iterator[tuple[Host, NetworkWatch, Watched]]:
    """One that follows eth0, in a host's namespace, driven by hand. It has read everything."""
    host, poll = segment.hosts[0], Watched()
    with host.entered():
        index = socket.if_nametoindex("eth0")
        made = NetworkWatch(poll, lambda: None)
        made.follow({index: "eth0"})
        while not made.is_known:
            poll.wait(1.0)
        yield host, made, poll
        made.close()
    poll.close()


def told_by(made: NetworkWatch) -> list[str]:
    (reached,) = made.reached.values()
    return [network for network, _ in reached.networks]


def test_what_says_nothing_of_networks_does_not_wake_the_process(watch: tuple[Host, NetworkWatch, Watched]) -> None:
    host, _, poll = watch
    host.run("ip", "address", "add", "10.9.9.9/32", "dev", "eth0")
    host.run("ip", "route", "add", "10.8.0.0/16", "via", "192.0.2.254", "proto", "bird")
    assert not poll.has_work(0.2)
    host.run("ip", "route", "add", "10.8.0.0/16", "via", "192.0.2.254", "metric", "9", "proto", "static")
    assert poll.has_work(1.0)


def test_what_changes_while_it_is_read_is_read_again(watch: tuple[Host, NetworkWatch, Watched]) -> None:
    host, made, poll = watch
    before = told_by(made)
    host.run("ip", "route", "add", "198.51.100.0/24", "dev", "eth0")
    poll.wait(1.0)  # it hears of that, and asks
    poll.wait(1.0)  # the addresses have been read
    host.run("ip", "address", "add", "10.0.0.1/24", "dev", "eth0", "noprefixroute")
    while told_by(made) == before:
        assert poll.has_work(1.0)
        poll.wait(1.0)
    assert told_by(made) == ["10.0.0.1/24", *before, "198.51.100.0/24"]
