"""For how long an address that no report names may be announced all the same: reports come by a budget. Pure.

All speakers together write so many slices a second, each of so many entries. So a new address is in some report soon,
and the last of thousands of new ones after many turns. Until then "no node announces it" would be false.
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from allocator.status.waitingline import counts_settle_seconds
from crds.speakerreport import MOST_ENTRIES


@dataclass
class Unreported:
    """The addresses that are neither reported nor known not to be announced. `now`: monotonic seconds."""

    _since: dict[Hashable, float] = field(default_factory=dict)
    """Those that may be reported yet."""
    _over: set[Hashable] = field(default_factory=set)
    """Those for which that time is over."""

    def seconds_left(self, address: Hashable, nodes: int, now: float) -> float:
        """It is one of them. For how long a report that names it may yet come, with so many speakers; 0 = all came."""
        if address in self._over:
            return 0.0
        since = self._since.setdefault(address, now)
        slices = 1 + len(self._since) // MOST_ENTRIES
        left = since + slices * counts_settle_seconds(nodes) - now
        if left > 0:
            return left
        del self._since[address]
        self._over.add(address)
        return 0.0

    def forget(self, address: Hashable) -> None:
        """It is reported, or it is known why it is not announced, or it is gone."""
        self._since.pop(address, None)
        self._over.discard(address)
