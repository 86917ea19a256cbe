"""How many lines one message may have: many at once, then a few a second, each with how many were left out. Pure.

When thousands of addresses move, or an API server refuses thousands of writes, each is worth a line and all of them are
not. What differs between the lines is in their keys, so the text of the message tells which belong together.
"""

from dataclasses import dataclass, field

BURST = 100
PER_SECOND = 5.0
MOST_MESSAGES = 1000
"""That are remembered; texts are written by us, so there are fewer."""


@dataclass
class _Spent:
    at: float
    lines: float
    left_out: int = 0


@dataclass
class LogBudget:
    """`now`: monotonic seconds."""

    burst: int = BURST
    per_second: float = PER_SECOND
    _spent: dict[str, _Spent] = field(default_factory=dict)

    def admit(self, message: str, now: float) -> int | None:
        """None = leave this line out; else how many of the same were left out since the last one that was not."""
        spent = self._spent.get(message)
        if spent is None:
            if len(self._spent) >= MOST_MESSAGES:
                self._spent.clear()
            spent = self._spent[message] = _Spent(now, 0.0)
        spent.lines = max(0.0, spent.lines - (now - spent.at) * self.per_second)
        spent.at = now
        if spent.lines > self.burst - 1:
            spent.left_out += 1
            return None
        spent.lines += 1
        left_out, spent.left_out = spent.left_out, 0
        return left_out
