"""The wire process and IPv6, on real interfaces: other kernels resolve its addresses, raw sockets watch it."""

import asyncio
import ipaddress
import os
import random
import subprocess
import time
from collections.abc import Callable

import pytest

from lab.net.segment import ETH_P_IPV6, Host
from speaker.wire.messages import Ask, Defend, Permit
from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.groups import MAX_GROUPS_BY_MAC
from speaker.wire.neighbours.ndp import Advertisement, Message
from speaker.wire.neighbours.schedule import BURST_OFFSETS_SECONDS
from tests.speaker.wire.conftest import boottime, wire_on
from tests.speaker.wire.orders import announce, withdraw

pytestmark = pytest.mark.root

VIP_TEXT, OTHER_VIP_TEXT, IPV4_VIP_TEXT = "2001:db8::1:10", "2001:db8::1:11", "192.0.10.10"


def ip(text: str) -> bytes:
    return ipaddress.IPv6Address(text).packed


VIP, OTHER_VIP = ip(VIP_TEXT), ip(OTHER_VIP_TEXT)


def many(count: int) -> list[tuple[str, list[str]]]:
    return [(f"2001:db8::2:{number:x}", ["eth0"]) for number in range(1, count + 1)]


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


class NdpAsker:
    """A raw socket of a host that asks, and reads advertisements."""

    def __init__(self, host: Host) -> None:
        self._socket = host.packet_socket(protocol=ETH_P_IPV6)
        self.mac, self.address = host.mac, ip(f"2001:db8::{host.number}")

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def request(self, target: bytes) -> bytes:
        return ndp.solicitation(self.mac, self.address, target)

    def ask(self, target: bytes, seconds: float = 0.5) -> Advertisement | None:
        self.send(self.request(target))
        return self.next(lambda seen: seen.target == target and seen.is_solicited, seconds)

    def next(self, is_wanted: Callable[[Advertisement], bool], seconds: float = 2) -> Advertisement | None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                seen: Message | None = ndp.parse(self._socket.recv(1600))
            except TimeoutError:
                return None
            if isinstance(seen, Advertisement) and is_wanted(seen):
                return seen
        return None

    def forget(self) -> None:
        self._socket.settimeout(0)
        try:
            while True:
                self._socket.recv(1600)
        except BlockingIOError:
            pass

    def __enter__(self) -> "NdpAsker":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


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

    @pytest.mark.asyncio
    async def test_junk_is_survived(self, segment):
        node, client, _ = segment.hosts
        dice = random.Random(4861)
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as asker:
                request = asker.request(VIP)
                for _ in range(2000):
                    junk = bytearray(request + dice.randbytes(dice.choice((0, 18, 900))))
                    for _ in range(dice.randrange(1, 4)):
                        junk[dice.randrange(12, 86)] = dice.randrange(256)
                    asker.send(bytes(junk[: dice.choice((14, 54, 80, len(junk)))]))
                await asyncio.sleep(0.2)
                asker.forget()
                assert asker.ask(VIP).target_mac == node.mac

    @pytest.mark.asyncio
    async def test_twenty_thousand_requests_in_a_row_are_all_answered(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as asker:
                request, replies = asker.request(VIP), 0
                for _ in range(20_000):
                    asker.send(request)
                while replies < 20_000 and asker.next(lambda seen: seen.is_solicited, 1):
                    replies += 1
        assert replies == 20_000

    @pytest.mark.asyncio
    async def test_frames_of_no_concern_do_not_wake_the_process_and_the_counters_tell_the_families_apart(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"]), (IPV4_VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as asker:
                for number in range(1000):
                    asker.send(asker.request(ip(f"2001:db8::3:{number:x}")))
                asker.ask(VIP)
            await heard.until(lambda: heard.counters, seconds=7)
        eth0 = heard.counters[-1].interfaces["eth0"]
        assert (eth0["ndp_received"], eth0["ndp_replies"], eth0["ndp_ignored"], eth0["ndp_dropped"]) == (1, 1, 0, 0)
        assert (eth0["received"], eth0["replies"]) == (0, 0)
        assert heard.counters[-1].addresses == {VIP_TEXT: 1}


class TestAnnouncements:
    @pytest.mark.asyncio
    async def test_a_take_over_moves_the_neighbours_entry(self, segment):
        node, client, rogue = segment.hosts
        client.use_ipv6()
        client.run("ip", "neighbour", "replace", VIP_TEXT, "lladdr", rogue.mac.hex(":"), "dev", "eth0", "nud", "stale")
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            await heard.until(lambda: node.mac.hex(":") in neighbour(client, VIP_TEXT), seconds=2)

    @pytest.mark.asyncio
    async def test_the_burst_has_one_form_and_repeating_the_order_adds_none(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            with NdpAsker(client) as asker:
                for _ in range(5):
                    await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
                seen = []
                while (one := asker.next(lambda one: one.target == VIP, 0.6)) is not None:
                    seen.append((one.is_override, one.is_solicited))
        assert seen == [(True, False)] * 3  # at 0, 0.1 and 0.3 s

    @pytest.mark.asyncio
    async def test_a_changed_mac_is_announced_and_used(self, segment):
        node, client, _ = segment.hosts
        mac = bytes.fromhex("0200000000cc")
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as asker:
                assert asker.ask(VIP).target_mac == node.mac
                node.run("ip", "link", "set", "eth0", "address", mac.hex(":"))
                assert asker.next(lambda seen: seen.target_mac == mac).source == mac
                assert asker.ask(VIP).target_mac == mac

    @pytest.mark.asyncio
    async def test_a_conflict_is_reported_once_a_second_and_defended_on_request(self, segment):
        node, client, rogue = segment.hosts
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            with NdpAsker(rogue) as asker, NdpAsker(client) as watcher:
                await asyncio.sleep(0.4)
                for _ in range(50):
                    asker.send(ndp.unsolicited(ndp.head(rogue.mac), VIP))
                await heard.until(lambda: heard.conflicts)
                watcher.forget()
                link.send(Defend(VIP_TEXT, "eth0"))
                assert watcher.next(lambda seen: seen.target_mac == node.mac, 0.3) is not None
        told = {(one.address, one.interface, one.mac) for one in heard.conflicts}
        assert told == {(VIP_TEXT, "eth0", rogue.mac.hex(":"))}
        assert len(heard.conflicts) == 1

    @pytest.mark.asyncio
    async def test_a_machine_asked_whether_it_has_our_address_tells_us_alone(self, segment):
        """A kernel that has the address, and whose own duplicate detection was off."""
        node, client, rogue = segment.hosts
        rogue.use_ipv6()
        rogue.run("ip", "address", "add", f"{VIP_TEXT}/64", "dev", "eth0", "nodad")
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as watcher:
                await asyncio.sleep(0.4)
                link.send(Ask(VIP_TEXT, "eth0", rogue.mac.hex(":")))
                await heard.until(lambda: heard.conflicts)
                assert watcher.next(lambda seen: seen.target_mac == rogue.mac, 0.3) is None
        assert heard.conflicts[0].mac == rogue.mac.hex(":")


class TestWithdrawal:
    @pytest.mark.asyncio
    async def test_both_families_are_silent_after_the_confirmation(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"]), (OTHER_VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as asker:
                for _ in range(200):
                    asker.send(asker.request(VIP))
                await link.carry_out(withdraw([VIP_TEXT]))
                await asyncio.sleep(0.02)
                asker.forget()
                assert asker.ask(VIP) is None
                assert asker.ask(OTHER_VIP) is not None
                assert asker.next(lambda seen: seen.target == VIP, 0.5) is None

    @pytest.mark.asyncio
    async def test_advertisements_still_queued_for_a_slow_device_are_waited_for(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            with NdpAsker(client) as asker:
                await asyncio.sleep(0.4)
                slow = ("rate", "64kbit", "burst", "1600", "latency", "10s")
                node.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *slow)
                for _ in range(60):
                    asker.send(asker.request(VIP))
                await asyncio.sleep(0.02)
                await link.carry_out(withdraw([VIP_TEXT]))
                await asyncio.sleep(0.02)
                asker.forget()
                assert asker.next(lambda seen: seen.target == VIP, 0.5) is None

    @pytest.mark.asyncio
    async def test_five_thousand_addresses_come_and_go(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            await link.carry_out(announce(many(5000)))
            with NdpAsker(client) as asker:
                for text, _ in many(5000)[::500]:
                    assert asker.ask(ip(text)) is not None
                await link.carry_out(withdraw(text for text, _ in many(5000)))
                await asyncio.sleep(0.02)
                asker.forget()
                for text, _ in many(5000)[::1000]:
                    assert asker.ask(ip(text), 0.1) is None
                assert asker.next(lambda seen: not seen.is_solicited, 0.3) is None
            assert rss_bytes(link.pid) < 25e6


class TestPermit:
    @pytest.mark.asyncio
    async def test_nothing_leaves_before_the_first_permit_and_after_the_last(self, segment):
        node, client, _ = segment.hosts
        async with wire_on(node, permit_seconds=-1) as (link, _):
            with NdpAsker(client) as asker:
                await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
                asker.send(asker.request(VIP))
                asker.send(ndp.probe(asker.mac, VIP))
                assert asker.next(lambda seen: seen.target == VIP, 0.3) is None
                link.send(Permit(boottime() + 0.5))
                assert asker.next(lambda seen: seen.target == VIP, 0.3).is_override  # the burst had waited
                assert asker.ask(VIP) is not None
                await asyncio.sleep(0.6)
                asker.forget()
                asker.send(asker.request(VIP))
                assert asker.next(lambda seen: seen.target == VIP, 0.7) is None


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
            await link.carry_out(announce(many(MAX_GROUPS_BY_MAC + 10)))
            await heard.until(lambda: allmulti(node))
            await link.carry_out(withdraw(text for text, _ in many(MAX_GROUPS_BY_MAC + 10)))
            await heard.until(lambda: not allmulti(node))

    @pytest.mark.asyncio
    async def test_a_process_that_is_killed_leaves_no_membership(self, segment):
        node, _, _ = segment.hosts
        before = multicast_macs(node)
        async with wire_on(node) as (link, heard):
            await link.carry_out(announce(many(20)))
            await heard.until(lambda: len(multicast_macs(node)) >= len(before) + 20)
            os.kill(link.pid, 9)
            await link.wait_dead()
        await heard.until(lambda: multicast_macs(node) == before)


def allmulti(host: Host) -> bool:
    return "allmulti 1" in host.run("ip", "-d", "link", "show", "eth0")


def rss_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
