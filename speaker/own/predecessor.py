"""Routes that the predecessor, the speaker that ran on this node before, may have left with routers. Pure.

A router that heard nothing of a killed speaker's end keeps its routes for the hold time; with graceful restart it keeps
them for the restart time, on purpose. The predecessor's status names these routers by address, each with how long it
may keep the routes. Until its time is over, or it surely has dropped them, this speaker confirms no release: an old
route may be to the released address.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Elsewhere:
    """A speaker of this node's name that may run on another machine. `witnesses`: of its promise to withdraw by itself
    `fence_after_seconds` after its last renewal; None = it made none. `outlives_seconds`: how long routers may keep its
    routes after its end. `is_said_off`: an operator's word."""

    machine: str
    fence_after_seconds: int = 0
    witnesses: frozenset[str] | None = None
    outlives_seconds: int = 0
    is_said_off: bool = False


@dataclass(frozen=True)
class LastWord:
    """What the predecessor wrote last. `routers`: for how many seconds after its end each may keep its routes, by
    address; none = it left no routes. `dropped`: of which an operator had said by then that they keep none."""

    routers: Mapping[str, int] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    elsewhere: tuple[Elsewhere, ...] = ()
    """Itself, unless it said goodbye; and those that it waited for."""


class PredecessorRoutes:
    """`now`: monotonic seconds, the same clock in all calls. Routers are texts, as in the Speaker's status."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._is_known = False

    def take(self, last_word: LastWord, now: float) -> None:
        """Take in what the predecessor wrote. It is dead by now, with all its processes.

        Whatever was read counts, all of it together: a write of the predecessor may have arrived between two looks.
        """
        self._is_known = True
        for router, seconds in last_word.routers.items():
            self._until[router] = max(self._until.get(router, now), now + seconds)

    def dropped(self, routers: Iterable[str]) -> None:
        """An operator's word that these keep none of its routes."""
        for router in routers:
            self._until.pop(router, None)

    def may_be_heard(self, now: float, synced: Set[str]) -> bool:
        """Whether a router may have a route of the predecessor's.

        `synced`: routers that have all routes of this process. A router that has a new session with us, and has its
        End-of-RIB, has dropped all routes of an old session (RFC 4271 §9, RFC 4724 §4.2).
        """
        if not self._is_known:
            return True
        if self._until:
            self.dropped(synced)
        return bool(self.routers(now))

    def routers(self, now: float) -> Mapping[str, float]:
        """The routers that may have routes of the predecessor, and for how many seconds yet if nothing happens."""
        self._until = {router: until for router, until in self._until.items() if until > now}
        return {router: until - now for router, until in self._until.items()}
