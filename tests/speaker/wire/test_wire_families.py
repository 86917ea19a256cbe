"""The wire process on real interfaces: what holds for IPv4 (ARP) and for IPv6 (NDP) alike."""

import asyncio
import threading
import time
from functools import partial
from random import Random

import pytest

from speaker.wire.messages import Ask, Defend, Permit, Reannounce
from tests.speaker.wire.conftest import boottime, neighbour_mac, rss_bytes, wire_on
from tests.speaker.wire.families import IPV4, IPV6, Asker, Family, packed, reply_times, stamp_frames
from tests.speaker.wire.orders import announce, withdraw

pytestmark = [pytest.mark.root, pytest.mark.asyncio]


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def family(request) -> Family:
    return request.param


@pytest.fixture(params=["off", "auto"], ids=["process", "kernel"])
def wire(request):
    """A wire process that answers everything by itself, or leaves to the kernel what that can answer."""
    return partial(wire_on, kernel_answers=request.param)


def on_eth0(*addresses: str):
    return announce((address, ["eth0"]) for address in addresses)


class TestReplies:
    async def test_junk_is_survived(self, segment, family, wire):
        node, client, _ = segment.hosts
        dice = Random(5227)
        async with wire(node) as (link, _):
            await link.carry_out(on_eth0(family.vip_text))
            with family.asker(client) as asker:
                for _ in range(2000):
                    asker.send(family.junk(asker.request(family.vip), dice))
                await asyncio.sleep(0.2)
                asker.forget()
                assert asker.mac_of(asker.ask(family.vip)) == node.mac

    async def test_twenty_thousand_requests_in_a_row_are_all_answered(self, segment, family, wire):
        node, client, _ = segment.hosts
        async with wire(node) as (link, _):
            await link.carry_out(on_eth0(family.vip_text))
            with family.asker(client) as asker:
                request, replies = asker.request(family.vip), 0
                for _ in range(20_000):
                    asker.send(request)
                while replies < 20_000 and asker.next(asker.is_reply, 1):
                    replies += 1
        assert replies == 20_000

    async def test_requests_for_other_hosts_do_not_wake_the_process_and_the_families_are_counted_apart(
        self, segment, family, wire
    ):
        node, client, _ = segment.hosts
        async with wire(node) as (link, heard):
            await link.carry_out(on_eth0(IPV4.vip_text, IPV6.vip_text))
            with family.asker(client) as asker:
                foreign = packed(family.foreign_text)
                for number in range(1000):
                    asker.send(asker.request(foreign[:-1] + bytes([number % 256])))
                asker.ask(family.vip)
            await heard.until(lambda: heard.counters, seconds=7)
        eth0 = heard.counters[-1].interfaces["eth0"]
        names = ("received", "replies", "ignored", "dropped")
        assert [eth0[family.counters + name] for name in names] == [1, 1, 0, 0]
        other = IPV6 if family is IPV4 else IPV4
        assert [eth0[other.counters + name] for name in ("received", "replies")] == [0, 0]
        # Which addresses the program was asked for, nobody counts.
        assert heard.counters[-1].addresses == (
            {} if wire.keywords["kernel_answers"] == "auto" else {family.vip_text: 1}
        )


