"""When each Lease was last *seen* to change, on our own clock, which stands still while we can see nothing.

Pure: the caller says what was read, and when. Nobody compares clocks of two machines: the times inside a Lease are only
looked at to see that they changed.
"""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class ObservedTime:
    """Seconds during which we were in contact.

    Time counts from one contact to the next, unless they lie more than `gap_seconds` apart: then nobody knows what was
    missed, and the time between counts for nothing. Nor do the first `settle_seconds` after such a gap: those whom the
    same outage had cut off must get the time to come back. Up to `gap_seconds` after the last contact count in advance.
    """

    gap_seconds: float = 3.0
    settle_seconds: float = 3.0
    _elapsed: float = 0.0
    _last_contact: float = -math.inf
    _counts_from: float = -math.inf

    def contact(self, now: float) -> None:
        """The server sent something at `now`. Repeating it, or being late with an older one, does no harm."""
        if now <= self._last_contact:
            return
        if now - self._last_contact > self.gap_seconds:
            # Before the very first contact there is nobody who was seen and has to come back.
            self._counts_from = now if self._last_contact == -math.inf else now + self.settle_seconds
        self._elapsed = self._at(now, now)
        self._last_contact = now

    def at(self, now: float) -> float:
        """The observed time at `now`."""
        return self._at(now, self._last_contact + self.gap_seconds)

    def _at(self, now: float, limit: float) -> float:
        begin = max(self._last_contact, self._counts_from)
        return self._elapsed + max(0.0, min(now, limit) - begin)


@dataclass(frozen=True, slots=True)
class _Sign:
    holder: str
    renew_time: str | None
    seen_at: float  # observed time


class LeaseObserver:
    """A Lease is fresh while no more than `duration` of observed time has passed since it was seen to change.

    Pass to `contact` only what these Leases are read with (their Informer's `last_activity`): other requests may
    succeed while the watch of the Leases is still down, and then everybody would look dead. A watch that nobody renews
    through is silent, too. To tell that from a broken watch, list the Leases now and then and pass the result to
    `contact`; a process that sees its own Lease renewed among them need not.

    Choose `gap_seconds` less than the lease duration minus the renew period: what counts in advance must not be enough
    to let a Lease go stale.
    """

    def __init__(self, *, gap_seconds: float = 3.0, settle_seconds: float = 3.0) -> None:
        self._time = ObservedTime(gap_seconds, settle_seconds)
        self._signs: dict[str, _Sign] = {}

    def contact(self, now: float) -> None:
        """The API server sent something about these Leases at `now` (a bookmark counts)."""
        self._time.contact(now)

    def observed_seconds(self, now: float) -> float:
        """The time during which we were in contact (see ObservedTime)."""
        return self._time.at(now)

    def observe(self, name: str, holder: str | None, renew_time: str | None, now: float) -> None:
        """What a Lease says at `now`; only a change of holder or renew time is a sign of life.

        One never seen before counts as renewed now: we can't know better, and "alive" is the answer that moves nothing.
        A Lease without holder was released: nobody lives there.
        """
        self.contact(now)
        if not holder:
            self._signs.pop(name, None)
            return
        before = self._signs.get(name)
        if before is None or (before.holder, before.renew_time) != (holder, renew_time):
            self._signs[name] = _Sign(holder, renew_time, self._time.at(now))

    def forget(self, name: str) -> None:
        """The Lease is deleted."""
        self._signs.pop(name, None)

    def age(self, name: str, now: float) -> float | None:
        """Observed seconds since it was seen to change; None when unknown or released."""
        sign = self._signs.get(name)
        return None if sign is None else max(0.0, self._time.at(now) - sign.seen_at)

    def fresh(self, name: str, now: float, duration: float) -> bool:
        """Whether it was seen to change within `duration` of observed time. An unknown or released one was not."""
        age = self.age(name, now)
        return age is not None and age < duration
