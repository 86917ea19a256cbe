"""How many Events, and lines of the log, tell of the same when it happens to many Services at once. Pure.

The first ones are told of each Service. Those beyond the budget are gathered, and one Event tells of them: on what they
have in common, the IPPool or the Speaker; on the first of them where they have nothing in common. What happens to many
objects of ours at once is told so, too, on the first of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from allocator.notices import Common, Notice, ObjectNotice
from allocator.status.writerate import WriteRate
from crds.conditions import Reason
from crds.wording import listed

AT_ONCE = 25
"""Of one reason and kind of object, each on its own; as many as client-go lets through for one object."""

EVERY_SECONDS = 10.0
"""And one more for so many seconds that pass."""

GATHER_SECONDS = 5.0
"""How long others are gathered before they are told."""

NAMED = 3
"""How many of them the Event for many names."""


_Key = tuple[str, Reason, Common | None]
"""Kind of the objects, reason, and what they have in common."""


@dataclass(slots=True)
class _Gathered:
    since: float
    first: Notice | ObjectNotice
    count: int = 0
    named: list[str] = field(default_factory=list)

    def told(self, common: Common | None) -> Notice | ObjectNotice:
        """All of them in one; one alone as it is."""
        first, others = self.first, self.count - 1
        if not others:
            return first
        if isinstance(first, ObjectNotice):
            names = listed(self.named[1:], NAMED, of=others)
            return replace(first, message=f"{first.message}. The same of {others} more {first.about.kind}s: {names}")
        if common is None:  # whoever reads Events of one namespace need not know what is in others
            return replace(first, message=f"{first.message}. The same of {others} more Services")
        services = listed(self.named[:NAMED], NAMED, of=self.count)
        message = f"The same of {self.count} more Services: {services}. Of the first: {first.message}"
        return ObjectNotice(common, first.type, first.reason, message)


@dataclass
class EventBudget:
    """`now`: monotonic seconds."""

    _rate: WriteRate = field(default_factory=lambda: WriteRate(AT_ONCE, EVERY_SECONDS))
    _gathered: dict[_Key, _Gathered] = field(default_factory=dict)

    def admits(self, notice: Notice | ObjectNotice, now: float) -> bool:
        """Whether it is told as it is; if not, it will be told with others."""
        kind, name, common = _known_as(notice)
        if self._rate.admits((kind, notice.reason), now):
            return True
        gathered = self._gathered.setdefault((kind, notice.reason, common), _Gathered(now, notice))
        gathered.count += 1
        if len(gathered.named) <= NAMED:
            gathered.named.append(name)
        return False

    @property
    def has_gathered(self) -> bool:
        """Whether `take_gathered` will have something to tell."""
        return bool(self._gathered)

    def take_gathered(self, now: float) -> Iterator[Notice | ObjectNotice]:
        """One for each reason and what they have in common, when it is time. Where that is many objects, such as all
        Speakers, these are gathered once more."""
        due = [key for key, one in self._gathered.items() if one.since + GATHER_SECONDS <= now]
        for key in due:
            common = key[2]
            told = self._gathered.pop(key).told(common)
            if common is None or isinstance(told, Notice) or self.admits(told, now):
                yield told


def _known_as(notice: Notice | ObjectNotice) -> tuple[str, str, Common | None]:
    """Kind and name of its object, and what it has in common with others."""
    if isinstance(notice, ObjectNotice):
        return notice.about.kind, notice.about.name, None
    return "Service", str(notice.service), notice.common
