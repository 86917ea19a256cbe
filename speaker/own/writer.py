"""The writes of the own Speaker object, one after the other: registration, status, goodbye. Pure.

    register --> Look --Found--> Write(registration) --Wrote--> registered
    status   --> Write(what differs) --Wrote-->                   again when something differs
    goodbye  --> Look --Found--> Write(goodbye) --Wrote--> said

Every write names the uid and the resourceVersion that this speaker knows. So no write of a process that was replaced
can count as the word of its successor. A request that failed is made again, from the present state: nothing is lost but
time. What the API server refuses is left out of the next one.
"""

from enum import Enum
from typing import Any

from speaker.fencing import Promise
from speaker.own.patched import PatchedFields
from speaker.own.refused import Refusals, largest_field, named_parts
from speaker.own.requests import SPEAKER, Attempts, Failed, Failure, Found, Look, Own, Patch, Request, Write, Wrote

ROUTINE_SECONDS = 0.25
"""Between two writes of the status: each goes to every speaker."""
INDISPENSABLE = frozenset({"incarnation", "goodbye"})
"""Never left out."""
BINDING = frozenset({"fencing", "routers", "elsewhere", "machine"})
"""Left out only when the API server names them: others go by these when this speaker is gone."""


class SupersededError(Exception):
    """Another process has registered as the speaker of this node. This process must end."""


class Goal(Enum):
    """What the next requests are to come to."""

    NOTHING = "Nothing"
    REGISTERED = "Registered"
    STATUS = "Status"
    GOODBYE = "Goodbye"
    SAID = "Said"
    """The goodbye was written, or there is nothing to say it in."""


