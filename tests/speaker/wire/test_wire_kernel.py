"""Where the kernel answers: how long it does without the process, and that all else is as without it."""

import asyncio
import os
import signal
import time

import pytest

from speaker.wire.io.link import WireLink
from speaker.wire.messages import HandOver, Heartbeat, OwnState, Permit
from tests.speaker.wire.conftest import Heard, boottime, wire_on
from tests.speaker.wire.families import IPV4, IPV6, Asker, Family
from tests.speaker.wire.orders import announce, withdraw

pytestmark = [pytest.mark.root, pytest.mark.asyncio]

DEAD_SECONDS = 0.65  # three intervals and a quarter of 0.2 s


@pytest.fixture(params=[IPV4, IPV6], ids=["ipv4", "ipv6"])
def family(request) -> Family:
    return request.param


def kernel_on(host, **settings):
    return wire_on(host, kernel_answers="auto", **settings)


async def announced(link: WireLink, heard: Heard, *addresses: str) -> None:
    """And the kernel answers for them."""
    await link.carry_out(announce((address, ["eth0"]) for address in addresses))
    await heard.until(lambda: (eth0 := heard.interface("eth0")) and eth0.kernel_answers)


def last_answer(asker: Asker, address: bytes, seconds: float) -> float:
    """When the last answer came, of those to a question each 10 ms: CLOCK_BOOTTIME."""
    last, until = 0.0, boottime() + seconds
    while boottime() < until:
        asked = boottime()
        if asker.ask(address, 0.01) is not None:
            last = boottime()
        time.sleep(max(0.0, asked + 0.01 - boottime()))
    return last


async def test_it_answers_while_the_process_is_stopped_until_the_permit_ends(segment, family):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text)
        ends = boottime() + 1.0
        link.send(Permit(ends))
        with family.asker(client) as asker:
            await asyncio.sleep(0.3)
            os.kill(link.pid, signal.SIGSTOP)
            assert ends - 0.2 < await asyncio.to_thread(last_answer, asker, family.vip, 1.2) < ends + 0.005
            os.kill(link.pid, signal.SIGCONT)
            link.send(Permit(boottime() + 60))
            await asyncio.sleep(0.1)  # what was asked meanwhile is not answered later
            assert asker.ask(family.vip) is not None


async def test_a_stopped_process_is_silent_when_its_members_take_it_for_dead(segment, family):
    """Long before its permit ends: they may have taken over by then."""
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text)
        await link.carry_out(Heartbeat("node1", "one", (b"k" * 32,), members={"node2": ()}))
        link.send(OwnState(contact=boottime(), is_serving=True))
        with family.asker(client) as asker:
            await asyncio.sleep(0.5)
            os.kill(link.pid, signal.SIGSTOP)
            stopped = boottime()
            last = await asyncio.to_thread(last_answer, asker, family.vip, 1.0)
            assert stopped + 0.2 < last < stopped + DEAD_SECONDS + 0.01
            os.kill(link.pid, signal.SIGCONT)
            link.send(OwnState(contact=boottime(), is_serving=True))
            assert asker.ask(family.vip) is not None


async def test_after_a_goodbye_the_process_alone_answers_as_long_as_it_may(segment, family):
    """The agent says nothing more: members take over at once, and the permit may last a little longer."""
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text)
        await link.carry_out(Heartbeat("node1", "one", (b"k" * 32,), members={"node2": ()}))
        link.send(OwnState(contact=boottime(), is_serving=True))
        with family.asker(client) as asker:
            await asyncio.sleep(3.2)
            assert asker.ask(family.vip) is not None
            os.kill(link.pid, signal.SIGSTOP)
            assert asker.ask(family.vip, 0.2) is None
            os.kill(link.pid, signal.SIGCONT)


async def test_each_question_has_one_answer(segment, family):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text)
        await asyncio.sleep(0.5)
        with family.asker(client) as asker:
            for _ in range(300):
                asker.send(asker.request(family.vip))
            messages = [asker.parse(frame) for frame in asker.frames(0.5)]
        assert sum(asker.is_reply(one) and asker.address_of(one) == family.vip for one in messages if one) == 300


async def test_a_changed_mac_is_in_the_kernels_answers(segment, family):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text)
        mac = bytes.fromhex("02000000abcd")
        node.run("ip", "link", "set", "eth0", "address", mac.hex(":"))
        await heard.until(lambda: (eth0 := heard.interface("eth0")) and eth0.mac == mac.hex(":"))
        os.kill(link.pid, signal.SIGSTOP)
        with family.asker(client) as asker:
            assert asker.mac_of(asker.ask(family.vip)) == mac
        os.kill(link.pid, signal.SIGCONT)


async def test_what_was_withdrawn_while_an_interface_was_gone_is_not_answered_when_it_is_back(segment, family):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text, family.other_text)
        node.run("ip", "link", "set", "eth0", "down")
        await heard.until(lambda: (eth0 := heard.interface("eth0")) and not eth0.kernel_answers)
        await link.carry_out(withdraw([family.vip_text]))
        node.run("ip", "link", "set", "eth0", "up")
        await heard.until(lambda: (eth0 := heard.interface("eth0")) and eth0.kernel_answers)
        with family.asker(client) as asker:
            await asyncio.sleep(0.5)
            os.kill(link.pid, signal.SIGSTOP)
            assert asker.ask(family.other) is not None
            assert asker.ask(family.vip, 0.2) is None
            os.kill(link.pid, signal.SIGCONT)
            assert asker.ask(family.vip, 0.2) is None


async def test_a_killed_process_leaves_nothing_that_answers(segment):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, IPV4.vip_text)
        with IPV4.asker(client) as asker:
            os.kill(link.pid, signal.SIGKILL)
            await link.wait_dead()
            assert asker.ask(IPV4.vip, 0.2) is None


async def test_without_the_right_the_process_answers_and_says_why(segment):
    node, client, _ = segment.hosts
    prefix = ["setpriv", "--bounding-set", "-bpf,-sys_admin", "--inh-caps", "-bpf,-sys_admin"]
    async with kernel_on(node, prefix=prefix) as (link, heard):
        await link.carry_out(announce([(IPV4.vip_text, ["eth0"])]))
        with IPV4.asker(client) as asker:
            assert asker.ask(IPV4.vip) is not None
        eth0 = heard.interface("eth0")
        assert eth0 is not None
        assert not eth0.kernel_answers
        assert "lacks the capability BPF" in eth0.why_not


async def test_what_is_handed_over_is_answered_by_the_process_alone(segment, family):
    """So two nodes never answer longer than without the program: one that freezes meanwhile is silent at once."""
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, family.vip_text)
        with family.asker(client) as asker:
            for order, answers_when_stopped in ((HandOver((family.vip_text,)), False), (None, True)):
                if order is not None:
                    link.send(order)
                await link.carry_out(announce([] if order else [(family.vip_text, ["eth0"])]))
                assert asker.ask(family.vip) is not None
                os.kill(link.pid, signal.SIGSTOP)
                assert (asker.ask(family.vip, 0.2) is not None) is answers_when_stopped
                os.kill(link.pid, signal.SIGCONT)
                asker.forget()


async def test_the_thread_that_waits_runs_as_the_loop_does(segment):
    """It shares the interpreter with the loop: without a CPU it would stop it."""
    node, *_ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await announced(link, heard, IPV4.vip_text)
        threads = [int(name) for name in os.listdir(f"/proc/{link.pid}/task") if int(name) != link.pid]
        policies = [os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK for thread in threads]
        assert policies == [os.SCHED_RR]
