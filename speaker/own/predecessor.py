"""Routes that the predecessor, the speaker that ran on this node before, may have left with routers. Pure.

A router that heard nothing of a killed speaker's end keeps its routes for the hold time; with graceful restart it keeps
them for the restart time, on purpose. The predecessor's status names the routers that it had sessions with, and how
long they may keep its routes. Until that time is over this speaker confirms no release: an old route may be to the
released address.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from crds.addresses import IPAddress


@dataclass(frozen=True)
class LastWord:
    """What the predecessor wrote last. `outlives_seconds` 0: it left no routes. `routers`: by the names of their
    BGPPeers."""

    outlives_seconds: int = 0
    routers: Mapping[str, IPAddress] = field(default_factory=dict)


class PredecessorRoutes:
    """`now`: monotonic seconds, the same clock in all calls."""

    def __init__(self) -> None:
        self._until: float | None = None
        self._routers: Mapping[str, IPAddress] = {}

    def take(self, last_word: LastWord, now: float) -> None:
        """Take in what the predecessor wrote. It is dead by now, with all its processes. Only the first call counts."""
        if self._until is None:
            self._until, self._routers = now + last_word.outlives_seconds, last_word.routers

    def may_be_heard(self, now: float, synced: frozenset[IPAddress]) -> bool:
        """Whether a router may have a route of the predecessor's.

        `synced`: routers that have all routes of this process. A router that has a new session with us, and has its
        End-of-RIB, has dropped all routes of an old session (RFC 4271 §9, RFC 4724 §4.2).
        """
        if self._until is None:
            return True
        if self._routers and synced.issuperset(self._routers.values()):
            self._until = now
        return now < self._until

    def routers(self, now: float) -> Mapping[str, IPAddress]:
        """The routers that may have routes of the predecessor, by the names that their BGPPeers had."""
        return self._routers if self.remaining_seconds(now) else {}

    def remaining_seconds(self, now: float) -> float:
        """How long routers may keep the predecessor's routes, if nothing else happens."""
        return max(0.0, self._until - now) if self._until is not None else 0.0
