"""The writes of the own Speaker object, one after the other: registration, status, goodbye. Pure.

    register --> Look --Found--> Write(registration) --Wrote--> registered
    status   --> Write(what differs) --Wrote-->                   again when something differs, as its kind allows
    goodbye  --> Look --Found--> Write(goodbye) --Wrote--> said

Every write names the uid and the resourceVersion that this speaker knows. So no write of a process that was replaced
can count as the word of its successor: an old confirmation of a release would be a lie about what that one announces.
A request that failed is made again, from the present state: nothing is lost but time.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from kube.backoff import Backoff
from speaker.fencing import Promise
from speaker.own.predecessor import LastWord
from speaker.own.status import Draft, Patch, StatusDraft

COALESCE_SECONDS = 0.02
"""Releases mostly come in bursts; those that are confirmed within this time share a write."""
ROUTINE_SECONDS = 0.25
"""Announcements, interfaces and conditions are written at most this often, ..."""
ROUTINE_SECONDS_PER_ENTRY = 0.0002
"""... and less often as the object grows, since each write sends the whole object to every watcher: 1 s more at
5,000."""
ENTRIES_PER_WRITE = 2000
"""Bounds one request to about 200 KB."""
RETRY = Backoff(base_seconds=0.1, cap_seconds=5.0)


class SupersededError(Exception):
    """Another process has registered as the speaker of this node. This process must end."""


@dataclass(frozen=True)
class Look:
    """Read the own Speaker. `creates`: read the own Node first, and make the Speaker, owned by the Node, when there is
    none."""

    creates: bool


@dataclass(frozen=True)
class Write:
    """A merge patch of the Speaker's status subresource."""

    uid: str
    resource_version: str
    status: Patch


Request = Look | Write


@dataclass(frozen=True)
class Own:
    """The Speaker object as the API server has it. `last_word`: what the process that wrote it left with routers."""

    uid: str
    resource_version: str
    incarnation: str = ""
    last_word: LastWord = field(default_factory=LastWord)


class Failure(Enum):
    """Why a request brought nothing."""

    GONE = "Gone"
    """There is no such object."""
    CONFLICT = "Conflict"
    """It is another one, or another version, than the one that we know."""
    OTHER = "Other"
    """It was refused, or never answered."""


class Found(NamedTuple):
    """The own Speaker, as asked for (Look). `node_uid`: of the own Node, "" when it was not read."""

    own: Own
    node_uid: str = ""


class Wrote(NamedTuple):
    """The Speaker was written as asked for (Write)."""

    own: Own


class Failed(NamedTuple):
    """A request about the own Speaker brought nothing. `randomness`: 0 to 1, for the time until the next one."""

    failure: Failure
    error: str
    randomness: float = 0.5
    retry_after_seconds: float = 0.0


