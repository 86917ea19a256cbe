"""Echo requests on real interfaces: the wire process answers, and the kernel of its node, a router, says nothing."""

import asyncio
import socket
import subprocess
import time

import pytest

from lab.net.segment import Host
from speaker.wire.messages import AnswerPing, Permit
from speaker.wire.neighbours.filter import ETH_P_IP
from speaker.wire.neighbours.pace import BURST, PER_SECOND
from tests.speaker.wire.conftest import boottime, wire_on
from tests.speaker.wire.families import IPV4, ArpAsker, packed
from tests.speaker.wire.neighbours.test_echo import ethernet, icmp, ipv4
from tests.speaker.wire.orders import announce, withdraw

pytestmark = pytest.mark.root

VIP, OTHER = "192.0.10.10", "192.0.10.11"
VIP6 = "2001:db8::1:10"
TABLE = "7473"


def router(node: Host) -> None:
    """As every node of a Kubernetes cluster."""
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")


async def ping(client: Host, address: str, *options: str) -> str:
    """What `ping` says of two requests, all the kernel's complaints within four seconds included."""
    command = [*client.prefix, "ping", "-c2", "-i0.2", "-W1", *options, address]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def rules(node: Host) -> str:
    return "".join(line for family in "46" for line in node.run("ip", f"-{family}", "rule", "list", "pref", "18999"))


def routes(node: Host) -> str:
    return "".join(
        node.run("sh", "-c", f"ip -{family} route show table {TABLE} 2>/dev/null || true") for family in "46"
    )


def replies_in(sock: socket.socket, seconds: float) -> int:
    """How many echo replies came, and come within that time."""
    count, until = 0, time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            count += sock.recv(1600)[34] == 0
        except TimeoutError:
            break
    return count


async def until_answered(client: Host, address: str) -> None:
    async with asyncio.timeout(10):
        while " 0% packet loss" not in await ping(client, address):
            await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_ping_is_answered_once_for_what_is_told_to_be_and_no_kernel_says_anything(segment):
    node, client, _ = segment.hosts
    router(node)
    for host in (node, client):
        host.use_ipv6()
    async with wire_on(node) as (link, _):
        await link.carry_out(announce([(VIP, ["eth0"]), (OTHER, ["eth0"]), (VIP6, ["eth0"])]))
        link.send(AnswerPing((VIP, VIP6), True))
        for address in (VIP, VIP6):
            await until_answered(client, address)
            said = await ping(client, address, "-w4", "-c3")
            assert "3 packets transmitted, 3 received, 0% packet loss" in said
            assert "DUP" not in said
            assert "From" not in said  # no redirect, no "unreachable"
        assert "100% packet loss" in await ping(client, OTHER)
        link.send(AnswerPing((VIP,), False))
        async with asyncio.timeout(5):
            while VIP in routes(node):
                await asyncio.sleep(0.02)
        assert "100% packet loss" in await ping(client, VIP)
        assert " 0% packet loss" in await ping(client, VIP6)
    assert rules(node) == routes(node) == ""


@pytest.mark.asyncio
async def test_what_is_withdrawn_or_without_a_permit_is_not_answered(segment):
    node, client, _ = segment.hosts
    router(node)
    async with wire_on(node) as (link, _):
        await link.carry_out(announce([(VIP, ["eth0"]), (OTHER, ["eth0"])]))
        link.send(AnswerPing((VIP, OTHER), True))
        await until_answered(client, VIP)
        await until_answered(client, OTHER)
        await link.carry_out(withdraw([VIP]))
        assert "100% packet loss" in await ping(client, VIP)
        assert " 0% packet loss" in await ping(client, OTHER)
        link.send(Permit(0))
        assert "100% packet loss" in await ping(client, OTHER)
        link.send(Permit(boottime() + 60))
        assert " 0% packet loss" in await ping(client, OTHER)


