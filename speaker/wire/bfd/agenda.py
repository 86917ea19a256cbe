"""Which session has to be woken when.

No I/O and no clock: `now` is CLOCK_BOOTTIME seconds. A session may be woken early, never late: a plan is only replaced
by an earlier one, and a session that is woken too early is planned anew.
"""

from __future__ import annotations

import heapq


class Agenda:
    """Sessions by their discriminators, each planned once at most. Each step costs O(log n)."""

    def __init__(self) -> None:
        self._plans: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []  # with plans that were replaced or dropped since

    def plan(self, discriminator: int, at: float | None) -> None:
        """Wake it then, if that is earlier than planned; None = it asks for nothing."""
        planned = self._plans.get(discriminator)
        if at is not None and (planned is None or at < planned):
            self._plans[discriminator] = at
            heapq.heappush(self._heap, (at, discriminator))

    def drop(self, discriminator: int) -> None:
        """It is not woken. Unknown ones are fine."""
        self._plans.pop(discriminator, None)

    def deadline(self) -> float | None:
        """When to call `take_due` next; None = nothing is planned."""
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float, most: int) -> list[int]:
        """The sessions to wake now, at most `most`. None of them has a plan any more."""
        due: list[int] = []
        while self._heap and self._heap[0][0] <= now and most:
            most -= 1
            at, discriminator = heapq.heappop(self._heap)
            if self._plans.get(discriminator) == at:
                del self._plans[discriminator]
                due.append(discriminator)
        return due
