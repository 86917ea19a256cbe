"""Which keys must be looked at: each at most once in the queue, at most once in work, and later again after a failure.

The rules of client-go's workqueue. Synchronous; the caller passes `now` (monotonic seconds) and waits. A key that is
added while it is in work is looked at again afterwards: nothing that happened meanwhile is missed.
"""

import heapq
from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

from kube.backoff import Backoff

BACKOFF = Backoff(base_seconds=0.05, cap_seconds=60.0)

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """First in, first out. Keys that continue started work go first, so under load some Services finish early instead
    of all finishing late."""

    def __init__(self) -> None:
        self._queued: OrderedDict[K, None] = OrderedDict()
        self._in_work: set[K] = set()
        self._again: dict[K, bool] = {}
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._timers: list[tuple[float, int, K]] = []
        self._sequence = 0

    def __len__(self) -> int:
        """How many keys are queued, not counting those in work or waiting for their time."""
        return len(self._queued)

    def failing(self) -> Collection[K]:
        """Keys whose last write failed."""
        return self._failures.keys()

    def add(self, key: K, *, first: bool = False) -> None:
        """`first`: it carries on with something begun."""
        self._due.pop(key, None)
        if key in self._in_work:
            self._again[key] = first or self._again.get(key, False)
            return
        self._queued[key] = None
        if first:
            self._queued.move_to_end(key, last=False)

    def add_at(self, key: K, at: float) -> None:
        """Add it at that time, or at an earlier time that was asked for already."""
        if self._due.get(key, at) < at or key in self._queued:
            return
        self._due[key] = at
        self._sequence += 1
        heapq.heappush(self._timers, (at, self._sequence, key))

    def take(self, now: float) -> K | None:
        """The next key, now in work until `done` or `failed`; None when there is nothing to do now."""
        while self._timers and self._timers[0][0] <= now:
            at, _, key = heapq.heappop(self._timers)
            if self._due.get(key) == at:
                self.add(key)
        if not self._queued:
            return None
        key, _ = self._queued.popitem(last=False)
        self._in_work.add(key)
        return key

    def deadline(self) -> float | None:
        """When `take` may have another key to give, though none is added; None = never."""
        return self._timers[0][0] if self._timers else None

    def done(self, key: K) -> None:
        """It is no longer in work, and its failures are forgotten. It is queued again when it was added meanwhile."""
        self._failures.pop(key, None)
        self._release(key)

    def failed(self, key: K, now: float, jitter: float, after_seconds: float | None = None) -> float:
        """Try again later: twice as late with each failure in a row. `jitter` is uniform in [0, 1). Gives the
        seconds.

        `after_seconds` is what the API server asked for (Retry-After). A key that changed meanwhile does not wait.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = max(BACKOFF.delay_seconds(failures, jitter), after_seconds or 0.0)
        self._release(key)
        self.add_at(key, now + delay)
        return delay

    def _release(self, key: K) -> None:
        self._in_work.discard(key)
        if key in self._again:
            self.add(key, first=self._again.pop(key))
