"""The wire process and IPv6, on real interfaces: other kernels resolve its addresses, raw sockets watch it."""

import asyncio
import os
import subprocess

import pytest

from lab.net.segment import Host
from speaker.wire.neighbours.groups import MAX_GROUPS_BY_MAC
from speaker.wire.neighbours.schedule import BURST_OFFSETS_SECONDS
from tests.speaker.wire.conftest import wire_on
from tests.speaker.wire.families import IPV6
from tests.speaker.wire.orders import announce, withdraw

pytestmark = pytest.mark.root

VIP_TEXT, OTHER_VIP_TEXT, IPV4_VIP_TEXT = "2001:db8::1:10", "2001:db8::1:11", "192.0.10.10"


def neighbour(host: Host, address: str) -> list[str]:
    """The words of the host's neighbour entry; those it has flags by (`router`) among them."""
    return host.run("ip", "neighbour", "show", address).split()


def ping(host: Host, address: str) -> None:
    """Has the kernel ask who it is. Nobody answers the ping itself: the address is on no interface."""
    command = [*host.prefix, "ping", "-c1", "-W1", address]
    subprocess.run(command, capture_output=True, check=False, timeout=20)


async def end_of_burst() -> None:
    """From then on a kernel that knows nothing learns by asking only."""
    await asyncio.sleep(BURST_OFFSETS_SECONDS[-1] + 0.3)


async def resolves(host: Host, address: str, mac: bytes) -> None:
    """Wait until the host's kernel, having been answered, knows the address at that MAC."""

    def asked() -> bool:
        ping(host, address)
        return {mac.hex(":"), "REACHABLE"} <= set(neighbour(host, address))

    async with asyncio.timeout(20):
        while not await asyncio.to_thread(asked):
            await asyncio.sleep(0.1)


class TestReplies:
    @pytest.mark.asyncio
    @pytest.mark.parametrize("has_ipv6", [False, True])
    async def test_a_kernel_resolves_the_address(self, segment, has_ipv6):
        """Whether the node has IPv6 switched on or not. The entry is no router's, even if the node is one."""
        node, client, _ = segment.hosts
        client.use_ipv6()
        if has_ipv6:
            node.use_ipv6()
            node.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            await end_of_burst()
            client.run("ip", "neighbour", "flush", "dev", "eth0")
            await resolves(client, VIP_TEXT, node.mac)
            assert "router" not in neighbour(client, VIP_TEXT)

    @pytest.mark.asyncio
    async def test_both_families_are_answered_side_by_side(self, segment):
        node, client, _ = segment.hosts
        client.use_ipv6()
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"]), (IPV4_VIP_TEXT, ["eth0"])]))
            for address in (VIP_TEXT, IPV4_VIP_TEXT):
                await resolves(client, address, node.mac)

    @pytest.mark.asyncio
    async def test_duplicate_address_detection_finds_the_address_in_use(self, segment):
        """RFC 4862 §5.4.3: a kernel that is about to use the address learns that it must not."""
        node, client, _ = segment.hosts
        client.use_ipv6()
        client.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=1", "net.ipv6.conf.all.accept_dad=1")
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            client.run("ip", "address", "add", f"{VIP_TEXT}/64", "dev", "eth0")
            client.run("ip", "address", "add", f"{OTHER_VIP_TEXT}/64", "dev", "eth0")
            await heard.until(lambda: "dadfailed" in client.run("ip", "address", "show", "to", VIP_TEXT), seconds=10)
            assert "dadfailed" not in client.run("ip", "address", "show", "to", OTHER_VIP_TEXT)


def multicast_macs(host: Host, interface: str = "eth0") -> list[str]:
    """The Ethernet addresses that the kernel has its card listen to."""
    lines = host.run("ip", "maddress", "show", "dev", interface).splitlines()
    return [line.split()[1] for line in lines if line.split()[0] == "link"]


