"""How often one object's status may be written: a few times at once, then rarely. Pure.

An object that flaps shows its latest state, and costs the API server a known number of writes.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass
class WriteRate:
    """Up to `burst` writes of one object at once, and one more for every `seconds` that pass. `now`: monotonic."""

    burst: int
    seconds: float
    _paid: dict[Hashable, float] = field(default_factory=dict)
    """By object: until when its writes so far have been paid off."""

    def admits(self, key: Hashable, now: float, *, is_settled: bool = True) -> bool:
        """Whether it may be written now; that counts as a write. Of those at once one is kept for a state that has
        settled: the last one of several that follow each other is worth most."""
        paid = max(now, self._paid.get(key, now))
        if paid - now > (self.burst - (1 if is_settled else 2)) * self.seconds:
            return False
        self._paid[key] = paid + self.seconds
        return True

    def sweep(self, now: float) -> None:
        """Forget the objects for which nothing counts any more."""
        self._paid = {key: paid for key, paid in self._paid.items() if paid > now}
