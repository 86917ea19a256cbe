"""Which streams are open, and which of them are to be doubted when a request got no answer.

A connection whose other end lost its power, or whose state a firewall lost, says nothing: neither does a quiet watch.
TCP asks the other end after a while (kube.io.connections). Mostly another request knows sooner: a Lease is renewed
every two seconds. To resume a watch that was well costs the server next to nothing.
"""

import contextlib
import math
from collections.abc import Callable, Iterator

REST_SECONDS = 10.0
"""Streams are ended at most this often: a server that is slow at every request is to be spared."""
GIVEN_UP_SECONDS = 1.0
"""A request that its caller gave up after this long got no answer; one that was given up sooner says nothing."""


class Stream:
    """One that is open. Times are those of one monotonic clock, in seconds."""

    def __init__(self, opened: float, end: Callable[[], None]) -> None:
        self.opened = opened
        self.heard = -math.inf
        self.is_doubted = False
        self.end = end


class Streams:
    """All that are open on the connections to one server."""

    def __init__(self) -> None:
        self._open: list[Stream] = []
        self._rests_until = -math.inf

    @contextlib.contextmanager
    def opened(self, now: float, end: Callable[[], None]) -> Iterator[Stream]:
        """It is open. `end` makes its reader see it break; `heard` is to be set with each thing that comes."""
        stream = Stream(now, end)
        self._open.append(stream)
        try:
            yield stream
        finally:
            self._open.remove(stream)

    def doubt(self, sent: float, now: float) -> float | None:
        """A request sent at that time broke, or got no answer: end the streams on which nothing came since.

        Not None: it is too early for that; to be said again at this time.
        """
        if now < self._rests_until:
            return self._rests_until
        for stream in [one for one in self._open if max(one.opened, one.heard) < sent and not one.is_doubted]:
            self._rests_until = now + REST_SECONDS
            stream.is_doubted = True
            stream.end()
        return None
