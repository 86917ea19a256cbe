"""What an explanation consists of: what is wrong, the true cause first, what else is remarkable, and each step."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

MOST_ROWS = 40
"""In one section; more are counted."""


class Finding(NamedTuple):
    """`reason`: one CamelCase word, mostly a condition's; `message`: what is wrong, and what to do."""

    reason: str
    message: str


class Row(NamedTuple):
    """One pool, advertisement or node. `holds`: whether it does its part; None = it is not asked to."""

    holds: bool | None
    name: str
    text: str


@dataclass
class Explanation:
    """`what`: as svc/default/web. `summary`: what is so. `causes`: what keeps it from working; empty when it works.
    `notes`: what is wrong besides, and cuts no traffic now. `sections`: step by step, by title."""

    what: str
    summary: str = ""
    causes: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    sections: dict[str, list[Row]] = field(default_factory=dict)

    def blame(self, reason: object, message: str, *, first: bool = False) -> None:
        """Say it once."""
        one = Finding(str(reason), message)
        if one not in self.causes:
            self.causes.insert(0 if first else len(self.causes), one)

    def note(self, reason: object, message: str) -> None:
        """The same of what is wrong besides."""
        one = Finding(str(reason), message)
        if one not in self.notes and one not in self.causes:
            self.notes.append(one)

    def row(self, section: str, holds: bool | None, name: str, text: str) -> None:
        """One more line of a section."""
        self.sections.setdefault(section, []).append(Row(holds, name, text))

    def to_wire(self) -> dict[str, Any]:
        """For --output json and yaml."""
        return {
            "what": self.what,
            "works": not self.causes,
            "summary": self.summary,
            "causes": [one._asdict() for one in self.causes],
            "notes": [one._asdict() for one in self.notes],
            "steps": {title: [one._asdict() for one in rows] for title, rows in self.sections.items()},
        }
