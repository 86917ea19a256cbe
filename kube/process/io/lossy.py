"""Standard error as a place for lines that may be lost: no log ends a program, and none holds it up.

A disk may be full, the reader of a pipe may be gone, or read no more. What can't be written then is counted.
"""

import contextlib
import os
import stat
from typing import TextIO


class LossyStream:
    """Takes whole lines. Where the stream has no descriptor, as in tests, it is written to as it is."""

    def __init__(self, stream: TextIO) -> None:
        """A pipe is never waited for from now on: it is set to non-blocking."""
        self.lost = 0
        """Lines since the last one that was written."""
        self._stream = stream
        self._is_torn = False
        self._descriptor: int | None = None
        with contextlib.suppress(OSError, ValueError):
            self._descriptor = stream.fileno()
            if stat.S_ISFIFO(os.fstat(self._descriptor).st_mode):
                os.set_blocking(self._descriptor, False)

    def write(self, line: str) -> None:
        """With its line break. Never raises OSError."""
        if self._descriptor is None:
            self._stream.write(line)
            return
        text = (("\n" if self._is_torn else "") + line).encode(errors="backslashreplace")
        written = 0
        with contextlib.suppress(OSError):
            written = os.write(self._descriptor, text)
        if written == len(text):
            self.lost, self._is_torn = 0, False
            return
        self.lost += 1
        self._is_torn = self._is_torn or written > 0

    def flush(self) -> None:
        """Nothing waits here."""
        if self._descriptor is None:
            self._stream.flush()
