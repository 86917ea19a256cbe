"""What `pods/log` answers: of which container, and which of the lines that it wrote. Pure; http/podlogs.py reads them.

A kubelet stamps each line as it comes. Here a line's own time counts, with which the lines of Berth's programs begin,
and a line without one has that of the line before it, or else counts as of now.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from lab.apiserver.fielderrors import FieldError, forbidden, invalid
from lab.apiserver.status import StatusError, bad_request
from lab.apiserver.status import invalid as invalid_object

Json = dict[str, Any]
_TIME = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:Z|\+00:00)?")
_LEAST = {"tailLines": 0, "limitBytes": 1, "sinceSeconds": 1}
"""The smallest values that an API server takes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`tail`: so many lines, the last ones; `limit`: so many bytes; `since`: no older lines. None = all."""

    container: str
    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    limit: int | None = None
    since: datetime | None = None


def wanted(pod: Json, query: Mapping[str, str], now: datetime) -> Wanted:
    """Raises StatusError as kube-apiserver and kubelet do: nothing of the lab's has run before, so nothing previous."""
    name = pod["metadata"]["name"]
    numbers = _numbers(name, query)
    container = _container(pod, query.get("container", ""))
    if query.get("previous") in ("true", "1"):
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    seconds = numbers["sinceSeconds"]
    since = now - timedelta(seconds=seconds) if seconds is not None else _since(query.get("sinceTime", ""))
    return Wanted(
        container,
        query.get("follow") in ("true", "1"),
        query.get("timestamps") in ("true", "1"),
        numbers["tailLines"],
        numbers["limitBytes"],
        since,
    )


def waits_to_start(pod: Json, container: str) -> StatusError:
    """The answer for one that has written nothing, since it never ran."""
    name = pod["metadata"]["name"]
    return bad_request(f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')


class Lines:
    """Chooses among whole lines, newlines included, as they come."""

    def __init__(self, asked: Wanted, now: datetime) -> None:
        self._asked = asked
        self._time = now.replace(tzinfo=None).isoformat().encode() + b"Z"
        """Of the line before."""
        self._left = asked.limit

    def first(self, lines: Iterable[bytes]) -> bytes:
        """Those that are there already."""
        chosen = list(self._since(lines))
        tail = self._asked.tail
        return self._limited(b"".join(chosen if tail is None else chosen[len(chosen) - min(tail, len(chosen)) :]))

    def more(self, lines: Iterable[bytes]) -> bytes:
        """Those that came after."""
        return self._limited(b"".join(self._since(lines)))

    @property
    def is_full(self) -> bool:
        """As many bytes were given as were asked for."""
        return self._left == 0

    def _since(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        since = self._asked.since
        for line in lines:
            if found := _TIME.match(line):
                self._time = b"%sT%s%sZ" % (found[1], found[2], found[3] or b"")
            if since is None or _read(self._time) >= since:
                yield self._time + b" " + line if self._asked.timestamps else line

    def _limited(self, text: bytes) -> bytes:
        if self._left is None:
            return text
        text = text[: self._left]
        self._left -= len(text)
        return text


def _read(stamp: bytes) -> datetime:
    return datetime.fromisoformat(stamp.decode())


def _numbers(pod: str, query: Mapping[str, str]) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    errors: list[FieldError] = []
    for name, least in _LEAST.items():
        text = query.get(name, "")
        if text and not re.fullmatch(r"-?\d{1,18}", text):
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        found[name] = int(text) if text else None
        if text and int(text) < least:
            bound = "must be greater than or equal to 0" if least == 0 else "must be greater than 0"
            errors.append(invalid(name, int(text), bound))
    if query.get("sinceSeconds") and query.get("sinceTime"):
        errors.append(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if errors:
        raise invalid_object("", "PodLogOptions", pod, errors)
    return found


def _container(pod: Json, named: str) -> str:
    names = [one["name"] for one in (pod.get("spec") or {}).get("containers") or ()]
    name = pod["metadata"]["name"]
    if named:
        if named not in names:
            raise bad_request(f"container {named} is not valid for pod {name}")
        return named
    if len(names) != 1:
        choice = f", choose one of: [{' '.join(names)}]" if names else ""
        raise bad_request(f"a container name must be specified for pod {name}{choice}")
    return str(names[0])


def _since(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        found = None
    if text and (found is None or found.tzinfo is None):
        raise bad_request(f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{text}"')
    return found