class TestGroups:
    @pytest.mark.asyncio
    async def test_the_card_listens_to_the_groups_of_the_addresses_held_and_to_no_others(self, segment):
        """IPv6 is off on the node's interface."""
        node, _, _ = segment.hosts
        before = multicast_macs(node)
        group = "33:33:ff:01:00:10"
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"]), ("2001:db8:1::1:10", ["eth0"])]))
            await heard.until(lambda: group in multicast_macs(node))
            await link.carry_out(withdraw([VIP_TEXT]))
            await asyncio.sleep(0.1)
            assert group in multicast_macs(node)
            await link.carry_out(withdraw(["2001:db8:1::1:10"]))
            await heard.until(lambda: group not in multicast_macs(node))
            assert multicast_macs(node) == before

    @pytest.mark.asyncio
    async def test_a_card_that_filters_lets_the_questions_in(self, segment):
        """A macvlan hands its owner only the groups that were asked for."""
        node, client, _ = segment.hosts
        client.use_ipv6()
        node.run("ip", "link", "add", "mac0", "link", "eth0", "type", "macvlan", "mode", "bridge")
        node.run("ip", "link", "set", "mac0", "address", "02:00:00:00:00:b7", "up")
        async with wire_on(node, interfaces=("mac0",)) as (link, heard):
            await heard.until(lambda: (mac0 := heard.interface("mac0")) and mac0.usable)
            await link.carry_out(announce([(VIP_TEXT, ["mac0"])]))
            await end_of_burst()
            client.run("ip", "neighbour", "flush", "dev", "eth0")
            await resolves(client, VIP_TEXT, bytes.fromhex("0200000000b7"))

    @pytest.mark.asyncio
    async def test_a_switch_that_snoops_on_mld_delivers_the_questions(self, segment):
        """The node's kernel must have reported the group; others' frames for it then come to this port."""
        node, client, _ = segment.hosts
        for host in (node, client):
            host.use_ipv6()
        segment.snoop()
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            await heard.until(lambda: "ff02::1:ff01:10" in segment.hub.run("bridge", "mdb", "show"), seconds=10)
            await end_of_burst()  # the querier, too, waits before it believes that it knows all groups
            client.run("ip", "neighbour", "flush", "dev", "eth0")
            await resolves(client, VIP_TEXT, node.mac)
            await link.carry_out(withdraw([VIP_TEXT]))
            await heard.until(lambda: "ff02::1:ff01:10" not in segment.hub.run("bridge", "mdb", "show"), seconds=20)

    @pytest.mark.asyncio
    async def test_a_link_flap_joins_anew(self, segment):
        node, _, _ = segment.hosts
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            await heard.until(lambda: "33:33:ff:01:00:10" in multicast_macs(node))
            segment.hub.run("ip", "link", "set", "port1", "down")
            await heard.until(lambda: "33:33:ff:01:00:10" not in multicast_macs(node))
            segment.hub.run("ip", "link", "set", "port1", "up")
            await heard.until(lambda: "33:33:ff:01:00:10" in multicast_macs(node))

    @pytest.mark.asyncio
    async def test_past_the_limit_the_card_lets_all_groups_in(self, segment):
        node, _, _ = segment.hosts
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce(IPV6.many(MAX_GROUPS_BY_MAC + 10)))
            await heard.until(lambda: allmulti(node))
            await link.carry_out(withdraw(text for text, _ in IPV6.many(MAX_GROUPS_BY_MAC + 10)))
            await heard.until(lambda: not allmulti(node))

    @pytest.mark.asyncio
    async def test_a_process_that_is_killed_leaves_no_membership(self, segment):
        node, _, _ = segment.hosts
        before = multicast_macs(node)
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce(IPV6.many(20)))
            await heard.until(lambda: len(multicast_macs(node)) >= len(before) + 20)
            os.kill(link.pid, 9)
            await link.wait_dead()
        await heard.until(lambda: multicast_macs(node) == before)


def allmulti(host: Host) -> bool:
    return "allmulti 1" in host.run("ip", "-d", "link", "show", "eth0")
