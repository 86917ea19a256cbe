"""What waits in devices' queues, as rtnetlink tells it, and when what waited has left."""

import struct
from collections.abc import Iterator

import pytest

from lab.net.segment import Segment
from speaker.wire import netlink
from speaker.wire.neighbours.bpf import maps, queues
from speaker.wire.neighbours.bpf.io import drain
from speaker.wire.neighbours.bpf.queues import Queue

NEW_QUEUE = 36
ETH0, ETH1 = (2, 0x10000, 0xFFFFFFFF), (3, 0, 0x10001)


def told(name: queues.Name, kind: str, left: int, frames: int, waiting: int) -> bytes:
    """struct tcmsg with TCA_KIND and TCA_STATS2."""
    basic = netlink.attribute(1, struct.pack("=QI", left, 7))
    waits = netlink.attribute(3, struct.pack("=IIIII", frames, waiting, 0, 0, 0))
    return (
        struct.pack("=BxxxiIII", 0, *name, 0)
        + netlink.attribute(1, kind.encode() + b"\0")
        + netlink.attribute(7, basic + waits)
    )


def test_a_queue_is_read_with_what_left_and_what_waits() -> None:
    assert queues.queue_of(NEW_QUEUE, told(ETH0, "fq_codel", 5000, 2, 120)) == (ETH0, Queue(5000, 2, 120))


@pytest.mark.parametrize("kind", ["clsact", "ingress", "noqueue"])
def test_what_holds_no_frames_is_left_out(kind: str) -> None:
    assert queues.queue_of(NEW_QUEUE, told(ETH0, kind, 5000, 0, 0)) is None


def test_other_messages_and_broken_ones_are_left_out() -> None:
    whole = told(ETH0, "pfifo_fast", 5000, 2, 120)
    assert queues.queue_of(16, whole) is None
    for length in range(len(whole)):
        queues.queue_of(NEW_QUEUE, whole[:length])


def test_what_waited_has_left_when_as_many_bytes_have() -> None:
    marked = queues.marks({ETH0: Queue(1000, 3, 180), ETH1: Queue(500, 0, 0)})
    assert marked == {ETH0: 1180}
    assert queues.still_waiting(marked, {ETH0: Queue(1179, 9, 540)}) == marked
    assert queues.still_waiting(marked, {ETH0: Queue(1180, 9, 540)}) == {}


def test_a_queue_that_is_empty_or_gone_holds_nothing_of_then() -> None:
    marked = {ETH0: 1180, ETH1: 700}
    assert queues.still_waiting(marked, {ETH0: Queue(1000, 0, 0)}) == {}


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"), [(-1.0, 0), (0.0, 0), (1.5, 1_500_000_000), (float("inf"), 9 * 10**18)]
)
def test_any_time_is_a_number_of_nanoseconds(seconds: float, nanoseconds: int) -> None:
    assert maps.nanoseconds(seconds) == nanoseconds


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment([1]) as made:
        yield made


@pytest.mark.root
def test_a_machine_whose_devices_have_no_queue_has_nothing_to_wait_for(segment: Segment) -> None:
    (node,) = segment.hosts
    with node.entered():
        assert drain._queues() == {}
    node.run("tc", "qdisc", "add", "dev", "eth0", "root", "pfifo", "limit", "100")
    with node.entered():
        assert [queue.frames for queue in (drain._queues() or {}).values()] == [0]
