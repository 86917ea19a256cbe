"""What is written when there is time: each in its turn, by a budget that all share. Pure.

One that is put in line again keeps its place. So none is passed over, however often others change, and one that
changes a hundred times meanwhile is written once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from allocator.status.writerate import WriteRate
from crds.speakerreport import WRITES_PER_SECOND

COUNTS_SETTLE_SECONDS = 2.0
"""How long a report may take to arrive here."""

T = TypeVar("T")


@dataclass
class WaitingLine(Generic[T]):
    """`per_second` of them, and as many at once after a rest. `now`: monotonic seconds."""

    per_second: int
    _line: dict[T, float] = field(default_factory=dict)
    """Since when each has been in it."""
    _rate: WriteRate = field(init=False)

    def __post_init__(self) -> None:
        self._rate = WriteRate(self.per_second, 1 / self.per_second)

    def __len__(self) -> int:
        return len(self._line)

    def join(self, one: T, now: float) -> None:
        """At the end, unless it is in line."""
        self._line.setdefault(one, now)

    def leave(self, one: T) -> None:
        """It has been written, or there is nothing to write."""
        self._line.pop(one, None)

    def take(self, now: float, settle_seconds: float) -> Iterator[T]:
        """Those whose turn it is: each has been in line for so long at least, since more news of it may follow."""
        while self._line:
            one, since = next(iter(self._line.items()))
            if since + settle_seconds > now or not self._rate.admits("", now):
                return
            del self._line[one]
            yield one


def counts_settle_seconds(nodes: int) -> float:
    """How long news of which of so many nodes announce an address waits for more of it: each reports in its turn, by
    the budget that all share, and one write says it all when the last one has."""
    return COUNTS_SETTLE_SECONDS + nodes / WRITES_PER_SECOND
