"""Whether the router's BGP process has read what was sent, and not only its TCP has taken it: by ROUTE-REFRESH. Pure.

A session's messages are read in their order. So who answers a ROUTE-REFRESH that was sent after a withdrawal has read
the withdrawal. What counts as an answer:

* BoRR, where both sides offered that (RFC 7313). Such a router is asked from the session's begin on, and believed to
  answer until it has not for TRIAL_SECONDS.
* End-of-RIB, where they offered only RFC 2918. The first one of a session says that the router has sent its own routes;
  each one after it is an answer, of the routers that answer so.

The answer ends in all routes that the router has for us. That should be none; one that has many is asked for another
family, or not at all. One ROUTE-REFRESH is on its way at a time, so an answer that comes after it was sent is its own.
"""

from dataclasses import dataclass
from math import inf

from crds.addresses import Family
from speaker.bgp.exabgp.events import Refresh

TRIAL_SECONDS = 10.0
"""How long a router that offers RFC 7313 may take for its first answer. FRR waits for its own End-of-RIB first (1.1 s,
or its update-delay)."""
FIRST_NUDGE_SECONDS, LAST_NUDGE_SECONDS = 0.001, 1.0


@dataclass
class _Question:
    """A ROUTE-REFRESH that has no answer yet. `is_sent`: else it is on its way to ExaBGP."""

    family: Family
    is_sent: bool = False


class RefreshProof:
    """Of the session that is up: `came_up` and `lost`. `sent`: how many ROUTE-REFRESHs were sent in it. `asked_at`:
    when the one that is not answered was asked for (monotonic seconds)."""

    def __init__(self) -> None:
        self.lost()

    def lost(self) -> None:
        self.sent = 0
        self.asked_at = self._trial_until = 0.0
        self._offer = Refresh.Absent
        self._families: list[Family] = []
        self._ended: set[Family] = set()
        self._question: _Question | None = None
        self._is_wanted = self._is_answered = False
        self._nudge_at, self._nudge_after = inf, FIRST_NUDGE_SECONDS

    def came_up(self, offer: Refresh, families: frozenset[Family], now: float) -> None:
        """With what was agreed on."""
        self._offer = offer
        self._families = [] if offer is Refresh.Absent else sorted(families)
        self._trial_until = now + TRIAL_SECONDS

    def is_required(self, now: float) -> bool:
        """Whether this router's TCP does not count, because its process answers."""
        is_tried = self._offer is Refresh.Enhanced and now < self._trial_until
        return bool(self._families) and (self._is_answered or is_tried)

    def want(self) -> None:
        """Something was sent, or will be, of which it is to be known that it was read."""
        self._is_wanted = True

    @property
    def is_answered(self) -> bool:
        """Whether it answers, and is asked."""
        return self._is_answered and bool(self._families)

    @property
    def is_due(self) -> bool:
        """Whether one is to be asked for now."""
        return self._is_wanted and self._question is None and bool(self._families)

    def ask(self, now: float) -> Family:
        """It is asked for, of this family. While `is_due`."""
        self._question, self.asked_at = _Question(self._families[0]), now
        return self._question.family

    def is_nudge_due(self, now: float) -> bool:
        """Whether the router is to get a KEEPALIVE: BIRD 2.0 begins to answer when the next thing happens to it."""
        return now >= self.nudge_at

    def nudged(self, now: float) -> None:
        """Who was not heard in the time of trial is let alone then."""
        self._nudge_after = min(2 * self._nudge_after, LAST_NUDGE_SECONDS)
        self._nudge_at = now + self._nudge_after if self.is_required(now) else inf

    @property
    def nudge_at(self) -> float:
        """inf: nothing is waited for."""
        return self._nudge_at if self._is_answered or self._offer is Refresh.Enhanced else inf

    @property
    def is_awaited(self) -> bool:
        """Whether one was asked for that is not answered."""
        return self._question is not None

    def was_sent(self, family: Family, now: float) -> None:
        self.sent += 1
        if self._question is None or family is not self._question.family:
            return
        self._question.is_sent = True
        self._nudge_at, self._nudge_after = now + FIRST_NUDGE_SECONDS, FIRST_NUDGE_SECONDS
        self._is_wanted = False

    def begun(self, family: Family) -> bool:
        """The router has sent BoRR. Whether that is an answer."""
        return self._offer is Refresh.Enhanced and self._answered(family)

    def end_of_rib(self, family: Family) -> bool:
        """The router has sent End-of-RIB. Whether that is an answer."""
        is_first = family not in self._ended
        self._ended.add(family)
        return not is_first and self._offer is Refresh.Normal and self._answered(family)

    def costly(self, family: Family) -> None:
        """The router has too many routes of it for us: it is asked for no more. Where that is seen before it has begun
        to answer, these are the routes that it begins a session with, and BIRD, asked meanwhile, never answers: another
        family is asked for at once."""
        self._families = [one for one in self._families if one is not family]
        if self._question is not None and self._question.family is family:
            self._question, self._is_wanted = None, True

    def _answered(self, family: Family) -> bool:
        if self._question != _Question(family, is_sent=True):
            return False
        self._question, self._is_answered, self._nudge_at = None, True, inf
        return True
