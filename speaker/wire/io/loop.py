"""The wire process: one loop over its parts, which own the raw sockets, answer, announce, send heartbeats and run BFD.

It decides nothing about who owns an address: the agent's orders come over a socket, and when that closes the process
ends. It imports the standard library only, and little of it (about 17 MB in all), and never waits for anything but its
one epoll: each part does a little at a time, so that replies go between.

    agent   --SEQPACKET--> channel --order--> the part whose table has it
    agent   <--SEQPACKET-- channel <--reports, confirmations-- parts
    segment <--AF_PACKET--> neighbours   ARP and NDP: replies, announcements, probes
    kernel  ---rtnetlink--> neighbours   which interfaces there are --> heartbeats
    members <----UDP------> heartbeats   who is heard
    routers <----UDP------> BFD          which paths are up; loaded when there is a session
    routers <---ICMPv6----> discovery    which routers are on a link; loaded when that is asked

Where the kernel answers (neighbours/bpf), its program takes the frames that it can answer; the process has the others.

The permit is a CLOCK_BOOTTIME deadline that the agent keeps moving. It is compared right before each frame is sent. So
a process that was stopped, or a machine that was suspended, is silent when it wakes; at most one frame, whose check was
done when the stop came, can still leave.
"""

from __future__ import annotations

import gc
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from speaker.wire import messages
from speaker.wire.heartbeat.io.part import HeartbeatPart
from speaker.wire.io.channel import Channel, Closed
from speaker.wire.io.permit import Permit
from speaker.wire.io.poll import Poll
from speaker.wire.io.process import become_one_of_many, become_real_time, become_the_wire
from speaker.wire.neighbours.io.part import NeighbourPart
from speaker.wire.part import Handler, Part
from speaker.wire.share import Share

COUNTERS_SECONDS = 5.0


class Wire:
    """The process: its parts, and who takes which order."""

    def __init__(
        self, agent: socket.socket, is_excluded: Callable[[str], object], *, has_kernel_answers: bool = False
    ) -> None:
        self._poll = Poll()
        self._permit = Permit()
        self._orders: dict[type, Handler] = {
            messages.Permit: self._on_permit,
            messages.Bfd: self._on_first_bfd,
            messages.Discover: self._on_first_discover,
            messages.Stop: self._on_stop,
        }
        self._channel = Channel(agent, self._poll, self._on_order)
        self._parts: list[Part] = []
        self._stop_order: int | None = None
        self._counters_due = time.monotonic() + COUNTERS_SECONDS
        self._share = Share(time.monotonic(), time.process_time())
        heartbeats = HeartbeatPart(self._poll, self._channel, self._permit)
        self._add(
            NeighbourPart(
                self._poll,
                self._channel,
                self._permit,
                is_excluded,
                heartbeats.use,
                has_kernel_answers=has_kernel_answers,
                run_as_the_loop=become_real_time,
            )
        )
        self._add(heartbeats)

    def run(self) -> int:
        """Serve until told to stop (returns 0) or until the agent is gone (1)."""
        timeout = 0.0
        try:
            while self._stop_order is None or not self._has_stopped():
                self._poll.wait(timeout)
                timeout = self._turn()
        except Closed:
            return 1  # the agent is dead: silence is withdrawal
        return 0

    def close(self) -> None:
        """Give the agent the last confirmations, tell members and routers, and let go of all sockets."""
        if self._stop_order is None:
            for part in self._parts:
                part.leave(is_clean=False)
        self._channel.close()
        for part in self._parts:
            part.close()
        self._poll.close()

    def _add(self, part: Part) -> None:
        self._parts.append(part)
        self._orders.update(part.orders)

    def _turn(self) -> float:
        """Let each part do some of what is due. Returns how long to sleep: too long by this turn at most."""
        now = time.monotonic()
        if now >= self._share.due and self._share.look(now, time.process_time()):
            self._change_class()
        if now >= self._counters_due:
            self._counters_due = now + COUNTERS_SECONDS
            if self._share.is_small:
                become_real_time()  # again, since the kernel may have ended it
            self._report_counters()
        timeout = self._counters_due - now
        for part in self._parts:
            now = time.clock_gettime(part.clock)
            part.turn(now)
            deadline = part.deadline()
            if deadline is not None and deadline - now < timeout:
                timeout = deadline - now
        return max(timeout, 0.0)

    def _change_class(self) -> None:
        if self._share.is_small:
            become_real_time()
        else:
            become_one_of_many()

    # --- orders

    def _on_order(self, sequence: int, order: messages.Order) -> None:
        self._orders[type(order)](sequence, order)

    def _on_permit(self, sequence: int, order: messages.Permit) -> None:
        self._permit.set(order.until)
        self._channel.confirm(sequence)

    def _on_first_bfd(self, sequence: int, order: messages.Bfd) -> None:
        """Most nodes have no BFD, nor need its memory. Once loaded, the part takes its orders itself."""
        if not order.sessions:
            self._channel.confirm(sequence)
            return
        from speaker.wire.bfd.io.part import BfdPart

        self._add(BfdPart(self._poll, self._channel, self._permit))
        self._on_order(sequence, order)

    def _on_first_discover(self, sequence: int, order: messages.Discover) -> None:
        """As with BFD."""
        if not order.links:
            self._channel.confirm(sequence)
            return
        from speaker.wire.discovery.io.part import DiscoveryPart

        self._add(DiscoveryPart(self._poll, self._channel, self._permit))
        self._on_order(sequence, order)

    def _on_stop(self, sequence: int, _: messages.Stop) -> None:
        """No frame of ours leaves any more: members that are next need not wait for our silence."""
        self._permit.set(0.0)
        self._stop_order = sequence
        for part in self._parts:
            part.leave(is_clean=True)

    def _has_stopped(self) -> bool:
        if self._stop_order is None or not all(part.has_left for part in self._parts):
            return False
        self._channel.confirm(self._stop_order)
        return True

    # --- reports

    def _report_counters(self) -> None:
        """Unless the agent has more to read than it can."""
        if not self._channel.is_crowded:
            totals: dict[str, Any] = {}
            for part in self._parts:
                totals.update(part.totals())
            self._channel.report(messages.Counters(**totals))


def main() -> int:
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    become_the_wire()
    excluded = arguments.get("--exclude-interfaces", "")
    is_excluded = re.compile(excluded).fullmatch if excluded else (lambda _: None)
    has_kernel_answers = arguments.get("--kernel-answers") == "auto"
    agent = socket.socket(fileno=int(arguments["--fd"]))
    wire = Wire(agent, is_excluded, has_kernel_answers=has_kernel_answers)
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing on the way of a frame makes reference cycles
    status = wire.run()
    become_one_of_many()  # an interpreter that ends hears no signals
    wire.close()
    return status
