"""Fixed sets of addresses of one family, as sorted, disjoint spans of numbers: what a pool is made of.

Immutable: which of these addresses are free now is in allocator.space.intervals.
"""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

Span = tuple[int, int]
"""First and last, both included."""


class Spans:
    """A sorted set of numbers. Spans that touch are joined, so equal sets have equal spans."""

    __slots__ = ("_before", "_firsts", "capacity", "spans")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans: tuple[Span, ...] = tuple(_joined(spans))
        self._firsts = [first for first, _ in self.spans]
        sizes = [last - first + 1 for first, last in self.spans]
        self._before = [0, *accumulate(sizes)][:-1] if sizes else []
        self.capacity: int = sum(sizes)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._firsts, number) - 1
        return index >= 0 and number <= self.spans[index][1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self.spans == other.spans

    def __hash__(self) -> int:
        return hash(self.spans)

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __repr__(self) -> str:
        return f"Spans({list(self.spans)})"

    def nth(self, position: int) -> int:
        """The number at this position, 0 <= position < capacity, in O(log n)."""
        if not 0 <= position < self.capacity:
            raise IndexError(position)
        index = bisect_right(self._before, position) - 1
        return self.spans[index][0] + position - self._before[index]

    def minus(self, other: "Spans") -> "Spans":
        """The numbers of this set that are not in the other."""
        if not other.spans or not self.spans:
            return self
        kept: list[Span] = []
        cuts, at = other.spans, 0
        for first, last in self.spans:
            while at < len(cuts) and cuts[at][1] < first:
                at += 1
            cut = at
            while cut < len(cuts) and cuts[cut][0] <= last:
                if cuts[cut][0] > first:
                    kept.append((first, cuts[cut][0] - 1))
                first = cuts[cut][1] + 1
                cut += 1
            if first <= last:
                kept.append((first, last))
        return Spans(kept)

    def common(self, other: "Spans") -> "Spans":
        """The numbers that are in both."""
        return self.minus(self.minus(other))


def _joined(spans: Iterable[Span]) -> Iterable[Span]:
    current: Span | None = None
    for first, last in sorted(spans):
        if current is None:
            current = (first, last)
        elif first <= current[1] + 1:
            current = (current[0], max(current[1], last))
        else:
            yield current
            current = (first, last)
    if current is not None:
        yield current
