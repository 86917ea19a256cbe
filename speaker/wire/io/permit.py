"""Until when the wire process may speak: a moment on CLOCK_BOOTTIME, which goes on while the machine is suspended."""

from __future__ import annotations

import time


class Permit:
    """Compared right before each frame is sent, and read anew each time."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until = 0.0

    def is_valid(self) -> bool:
        """Whether a frame may leave now."""
        return time.clock_gettime(time.CLOCK_BOOTTIME) < self.until
