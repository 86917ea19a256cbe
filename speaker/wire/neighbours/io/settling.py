"""Withdrawals that wait until the kernel holds no frame sent before them; then they are confirmed, in order."""

from __future__ import annotations

from collections import deque

from speaker.wire.neighbours.io.port import Port
from speaker.wire.neighbours.io.ports import Ports

# A withdrawal is confirmed when the driver has let go of all frames sent before it: at once, mostly. A device that
# sends nothing for so long has been reset, with all it held, by the kernel's watchdog (5 s, dev_watchdog).
SETTLE_SECONDS = 6.0
POLL_SECONDS = 0.001


class Settling:
    """The orders to confirm, by their sequence numbers."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._waiting: deque[tuple[int, float, list[tuple[Port, int]]]] = deque()  # order, when to give up, marks

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def begin(self, sequence: int, now: float) -> None:
        """From now on no frame of what was withdrawn is sent."""
        self._waiting.append((sequence, now + SETTLE_SECONDS, self._ports.marks()))

    def settled(self, now: float) -> list[int]:
        """Those that can be confirmed now, once."""
        done: list[int] = []
        while self._waiting:
            sequence, give_up_at, marks = self._waiting[0]
            if now < give_up_at and not self._ports.have_sent_out(marks):
                break
            self._waiting.popleft()
            done.append(sequence)
        return done