class SpeakerWriter:
    """`now`: monotonic seconds. One request is under way at a time."""

    def __init__(self, incarnation: str, fields: PatchedFields, promise: Promise, refusals: Refusals) -> None:
        self._incarnation = incarnation
        self._fields = fields
        self._promise = promise
        self._refusals = refusals
        self.attempts = Attempts()
        self._own: Own | None = None
        self._goal = Goal.NOTHING
        self._must_look = True
        self._has_ever_registered = False
        self._is_for_goal = True
        """Whether what is under way was asked for since the goal is what it is."""
        self._withdrew_everything = False
        self._next_routine = float("-inf")

    @property
    def goal(self) -> Goal:
        return self._goal

    @property
    def has_ever_registered(self) -> bool:
        return self._has_ever_registered

    def register(self) -> None:
        """Have the Speaker say that this process is the node's speaker."""
        self._set_goal(Goal.REGISTERED)

    def say_goodbye(self, *, withdrew_everything: bool) -> None:
        """The last write. Only a speaker that withdrew everything says goodbye: releases do not wait for it then."""
        self._withdrew_everything = withdrew_everything
        self._set_goal(Goal.GOODBYE)

    def removed(self) -> None:
        """The registration may not count any more: no write but another registration."""
        if self._goal is Goal.STATUS:
            self._goal = Goal.NOTHING

    def _set_goal(self, goal: Goal) -> None:
        self._goal, self._must_look = goal, True
        self.attempts.forgive()
        self._is_for_goal = False

    # ---- requests ----

    def next_request(self, now: float) -> Request | None:
        """The request to make now. Its outcome is told by `found`, `wrote` or `failed`."""
        if not self.attempts.may_begin(now):
            return None
        self._is_for_goal = True
        match self._goal:
            case Goal.REGISTERED:
                self.attempts.request = self._registration()
            case Goal.GOODBYE:
                self.attempts.request = self._goodbye()
            case Goal.STATUS:
                self.attempts.request = self._status(now)
        return self.attempts.request

    def deadline(self) -> float | None:
        """When to ask for a request though nothing changed; None = no need."""
        if self.attempts.request is not None or self._goal in (Goal.NOTHING, Goal.SAID):
            return None
        if self._goal is not Goal.STATUS or self._must_look:
            return self.attempts.retry_at if self.attempts.have_failed else None
        return max(self.attempts.retry_at, self._next_routine) if self._fields.stale() else None

    def _registration(self) -> Request:
        """With all fields: what an earlier process said of itself is over."""
        if self._must_look or self._own is None:
            return Look(SPEAKER, creates=True)
        return self._write(self._own, {**self._fields.all(), "goodbye": False, "incarnation": self._incarnation})

    def _goodbye(self) -> Request:
        if self._must_look or self._own is None:
            return Look(SPEAKER)
        gone: Patch = {"goodbye": True} if self._withdrew_everything else {}
        return self._write(self._own, self._fields.stale() | gone)

    def _status(self, now: float) -> Request | None:
        if self._must_look or self._own is None:
            return Look(SPEAKER)
        if now < self._next_routine or not (stale := self._fields.stale()):
            return None
        self._next_routine = now + ROUTINE_SECONDS
        return self._write(self._own, stale)

    def _write(self, own: Own, status: Patch) -> Write:
        self._fields.sending(status)
        if "fencing" in status:
            self._promise.sending(promised_in(status))
        return Write(SPEAKER, own.uid, own.resource_version, status)

    # ---- outcomes ----

    def found(self, found: Found) -> str | None:
        """The Speaker object as it is. Returns why this registration may not count any more, None = it may.

        Raises SupersededError. Before the first registration of this process, every incarnation found is a
        predecessor's.
        """
        own = found.own
        self.attempts.succeeded()
        if not self._is_for_goal:
            return None
        is_anothers = own.incarnation not in ("", self._incarnation)
        if self._goal is Goal.GOODBYE and is_anothers:
            self._goal = Goal.SAID  # it is not ours to say
            return None
        if self._goal is Goal.STATUS and self._own is not None and own.uid != self._own.uid:
            self.removed()
            return "another one has its name"
        if self._has_ever_registered and is_anothers:
            raise SupersededError(f"incarnation {own.incarnation} has registered as speaker of this node")
        self._own, self._must_look = own, False
        return None

    def wrote(self, wrote: Wrote) -> bool:
        """The write was answered with success, and made this of the object. Whether it was the registration."""
        self.attempts.succeeded()
        status = wrote.request.status
        self._own = wrote.own
        if "fencing" in status:
            self._promise.confirmed(promised_in(status))
        if "incarnation" in status:
            self._fields.forget()
            self._has_ever_registered = True
            self._next_routine = float("-inf")  # that it serves is told at once: others give up what it takes over
        self._fields.confirm(status)
        return self._is_for_goal and self._has_come_to_its_goal()

    def _has_come_to_its_goal(self) -> bool:
        """A write was made for the present goal. Whether that was the registration."""
        is_registration = self._goal is Goal.REGISTERED
        if is_registration:
            self._goal = Goal.STATUS
        elif self._goal is Goal.GOODBYE:
            self._goal = Goal.SAID
        return is_registration

    def failed(self, failed: Failed, now: float) -> str | None:
        """It brought nothing, as far as is known: a write may have arrived all the same.

        Returns why this registration may not count any more, None = it may.
        """
        failure = failed.failure
        self._next_routine = float("-inf")  # the next attempt waits for nothing but `retry_at`
        if isinstance(failed.request, Write) and failure is Failure.REFUSED:
            self._refused(failed, failed.request.status, now)
        if not self._is_for_goal:
            self.attempts.succeeded()
            return None
        if self._goal is Goal.STATUS and failure is Failure.GONE:
            self.attempts.succeeded()
            self.removed()
            return "it is gone"
        if self._goal is Goal.GOODBYE and failure is Failure.GONE:
            self.attempts.succeeded()
            self._goal = Goal.SAID
            return None
        self._must_look = self._must_look or self._goal is not Goal.STATUS or failure is Failure.CONFLICT
        if self._goal is Goal.STATUS and failure is Failure.CONFLICT:
            self.attempts.request = None
        else:
            self.attempts.failed(failed, now)
        return None

    def _refused(self, failed: Failed, status: Patch, now: float) -> None:
        """Leave out what the API server names, or the largest part."""
        self._refusals.note("Speaker", failed.causes, failed.error, now)
        parts = named_parts(failed.causes, status)
        for field, _, number in parts:
            if field not in INDISPENSABLE:
                self._fields.refuse(field, status[field] if number is None else status[field][number])
        largest = None if parts else largest_field(status, INDISPENSABLE | BINDING)
        if largest is not None:
            self._fields.refuse(largest, status[largest])


def promised_in(status: Patch) -> frozenset[str] | None:
    """The witnesses of the promise in this patch or status; None = it makes no promise."""
    fencing: dict[str, Any] | None = status.get("fencing")
    return frozenset(fencing["witnesses"]) if fencing and fencing["promised"] else None
