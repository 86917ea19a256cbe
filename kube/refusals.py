"""Which kinds of writes the API server refuses altogether: a program that can't make them does not do its work. Pure.

Kinds by verb and resource, such as `patch services/status`. One that an admission policy refuses for one object is not
refused altogether: that is the business of who asked for the object, and must not make a program look unable.
"""

from dataclasses import dataclass, field

from crds.wording import listed
from kube.errors import ApiError, Forbidden, Invalid, Unauthorized, is_precondition_failure

LASTS_SECONDS = 10.0
"""For how long, at least: a right that is granted anew may take a moment."""
OBJECTS = 3
"""How many objects a policy must have refused before that is called altogether."""
FORGOTTEN_SECONDS = 300.0
"""Nobody tries any more: nothing is known. Whoever is refused tries again within a minute or two."""
NAMED = 3
MOST_CHARACTERS = 200
"""Of the API server's words, which may be long."""


@dataclass
class _Refused:
    since: float
    last: float = 0.0
    objects: set[str] = field(default_factory=set)
    is_right_missing: bool = False
    why: str = ""


@dataclass
class Refusals:
    """`now`: monotonic seconds. `kind`: as in "patch services/status"."""

    _refused: dict[str, _Refused] = field(default_factory=dict)

    def accepted(self, kind: str) -> None:
        """A write of this kind was made."""
        self._refused.pop(kind, None)

    def refused(self, kind: str, path: str, error: ApiError, now: float) -> None:
        """It was not. `path`: of the object. What is no refusal, such as an outage, is passed over."""
        if not isinstance(error, Unauthorized | Forbidden | Invalid) or is_precondition_failure(error):
            return
        one = self._refused.setdefault(kind, _Refused(now))
        one.last, one.why = now, error.message[:MOST_CHARACTERS]
        one.is_right_missing = (
            isinstance(error, Unauthorized) or f" cannot {kind.partition(' ')[0]} resource " in error.message
        )
        if len(one.objects) < OBJECTS:
            one.objects.add(path)

    def told(self, now: float) -> str:
        """What is refused, and in which words; empty where nothing is refused altogether."""
        altogether = {
            kind: one
            for kind, one in sorted(self._refused.items())
            if one.last - one.since >= LASTS_SECONDS and now - one.last < FORGOTTEN_SECONDS
            if one.is_right_missing or len(one.objects) >= OBJECTS
        }
        if not altogether:
            return ""
        first = next(iter(altogether.values()))
        return f"the API server refuses to {listed(list(altogether), NAMED)}: {first.why}"