class TestAnnouncements:
    async def test_a_take_over_moves_the_neighbours_entry(self, segment, family):
        node, client, rogue = segment.hosts
        client.use_ipv6()
        entry = (family.vip_text, "lladdr", rogue.mac.hex(":"), "dev", "eth0", "nud", "stale")
        client.run("ip", "neighbour", "replace", *entry)
        async with wire_on(node) as (link, heard):
            await link.carry_out(on_eth0(family.vip_text))
            await heard.until(lambda: neighbour_mac(client, family.vip_text) == node.mac.hex(":"), seconds=1)

    async def test_all_forms_go_out_and_repeating_the_order_adds_none(self, segment, family):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            with family.asker(client) as asker:
                for _ in range(5):
                    await link.carry_out(on_eth0(family.vip_text))
                seen = []
                while (one := asker.next_about(family.vip, 0.6)) is not None:
                    assert asker.is_announcement(one)
                    seen.append(family.form(one))
        assert seen == family.burst

    async def test_what_is_announced_can_be_announced_again_and_nothing_else(self, segment, family):
        node, client, _ = segment.hosts
        async with wire_on(node) as (link, _):
            with family.asker(client) as asker:
                await link.carry_out(on_eth0(family.vip_text))
                assert await asyncio.to_thread(asker.next_about, family.vip)
                await asyncio.sleep(0.7)  # the burst has a pause here
                asker.forget()
                link.send(Reannounce((family.vip_text, family.other_text)))
                assert await asyncio.to_thread(asker.next_about, family.vip, 0.2)
                assert not await asyncio.to_thread(asker.next_about, family.other, 0.2)

    async def test_a_changed_mac_is_announced_and_used(self, segment, family):
        node, client, _ = segment.hosts
        mac = bytes.fromhex("0200000000cc")
        async with wire_on(node) as (link, heard):
            await link.carry_out(on_eth0(family.vip_text))
            with family.asker(client) as asker:
                assert asker.mac_of(asker.ask(family.vip)) == node.mac
                node.run("ip", "link", "set", "eth0", "address", mac.hex(":"))
                await heard.until(lambda: heard.interface("eth0").mac == mac.hex(":"))
                announced = asker.next_from(mac)
                assert asker.is_announcement(announced)
                assert announced.source == mac
                assert asker.mac_of(asker.ask(family.vip)) == mac
        assert heard.conflicts == []


class TestConflicts:
    async def test_one_is_reported_once_a_second_and_defended_on_request(self, segment, family, wire):
        """One announcement moves the neighbours back."""
        node, client, rogue = segment.hosts
        async with wire(node) as (link, heard):
            await link.carry_out(on_eth0(family.vip_text, family.other_text))
            await asyncio.sleep(0.4)  # the next frame of the burst is 0.6 s away
            with family.asker(client) as watcher, family.asker(rogue) as thief:
                watcher.forget()
                for _ in range(50):
                    for claim in thief.claims(family.vip):
                        thief.send(claim)
                await heard.until(lambda: heard.conflicts)
                link.send(Defend(family.vip_text, "eth0"))
                assert watcher.address_of(watcher.next_from(rogue.mac, 1)) == family.vip
                defended = watcher.next_from(node.mac, 0.3)
                await asyncio.sleep(0.1)
        assert watcher.address_of(defended) == family.vip
        assert watcher.is_announcement(defended)
        assert defended.destination == family.to_all
        assert [(one.address, one.interface, one.mac) for one in heard.conflicts] == [
            (family.vip_text, "eth0", rogue.mac.hex(":"))
        ]

    async def test_a_silent_rogue_is_asked_alone_and_its_kernel_owns_up(self, segment, family, wire):
        """A kernel that has the address, and whose own duplicate detection was off."""
        node, client, rogue = segment.hosts
        rogue.use_ipv6()
        async with wire(node) as (link, heard):
            await link.carry_out(on_eth0(family.vip_text))
            await asyncio.sleep(0.4)
            its = (f"{family.vip_text}/{8 * len(family.vip)}", "dev", "eth0")
            rogue.run("ip", "address", "add", *its, *(["nodad"] if family is IPV6 else []))
            with family.asker(client) as watcher:
                watcher.forget()
                link.send(Ask(family.vip_text, "eth0", rogue.mac.hex(":")))
                await heard.until(lambda: heard.conflicts)
                assert heard.conflicts[0].mac == rogue.mac.hex(":")
                overheard = watcher.frames(0.3)
                # A bridge that has not learnt the machine's port yet floods what is for it alone.
                others = [frame for frame in overheard if frame[:6] != rogue.mac and family.vip in frame]
                assert not any(watcher.is_question(frame) for frame in others)
                assert not any(watcher.mac_of(watcher.parse(frame)) == rogue.mac for frame in overheard)
            rogue.run("ip", "address", "delete", *its)
            await asyncio.sleep(1.1)  # a second report within a second would be held back
            link.send(Ask(family.vip_text, "eth0", rogue.mac.hex(":")))
            await asyncio.sleep(0.3)
            assert len(heard.conflicts) == 1


