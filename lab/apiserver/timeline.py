"""When the server took a request in and answered it, and when it wrote to a watch: the last of them, for benchmarks.

Decides nothing and reads no clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from lab.apiserver.faults import Request

Json = dict[str, Any]
KEPT = 4000
"""Moments; what is older is forgotten."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One request, or one chunk of events that went to a watch. `at`, `until`: when it came or was written, and when it
    was answered (Unix time); of a chunk the same twice. `verb`: as RBAC names it; of a chunk `event`. `name`: of a
    chunk "". `who`: the address that the client connects from."""

    at: float
    until: float
    verb: str
    resource: str
    name: str
    agent: str
    who: str


class Timeline:
    """The last moments, in the order of their ends."""

    def __init__(self) -> None:
        self._kept: deque[Moment] = deque(maxlen=KEPT)

    def answered(self, request: Request, who: str, came: float, now: float) -> None:
        """A request came then, and is answered now."""
        resource = request.resource_names[-1]
        self._kept.append(Moment(came, now, request.verb, resource, request.name, request.agent, who))

    def written(self, resource: str, agent: str, who: str, now: float) -> None:
        """Events go to a watch now."""
        self._kept.append(Moment(now, now, "event", resource, "", agent, who))

    def rows(self) -> list[Json]:
        """As /lab/timeline shows them."""
        return [asdict(one) for one in self._kept]

    def reset(self) -> None:
        """Begin anew."""
        self._kept.clear()
