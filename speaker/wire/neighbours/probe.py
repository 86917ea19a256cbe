"""When to probe for an address before its first announcement, and when that is over: RFC 5227 §2.1.1, RFC 4862 §5.4.

No I/O and no clock: the caller passes `now` (monotonic seconds), calls `due` when `deadline` has come, and sends a
probe on each interface for each address it gets. Who answers is not its business: hearing goes on until it is over.

    start --> 0..1 s --> probe --> 1..2 s --> probe --> 1..2 s --> probe --> 2 s --> over        ARP
              0..1 s --> probe --> 1 s    --> probe --> 1 s    --> probe --> 1 s --> over        NDP
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple

# RFC 5227 §1.1
PROBE_WAIT_SECONDS = 1.0
PROBE_NUM = 3
PROBE_MIN_SECONDS = 1.0
PROBE_MAX_SECONDS = 2.0
ANNOUNCE_WAIT_SECONDS = 2.0

# RFC 4861 §10: RetransTimer, and the longest of the random delays that RFC 4862 §5.4.2 asks for.
RETRANS_TIMER_SECONDS = 1.0
MAX_RTR_SOLICITATION_DELAY_SECONDS = 1.0
# RFC 4862 §5.1 lets it be configured and has 1 by default. One lost frame must not decide, so as many as for ARP.
DUP_ADDR_DETECT_TRANSMITS = 3

# As in schedule.py, so that thousands of probes delay no reply.
PROBES_PER_TURN = 12
TURN_SECONDS = 0.001

IPV6_BYTES = 16


class Pace(NamedTuple):
    """Seconds, but `probes`. The pauses between two probes are drawn between `least` and `most`."""

    wait: float
    probes: int
    least: float
    most: float
    listen: float


ARP_PACE = Pace(PROBE_WAIT_SECONDS, PROBE_NUM, PROBE_MIN_SECONDS, PROBE_MAX_SECONDS, ANNOUNCE_WAIT_SECONDS)
NDP_PACE = Pace(
    MAX_RTR_SOLICITATION_DELAY_SECONDS,
    DUP_ADDR_DETECT_TRANSMITS,
    RETRANS_TIMER_SECONDS,
    RETRANS_TIMER_SECONDS,
    RETRANS_TIMER_SECONDS,
)


class Step(NamedTuple):
    """What is due for an address: another probe, or the end."""

    address: bytes
    is_over: bool


class _Walk:
    """Cancelled by no longer being the live one of its address."""

    __slots__ = ("address", "pace", "sent")

    def __init__(self, address: bytes) -> None:
        self.address = address
        self.pace = NDP_PACE if len(address) == IPV6_BYTES else ARP_PACE
        self.sent = 0


class ProbeSchedule:
    """Which probes are due. `draw` gives numbers from 0 to 1, evenly. Time must not run backwards between calls."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._live: dict[bytes, _Walk] = {}
        self._queue: list[tuple[float, int, _Walk]] = []
        self._pushed = 0
        self._next_turn = float("-inf")

    def __contains__(self, address: bytes) -> bool:
        return address in self._live

    def start(self, address: bytes, now: float) -> None:
        """Begin; what is under way for the address begins anew."""
        walk = self._live[address] = _Walk(address)
        self._push(walk, now + self._draw() * walk.pace.wait)

    def cancel(self, address: bytes) -> None:
        """Nothing is due for it from now on. Unknown ones are fine."""
        self._live.pop(address, None)

    def deadline(self) -> float | None:
        """When to call `due` next; None = nothing is planned. May be early after a cancellation, never late."""
        return max(self._queue[0][0], self._next_turn) if self._queue else None

    def due(self, now: float) -> list[Step]:
        """At most PROBES_PER_TURN, and none sooner than TURN_SECONDS after the last ones."""
        steps: list[Step] = []
        if now < self._next_turn:
            return steps
        while self._queue and self._queue[0][0] <= now and len(steps) < PROBES_PER_TURN:
            walk = heappop(self._queue)[2]
            if self._live.get(walk.address) is walk:
                steps.append(self._step(walk, now))
        if steps:
            self._next_turn = now + TURN_SECONDS
        return steps

    def _step(self, walk: _Walk, now: float) -> Step:
        pace = walk.pace
        if walk.sent == pace.probes:
            del self._live[walk.address]
            return Step(walk.address, is_over=True)
        walk.sent += 1
        is_last = walk.sent == pace.probes
        pause = pace.listen if is_last else pace.least + self._draw() * (pace.most - pace.least)
        self._push(walk, now + pause)  # from now, not from the plan: after a delay the probes keep their distance
        return Step(walk.address, is_over=False)

    def _push(self, walk: _Walk, at: float) -> None:
        self._pushed += 1  # decides between equal times, so that walks are never compared
        heappush(self._queue, (at, self._pushed, walk))
