"""Probing by the wire process on real interfaces: other kernels have the address, or want it."""

import asyncio
import ipaddress
import time

import pytest

from speaker.wire.messages import Permit
from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.filter import ETH_P_IPV6
from speaker.wire.neighbours.probe import ANNOUNCE_WAIT_SECONDS, PROBE_MIN_SECONDS, PROBE_NUM
from tests.speaker.wire.conftest import boottime, wire_on
from tests.speaker.wire.families import ArpAsker
from tests.speaker.wire.orders import announce, probe, withdraw

pytestmark = [pytest.mark.root, pytest.mark.asyncio]

VIP_TEXT, VIP = "192.0.10.10", bytes([192, 0, 10, 10])
IPV6_TEXT = "2001:db8::10"
IPV6 = ipaddress.IPv6Address(IPV6_TEXT).packed
RUN_SECONDS = 20.0
"""A run takes 7 s at most, on a machine that has nothing else to do."""


async def test_a_free_address_is_probed_three_times_and_not_answered_for(segment):
    node, client, _ = segment.hosts
    async with wire_on(node) as (link, heard):
        began = time.monotonic()
        with ArpAsker(client) as watcher, ArpAsker(client) as asker:
            await link.carry_out(probe([(VIP_TEXT, ["eth0"], 7)]))
            assert asker.ask(VIP, 0.2) is None
            await heard.until(lambda: heard.probed, RUN_SECONDS)
            probes = []
            while (arp := watcher.next(lambda arp: arp.target == VIP, 0.1)) is not None:
                probes.append(arp)
        assert time.monotonic() - began >= 2 * PROBE_MIN_SECONDS + ANNOUNCE_WAIT_SECONDS
        assert len(probes) == PROBE_NUM
        assert all(arp.is_probe and arp.destination == packets.BROADCAST for arp in probes)
        assert (heard.probed[0].address, heard.probed[0].run, heard.probed[0].sent) == (VIP_TEXT, 7, PROBE_NUM)
        assert heard.answers == []
        assert heard.conflicts == []


async def test_a_kernel_that_has_the_address_is_told_once(segment):
    node, _, rogue = segment.hosts
    rogue.run("ip", "address", "add", f"{VIP_TEXT}/32", "dev", "eth0")
    async with wire_on(node) as (link, heard):
        await link.carry_out(probe([(VIP_TEXT, ["eth0"], 3)]))
        await heard.until(lambda: heard.probed, RUN_SECONDS)
    (answer,) = heard.answers
    assert (answer.address, answer.run, answer.interface) == (VIP_TEXT, 3, "eth0")
    assert (answer.mac, answer.is_probe) == (rogue.mac.hex(":"), False)


async def test_a_host_that_probes_at_the_same_time_is_told_as_one_that_does(segment):
    node, _, rogue = segment.hosts
    async with wire_on(node) as (link, heard):
        await link.carry_out(probe([(VIP_TEXT, ["eth0"], 1)]))
        with ArpAsker(rogue) as thief:
            thief.send(packets.request(rogue.mac, packets.UNSPECIFIED, VIP))
            await heard.until(lambda: heard.answers)
        assert heard.answers[0].is_probe
        assert heard.answers[0].mac == rogue.mac.hex(":")


@pytest.mark.parametrize("ends", ["withdraw", "announce"])
async def test_what_is_withdrawn_or_announced_meanwhile_is_probed_no_more(segment, ends):
    node, client, _ = segment.hosts
    async with wire_on(node) as (link, heard):
        with ArpAsker(client) as asker:
            await link.carry_out(probe([(VIP_TEXT, ["eth0"], 1)]))
            if ends == "withdraw":
                await link.carry_out(withdraw([VIP_TEXT]))
            else:
                await link.carry_out(announce([(VIP_TEXT, ["eth0"])]))
            asker.forget()
            assert asker.next(lambda arp: arp.is_probe, 3.5) is None
            assert (asker.ask(VIP) is not None) == (ends == "announce")
        assert heard.probed == []


async def test_no_probe_leaves_without_a_permit_and_the_end_says_so(segment):
    node, client, _ = segment.hosts
    async with wire_on(node, permit_seconds=-1) as (link, heard):
        with ArpAsker(client) as asker:
            await link.carry_out(probe([(VIP_TEXT, ["eth0"], 1)]))
            await heard.until(lambda: heard.probed, RUN_SECONDS)
            assert asker.next(lambda arp: arp.is_probe, 0.1) is None
        assert heard.probed[0].sent == 0
        link.send(Permit(boottime() + 60))
        await link.carry_out(probe([(VIP_TEXT, ["eth0"], 2)]))
        await heard.until(lambda: len(heard.probed) == 2, RUN_SECONDS)
        assert heard.probed[1].sent == PROBE_NUM


async def test_an_ipv6_address_that_a_kernel_has_is_found_and_a_free_one_is_free(segment):
    node, _, rogue = segment.hosts
    rogue.use_ipv6()
    rogue.run("ip", "address", "add", f"{IPV6_TEXT}/64", "dev", "eth0", "nodad")
    async with wire_on(node) as (link, heard):
        await link.carry_out(probe([(IPV6_TEXT, ["eth0"], 1), ("2001:db8::11", ["eth0"], 2)]))
        await heard.until(lambda: len(heard.probed) == 2, RUN_SECONDS)
    assert {(one.address, one.run, one.mac, one.is_probe) for one in heard.answers} == {
        (IPV6_TEXT, 1, rogue.mac.hex(":"), False)
    }
    assert {one.sent for one in heard.probed} == {3}


async def test_an_ipv6_host_that_detects_duplicates_at_the_same_time_is_told(segment):
    """Its probe goes to the solicited-node group, which the node must have joined for it."""
    node, _, rogue = segment.hosts
    frame = ndp.probe(rogue.mac, IPV6)
    async with wire_on(node) as (link, heard):
        await link.carry_out(probe([(IPV6_TEXT, ["eth0"], 1)]))
        await asyncio.sleep(0.3)
        with rogue.packet_socket("eth0", ETH_P_IPV6) as packets_of_rogue:
            packets_of_rogue.send(frame)
            await heard.until(lambda: heard.answers)
    assert heard.answers[0].is_probe
