"""How the server misbehaves when told to: late answers, error answers, cut clients.

Decides only; the HTTP side sleeps, answers or resets accordingly. Dropped watches, lost history, freeze and restart are
commands of the server itself (server.py), offered over HTTP beside these at /lab/faults.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from lab.apiserver.status import StatusError

Json = dict[str, Any]

_REASONS = {
    400: ("BadRequest", "injected fault"),
    401: ("Unauthorized", "Unauthorized"),
    403: ("Forbidden", "injected fault"),
    404: ("NotFound", "injected fault"),
    409: ("Conflict", "Operation cannot be fulfilled: the object has been modified; please try again"),
    410: ("Expired", "the provided resource version is too old"),
    422: ("Invalid", "injected fault"),
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "Internal error occurred: injected fault"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}


class Cut(StrEnum):
    """How a client is cut off."""

    HANG = "hang"  # requests get no answer, watches fall silent
    RESET = "reset"  # connections are closed at once


@dataclass(slots=True, kw_only=True)
class Fault:
    """What happens to which requests. An empty criterion matches every request; `resource` is `services`,
    `services/status` or, with its group, `ippools.berth.dev`; `user` is a user's name, `agent` what the User-Agent
    begins with, `method` an HTTP method or verb.
    """

    method: str = ""
    resource: str = ""
    user: str = ""
    agent: str = ""
    namespace: str = ""
    name: str = ""
    code: int = 0  # 0: no error answer
    retry_after_seconds: int | None = None
    latency_seconds: float = 0.0
    after_commit: bool = False  # the write happens, and then the client gets the error
    count: int | None = None  # how often still; None: until removed
    probability: float = 1.0
    id: int = 0

    def error(self) -> StatusError | None:
        """The error answer; None for a fault that only delays."""
        if not self.code:
            return None
        reason, message = _REASONS.get(self.code, ("InternalError", "injected fault"))
        after = self.retry_after_seconds if self.retry_after_seconds is not None else (1 if self.code == 429 else None)
        details = None if after is None else {"retryAfterSeconds": after}
        return StatusError(self.code, reason, message, details, retry_after_seconds=after)


@dataclass(frozen=True, slots=True)
class Request:
    """What faults and counters look at."""

    method: str
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: str = ""
    agent: str = ""

    @property
    def resource_names(self) -> tuple[str, ...]:
        """The names by which a fault may mean the resource: without its group, and with it."""
        plain = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        if not self.group:
            return (plain,)
        full = f"{self.resource}.{self.group}"
        return (plain, f"{full}/{self.subresource}" if self.subresource else full)


class Faults:
    """The faults and cuts in force."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._faults: list[Fault] = []
        self._next = 1
        self._cut: dict[str, Cut] = {}

    def add(self, fault: Fault | None = None, /, **fields: Any) -> Fault:
        """`faults.add(method="patch", resource="services/status", code=409, count=3)`."""
        fault = fault or Fault(**fields)
        fault.id = self._next
        self._next += 1
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault | int) -> None:
        """End one fault, by itself or its number; one that is not in force is ignored."""
        number = fault if isinstance(fault, int) else fault.id
        self._faults = [one for one in self._faults if one.id != number]

    def clear(self) -> None:
        """Heal everything."""
        self._faults.clear()
        self._cut.clear()

    def all(self) -> list[Fault]:
        """The faults in force, in the order in which they were added."""
        return list(self._faults)

    def cut(self, who: str, how: Cut = Cut.HANG) -> None:
        """Cut off a client: a user's name, or the address that its connections come from."""
        self._cut[who] = how

    def mend(self, who: str) -> None:
        """Let a client back; one that is not cut off is ignored."""
        self._cut.pop(who, None)

    def cut_off(self, *who: str) -> Cut | None:
        """How one of these (a user, an address) is cut off; None if none of them is."""
        return next((self._cut[one] for one in who if one in self._cut), None) if self._cut else None

    def cuts(self) -> dict[str, Cut]:
        """Clients that are cut off, and how."""
        return dict(self._cut)

    def matching(self, request: Request) -> list[Fault]:
        """The faults that strike this request; counts them down."""
        if not self._faults:
            return []
        struck = [
            fault for fault in self._faults if _matches(fault, request) and self._rng.random() < fault.probability
        ]
        for fault in struck:
            if fault.count is not None:
                fault.count -= 1
        self._faults = [fault for fault in self._faults if fault.count is None or fault.count > 0]
        return struck


def _matches(fault: Fault, request: Request) -> bool:
    return (
        (not fault.method or fault.method.lower() in (request.method.lower(), request.verb))
        and (not fault.resource or fault.resource in request.resource_names)
        and fault.user in ("", request.user)
        and request.agent.startswith(fault.agent)
        and fault.namespace in ("", request.namespace)
        and fault.name in ("", request.name)
    )


class RequestCounters:
    """How many requests of which kind came from whom, and how they were answered."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str, int]] = Counter()
        self._bodies: dict[tuple[str, str, str], Bodies] = {}
        self._watched: Counter[tuple[str, str]] = Counter()

    def count(self, request: Request, code: int, body_bytes: int = 0) -> None:
        """Count a request that was answered with `code`."""
        self._counts[request.verb, request.resource_names[-1], request.user, code] += 1
        key = (request.verb, request.resource_names[-1], request.agent)
        self._bodies.setdefault(key, Bodies()).add(body_bytes)

    def count_watched(self, resource: str, agent: str, sent_bytes: int) -> None:
        """Count what was sent to a watch. `resource` as in the table, `agent`: the client's User-Agent."""
        self._watched[resource, agent] += sent_bytes

    def total(self, *, verb: str = "", resource: str = "", user: str = "", code: int = 0) -> int:
        """`resource` as in the table: `services/status`, `ippools.berth.dev`."""
        return sum(
            number
            for (one_verb, one_resource, one_user, one_code), number in self._counts.items()
            if verb in ("", one_verb)
            and resource in ("", one_resource)
            and user in ("", one_user)
            and code in (0, one_code)
        )

    def rows(self) -> list[Json]:
        """All counts, sorted, as /lab/counters shows them."""
        return [
            {"verb": verb, "resource": resource, "user": user, "code": code, "count": number}
            for (verb, resource, user, code), number in sorted(self._counts.items())
        ]

    def traffic(self) -> Json:
        """Bodies of requests, by verb, resource and User-Agent, and what was sent to watches, as bytes."""
        return {
            "requests": [
                {"verb": verb, "resource": resource, "agent": agent, **asdict(bodies)}
                for (verb, resource, agent), bodies in sorted(self._bodies.items())
            ],
            "watches": [
                {"resource": resource, "agent": agent, "bytes": number}
                for (resource, agent), number in sorted(self._watched.items())
            ],
        }

    def reset(self) -> None:
        """Begin anew."""
        self._counts.clear()
        self._bodies.clear()
        self._watched.clear()


@dataclass(slots=True)
class Bodies:
    """Of requests of one kind: how many, and their bytes."""

    count: int = 0
    bytes: int = 0
    largest: int = 0

    def add(self, size: int) -> None:
        """One more request."""
        self.count += 1
        self.bytes += size
        self.largest = max(self.largest, size)
