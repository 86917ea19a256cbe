"""A few ranges of integers that contain all addresses in force: what a BPF program can compare with.

No I/O. filter.py makes programs of them.
"""

from __future__ import annotations

from bisect import bisect_right

# Each range costs four instructions. Pools are mostly contiguous, so a few ranges cover them; past this many, the two
# closest are joined. Jumps of classic BPF reach 255 instructions ahead, which holds for this many.
MAX_RANGES = 24

Range = tuple[int, int]  # first and last address, both included


class AddressCover:
    """A few ranges of integers that contain all addresses added and not removed. Each step costs O(MAX_RANGES)."""

    def __init__(self, max_ranges: int = MAX_RANGES) -> None:
        self._max_ranges = max_ranges
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._counts: list[int] = []  # addresses inside each range

    def ranges(self) -> list[Range]:
        """Sorted and disjoint."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def add(self, address: int) -> bool:
        """Cover an address that is not in yet. Returns whether the ranges changed."""
        at = bisect_right(self._firsts, address) - 1
        if at >= 0 and address <= self._lasts[at]:
            self._counts[at] += 1
            return False
        self._firsts.insert(at + 1, address)
        self._lasts.insert(at + 1, address)
        self._counts.insert(at + 1, 1)
        self._join_neighbours(at + 1)
        if len(self._firsts) > self._max_ranges:
            self._join(min(range(len(self._firsts) - 1), key=lambda i: self._firsts[i + 1] - self._lasts[i]))
        return True

    def remove(self, address: int) -> bool:
        """Undo one `add` of this address. A range goes when nothing in it is left; it does not shrink before."""
        at = bisect_right(self._firsts, address) - 1
        self._counts[at] -= 1
        if self._counts[at]:
            return False
        del self._firsts[at], self._lasts[at], self._counts[at]
        return True

    def _join_neighbours(self, at: int) -> None:
        if at + 1 < len(self._firsts) and self._firsts[at + 1] == self._lasts[at] + 1:
            self._join(at)
        if at and self._firsts[at] == self._lasts[at - 1] + 1:
            self._join(at - 1)

    def _join(self, at: int) -> None:
        self._lasts[at] = self._lasts[at + 1]
        self._counts[at] += self._counts[at + 1]
        del self._firsts[at + 1], self._lasts[at + 1], self._counts[at + 1]
