"""The hot path: reads the frames that passed the kernel's filter, answers, and reports conflicts to the agent.

What is answered is decided by the responders; that the permit is valid is looked up here, for each frame.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from speaker.wire import messages
from speaker.wire.neighbours import ndp
from speaker.wire.neighbours.arp import mac_text
from speaker.wire.neighbours.arpresponder import ArpResponder
from speaker.wire.neighbours.filter import ETH_P_ARP, ETH_P_IPV6
from speaker.wire.neighbours.io.addresses import text_of
from speaker.wire.neighbours.io.port import Port
from speaker.wire.neighbours.ndpresponder import NdpResponder
from speaker.wire.neighbours.table import Conflict, InUse, Table
from speaker.wire.part import Agent, Permit

# One turn answers at most this many requests per interface (about 0.5 ms) before the loop looks at orders.
FRAMES_PER_TURN = 64
CONFLICT_REPORT_SECONDS = 1.0


class Answering:
    """`on_in_use` hears of hosts that have, or want, an address that is being probed."""

    def __init__(self, permit: Permit, table: Table, agent: Agent, on_in_use: Callable[[Port, InUse], None]) -> None:
        self._permit = permit
        self._table = table
        self._agent = agent
        self._tell_in_use = on_in_use
        self._frame = bytearray(ndp.MAX_FRAME_BYTES)
        self._answers = {ETH_P_ARP: ArpResponder(table).answer, ETH_P_IPV6: NdpResponder(table).answer}

    def drain(self, port: Port) -> None:
        """Answer what has queued up on one interface, but not for ever."""
        permit = self._permit
        if not permit.is_valid():
            self._discard(port)
            return
        frame, answer, counters, interface = self._frame, self._answers[port.protocol], port.counters, port.interface
        receive_into, clock_gettime, boottime = port.receive_into, time.clock_gettime, time.CLOCK_BOOTTIME
        try:
            for _ in range(FRAMES_PER_TURN):
                length = receive_into(frame)
                counters.received += 1
                decision = answer(interface, frame, length)
                if isinstance(decision, bytes):
                    if clock_gettime(boottime) < permit.until:
                        counters.replies += port.is_sent(decision)
                    else:
                        counters.silenced += 1
                elif isinstance(decision, Conflict):
                    self._on_conflict(port, decision)
                elif isinstance(decision, InUse):
                    self._on_in_use(port, decision)
                else:
                    counters.ignored += 1
        except BlockingIOError:
            pass
        except OSError:  # the interface went down or away; rtnetlink tells which
            counters.failed += 1

    def _discard(self, port: Port) -> None:
        """Frames that came while we may not speak are not answered later."""
        with contextlib.suppress(OSError):
            for _ in range(FRAMES_PER_TURN):
                port.receive_into(self._frame)
                port.counters.received += 1
                port.counters.silenced += 1

    def _on_conflict(self, port: Port, conflict: Conflict) -> None:
        port.counters.conflicts += 1
        self._reply(port, conflict.reply)
        entry, now = self._table.held[conflict.address], time.monotonic()
        if now - entry.conflict_reported_at >= CONFLICT_REPORT_SECONDS and not self._agent.is_crowded:
            entry.conflict_reported_at = now
            address, mac = text_of(conflict.address), mac_text(conflict.mac)
            self._agent.report(messages.Conflict(address, port.interface.name, mac))

    def _on_in_use(self, port: Port, seen: InUse) -> None:
        self._reply(port, seen.reply)
        self._tell_in_use(port, seen)

    def _reply(self, port: Port, reply: bytes | None) -> None:
        if reply is not None and self._permit.is_valid():
            port.counters.replies += port.is_sent(reply)
