"""Which Kubernetes Events to write, in which order, and which to leave out.

Pure, with the rules of client-go's EventCorrelator. From what was recorded and how writes ended follows what to write
next. kube.events.io.recorder writes.

Three things keep Events from flooding anybody. Identical ones (same object, type, reason and message) are one Event
whose count grows, also while it still waits here. Each object has a token bucket, as in client-go: 25 at once, then one
in five minutes. And no more than `capacity` wait: the oldest goes, since the newest shows the present state.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

BURST = 25.0  # client-go's spam filter
REFILL_SECONDS = 300.0
REMEMBERED = 1024  # Events and objects, the least recently used forgotten first; one that floods is never that
MESSAGE_BYTES = 1024  # what an API server takes

EventType = Literal["Normal", "Warning"]


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The object an Event is about; `namespace` is None for cluster-scoped ones."""

    api_version: str
    kind: str
    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""

    def identity(self) -> tuple[str, ...]:
        """What stays the same over its life (resourceVersion does not)."""
        return (self.api_version, self.kind, self.namespace or "", self.name, self.uid)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """What is said about the object; `wall` is when, as metav1.Time."""

    ref: ObjectRef
    type: EventType
    reason: str
    message: str
    wall: str

    def series(self) -> tuple[str, ...]:
        """Occurrences of one series become one Event."""
        return (*self.ref.identity(), self.type, self.reason, self.message)


@dataclass(slots=True)
class Series:
    """All occurrences of one Event. `written_as` is the name of the stored Event to count up; None = create one, as
    `name` if there has been an attempt: it may have arrived without an answer."""

    occurrence: Occurrence
    first_wall: str
    last_wall: str
    count: int = 0
    written_as: str | None = None
    name: str = ""
    attempts: int = 0
    is_in_flight: bool = False


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


SeriesKey = tuple[str, ...]


@dataclass(slots=True)
class EventQueue:
    """`record` what happens, `take` what to write, and call `written` or `failed` for each that was taken."""

    capacity: int = 5000
    _waiting: "OrderedDict[SeriesKey, Series]" = field(default_factory=OrderedDict)
    _in_flight: dict[SeriesKey, Series] = field(default_factory=dict)
    _at_rest: "OrderedDict[SeriesKey, Series]" = field(default_factory=OrderedDict)
    _buckets: "OrderedDict[SeriesKey, _Bucket]" = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._waiting)

    def record(self, occurrence: Occurrence, now: float) -> list[str]:
        """Take one in; what that led to, as metric outcomes: "Aggregated", "Suppressed" (rate), "Dropped" (the oldest).

        A suppressed one is counted nevertheless, and shows when its series is written next.
        """
        key = occurrence.series()
        series = self._waiting.get(key) or self._in_flight.get(key) or self._at_rest.pop(key, None)
        if series is None:
            series = Series(occurrence, occurrence.wall, occurrence.wall)
        series.count += 1
        series.last_wall = occurrence.wall
        if key in self._waiting:
            return ["Aggregated"]
        if not self._may_write(occurrence.ref.identity(), now):
            self._rest(key, series)
            return ["Suppressed"]
        self._waiting[key] = series
        return self._drop_oldest()

    def take(self) -> Series | None:
        """The oldest that can be written now; None = nothing."""
        for key, series in self._waiting.items():
            # While the same series is being written, the name to count up is not known.
            if key not in self._in_flight:
                del self._waiting[key]
                self._in_flight[key] = series
                series.is_in_flight = True
                return series
        return None

    def written(self, series: Series, name: str) -> None:
        """It is stored as `name`: the next of the series counts it up."""
        series.written_as = name
        series.attempts = 0
        self._landed(series)

    def failed(self, series: Series, *, again: bool) -> list[str]:
        """It is not stored; `again` = put it back to the front. Outcomes as in `record`."""
        series.attempts = series.attempts + 1 if again else 0
        key = self._landed(series)
        if not again:
            return []
        self._at_rest.pop(key, None)
        self._waiting[key] = series
        self._waiting.move_to_end(key, last=False)
        return self._drop_oldest()

    def _landed(self, series: Series) -> SeriesKey:
        key = series.occurrence.series()
        del self._in_flight[key]
        series.is_in_flight = False
        self._rest(key, series)
        return key

    def _rest(self, key: SeriesKey, series: Series) -> None:
        """Remember it, for a while, unless it is waiting or under way."""
        if key in self._waiting or key in self._in_flight:
            return
        self._at_rest[key] = series
        if len(self._at_rest) > REMEMBERED:
            self._at_rest.popitem(last=False)

    def _drop_oldest(self) -> list[str]:
        if len(self._waiting) <= self.capacity:
            return []
        key, series = self._waiting.popitem(last=False)
        self._rest(key, series)
        return ["Dropped"]

    def _may_write(self, identity: SeriesKey, now: float) -> bool:
        bucket = self._buckets.get(identity)
        if bucket is None:
            bucket = self._buckets[identity] = _Bucket(BURST, now)
            if len(self._buckets) > REMEMBERED:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(identity)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled_at) / REFILL_SECONDS)
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True
