"""The permit is compared at each frame, not once for a batch: the wire's loop under a clock that we hold."""

import socket
import time

import pytest

from speaker.wire.io import loop, permit
from speaker.wire.neighbours import arp as packets
from speaker.wire.neighbours import table
from speaker.wire.neighbours.filter import ETH_P_ARP, PROGRAMS
from speaker.wire.neighbours.io import answering
from speaker.wire.neighbours.io import part as neighbours
from speaker.wire.neighbours.io.port import Counters
from speaker.wire.neighbours.io.ports import Attachment

VIP, CLIENT = bytes([192, 0, 2, 10]), bytes([192, 0, 2, 2])
ETH0 = table.interface("eth0", bytes.fromhex("02000000000a"))


class EndlessPort:
    """A port on which the same request comes for ever."""

    def __init__(self) -> None:
        self.interface, self.counters, self.sent, self.protocol = ETH0, Counters(), [], ETH_P_ARP

    def is_sent(self, frame: bytes) -> bool:
        self.sent.append(frame)
        return True

    def receive_into(self, frame: bytearray) -> int:
        request = packets.request(bytes.fromhex("020000000002"), CLIENT, VIP)
        frame[: len(request)] = request
        return len(request)


class SteppingTime:
    """Each look at the clock takes a second."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME
    CLOCK_MONOTONIC = time.CLOCK_MONOTONIC
    monotonic = staticmethod(time.monotonic)
    process_time = staticmethod(time.process_time)

    def __init__(self) -> None:
        self.now = 100.0

    def clock_gettime(self, _: int) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def part(monkeypatch):
    """The neighbours of a wire process, and its permit."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    clock = SteppingTime()
    for module in (answering, permit, neighbours, loop):
        monkeypatch.setattr(module, "time", clock)
    wire = loop.Wire(theirs, lambda _: None)
    yield next(one for one in wire._parts if isinstance(one, neighbours.NeighbourPart))
    wire.close()
    ours.close()


def test_a_permit_that_ends_amid_a_batch_ends_the_replies_there(part):
    part._holdings.table.hold(VIP, ("eth0",))
    part._permit.until = 110.0
    port = EndlessPort()
    part._answering.drain(port)
    assert len(port.sent) == 8  # the first look decides whether to begin
    assert port.counters.silenced == answering.FRAMES_PER_TURN - 8


def test_a_permit_that_ends_amid_a_turn_ends_the_announcements_there(part):
    port = EndlessPort()
    part._ports.by_name["eth0"] = Attachment(port, port)
    for number in range(20):
        part._holdings.schedule.start(bytes([192, 0, 2, number]), "eth0", 0.0)
    part._permit.until = 105.0
    part._announce_due(0.0)
    assert len(port.sent) == 3  # the first look decides whether to begin


def test_the_filter_lets_nothing_through_before_an_address_is_held(part):
    assert part._ports._programs == {protocol: program([]) for protocol, program in PROGRAMS.items()}
