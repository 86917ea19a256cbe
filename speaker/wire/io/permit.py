"""Until when the wire process may speak: a moment on CLOCK_BOOTTIME, which goes on while the machine is suspended."""

from __future__ import annotations

import time
from collections.abc import Callable


def _nobody(until: float) -> None:
    """Until somebody listens."""


class Permit:
    """Compared right before each frame is sent, and read anew each time.

    What answers without this process (the program in the kernel) may do so for no longer than members hear this node,
    too. A frozen process sends no heartbeats; its members take it for dead, and its addresses over, before the permit
    has ended. `on_change` gets the earlier of both moments, each time that one of them is set.
    """

    __slots__ = ("_heard_until", "on_change", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self._heard_until = float("inf")
        self.on_change: Callable[[float], None] = _nobody

    def is_valid(self) -> bool:
        """Whether a frame may leave now."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) < self.until

    def set(self, until: float) -> None:
        """As the agent says; 0 = not any more."""
        self.until = until
        self.on_change(min(self.until, self._heard_until))

    def hear(self, until: float) -> None:
        """Members take this node for alive until then; infinity where there are none."""
        self._heard_until = until
        self.on_change(min(self.until, self._heard_until))
