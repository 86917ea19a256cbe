"""Withdrawals that wait until the kernel holds no frame sent before them, and no program runs that may send one.

Then they are done, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from speaker.wire.neighbours.io.echoing import Echoing
from speaker.wire.neighbours.io.kernel import KernelAnswers
from speaker.wire.neighbours.io.port import Port
from speaker.wire.neighbours.io.ports import Ports

# A withdrawal is done when the driver has let go of all frames sent before it: at once, mostly. A device that sends
# nothing for so long has been reset, with all it held, by the kernel's watchdog (5 s, dev_watchdog).
SETTLE_SECONDS = 6.0
POLL_SECONDS = 0.001

Marks = list[tuple[Port, int]]


class Settling:
    """Times are monotonic seconds: the kernel's watchdog does not count suspended time."""

    def __init__(self, ports: Ports, echoing: Echoing, kernel: KernelAnswers) -> None:
        self._senders: tuple[Ports | Echoing, ...] = (ports, echoing)
        self._kernel = kernel
        self._looked_at = 0.0
        # What to call, when to give up waiting for sockets, how many frames each had sent, and the moment of programs.
        self._waiting: deque[tuple[Callable[[], None], float, list[Marks], int]] = deque()

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def begin(self, on_settled: Callable[[], None], now: float) -> None:
        """From now on no frame of what was withdrawn is sent, but by programs that run already."""
        marks = [one.marks() for one in self._senders]
        self._waiting.append((on_settled, now + SETTLE_SECONDS, marks, self._kernel.moment()))

    def deadline(self) -> float | None:
        """When to call `turn` next."""
        return self._looked_at + POLL_SECONDS if self._waiting else None

    def turn(self, now: float) -> None:
        """Call those for whom it is over."""
        self._looked_at = now
        while self._waiting:
            on_settled, give_up_at, marks, moment = self._waiting[0]
            if not self._kernel.has_passed(moment):
                break
            if now < give_up_at and not self._have_sent_out(marks):
                break
            self._waiting.popleft()
            on_settled()

    def _have_sent_out(self, marks: list[Marks]) -> bool:
        return all(one.have_sent_out(mark) for one, mark in zip(self._senders, marks, strict=True))
