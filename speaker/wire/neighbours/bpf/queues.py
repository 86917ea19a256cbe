"""What waits in the queues of network devices (queueing disciplines), as rtnetlink messages tell it.

The kernel says when a frame of a socket has left. Of a frame that a program sends it does not; but each queue counts
the bytes that it holds and those that it let go. So what waited at a moment has left when it let go as many. That is
exact for queues that keep the order, and for those that serve new flows first (fq_codel) an answer is early. Pure:
io/drain.py asks. Formats: linux/rtnetlink.h, linux/gen_stats.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from speaker.wire import netlink

_GET_QUEUE, _NEW_QUEUE = 38, 36  # RTM_GETQDISC, RTM_NEWQDISC
_MESSAGE = Struct("=BxxxiIII")  # struct tcmsg: family, interface, handle, parent, info
_KIND, _STATISTICS = 1, 7  # TCA_KIND, TCA_STATS2
_BASIC, _QUEUE = 1, 3  # TCA_STATS_BASIC, TCA_STATS_QUEUE
_BYTES = Struct("=Q")
_WAITING = Struct("=II")  # frames, bytes
_HOLD_NOTHING = frozenset({"clsact", "ingress", "noqueue"})

Name = tuple[int, int, int]
"""Interface, handle and parent."""


class Queue(NamedTuple):
    """Bytes that left it since it was made, and what waits in it."""

    left: int
    frames: int
    waiting: int


def request(sequence: int) -> bytes:
    """Ask for all queues of all devices."""
    return netlink.dump(_GET_QUEUE, sequence, _MESSAGE.pack(0, 0, 0, 0, 0))


def queue_of(kind: int, body: bytes) -> tuple[Name, Queue] | None:
    """None for another message, and for what holds no frames: devices as veth and bridges have no queue."""
    if kind != _NEW_QUEUE or len(body) < _MESSAGE.size:
        return None
    _, ifindex, handle, parent, _ = _MESSAGE.unpack_from(body)
    values = dict(netlink.attributes(body[_MESSAGE.size :]))
    if netlink.text(values.get(_KIND, b"")) in _HOLD_NOTHING:
        return None
    statistics = dict(netlink.attributes(values.get(_STATISTICS, b"")))
    basic, waiting = statistics.get(_BASIC, b""), statistics.get(_QUEUE, b"")
    left = _BYTES.unpack_from(basic)[0] if len(basic) >= _BYTES.size else 0
    frames, held = _WAITING.unpack_from(waiting) if len(waiting) >= _WAITING.size else (0, 0)
    return (ifindex, handle, parent), Queue(left, frames, held)


def marks(queues: Mapping[Name, Queue]) -> dict[Name, int]:
    """Of the queues that hold something: how many bytes will have left when all of that has."""
    return {name: queue.left + queue.waiting for name, queue in queues.items() if queue.frames}


def still_waiting(marked: Mapping[Name, int], queues: Mapping[Name, Queue]) -> dict[Name, int]:
    """The marks that are not reached. A queue that is empty, or gone, holds nothing of then."""
    return {
        name: mark
        for name, mark in marked.items()
        if name in queues and queues[name].frames and queues[name].left < mark
    }
