"""The writes of the ReleaseConfirmation: releases that this process has confirmed, and nothing else. Pure.

    begin --> Look (creates it) --Found--> what another process left there: Look at the Speaker: is it still ours? -->
              then, as releases are confirmed: Write --Wrote-->

Allocators wait for it, so it waits for no other write, and nothing that could be refused shares it. Every write names
the uid and the resourceVersion that this process has looked at, so none of a process that was replaced can arrive after
its successor's. What another process wrote is replaced only by one that has seen after that look that it is the node's
speaker: so none overwrites what its successor confirmed.
"""

from speaker.moment import earliest
from speaker.own.patched import PatchedMap
from speaker.own.refused import Refusals, named_parts
from speaker.own.requests import (
    CONFIRMATION,
    SPEAKER,
    Attempts,
    Failed,
    Failure,
    Found,
    Look,
    Own,
    Request,
    Write,
    Wrote,
)

COALESCE_SECONDS = 0.02
"""Between two writes. Releases mostly come in bursts: the first one is written at once, and those that are confirmed
within this time after it share the next write."""
FORGET_SECONDS = 1800.0
"""What is over goes with the next confirmation, or after so long: a write for it alone would double the writes."""
FORGET_AT_ONCE = 256
"""More than so many go at once."""
LOOK_SECONDS = 30.0
"""How often the object is looked at while a release that was confirmed is not over: somebody may have deleted it."""
ENTRIES_PER_WRITE = 2000
"""Bounds one request to about 100 KB."""


class ConfirmationWriter:
    """`now`: monotonic seconds."""

    def __init__(self, incarnation: str, released: PatchedMap[int], refusals: Refusals) -> None:
        self._incarnation = incarnation
        self._released = released
        self._refusals = refusals
        self.attempts = Attempts()
        self._owner: str | None = None
        self._own: Own | None = None
        self._look_at: float | None = None
        self._is_for_present = True
        self._is_confirmed_as_speaker = False
        self._due_at: float | None = None
        self._began_at = float("-inf")
        """When the last write was asked for."""
        self._waits_long = False
        self._limit = ENTRIES_PER_WRITE

    def begin(self, owner: str) -> None:
        """This process has registered. `owner`: the uid of the own Node."""
        self._owner, self._own, self._due_at = owner, None, None
        self._is_for_present = False
        self.attempts.forgive()

    def end(self) -> None:
        """It is registered no more."""
        self._owner = None

    @property
    def has_said_all(self) -> bool:
        """Whether nothing is left to write, or it can't be written: nobody should wait for it any longer."""
        is_idle = self.attempts.request is None and (not self._released.is_stale or self._may_wait_long())
        return self._owner is None or is_idle or self.attempts.have_failed

    # ---- requests ----

    def next_request(self, now: float) -> Request | None:
        """The request to make now. Its outcome is told by `found`, `wrote` or `failed`."""
        if self._owner is None or not self.attempts.may_begin(now):
            return None
        self._is_for_present = True
        if self._own is None:
            self.attempts.request = Look(CONFIRMATION, creates=True, owner=self._owner)
        elif not self._may_replace(self._own):
            self.attempts.request = Look(SPEAKER)
        elif self._is_due(now):
            self.attempts.request, self._began_at = self._write(self._own), now
        elif self._is_to_be_looked_at(now):
            self.attempts.request = Look(CONFIRMATION, creates=True, owner=self._owner)
        return self.attempts.request

    def deadline(self) -> float | None:
        """When to ask for a request though nothing changed; None = no need."""
        if self._owner is None or self.attempts.request is not None:
            return None
        if self._own is None or not self._may_replace(self._own):
            return self.attempts.retry_at
        found = earliest(self._look_at, self._write_at() if self._released.is_stale else None)
        return None if found is None else max(self.attempts.retry_at, found)

    def _write_at(self) -> float:
        is_noted = self._due_at is not None and self._waits_long == self._may_wait_long()
        return self._due_at if is_noted and self._due_at is not None else float("-inf")

    def _may_replace(self, own: Own) -> bool:
        return own.incarnation in ("", self._incarnation) or self._is_confirmed_as_speaker

    def _is_due(self, now: float) -> bool:
        if not self._released.is_stale:
            self._due_at = None
            return False
        waits_long = self._may_wait_long()
        if self._due_at is None or waits_long != self._waits_long:
            self._due_at = now + FORGET_SECONDS if waits_long else max(now, self._began_at + COALESCE_SECONDS)
            self._waits_long = waits_long
        return now >= self._due_at

    def _is_to_be_looked_at(self, now: float) -> bool:
        if not self._released.keys():
            self._look_at = None
            return False
        if self._look_at is None:
            self._look_at = now + LOOK_SECONDS
        is_due = now >= self._look_at
        if is_due:
            self._look_at = None
        return is_due

    def _may_wait_long(self) -> bool:
        return self._released.only_loses(FORGET_AT_ONCE)

    def _write(self, own: Own) -> Write:
        self._due_at = None
        named = {} if own.incarnation == self._incarnation else {"incarnation": self._incarnation}
        status = {**named, "released": self._released.patch(self._limit)}
        return Write(CONFIRMATION, own.uid, own.resource_version, status)

    # ---- outcomes ----

    def found(self, found: Found) -> None:
        """The ReleaseConfirmation as it is; or the Speaker, which must name this process."""
        self.attempts.succeeded()
        if not self._is_for_present:
            return
        if found.request.target == SPEAKER:
            self._is_confirmed_as_speaker = found.own.incarnation == self._incarnation
            if not self._is_confirmed_as_speaker:
                self.end()
            return
        if self._own is not None and found.own.resource_version == self._own.resource_version:
            return  # nobody has touched it
        self._own, self._is_confirmed_as_speaker = found.own, False
        self._released.found(found.own.keys)

    def wrote(self, wrote: Wrote) -> None:
        """It was written as asked for."""
        self.attempts.succeeded()
        self._limit = ENTRIES_PER_WRITE
        if self._is_for_present:
            self._own = wrote.own
            self._released.confirm(wrote.request.status["released"])

    def failed(self, failed: Failed, now: float) -> None:
        """It brought nothing, as far as is known."""
        if not self._is_for_present:
            self.attempts.succeeded()
        elif failed.failure is Failure.CONFLICT:
            self.attempts.succeeded()
            self._own = None
        elif failed.failure is Failure.GONE and failed.request.target == SPEAKER:
            self.attempts.succeeded()
            self.end()
        else:
            self.attempts.failed(failed, now)
            if not isinstance(failed.request, Write):
                return
            if failed.failure is Failure.REFUSED:
                self._refused(failed.request, failed, now)
            else:
                self._own = None

    def _refused(self, write: Write, failed: Failed, now: float) -> None:
        """What is named waits until all others are written; without a name the next write is half as large."""
        self._refusals.note("ReleaseConfirmation", failed.causes, failed.error, now)
        named = {part.key for part in named_parts(failed.causes, write.status) if part.key is not None}
        tried = write.status["released"]
        self._limit = max(1, len(tried) // 2)
        self._released.defer(named or tried.keys() if self._limit == 1 or named else ())
