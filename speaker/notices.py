"""What is worth a line in the log or a count in the metrics, as values: the pure parts say it, a shell writes it."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Level = Literal["debug", "info", "warning", "error"]


class Line(NamedTuple):
    """A line of the log: a constant sentence, and what it is about by name."""

    level: Level
    event: str
    fields: Mapping[str, Any]


class Count(NamedTuple):
    """Something to count: a method of speaker.io.metrics.SpeakerMetrics by name, and its arguments."""

    what: str
    arguments: tuple[Any, ...]


class Notices:
    """Collected in order, until `take`."""

    def __init__(self) -> None:
        self._notices: list[Line | Count] = []

    def say(self, level: Level, event: str, **fields: Any) -> None:
        self._notices.append(Line(level, event, fields))

    def count(self, what: str, *arguments: Any) -> None:
        self._notices.append(Count(what, arguments))

    def take(self) -> list[Line | Count]:
        """All since this was last called."""
        taken, self._notices = self._notices, []
        return taken
