"""Router discovery on real links: what leaves the node, what is heard, and on which interfaces."""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from lab.net.segment import ETH_P_IPV6, Host
from speaker.wire.discovery.packets import ADVERTISEMENT, advertisement
from speaker.wire.messages import Discover, Permit, RoutersOn
from tests.speaker.wire.conftest import boottime, rss_bytes, wire_on

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.asyncio]


def link_local(host: Host, interface: str = "eth0") -> str:
    words = host.run("ip", "-6", "-o", "address", "show", "dev", interface, "scope", "link").split()
    return words[words.index("inet6") + 1].partition("/")[0]


class Neighbour:
    """Another router on the segment."""

    def __init__(self, host: Host) -> None:
        host.use_ipv6()
        self.host = host
        self.address = link_local(host)
        self._frames = host.packet_socket(protocol=ETH_P_IPV6)
        self._frames.settimeout(0.0)

    def advertise(self, interface: str = "eth0", *, source: str = "", hop_limit: int = 255) -> None:
        source = source or link_local(self.host, interface)
        with self.host.entered(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as made:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hop_limit)
            index = socket.if_nametoindex(interface)
            made.bind((source, 0, 0, index if source.startswith("fe80") else 0))
            made.sendto(advertisement(self.host.mac), ("ff02::1", 0, 0, index))

    def close(self) -> None:
        self._frames.close()

    def advertised(self) -> list[tuple[int, str, bytes]]:
        """Hop limit, source and the rest of each Router Advertisement of others that came so far."""
        found = []
        while True:
            try:
                frame = self._frames.recv(2048)
            except BlockingIOError:
                return found
            if frame[20] == 58 and frame[54] == ADVERTISEMENT and frame[6:12] != self.host.mac:
                found.append((frame[21], socket.inet_ntop(socket.AF_INET6, frame[22:38]), frame[58:]))


@pytest.fixture
def neighbour() -> Iterator[Callable[[Host], Neighbour]]:
    """Makes them, and closes them after the test."""
    made: list[Neighbour] = []

    def make(host: Host) -> Neighbour:
        made.append(Neighbour(host))
        return made[-1]

    yield make
    for one in made:
        one.close()


async def test_a_node_tells_the_link_that_it_is_there_and_nobodys_default_router(segment, neighbour) -> None:
    node, other, _ = segment.hosts
    node.use_ipv6()
    seen = neighbour(other)
    async with wire_on(node) as (link, heard):
        await asyncio.sleep(0.2)
        assert not seen.advertised()
        await link.carry_out(Discover(("eth0",)))
        packets: list[tuple[int, str, bytes]] = []
        await heard.until(lambda: packets.extend(seen.advertised()) or packets)
        hop_limit, source, rest = packets[0]
        assert (hop_limit, source) == (255, link_local(node))
        assert struct.unpack_from("!2xHII", rest) == (0, 0, 0)  # lifetime, reachable time, retransmission timer
        assert rest[12:20] == b"\1\1" + node.mac
        assert rss_bytes(link.pid) < 20e6


async def test_without_a_permit_nothing_leaves(segment, neighbour) -> None:
    node, other, _ = segment.hosts
    node.use_ipv6()
    seen = neighbour(other)
    async with wire_on(node, permit_seconds=-1) as (link, heard):
        await link.carry_out(Discover(("eth0",)))
        await heard.until(lambda: "eth0" in link.link_routers)
        seen.advertise()
        await heard.until(lambda: link.link_routers.get("eth0") == RoutersOn((seen.address,)))
        await asyncio.sleep(0.3)
        assert not seen.advertised()
        link.send(Permit(boottime() + 60))
        await heard.until(seen.advertised, 2)


async def test_a_router_counts_by_a_valid_advertisement_on_that_link_alone(segment, neighbour) -> None:
    node, other, third = segment.hosts
    node.use_ipv6()
    router, stranger = neighbour(other), neighbour(third)
    node.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth1", "netns", third.path)
    for host in (third, node):
        host.run("sysctl", "-qw", "net.ipv6.conf.eth1.accept_dad=0", "net.ipv6.conf.eth1.disable_ipv6=0")
        host.run("ip", "link", "set", "eth1", "up")
    async with wire_on(node) as (link, heard):
        await link.carry_out(Discover(("eth0",)))
        await heard.until(lambda: "eth0" in link.link_routers)
        stranger.advertise(hop_limit=254)
        stranger.advertise(source="2001:db8::3")
        stranger.advertise("eth1")
        router.advertise()
        await heard.until(lambda: link.link_routers.get("eth0") == RoutersOn((router.address,)))
        await asyncio.sleep(0.2)
        assert link.link_routers == {"eth0": RoutersOn((router.address,))}
        stranger.advertise()
        both = RoutersOn((router.address, stranger.address))
        await heard.until(lambda: link.link_routers.get("eth0") == both)
        await link.carry_out(Discover(()))
        await heard.until(lambda: link.link_routers == {})


async def test_a_link_that_is_not_there_is_told_and_used_when_it_comes(segment, neighbour) -> None:
    node, other, _ = segment.hosts
    router = neighbour(other)
    async with wire_on(node) as (link, heard):
        await link.carry_out(Discover(("eth7", "eth0")))
        await heard.until(lambda: {"eth0", "eth7"} == link.link_routers.keys() and link.link_routers["eth0"].fault)
        await heard.until(lambda: "IPv6" in link.link_routers["eth0"].fault)
        await heard.until(lambda: "no" in link.link_routers["eth7"].fault)
        node.use_ipv6()
        await heard.until(lambda: not link.link_routers["eth0"].fault)
        for is_back in (False, True):  # with another index then
            segment.plug(node, "eth7", "02:00:00:00:07:01", f"port7{is_back}")
            node.run("sysctl", "-qw", "net.ipv6.conf.eth7.accept_dad=0", "net.ipv6.conf.eth7.disable_ipv6=0")
            await heard.until(lambda: not link.link_routers["eth7"].fault)
            if not is_back:
                node.run("ip", "link", "del", "eth7")
                await heard.until(lambda: link.link_routers["eth7"].fault, 15)
        router.advertise()
        await heard.until(lambda: link.link_routers["eth7"].routers == (router.address,))
