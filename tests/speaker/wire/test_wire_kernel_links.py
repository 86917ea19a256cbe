"""Where the kernel answers on interfaces that are enslaved, renamed, moved away or shared with others' programs.

The process is stopped while the client asks: what is answered then, the kernel answered.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from speaker.wire.io.link import WireLink
from speaker.wire.messages import UseInterfaces
from tests.speaker.wire.conftest import Heard, wire_on
from tests.speaker.wire.families import IPV4
from tests.speaker.wire.neighbours.bpf.beside import ACCEPT, MOST_LINKS, Ingress
from tests.speaker.wire.orders import announce

pytestmark = [pytest.mark.root, pytest.mark.asyncio]

BRIDGE_MAC = bytes.fromhex("020000000707")
VIP = IPV4.vip_text


@contextmanager
def stopped(link: WireLink) -> Iterator[None]:
    os.kill(link.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(link.pid, signal.SIGCONT)


def kernel_on(host):
    return wire_on(host, interfaces=("eth0", "br7"), kernel_answers="auto")


async def answers(heard: Heard, name: str) -> None:
    """The kernel does, on this interface."""
    await heard.until(lambda: (one := heard.interface(name)) and one.kernel_answers)


def asked_while_stopped(link: WireLink, client, seconds: float = 2.0) -> bytes | None:
    """The MAC that the kernel answers with."""
    with IPV4.asker(client) as asker, stopped(link):
        frame = asker.ask(IPV4.vip, seconds)
        return None if frame is None else asker.mac_of(frame)


async def test_a_bridge_answers_in_place_of_the_port_that_it_took(segment):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await link.carry_out(announce([(VIP, ["eth0", "br7"])]))
        await answers(heard, "eth0")
        for line in (
            f"link add br7 address {BRIDGE_MAC.hex(':')} type bridge",
            "link set eth0 master br7",
            "link set br7 up",
        ):
            node.run("ip", *line.split())
        await answers(heard, "br7")
        await heard.until(lambda: (eth0 := heard.interface("eth0")) and not eth0.kernel_answers)
        assert asked_while_stopped(link, client) == BRIDGE_MAC
        for line in ("link set eth0 nomaster", "link delete br7"):
            node.run("ip", *line.split())
        await answers(heard, "eth0")
        assert asked_while_stopped(link, client) == node.mac


async def test_a_new_name_that_is_not_to_be_used_ends_the_answers_and_the_old_one_begins_them_again(segment):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        await answers(heard, "eth0")
        node.run("ip", "link", "set", "eth0", "name", "eth7")
        await heard.until(lambda: heard.interface("eth7"))
        assert asked_while_stopped(link, client, 0.3) is None
        node.run("ip", "link", "set", "eth7", "name", "eth0")
        await answers(heard, "eth0")
        assert asked_while_stopped(link, client) == node.mac


async def test_an_interface_that_another_namespace_got_answers_for_nothing_there(segment):
    """The link of the program goes with it, until the process hears of that."""
    node, client, pod = segment.hosts
    async with kernel_on(node) as (link, heard):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        await answers(heard, "eth0")
        node.run("ip", "link", "set", "eth0", "netns", pod.path, "name", "net1")
        pod.run("ip", "link", "set", "net1", "up")
        await heard.until(lambda: heard.interface("eth0") is None)
        assert asked_while_stopped(link, client, 0.3) is None


async def test_an_interface_is_used_no_more_once_it_is_not_to_be(segment):
    node, client, _ = segment.hosts
    async with kernel_on(node) as (link, heard):
        await link.carry_out(announce([(VIP, ["eth0"])]))
        await answers(heard, "eth0")
        await link.carry_out(UseInterfaces(()))
        await heard.until(lambda: (eth0 := heard.interface("eth0")) and not eth0.kernel_answers)
        assert asked_while_stopped(link, client, 0.3) is None


@pytest.mark.parametrize("has_room", [True, False])
async def test_beside_a_program_that_lets_no_other_see_the_kernel_answers_all_the_same(segment, has_room):
    """By tcx; where that is full at clsact, as on older kernels. The other one sees all that was not answered."""
    node, client, other = segment.hosts
    with ExitStack() as stack:
        ingress = Ingress(node, other, stack)
        ending = ingress.program(ACCEPT)
        ingress.filter(ending, 1)
        for _ in range(0 if has_room else MOST_LINKS):
            stack.enter_context(ingress.link(ingress.program()))
        async with kernel_on(node) as (link, heard):
            await link.carry_out(announce([(VIP, ["eth0"])]))
            await answers(heard, "eth0")
            assert asked_while_stopped(link, client) == node.mac
            assert ingress.meets(ending)
        assert ingress.names() == ["other-1"]
