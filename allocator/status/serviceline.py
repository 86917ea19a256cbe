"""When a Service is written for its condition berth.dev/Announced alone: each in its turn, by a budget. Pure.

A move that is over within seconds writes nothing, one that stays writes once, and however many move at once, the API
server gets so many writes a second and no more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from allocator.status.writerate import WriteRate
from kube.objects import ServiceKey


class News(Enum):
    """What is to be said. The value: how many seconds it must have been so."""

    BEGINS = 1.0
    """It is announced."""
    ENDS = 5.0
    """It is not: a move takes less."""
    OTHER = 5.1
    """By others, or for another cause."""


WHETHER_PER_SECOND = 20
"""Writes that say whether Services are announced, as many as reports of all nodes together may make."""

WHO_PER_SECOND = 10
"""Writes that say by whom, or why not: that is in the records of the addresses before."""

OWN_BURST, OWN_SECONDS = 3, 30.0
"""One Service is written so often at once, and then once in so many seconds: it may flap, or others may undo it."""


class _Waiting(NamedTuple):
    news: News
    due: float


@dataclass
class ServiceLine:
    """`now`: monotonic seconds."""

    _line: dict[ServiceKey, _Waiting] = field(default_factory=dict)
    _whether: WriteRate = field(default_factory=lambda: WriteRate(WHETHER_PER_SECOND, 1 / WHETHER_PER_SECOND))
    _who: WriteRate = field(default_factory=lambda: WriteRate(WHO_PER_SECOND, 1 / WHO_PER_SECOND))
    _own: WriteRate = field(default_factory=lambda: WriteRate(OWN_BURST, OWN_SECONDS))

    def __len__(self) -> int:
        return len(self._line)

    def join(self, key: ServiceKey, news: News, now: float) -> None:
        """It keeps its place where it waits with such news."""
        known = self._line.get(key)
        if known is None or known.news is not news:
            self._line.pop(key, None)
            self._line[key] = _Waiting(news, now + news.value)

    def leave(self, key: ServiceKey) -> None:
        """There is nothing to say any more."""
        self._line.pop(key, None)

    def take(self, now: float) -> Iterator[ServiceKey]:
        """Those whose turn it is."""
        full: set[News] = set()
        for key, one in list(self._line.items()):
            if one.due > now or one.news in full:
                continue
            rate = self._who if one.news is News.OTHER else self._whether
            if not rate.admits("", now):
                full.add(one.news)
            elif not self._own.admits(key, now):
                self._line[key] = _Waiting(one.news, now + OWN_SECONDS)
            else:
                del self._line[key]
                yield key

    def sweep(self, now: float) -> None:
        """Forget what counts no more."""
        self._own.sweep(now)
