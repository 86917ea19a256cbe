"""How many Events, and lines of the log, tell of the same when it happens to many Services at once. Pure.

The first ones are told of each Service. Those beyond the budget are gathered, and one Event tells of them: on what they
have in common, the IPPool or the Speaker.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from allocator.notices import Common, Notice, ObjectNotice
from allocator.status.writerate import WriteRate
from crds.conditions import Reason
from crds.wording import listed

AT_ONCE = 25
"""Of one reason, each on its Service; as many as client-go lets through for one object."""

EVERY_SECONDS = 10.0
"""And one more for so many seconds that pass."""

GATHER_SECONDS = 5.0
"""How long others are gathered before they are told."""

NAMED = 3
"""How many Services the Event for many names."""


@dataclass(slots=True)
class _Gathered:
    since: float
    first: Notice
    count: int = 0
    named: list[str] = field(default_factory=list)


@dataclass
class EventBudget:
    """`now`: monotonic seconds."""

    _rate: WriteRate = field(default_factory=lambda: WriteRate(AT_ONCE, EVERY_SECONDS))
    _gathered: dict[tuple[Reason, Common], _Gathered] = field(default_factory=dict)

    def admits(self, notice: Notice, now: float) -> bool:
        """Whether it is told as it is; if not, it will be told with others. One that has nothing in common with any
        other always is."""
        if notice.common is None or self._rate.admits(notice.reason, now):
            return True
        gathered = self._gathered.setdefault((notice.reason, notice.common), _Gathered(now, notice))
        gathered.count += 1
        if len(gathered.named) < NAMED:
            gathered.named.append(str(notice.service))
        return False

    def take_gathered(self, now: float) -> Iterator[ObjectNotice]:
        """One for each object and reason, when it is time."""
        due = [key for key, one in self._gathered.items() if one.since + GATHER_SECONDS <= now]
        for reason, common in due:
            one = self._gathered.pop((reason, common))
            services = listed(one.named, NAMED, of=one.count)
            message = f"The same of {one.count} more Services: {services}. Of the first: {one.first.message}"
            yield ObjectNotice(common, one.first.type, reason, message)
