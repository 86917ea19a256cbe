"""The program on real links: what a client on the segment gets for an answer, by ARP and NDP."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from lab.net.segment import ETH_P_ARP, ETH_P_IPV6, Host, Segment
from speaker.wire.neighbours import arp, ndp
from speaker.wire.neighbours.bpf.io.attach import Attachment, attach_clsact, attach_tcx
from speaker.wire.neighbours.bpf.io.responder import Responder

pytestmark = pytest.mark.root

Attach = Callable[[int, int], Attachment]
TABLE = 1
VIP, VIP6 = bytes([192, 0, 2, 10]), socket.inet_pton(socket.AF_INET6, "2001:db8::10")
CLIENT6 = socket.inet_pton(socket.AF_INET6, "2001:db8::2")
WAIT_SECONDS, SILENT_SECONDS = 2.0, 0.2


@dataclass
class Client:
    """A host that asks."""

    client: Host

    def asked(self, frame: bytes, protocol: int = ETH_P_ARP) -> bytes | None:
        """The MAC that answers, None when nobody does."""
        with self.client.packet_socket(protocol=protocol) as asking:
            asking.send(frame)
            wait = WAIT_SECONDS
            while select.select([asking], [], [], wait)[0]:
                answer, wait = asking.recv(200), SILENT_SECONDS
                if is_answer(answer):
                    return answer[6:12]
        return None

    def arp(self, tag: bytes = b"") -> bytes | None:
        request = arp.request(self.client.mac, self.client.address, VIP)
        return self.asked(request[:12] + tag + request[12:])

    def is_silent(self, tag: bytes) -> bool:
        """Nothing answers a request with this tag; one without it, sent afterwards, is answered once."""
        request = arp.request(self.client.mac, self.client.address, VIP)
        with self.client.packet_socket() as asking:
            asking.send(request[:12] + tag + request[12:])
            asking.send(request)
            answers = 0
            while select.select([asking], [], [], SILENT_SECONDS)[0]:
                answers += is_answer(asking.recv(200))
        return answers == 1

    def ndp(self) -> bytes | None:
        return self.asked(ndp.solicitation(self.client.mac, CLIENT6, VIP6), ETH_P_IPV6)


@dataclass
class Node(Client):
    """A host whose kernel answers for VIP and VIP6 by this program, and a client that asks."""

    host: Host
    responder: Responder
    open: ExitStack

    def answer_on(self, name: str, *, way: Attach = attach_tcx) -> int:
        """By the interface of this name; its index."""
        with self.host.packet_socket(name) as opened:
            its_mac = opened.getsockname()[4]
        with self.host.entered():
            index = socket.if_nametoindex(name)
            attachment = way(self.responder.program, index)
        self.open.callback(self.close, attachment)
        assert self.responder.use(index, its_mac, TABLE)
        return index

    def close(self, attachment: Attachment) -> None:
        with self.host.entered():
            attachment.close()


def is_answer(frame: bytes) -> bool:
    by_arp = frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x02" and frame[28:32] == VIP
    return by_arp or (frame[12:14] == b"\x86\xdd" and frame[54] == 136 and frame[62:78] == VIP6)


@pytest.fixture
def node(segment: Segment) -> Iterator[Node]:
    with ExitStack() as stack:
        responder = Responder()
        stack.callback(responder.close)
        for address in (VIP, VIP6):
            responder.put(TABLE, address, is_answered=True)
        responder.set_deadline(time.clock_gettime(time.CLOCK_BOOTTIME) + 60)
        yield Node(segment.hosts[1], segment.hosts[0], responder, stack)


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


@pytest.mark.parametrize("way", [attach_tcx, attach_clsact])
def test_both_families_are_answered_with_the_interfaces_mac(node: Node, way: Attach) -> None:
    node.answer_on("eth0", way=way)
    assert node.arp() == node.host.mac
    assert node.ndp() == node.host.mac


def test_frames_of_vlans_are_left_alone(node: Node) -> None:
    """The kernel takes the tag out before the program sees the frame: it looks like one without."""
    node.answer_on("eth0")
    for tag in (b"\x81\x00\x00\x64", b"\x88\xa8\x00\x64", b"\x81\x00\x00\x64\x81\x00\x00\x65", b"\x81\x00\x00\x00"):
        assert node.is_silent(tag)


def test_a_bridge_answers_with_its_own_mac_whichever_port_is_asked(node: Node) -> None:
    for line in ("link add br7 address 02:00:00:00:07:07 type bridge", "link set eth0 master br7", "link set br7 up"):
        node.host.run("ip", *line.split())
    node.answer_on("br7")
    answers = {node.arp() for _ in range(3)} - {None}
    assert answers == {mac("02:00:00:00:07:07")}
    assert node.ndp() == mac("02:00:00:00:07:07")


def test_a_macvlan_answers_beside_its_parent_and_not_for_it(node: Node) -> None:
    for line in ("link add link eth0 name mac0 address 02:00:00:00:08:08 type macvlan mode bridge", "link set mac0 up"):
        node.host.run("ip", *line.split())
    node.answer_on("mac0")
    assert node.arp() == mac("02:00:00:00:08:08")


def test_a_new_mac_answers_once_it_is_told(node: Node) -> None:
    index = node.answer_on("eth0")
    node.host.run("ip", "link", "set", "eth0", "address", "02:00:00:00:09:09")
    node.responder.use(index, mac("02:00:00:00:09:09"), TABLE)
    assert node.arp() == mac("02:00:00:00:09:09")


def test_two_that_have_an_interface_of_one_name_after_the_other_are_apart(node: Node, segment: Segment) -> None:
    """The maps know interfaces by index: one that came again under the same name has to be told anew."""
    index = node.answer_on("eth0")
    node.host.run("ip", "link", "delete", "eth0")
    segment.plug(node.host, "eth0", "02:00:00:00:00:a1", "port1b")
    assert node.arp() is None
    node.responder.leave(index)
    node.answer_on("eth0")
    assert node.arp() == mac("02:00:00:00:00:a1")
