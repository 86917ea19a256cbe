"""The writes of the report: one slice after the other, by a budget that the whole cluster shares. Pure.

    begin --> Look at each slice that a former process left --> then, as slices change:
              Look (creates it) --Found--> Write --Wrote-->
              the last one, empty for a while --> Delete

What people alone read is written seldom: all speakers together make WRITES_PER_SECOND writes, each of them at a moment
of its own. Who answers for an address on layer 2 is told at once; what only counts something, seldom. No release and no
other writer waits for any of this. Reports do not count after a goodbye, so the end needs no write.
"""

from collections.abc import Iterator
from hashlib import blake2b

from crds.speakerreport import WRITES_PER_SECOND
from speaker.own.refused import Refusals
from speaker.own.requests import (
    Attempts,
    Delete,
    Deleted,
    Failed,
    Failure,
    Found,
    Kind,
    Look,
    Request,
    Target,
    Write,
    Wrote,
)
from speaker.own.slices import Slice, Slices, Urgency

COALESCE_SECONDS = 0.02
"""What changes within this time shares a write."""
ROUTINE_SECONDS = 0.25
"""Between two routine writes of one speaker, however small the cluster is."""
COUNTS_SECONDS = 30.0
"""Between two writes of a slice in which something was counted, and nothing else happened."""
SPARE_SECONDS = 60.0
"""For so long an empty slice is kept: a speaker that starts fills those of its predecessor again."""