@pytest.mark.asyncio
async def test_large_pings_are_answered_up_to_one_packet(segment):
    node, client, _ = segment.hosts
    router(node)
    async with wire_on(node) as (link, _):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        link.send(AnswerPing((VIP,), True))
        await until_answered(client, VIP)
        assert " 0% packet loss" in await ping(client, VIP, "-s1472")
        assert " 0% packet loss" in await ping(client, VIP, "-s0")
        assert "100% packet loss" in await ping(client, VIP, "-s1473")


@pytest.mark.asyncio
async def test_without_the_right_to_change_rules_nothing_is_answered_and_it_is_told(segment):
    node, client, _ = segment.hosts
    router(node)
    without = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
    async with wire_on(node, prefix=without) as (link, heard):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        link.send(AnswerPing((VIP,), True))
        await heard.until(lambda: heard.ping_faults)
        assert "NET_ADMIN" in heard.ping_faults[-1]
        assert "100% packet loss" in await ping(client, VIP)
        link.send(AnswerPing((VIP,), False))
        await heard.until(lambda: heard.ping_faults[-1] == "")


@pytest.mark.asyncio
async def test_what_a_killed_process_left_is_removed_by_the_next(segment):
    node, client, _ = segment.hosts
    router(node)
    async with wire_on(node) as (link, _):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        link.send(AnswerPing((VIP,), True))
        await until_answered(client, VIP)
        subprocess.run(["kill", "-9", str(link.pid)], check=True)
        await link.wait_dead()
    assert rules(node)
    assert VIP in routes(node)
    async with wire_on(node), asyncio.timeout(5):
        while rules(node) or routes(node):
            await asyncio.sleep(0.02)


@pytest.mark.asyncio
async def test_an_interface_that_flaps_answers_again(segment):
    node, client, _ = segment.hosts
    router(node)
    async with wire_on(node) as (link, _):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        link.send(AnswerPing((VIP,), True))
        await until_answered(client, VIP)
        node.run("ip", "link", "set", "eth0", "down")
        node.run("ip", "link", "set", "eth0", "up")
        await until_answered(client, VIP)
        node.run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
        await until_answered(client, VIP)


@pytest.mark.asyncio
async def test_a_flood_of_requests_is_answered_in_part_and_arp_goes_on(segment):
    """Whatever comes, no more than a thousand are answered in a second."""
    node, client, _ = segment.hosts
    router(node)
    async with wire_on(node) as (link, heard):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        link.send(AnswerPing((VIP,), True))
        await until_answered(client, VIP)
        request = ethernet(ipv4(icmp(b"flood..."), to=packed(VIP)), to=node.mac, source=client.mac)
        with client.packet_socket(protocol=ETH_P_IP) as flooding, ArpAsker(client) as asker:
            began, replies = time.monotonic(), 0
            while (elapsed := time.monotonic() - began) < 2:
                for _ in range(100):
                    flooding.send(request)
                assert asker.ask(packed(VIP)) is not None
            replies = await asyncio.to_thread(replies_in, flooding, 0.5)
        assert PER_SECOND < replies <= BURST + (elapsed + 0.5) * PER_SECOND
        await heard.until(lambda: heard.counters and heard.counters[-1].interfaces["eth0"].get("ping_replies"), 10)


@pytest.mark.asyncio
async def test_a_withdrawal_waits_for_replies_that_are_queued_for_a_slow_device(segment):
    """Also for those of a port that nobody needs any more."""
    node, client, _ = segment.hosts
    router(node)
    async with wire_on(node) as (link, _):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        link.send(AnswerPing((VIP,), True))
        await until_answered(client, VIP)
        request = ethernet(ipv4(icmp(b"queued.."), to=packed(VIP)), to=node.mac, source=client.mac)
        with client.packet_socket(protocol=ETH_P_IP) as asking:
            await asyncio.sleep(0.4)  # announcements go first
            node.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *IPV4.slow)
            for _ in range(80):
                asking.send(request)
            await asyncio.sleep(0.1)
            before = replies_in(asking, 0.01)
            await link.carry_out(withdraw([VIP]))
            while_waiting = replies_in(asking, 0.02)
            assert replies_in(asking, 0.5) == 0
        assert before < 80
        assert before + while_waiting == 80