class TestWithdrawal:
    async def test_no_frame_leaves_after_the_confirmation(self, segment, family, wire):
        """Under a flood of requests, in the burst of the take-over, as the last address of a long order.

        The judges are the time stamps of the receiver's kernel.
        """
        node, client, _ = segment.hosts
        crowd = [text for text, _ in family.many(255)]
        async with wire(node) as (link, _):
            with family.asker(client) as asker, family.asker(client) as flooder:
                stamp_frames(asker)
                for _ in range(5):
                    await link.carry_out(on_eth0(family.vip_text, family.other_text, *crowd))
                    flood = threading.Thread(target=send_often, args=(flooder, flooder.request(family.vip)))
                    flood.start()
                    await asyncio.sleep(0.02)
                    await link.carry_out(withdraw([*crowd, family.vip_text]))
                    confirmed = time.clock_gettime_ns(time.CLOCK_REALTIME)
                    await asyncio.to_thread(flood.join)
                    stamps = reply_times(asker, family.vip)
                    assert len(stamps) > 10
                    assert max(stamps) < confirmed
                assert asker.ask(family.vip) is None
                assert asker.ask(family.other) is not None
                assert asker.next_about(family.vip, 0.5) is None

    async def test_frames_still_queued_for_a_slow_device_are_waited_for(self, segment, family, wire):
        """Also while another address keeps that queue from ever being empty."""
        node, client, _ = segment.hosts
        async with wire(node) as (link, _):
            await link.carry_out(on_eth0(family.vip_text, family.other_text))
            with family.asker(client) as asker:
                stamp_frames(asker)
                await asyncio.sleep(0.4)
                asker.forget()  # what came before the kernel stamped frames
                node.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *family.slow)
                for _ in range(80):
                    asker.send(asker.request(family.vip))
                flood = asyncio.create_task(steadily(asker, family.other))
                await asyncio.sleep(0.02)
                started = time.clock_gettime_ns(time.CLOCK_REALTIME)
                await link.carry_out(withdraw([family.vip_text]))
                confirmed = time.clock_gettime_ns(time.CLOCK_REALTIME)
                await asyncio.sleep(0.5)
                flood.cancel()
                stamps = reply_times(asker, family.vip)
            assert len(stamps) >= 80
            assert started < max(stamps) < confirmed < started + 2 * 10**9

    async def test_five_thousand_addresses_come_and_go(self, segment, family, wire):
        node, client, _ = segment.hosts
        async with wire(node) as (link, _):
            await link.carry_out(announce(family.many(5000)))
            with family.asker(client) as asker:
                for text, _ in family.many(5000)[::500]:
                    assert asker.ask(packed(text)) is not None
                await link.carry_out(withdraw(text for text, _ in family.many(5000)))
                await asyncio.sleep(0.02)
                asker.forget()
                for text, _ in family.many(5000)[::1000]:
                    assert asker.ask(packed(text), 0.1) is None
                assert asker.next(asker.is_announcement, 0.3) is None
            assert rss_bytes(link.pid) < 25e6


class TestPermit:
    async def test_nothing_leaves_before_the_first_permit_and_after_the_last(self, segment, family, wire):
        node, client, _ = segment.hosts
        async with wire(node, permit_seconds=-1) as (link, _):
            with family.asker(client) as asker:
                await link.carry_out(on_eth0(family.vip_text))
                asker.send(asker.request(family.vip))
                asker.send(asker.probe(family.vip))
                assert asker.next_about(family.vip, 0.3) is None
                link.send(Permit(boottime() + 0.5))
                waited = asker.next_about(family.vip, 0.3)
                assert asker.is_announcement(waited)
                assert family.form(waited) == family.burst[0]
                assert asker.ask(family.vip) is not None
                await asyncio.sleep(0.6)
                asker.forget()
                asker.send(asker.request(family.vip))
                assert asker.next_about(family.vip, 0.7) is None  # no reply, nor the frames at 1 s
                link.send(Permit(boottime() + 5))
                assert asker.ask(family.vip) is not None  # the table was kept


def send_often(asker: Asker, frame: bytes) -> None:
    for _ in range(4000):
        asker.send(frame)


async def steadily(asker: Asker, target: bytes) -> None:
    while True:
        asker.send(asker.request(target))
        await asyncio.sleep(0.004)