Outcome = Found | Wrote | Failed


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

    def __init__(self, incarnation: str, draft: StatusDraft, promise: Promise) -> None:
        self._incarnation = incarnation
        self._draft = draft
        self._promise = promise
        self._own: Own | None = None
        self._goal = Goal.NOTHING
        self._must_look = True
        self._has_ever_registered = False
        self._in_flight: Request | None = None
        self._is_for_goal = True
        """Whether what is under way was asked for since the goal is what it is."""
        self._sent: Draft | None = None
        self._withdrew_everything = False
        self._failures = 0
        self._retry_at = float("-inf")
        self._urgent_since: float | None = None
        self._next_routine = float("-inf")

    @property
    def goal(self) -> Goal:
        return self._goal

    @property
    def has_ever_registered(self) -> bool:
        return self._has_ever_registered

    def register(self) -> None:
        """Have the Speaker say that this process is the node's speaker, and nothing that an earlier one said."""
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
        self._goal, self._must_look, self._failures, self._retry_at = goal, True, 0, float("-inf")
        self._is_for_goal = False

    # ---- requests ----

    def next_request(self, now: float) -> Request | None:
        """The request to make now. Its outcome is told by `found`, `wrote` or `failed`."""
        if self._in_flight is not None or now < self._retry_at:
            return None
        self._is_for_goal = True
        match self._goal:
            case Goal.REGISTERED:
                self._in_flight = self._registration()
            case Goal.GOODBYE:
                self._in_flight = self._goodbye()
            case Goal.STATUS:
                self._in_flight = self._status(now)
        return self._in_flight

    def deadline(self) -> float | None:
        """When to ask for a request though nothing changed; None = no need."""
        if self._in_flight is not None or self._goal in (Goal.NOTHING, Goal.SAID):
            return None
        if self._goal is not Goal.STATUS or self._must_look:
            return self._retry_at if self._failures else None
        return None if not self._draft.is_stale else max(self._retry_at, self._status_due())

    def _status_due(self) -> float:
        if self._urgent_since is not None:
            return self._urgent_since + COALESCE_SECONDS
        return float("-inf") if self._draft.is_urgent else self._next_routine

    def _registration(self) -> Request:
        if self._must_look or self._own is None:
            return Look(creates=True)
        return self._write(self._own, self._draft.registration(self._incarnation))

    def _goodbye(self) -> Request:
        if self._must_look or self._own is None:
            return Look(creates=False)
        self._sent = self._draft.next(only_urgent=False, limit=ENTRIES_PER_WRITE)
        gone: Patch = {"announcements": None, "goodbye": True} if self._withdrew_everything else {}
        return self._write(self._own, self._sent.body() | gone)

    def _status(self, now: float) -> Request | None:
        if self._must_look or self._own is None:
            return Look(creates=False)
        if not self._draft.is_stale:
            self._urgent_since = None
            return None
        if self._draft.is_urgent and self._urgent_since is None:
            self._urgent_since = now
        is_urgent = self._urgent_since is not None and now >= self._urgent_since + COALESCE_SECONDS
        if not is_urgent and (self._urgent_since is not None or now < self._next_routine):
            return None
        only_urgent = self._urgent_since is not None and self._urgent_since < self._next_routine
        self._urgent_since = None
        draft = self._draft.next(only_urgent=only_urgent, limit=ENTRIES_PER_WRITE)
        if draft.is_empty:
            return None
        if not only_urgent:
            entries = len(self._draft.announcements) + len(self._draft.released)
            self._next_routine = now + ROUTINE_SECONDS + entries * ROUTINE_SECONDS_PER_ENTRY
        self._sent = draft
        return self._write(self._own, draft.body())

    def _write(self, own: Own, status: Patch) -> Write:
        if "fencing" in status:
            self._promise.sending(promised_in(status))
        return Write(own.uid, own.resource_version, status)

    # ---- outcomes ----

    def found(self, own: Own) -> str | None:
        """The Speaker object as it is. Returns why this registration may not count any more, None = it may.

        Raises SupersededError. Before the first registration of this process, every incarnation found is a
        predecessor's.
        """
        self._end_request()
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

    def wrote(self, own: Own) -> bool:
        """The write was answered with success; `own` is what it made of the object. Whether it was the registration."""
        written = self._in_flight
        self._end_request()
        if not isinstance(written, Write):
            return False
        self._own = own
        if "fencing" in written.status:
            self._promise.confirmed(promised_in(written.status))
        if self._sent is not None:
            self._draft.confirm(self._sent)
            self._sent = None
        if "incarnation" in written.status:
            self._draft.registered(written.status)
            self._has_ever_registered = True
            self._next_routine = float("-inf")  # that it serves is told at once: others give up what it takes over
        return self._is_for_goal and self._has_come_to_its_goal()

    def _has_come_to_its_goal(self) -> bool:
        """A write was made for the present goal. Whether that was the registration."""
        is_registration = self._goal is Goal.REGISTERED
        if is_registration:
            self._goal = Goal.STATUS
        elif self._goal is Goal.GOODBYE:
            self._goal = Goal.SAID
        return is_registration

    def failed(
        self, failure: Failure, now: float, *, randomness: float, retry_after_seconds: float = 0.0
    ) -> str | None:
        """It brought nothing, as far as is known: a write may have arrived all the same.

        Returns why this registration may not count any more, None = it may. `randomness`: 0 to 1.
        """
        self._in_flight = self._sent = None
        self._next_routine = float("-inf")  # the next attempt waits for nothing but `_retry_at`
        if not self._is_for_goal:
            return None
        if self._goal is Goal.STATUS and failure is Failure.GONE:
            self.removed()
            return "it is gone"
        if self._goal is Goal.GOODBYE and failure is Failure.GONE:
            self._goal = Goal.SAID
            return None
        self._must_look = self._must_look or self._goal is not Goal.STATUS or failure is Failure.CONFLICT
        if not (self._goal is Goal.STATUS and failure is Failure.CONFLICT):
            self._retry_at = now + max(RETRY.delay_seconds(self._failures, randomness), retry_after_seconds)
            self._failures += 1
        return None

    def _end_request(self) -> None:
        self._in_flight, self._failures, self._retry_at = None, 0, float("-inf")


def promised_in(status: Patch) -> frozenset[str] | None:
    """The witnesses of the promise in this patch or status; None = it makes no promise."""
    fencing: dict[str, Any] | None = status.get("fencing")
    return frozenset(fencing["witnesses"]) if fencing and fencing["promised"] else None
