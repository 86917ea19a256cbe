"""Services that wait for an address, indexed by what could help them, so that a freed address wakes only those.

Older Services come first, always: by creation, then by name. Knows neither pools nor addresses.
"""

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from crds.addresses import Family
from kube.objects import ServiceKey


@dataclass(frozen=True, slots=True)
class FreeIn:
    """Waits for a free address of this family in this pool."""

    pool: str
    family: Family


@dataclass(frozen=True, slots=True)
class QuotaIn:
    """Waits until the namespace holds fewer addresses of the pool."""

    pool: str
    namespace: str


@dataclass(frozen=True, slots=True)
class ChangeOf:
    """Waits until the address (in its canonical text) is free or has other holders."""

    address: str


@dataclass(frozen=True, slots=True)
class SharedUnder:
    """Waits for an address that can be joined under this sharing key."""

    sharing_key: str


Wait = FreeIn | QuotaIn | ChangeOf | SharedUnder


@dataclass(frozen=True, slots=True, order=True)
class Waiter:
    """`created` is the Service's creationTimestamp: RFC 3339 in UTC sorts as text."""

    created: str
    key: ServiceKey


class Waiting:
    """A Service waits for any of several things; whichever comes, it is asked again."""

    def __init__(self) -> None:
        self._waits: dict[ServiceKey, tuple[Waiter, frozenset[Wait]]] = {}
        self._reasons: dict[ServiceKey, str] = {}
        self._queues: dict[Wait, list[Waiter]] = {}

    def __len__(self) -> int:
        """How many Services are pending, also those that wait for nothing but a change of configuration."""
        return len(self._waits)

    def __contains__(self, key: ServiceKey) -> bool:
        return key in self._waits

    def put(self, key: ServiceKey, created: str, waits: frozenset[Wait], reason: str = "") -> None:
        """Replace what the Service waits for. `reason`: why it has no address, for who counts; empty for one
        that has enough and waits for more."""
        waiter = Waiter(created, key)
        if self._waits.get(key) == (waiter, waits):
            self._reasons[key] = reason
            return
        self.remove(key)
        self._reasons[key] = reason
        self._waits[key] = (waiter, waits)
        for wait in waits:
            insort(self._queues.setdefault(wait, []), waiter)

    def remove(self, key: ServiceKey) -> None:
        """It waits no more. Nothing happens when it did not."""
        if key not in self._waits:
            return
        self._reasons.pop(key, None)
        waiter, waits = self._waits.pop(key)
        for wait in waits:
            queue = self._queues[wait]
            del queue[bisect_left(queue, waiter)]
            if not queue:
                del self._queues[wait]

    def reasons(self) -> Counter[str]:
        """How many lack an address, by reason."""
        return Counter(reason for reason in self._reasons.values() if reason)

    def next_for(self, waits: Iterable[Wait], after: Waiter | None) -> Waiter | None:
        """The oldest that waits for one of these and comes after that one, in O(log n)."""
        first: Waiter | None = None
        for wait in waits:
            queue = self._queues.get(wait, [])
            at = 0 if after is None else bisect_right(queue, after)
            if at < len(queue) and (first is None or queue[at] < first):
                first = queue[at]
        return first

    def everybody(self) -> list[ServiceKey]:
        """All that are pending, the oldest first."""
        return [waiter.key for waiter, _ in sorted(self._waits.values(), key=lambda pair: pair[0])]
