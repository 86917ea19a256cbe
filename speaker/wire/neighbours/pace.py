"""How many echo requests are answered in a time: a bucket of tokens that fills again. No clock."""

from __future__ import annotations

PER_SECOND = 1000.0
"""Of the whole node. A reply costs some 30 µs, so they take 3% of a CPU at most, and ARP waits for few of them."""
BURST = 100.0
ENOUGH = 10.0
"""For so many at once it goes on, rather than for each one."""


class Pace:
    """Times are monotonic seconds."""

    def __init__(self) -> None:
        self._tokens = BURST
        self._at = float("-inf")

    def has_room(self, now: float) -> bool:
        """Whether one more may be answered now."""
        if now > self._at:
            self._tokens = min(BURST, self._tokens + (now - self._at) * PER_SECOND)
            self._at = now
        return self._tokens >= 1

    def count(self) -> None:
        """One was read."""
        self._tokens -= 1

    def goes_on_at(self) -> float:
        """When there is room for some."""
        return self._at + max(0.0, ENOUGH - self._tokens) / PER_SECOND
