"""Requests about the objects that a node's speaker writes of itself, and what may come of them. Values only.

The three objects have a writer each (speaker.own.writer, confirming, reporting), and each writer has one request under
way at a time. Every outcome carries its request, so that it finds the writer that asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from kube.backoff import Backoff
from kube.objects import NodeSystemInfo
from speaker.own.predecessor import LastWord

Patch = dict[str, Any]

RETRY = Backoff(base_seconds=0.1, cap_seconds=5.0)


class Kind(Enum):
    """What an object is for."""

    SPEAKER = "Speaker"
    CONFIRMATION = "ReleaseConfirmation"
    REPORT = "SpeakerReport"


@dataclass(frozen=True)
class Target:
    """One object of the own node. `number`: which slice of the report."""

    kind: Kind
    number: int = 0


SPEAKER = Target(Kind.SPEAKER)
CONFIRMATION = Target(Kind.CONFIRMATION)


@dataclass(frozen=True)
class Look:
    """Read it. `creates`: make it when there is none, owned by the Node of the uid `owner`; without an `owner` the own
    Node is read before."""

    target: Target
    creates: bool = False
    owner: str = ""


@dataclass(frozen=True)
class Write:
    """A merge patch (RFC 7386) of its status subresource, for this version of this object and no other."""

    target: Target
    uid: str
    resource_version: str
    status: Patch


@dataclass(frozen=True)
class Delete:
    """Delete it, if it is still this object."""

    target: Target
    uid: str


Request = Look | Write | Delete


@dataclass(frozen=True)
class Own:
    """An object as the API server has it. `names`: of the fields of its status. `keys`: of its one map (confirmed
    releases, announcements). `last_word`: what the process that wrote a Speaker left."""

    uid: str
    resource_version: str
    incarnation: str = ""
    keys: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    last_word: LastWord = field(default_factory=LastWord)


class Failure(Enum):
    """Why a request brought nothing."""

    GONE = "Gone"
    """There is no such object."""
    CONFLICT = "Conflict"
    """It is another one, or another version, than the one that we know."""
    REFUSED = "Refused"
    """The API server will never take it as it is: it is invalid, or too large."""
    OTHER = "Other"
    """Something else, or no answer at all: a write may have arrived all the same."""


class Found(NamedTuple):
    """The object, as asked for (Look). `node_uid`: of the own Node, "" when it was not read. `node_info`: what that
    says of its machine."""

    request: Look
    own: Own
    node_uid: str = ""
    node_info: NodeSystemInfo = NodeSystemInfo()


class Wrote(NamedTuple):
    """It was written as asked for (Write)."""

    request: Write
    own: Own


class Deleted(NamedTuple):
    """It is gone, as asked for (Delete)."""

    request: Delete


class Failed(NamedTuple):
    """It brought nothing. `randomness`: 0 to 1, for the time until the next one. `causes`: what is wrong with which
    field, as the API server names it (details.causes); a cause without a name is left out."""

    request: Request
    failure: Failure
    error: str
    randomness: float = 0.5
    retry_after_seconds: float = 0.0
    causes: Mapping[str, str] = {}


Outcome = Found | Wrote | Deleted | Failed


class Attempts:
    """The one request that is under way, and when the next one may be made. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.retry_at = float("-inf")
        self._failures = 0

    @property
    def have_failed(self) -> bool:
        """Whether the last one brought nothing."""
        return self._failures > 0

    def may_begin(self, now: float) -> bool:
        """Whether nothing is under way, and the last failure is long enough ago."""
        return self.request is None and now >= self.retry_at

    def succeeded(self) -> None:
        """What was under way was answered as asked for."""
        self.request = None
        self.forgive()

    def failed(self, how: Failed, now: float) -> None:
        """It brought nothing: each time the next one waits for longer."""
        self.request = None
        self.retry_at = now + max(RETRY.delay_seconds(self._failures, how.randomness), how.retry_after_seconds)
        self._failures += 1

    def forgive(self) -> None:
        """The next one waits for no failure before it."""
        self.retry_at, self._failures = float("-inf"), 0
