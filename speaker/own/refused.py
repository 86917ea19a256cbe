"""Which part of a write the API server refuses, and what is left out because of it. Pure.

A write that is refused is refused whole: one field that the API server does not know or take would keep all others
from being written. So the part that it names is left out (Status.details.causes, API conventions), or the largest part
where it names none. A condition of the report says what.
"""

import re
from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

import msgspec

from speaker.own.requests import Patch

MOST_TOLD = 5
FORGIVEN_AFTER_SECONDS = 600.0
"""Then all is tried again: the definitions may be newer by then."""

_FIELD = re.compile(r"status\.([A-Za-z0-9]+)(.*)", re.DOTALL)
_INDEX = re.compile(r"\[([0-9]{1,6})\]")


class Part(NamedTuple):
    """A field of a status, or one entry of it. `number`: in a list. `key`: in a map."""

    field: str
    key: str | None = None
    number: int | None = None


def named_parts(fields: Iterable[str], status: Patch) -> set[Part]:
    """What of this patch the API server speaks of. Fields are named as "status.interfaces[1].mac"."""
    found = (_named_part(field, status) for field in fields)
    return {part for part in found if part is not None}


def _named_part(text: str, status: Patch) -> Part | None:
    match = _FIELD.fullmatch(text)
    if match is None or match[1] not in status:
        return None
    field, rest, value = match[1], match[2], status[match[1]]
    if isinstance(value, list) and (index := _INDEX.match(rest)) and int(index[1]) < len(value):
        return Part(field, number=int(index[1]))
    if isinstance(value, dict):
        keys = [key for key in value if rest.startswith((f".{key}", f"[{key}]"))]
        return Part(field, key=max(keys, key=len)) if keys else Part(field)
    return Part(field)


def largest_field(status: Patch, but: Set[str]) -> str | None:
    """The field that takes the most bytes, of those that may be left out."""
    sizes = {name: len(msgspec.json.encode(value)) for name, value in status.items() if name not in but and value}
    return max(sorted(sizes), key=sizes.__getitem__, default=None)


class Refusals:
    """What the API server refused of all objects, for people. `now`: monotonic seconds."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}
        self._since = float("inf")

    def note(self, what: str, causes: Mapping[str, str], error: str, now: float) -> None:
        """`what`: the object's kind. `causes`: by field; `error` is told when none is named."""
        self._since = min(self._since, now)
        told = {f"{what} {field}": why for field, why in causes.items()} or {what: error}
        self._told |= {where: why[:300] for where, why in told.items()}

    def told(self) -> list[str]:
        """A few of them, as parts of a sentence."""
        every = [f"{where}: {why}" for where, why in sorted(self._told.items())]
        return every[:MOST_TOLD] + ["and more"] * (len(every) > MOST_TOLD)

    def take_forgiven(self, now: float) -> bool:
        """Whether it is time to try all of it again, once."""
        if now < self._since + FORGIVEN_AFTER_SECONDS:
            return False
        self._told, self._since = {}, float("inf")
        return True
