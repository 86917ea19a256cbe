"""How many endpoints a route says that it leads to, and since when: a changing number is advertised seldom. Pure.

Each change is an UPDATE to every router, and a new load balancing table in it. Announcing and withdrawing never wait
here.
"""

from collections.abc import Iterator

QUIET_SECONDS = 1.5
"""Between two weights of one route: a rollout moves a Pod at a time, every few hundred milliseconds."""
SMALL_CHANGE = 0.25
SMALL_QUIET_SECONDS = 30.0
"""The same, where they differ by less than that part of the greater one: a new table moves flows of all nodes, and
hardly spreads them any better."""


class Weights:
    """Keyed by the allocation's name. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._advertised: dict[str, tuple[int | None, float]] = {}
        self._waiting: dict[str, float] = {}

    def settle(self, name: str, wanted: int | None, now: float) -> int | None:
        """What to advertise now: the first number at once, another one some time after the last that was advertised."""
        advertised = self._advertised.get(name)
        if advertised is not None and advertised[0] != wanted:
            due = advertised[1] + _quiet_seconds(advertised[0], wanted)
            if now < due:
                self._waiting[name] = due
                return advertised[0]
        self._waiting.pop(name, None)
        if advertised is None or advertised[0] != wanted:
            self._advertised[name] = (wanted, now)
        return wanted

    def forget(self, name: str) -> None:
        """There is no such route any more, or it carries no weight."""
        self._advertised.pop(name, None)
        self._waiting.pop(name, None)

    def due(self, now: float) -> Iterator[str]:
        """Those whose wait is over: they are to be settled again."""
        return (name for name, at in self._waiting.items() if at <= now)

    def deadline(self) -> float | None:
        """When the next wait is over."""
        return min(self._waiting.values(), default=None)


def _quiet_seconds(advertised: int | None, wanted: int | None) -> float:
    if advertised is None or wanted is None or abs(wanted - advertised) >= SMALL_CHANGE * max(wanted, advertised):
        return QUIET_SECONDS
    return SMALL_QUIET_SECONDS
