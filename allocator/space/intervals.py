"""The free addresses of a pool: sorted, disjoint intervals that change as addresses are taken and freed.

Knows numbers only, neither addresses nor holders. Finding, taking and freeing cost O(log n) in the number of intervals,
and do not depend on how many addresses those hold: a /64 costs what a /24 costs.

    chunks   [ 10-12  20-20 ... ]  [ 90-95  99-99 ... ]  ...      intervals in order, at most CHUNK_LIMIT in a chunk
    firsts   [ 10,                   90,              ... ]       first number of each chunk

One flat list would do as well up to some thousand intervals, but each insert and delete moves half of it. Measured:
an operation costs five times as much with 65,000 intervals and twenty times as much with 650,000
(bench/allocator_core.py).
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from allocator.space.spans import Span

CHUNK_LIMIT = 512


class FreeSpace:
    """A mutable set of numbers. `count` is exact, whatever its size."""

    __slots__ = ("_chunk_firsts", "_firsts", "_lasts", "count")

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        """`spans` must be sorted, disjoint and not touching, as those of allocator.space.spans.Spans are."""
        ordered = list(spans)
        half = CHUNK_LIMIT // 2
        pieces = [ordered[at : at + half] for at in range(0, len(ordered), half)]
        self._firsts = [[first for first, _ in piece] for piece in pieces]
        self._lasts = [[last for _, last in piece] for piece in pieces]
        self._chunk_firsts = [chunk[0] for chunk in self._firsts]
        self.count: int = sum(last - first + 1 for first, last in ordered)

    def __contains__(self, number: int) -> bool:
        chunk = bisect_right(self._chunk_firsts, number) - 1
        if chunk < 0:
            return False
        at = bisect_right(self._firsts[chunk], number) - 1
        return number <= self._lasts[chunk][at]

    def __iter__(self) -> Iterator[Span]:
        """The intervals in order."""
        for firsts, lasts in zip(self._firsts, self._lasts, strict=True):
            yield from zip(firsts, lasts, strict=True)

    @property
    def lowest(self) -> int | None:
        """None when nothing is free."""
        return self._chunk_firsts[0] if self._chunk_firsts else None

    def at_or_after(self, number: int) -> int | None:
        """The lowest free number that is not below this one, None when there is none."""
        chunk = bisect_right(self._chunk_firsts, number) - 1
        if chunk < 0:
            return self.lowest
        at = bisect_right(self._firsts[chunk], number) - 1
        if number <= self._lasts[chunk][at]:
            return number
        if at + 1 < len(self._firsts[chunk]):
            return self._firsts[chunk][at + 1]
        return self._chunk_firsts[chunk + 1] if chunk + 1 < len(self._chunk_firsts) else None

    def take(self, number: int) -> bool:
        """Remove a number; False, and no change, when it is not free."""
        chunk = bisect_right(self._chunk_firsts, number) - 1
        if chunk < 0:
            return False
        firsts, lasts = self._firsts[chunk], self._lasts[chunk]
        at = bisect_right(firsts, number) - 1
        first, last = firsts[at], lasts[at]
        if number > last:
            return False
        self.count -= 1
        if first == last:
            self._delete(chunk, at)
        elif number == first:
            self._set_first(chunk, at, number + 1)
        elif number == last:
            lasts[at] = number - 1
        else:
            lasts[at] = number - 1
            self._insert(chunk, at + 1, number + 1, last)
        return True

    def free(self, number: int) -> bool:
        """Add a number; False, and no change, when it is free already."""
        if number in self:
            return False
        self.count += 1
        chunk = bisect_right(self._chunk_firsts, number) - 1
        at = bisect_right(self._firsts[chunk], number) - 1 if chunk >= 0 else -1
        next_chunk, next_at = self._following(chunk, at)
        touches_left = chunk >= 0 and self._lasts[chunk][at] == number - 1
        touches_right = next_chunk < len(self._firsts) and self._firsts[next_chunk][next_at] == number + 1
        if touches_left and touches_right:
            self._lasts[chunk][at] = self._lasts[next_chunk][next_at]
            self._delete(next_chunk, next_at)
        elif touches_left:
            self._lasts[chunk][at] = number
        elif touches_right:
            self._set_first(next_chunk, next_at, number)
        else:
            self._insert(max(chunk, 0), at + 1, number, number)
        return True

    def _following(self, chunk: int, at: int) -> tuple[int, int]:
        if chunk < 0:
            return 0, 0
        return (chunk, at + 1) if at + 1 < len(self._firsts[chunk]) else (chunk + 1, 0)

    def _set_first(self, chunk: int, at: int, first: int) -> None:
        self._firsts[chunk][at] = first
        if at == 0:
            self._chunk_firsts[chunk] = first

    def _insert(self, chunk: int, at: int, first: int, last: int) -> None:
        if not self._firsts:
            self._firsts.append([])
            self._lasts.append([])
            self._chunk_firsts.append(first)
        firsts, lasts = self._firsts[chunk], self._lasts[chunk]
        firsts.insert(at, first)
        lasts.insert(at, last)
        self._chunk_firsts[chunk] = firsts[0]
        if len(firsts) > CHUNK_LIMIT:
            half = CHUNK_LIMIT // 2
            self._firsts[chunk : chunk + 1] = [firsts[:half], firsts[half:]]
            self._lasts[chunk : chunk + 1] = [lasts[:half], lasts[half:]]
            self._chunk_firsts.insert(chunk + 1, firsts[half])

    def _delete(self, chunk: int, at: int) -> None:
        firsts = self._firsts[chunk]
        del firsts[at]
        del self._lasts[chunk][at]
        if not firsts:
            del self._firsts[chunk]
            del self._lasts[chunk]
            del self._chunk_firsts[chunk]
        elif at == 0:
            self._chunk_firsts[chunk] = firsts[0]
