"""When to ask ExaBGP how much of what was sent the router's TCP has not acknowledged. Pure.

The query is a heartbeat, too, and brings the permit with it: until when ExaBGP may live. It is asked every 2 s, and
at once, then less and less often, while an acknowledgement is waited for.
"""

from speaker.bgp.exabgp import commands

HEARTBEAT_SECONDS = 2.0
FIRST_QUERY_SECONDS, LAST_QUERY_SECONDS = 0.001, 0.1


class AckQuery:
    """One query at a time. `progress_at`: when TCP last acknowledged something, or the wait for it began (monotonic
    seconds). `known_at`: all that happened in this process until then has been read, since it answers in order.
    `is_permitted`: the process that runs was given a permit with the last query, not freed of it."""

    def __init__(self, now: float) -> None:
        self.progress_at = self.known_at = now
        self.is_permitted = False
        self.is_asked = False
        self._ask_at = self._asked_at = now
        self._ask_again_after = FIRST_QUERY_SECONDS
        self._byte_count = 0

    def process_started(self, now: float) -> None:
        self.is_permitted = False
        self._ask_at = self.known_at = now

    def process_ended(self) -> None:
        self.is_asked = False

    def expect(self, now: float, *, is_first: bool) -> None:
        """Something was sent, and its acknowledgement is waited for. `is_first`: nothing else was waited for."""
        if is_first:
            self.progress_at = now
        self._ask_at, self._ask_again_after = now, FIRST_QUERY_SECONDS

    def is_due(self, now: float) -> bool:
        return not self.is_asked and now >= self._ask_at

    def line(self, now: float, permit: float | None, *, is_permit_needed: bool) -> str:
        """The query, which is asked with that. `permit`: see RouterSession."""
        if not self.is_asked:
            self._asked_at = now
        self.is_asked, self.is_permitted = True, is_permit_needed and permit is not None
        return commands.query(permit, is_needed=is_permit_needed)

    def answered(self, byte_count: int, now: float) -> None:
        self.is_asked, self.known_at = False, self._asked_at
        if byte_count < self._byte_count or not byte_count:
            self.progress_at = now
        self._byte_count = byte_count

    def ask_later(self, now: float, *, is_waiting: bool, otherwise_after: float) -> None:
        """`is_waiting`: for an acknowledgement that this answer was not. `otherwise_after`: seconds."""
        self._ask_at = now + (self._ask_again_after if is_waiting else otherwise_after)
        if is_waiting:
            self._ask_again_after = min(2 * self._ask_again_after, LAST_QUERY_SECONDS)

    @property
    def ask_at(self) -> float:
        return self._ask_at
