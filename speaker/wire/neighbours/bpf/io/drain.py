"""Waits until the devices' queues have let go of what they hold now. For a thread: it sleeps."""

from __future__ import annotations

import errno
import os
import socket
import time

from speaker.wire import netlink
from speaker.wire.neighbours.bpf import queues
from speaker.wire.neighbours.bpf.queues import Name, Queue

POLL_SECONDS = 0.002
# As for a socket's frames (neighbours/io/settling.py): a device that sends nothing for so long has been reset, with all
# it held, by the kernel's watchdog.
GIVE_UP_SECONDS = 6.0
# From a queue a frame goes to the driver's ring, of which nothing is told. Byte queue limits keep that to a few
# milliseconds; without them 1,024 frames of full length take 12 ms at 1 Gbit/s.
RING_SECONDS = 0.02
DATAGRAM_BYTES = 64 * 1024


def wait_until_sent() -> None:
    """Until what was sent before has left this machine. At once where no device has a queue."""
    before = _queues()
    if before is not None and not before:
        return
    give_up_at = time.monotonic() + GIVE_UP_SECONDS
    waiting = queues.marks(before) if before is not None else {}
    while (waiting or before is None) and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
        now = _queues()
        if now is None:
            continue
        waiting = queues.still_waiting(waiting, now) if before is not None else queues.marks(now)
        before = now
    time.sleep(RING_SECONDS)


def _queues() -> dict[Name, Queue] | None:
    """All there are; None when they could not be read: they changed meanwhile, or the kernel has no memory."""
    found: dict[Name, Queue] = {}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
            asked.bind((0, 0))
            asked.settimeout(GIVE_UP_SECONDS)
            asked.send(queues.request(1))
            while True:
                for kind, flags, _, body in netlink.messages(asked.recv(DATAGRAM_BYTES)):
                    if error := netlink.error_of(kind, body):
                        raise OSError(error, os.strerror(error))
                    if netlink.is_interrupted(flags):
                        raise OSError(errno.EAGAIN, "queues changed while they were read")
                    if netlink.is_end(kind):
                        return found
                    if (one := queues.queue_of(kind, body)) is not None:
                        found[one[0]] = one[1]
    except OSError:
        return None
