"""Whether the wire process may run before all others: only for as long as it takes little of the CPU.

Pure: what it took of the CPU, and the time, are given.
"""

from __future__ import annotations

LARGEST_SHARE = 0.2
"""Of one core. At rest it takes 0.02, with 16 BFD sessions of 50 ms 0.07."""
LOOK_SECONDS = 0.1
"""A share is one of this time at least."""
PAUSE_SECONDS = 1.0
"""It is one among others for this time at least, so that what takes all it can get has a tenth of it before others."""


class Share:
    """What the process took of one core since it was looked at last."""

    def __init__(self, now: float, used: float) -> None:
        self._since = now
        self._used = used
        self._pause_until: float | None = None

    @property
    def due(self) -> float:
        """When to look next, in seconds of the clock that `look` is given."""
        return self._since + LOOK_SECONDS

    @property
    def is_small(self) -> bool:
        """Whether it may run before all others."""
        return self._pause_until is None

    def look(self, now: float, used: float) -> bool:
        """Given the time, and what the process has used of the CPU since it began, both in seconds, not before `due`.

        Returns whether `is_small` has changed.
        """
        was_small = self.is_small
        is_large = used - self._used > LARGEST_SHARE * (now - self._since)
        self._since, self._used = now, used
        if is_large:
            self._pause_until = now + PAUSE_SECONDS
        elif self._pause_until is not None and now >= self._pause_until:
            self._pause_until = None
        return self.is_small != was_small
