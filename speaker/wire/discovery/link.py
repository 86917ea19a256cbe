"""Router discovery on one link: which routers are heard there, and when we advertise and solicit (RFC 4861 §6).

No I/O. A router counts from its first advertisement on, and for as long as it is the only one: it may be slow to repeat
itself, and a session that breaks says more than its silence. As long as there are several, all are solicited now and
then, and those that do not answer are gone: a router that comes with another address takes the place of what it was.
"""

from __future__ import annotations

from speaker.wire.deadlines import AT_ONCE, earliest, is_due
from speaker.wire.discovery.packets import ADVERTISEMENT, SOLICITATION

MOST_ROUTERS = 8
"""Of one link; further ones are not heard."""

# RFC 4861 §6.2.1: MinRtrAdvInterval, MaxRtrAdvInterval
LEAST_SECONDS, MOST_SECONDS = 3.5, 10.0
# RFC 4861 §10
INITIAL_ADVERTISEMENTS = 3
BETWEEN_SECONDS = 3.0
DELAY_SECONDS = 0.5
SOLICITATIONS = 3
SOLICITATION_SECONDS = 4.0

AGAIN_SECONDS = 30.0
"""After a round of solicitations that left several routers."""


class Link:
    """`now`: seconds of one clock. `routers`: the addresses of those that are heard, the one that was heard first
    first."""

    def __init__(self) -> None:
        self.routers: tuple[bytes, ...] = ()
        self._heard: dict[bytes, float] = {}
        self._advertised = 0
        self._advertised_at = AT_ONCE
        self._advertise_at: float = AT_ONCE
        self._solicitations = SOLICITATIONS
        self._solicit_at: float | None = AT_ONCE
        self._since = AT_ONCE
        """Who was not heard since then is gone when all solicitations were sent, where another one was."""

    def heard(self, router: bytes, now: float) -> None:
        """It advertised itself."""
        is_new = router not in self._heard
        if is_new and len(self._heard) >= MOST_ROUTERS:
            return
        self._heard[router] = now
        if is_new:
            self.routers = tuple(self._heard)
            self._solicitations, self._since = SOLICITATIONS, now
            self._solicit_at = AT_ONCE if len(self._heard) > 1 else None

    def solicited(self, now: float, chance: float) -> None:
        """A router, or a host, asks who routes here. `chance`: 0 to 1."""
        delayed = max(now + chance * DELAY_SECONDS, self._advertised_at + BETWEEN_SECONDS)
        self._advertise_at = min(self._advertise_at, delayed)

    def due(self, now: float, chance: float) -> list[int]:
        """What is to be sent now, ADVERTISEMENT and SOLICITATION. `chance`: 0 to 1."""
        kinds = []
        if is_due(self._advertise_at, now):
            kinds.append(ADVERTISEMENT)
            self._advertised, self._advertised_at = self._advertised + 1, now
            is_initial = self._advertised < INITIAL_ADVERTISEMENTS
            wait = BETWEEN_SECONDS if is_initial else LEAST_SECONDS + chance * (MOST_SECONDS - LEAST_SECONDS)
            self._advertise_at = now + wait
        if is_due(self._solicit_at, now):
            if self._solicitations:
                kinds.append(SOLICITATION)
                self._solicitations -= 1
                self._solicit_at = now + SOLICITATION_SECONDS
            else:
                self._forget_silent()
                self._solicit_at = now + AGAIN_SECONDS if len(self.routers) > 1 else None
                self._solicitations, self._since = SOLICITATIONS, now
        return kinds

    def failed(self, now: float, again_seconds: float) -> None:
        """Nothing could be sent."""
        self._advertise_at = now + again_seconds
        self._solicitations, self._solicit_at = SOLICITATIONS, now + again_seconds

    def deadline(self) -> float | None:
        """When to come for what is due."""
        return earliest(self._advertise_at, self._solicit_at)

    def _forget_silent(self) -> None:
        if any(at >= self._since for at in self._heard.values()):
            self._heard = {router: at for router, at in self._heard.items() if at >= self._since}
            self.routers = tuple(self._heard)