class ReportWriter:
    """`now`: monotonic seconds. `nodes`: how many speakers share the budget."""

    def __init__(self, incarnation: str, slices: Slices, refusals: Refusals) -> None:
        self._incarnation = incarnation
        self._slices = slices
        self._refusals = refusals
        self.attempts = Attempts()
        self.nodes = 1
        self._owner: str | None = None
        self._scan: int | None = None
        self._is_for_present = True
        self._taken: Urgency | None = None
        self._urgent_at: float | None = None
        self._routine_at: float | None = None
        self._next_routine = float("-inf")
        self._spare_at: float | None = None
        self._draws = 0

    def begin(self, owner: str) -> None:
        """This process has registered. `owner`: the uid of the own Node. What objects there are is looked at first."""
        self._owner, self._scan = owner, 0
        self._is_for_present = False
        self.attempts.forgive()
        for one in self._slices.all:
            one.lost()
            if not one.is_empty:
                self._slices.touch(one.number, Urgency.ROUTINE)

    def end(self) -> None:
        """It is registered no more, or says goodbye."""
        self._owner = None

    # ---- requests ----

    def next_request(self, now: float) -> Request | None:
        """The request to make now. Its outcome is told by `found`, `wrote`, `deleted` or `failed`."""
        if self._owner is None or self.attempts.request is not None:
            return None
        if self._scan is None:
            self._note(now)
        if not self.attempts.may_begin(now):
            return None
        self._is_for_present = True
        if self._scan is not None:
            self.attempts.request = Look(_slice(self._scan))
        else:
            one = self._due(now)
            self.attempts.request = None if one is None else self._about(one, now)
        return self.attempts.request

    def deadline(self) -> float | None:
        """When to ask for a request though nothing changed, as things were when it was asked for one last; None = no
        need."""
        if self._owner is None or self.attempts.request is not None:
            return None
        earliest = float("-inf") if self._scan is not None else min(self._dues(), default=None)
        return None if earliest is None else max(self.attempts.retry_at, earliest)

    def _dues(self) -> Iterator[float]:
        routine_at = self._spare_at if self._routine_at is None else self._routine_at
        yield from (due for due in (self._urgent_at, routine_at) if due is not None)
        for number, urgency in self._slices.stale.items():
            if urgency is Urgency.COUNTS:
                yield self._slices.all[number].written_at + COUNTS_SECONDS

    def _note(self, now: float) -> None:
        """Since when what is to be written, and by when, where that is new."""
        stale = self._slices.stale
        for number, urgency in stale.items():
            if urgency is Urgency.COUNTS and now >= self._slices.all[number].written_at + COUNTS_SECONDS:
                stale[number] = Urgency.ROUTINE
        spare = self._slices.spare()
        if spare is None:
            self._spare_at = None
        elif self._spare_at is None:
            self._spare_at = now + SPARE_SECONDS
        is_spare = self._spare_at is not None and now >= self._spare_at
        if Urgency.URGENT not in stale.values():
            self._urgent_at = None
        elif self._urgent_at is None:
            self._urgent_at = now + COALESCE_SECONDS
        if not is_spare and Urgency.ROUTINE not in stale.values():
            self._routine_at = None
        elif self._routine_at is None:
            self._routine_at = max(self._next_routine, now + self._draw() * self.nodes / WRITES_PER_SECOND)

    def _due(self, now: float) -> Slice | None:
        """The slice whose turn it is."""
        if self._urgent_at is not None and now >= self._urgent_at:
            return self._first(Urgency.URGENT)
        if self._routine_at is None or now < self._routine_at:
            return None
        return self._first(Urgency.ROUTINE) or self._slices.spare()

    def _first(self, urgency: Urgency) -> Slice | None:
        """That waits for longest; but slices are made in order, without a gap."""
        number = next((number for number, one in self._slices.stale.items() if one is urgency), None)
        if number is None:
            return None
        return next(one for one in self._slices.all if not one.is_there or one.number == number)

    def _about(self, one: Slice, now: float) -> Request | None:
        target = _slice(one.number)
        if one.own is None:
            return Look(target, creates=one is not self._slices.spare(), owner=self._owner or "")
        if one.number not in self._slices.stale:
            self._spend(now)
            return Delete(target, one.own.uid)
        self._taken = self._slices.stale.pop(one.number)
        if self._taken is Urgency.ROUTINE:
            self._spend(now)
        one.written_at = now
        status = one.patch(self._incarnation)
        return Write(target, one.own.uid, one.own.resource_version, status) if status else None

    def _spend(self, now: float) -> None:
        """One write of the budget."""
        self._routine_at = None
        self._next_routine = now + max(ROUTINE_SECONDS, self.nodes / WRITES_PER_SECOND)

    def _draw(self) -> float:
        """0 to 1; others for each process, since each has another incarnation."""
        self._draws += 1
        drawn = blake2b(f"{self._incarnation} {self._draws}".encode(), digest_size=4).digest()
        return int.from_bytes(drawn) / 2**32

    # ---- outcomes ----

    def found(self, found: Found) -> None:
        """There is, or was made, such a slice. One that another process wrote since is that process's business."""
        self.attempts.succeeded()
        if not self._is_for_present:
            return
        one = self._slices.at(found.request.target.number)
        if self._scan is not None:
            self._scan += 1
        elif found.own.incarnation not in ("", self._incarnation) and one.written_at > float("-inf"):
            self.end()
        one.found(found.own)

    def wrote(self, wrote: Wrote) -> None:
        """It was written as asked for."""
        self.attempts.succeeded()
        if self._is_for_present:
            self._slices.at(wrote.request.target.number).confirm(wrote.request.status, wrote.own)

    def deleted(self, deleted: Deleted) -> None:
        """It is gone as asked for."""
        self.attempts.succeeded()
        if self._is_for_present:
            self._gone(deleted.request.target.number)

    def failed(self, failed: Failed, now: float) -> None:
        """It brought nothing, as far as is known."""
        if not self._is_for_present:
            self.attempts.succeeded()
            return
        number = failed.request.target.number
        if failed.failure is Failure.GONE and isinstance(failed.request, Look) and not failed.request.creates:
            self.attempts.succeeded()
            self._scan = None
            self._gone(number)
            return
        self.attempts.failed(failed, now)
        if isinstance(failed.request, Look):
            return
        one = self._slices.at(number)
        if failed.failure is Failure.GONE:
            self._gone(number)
        elif failed.failure is Failure.CONFLICT:
            one.own = None
        if isinstance(failed.request, Write):
            self._slices.touch(number, self._taken or Urgency.ROUTINE)
            if failed.failure is Failure.REFUSED:
                self._refusals.note("SpeakerReport", failed.causes, failed.error, now)
                self._slices.refuse(number, failed.request.status, failed.causes)

    def _gone(self, number: int) -> None:
        """There is no such object."""
        if number < len(self._slices.all):
            one = self._slices.all[number]
            one.lost()
            if not one.is_empty:
                self._slices.touch(number, Urgency.ROUTINE)


def _slice(number: int) -> Target:
    return Target(Kind.REPORT, number)
