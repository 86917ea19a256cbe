"""What a conversion makes, what it refuses, and how it reads an object of somebody else's. Pure.

No object of theirs can stop a conversion: a field of the wrong type, or one that is not known, is a fault of its object
with a reason, and the others go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]
MOST_SHOWN = 120
"""Characters of a foreign text that a reason repeats."""


@dataclass(frozen=True, slots=True)
class Made:
    """One object of ours. `spec`: as it is written to a file. `source`: what it comes from. `notes`: what to know."""

    kind: str
    name: str
    spec: Body
    source: str
    notes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> Body:
        """As the API takes it."""
        metadata: Body = {"name": self.name}
        if self.labels:
            metadata["labels"] = dict(self.labels)
        return {"apiVersion": "berth.dev/v1beta1", "kind": self.kind, "metadata": metadata, "spec": self.spec}


@dataclass(frozen=True, slots=True)
class Refused:
    """What has no equivalent: the object, as IPAddressPool metallb-system/edge, and why."""

    about: str
    reason: str

    def __str__(self) -> str:
        return f"{self.about}: {self.reason}"


PASSWORDS = "berth-bgp"
"""The Secret in Berth's namespace that speakers may read unless the chart's `speaker.bgp.passwordSecrets` says more."""
PASSWORD_KEY = "password"
"""Of MetalLB's Secrets (kubernetes.io/basic-auth)."""


@dataclass(frozen=True, slots=True)
class Password:
    """A peer's password: it is in that Secret (namespace and name), or, where that is None, in the peer's own spec.
    In PASSWORDS it has the peer's name for a key."""

    peer: str
    secret: tuple[str, str] | None


@dataclass
class Converted:
    """All of one conversion, in the order in which it is to be applied."""

    made: list[Made] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    passwords: list[Password] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Fields:
    """A mapping that is read field by field; what is wrong with it is collected, and what was not read is wrong."""

    def __init__(self, given: object, where: str = "spec") -> None:
        self._left: Body = {str(key): value for key, value in given.items()} if isinstance(given, dict) else {}
        self._where = where
        self.faults: list[str] = []
        self.notes: list[str] = []
        if given is not None and not isinstance(given, dict):
            self.refuse(f"{where} is no mapping")

    def refuse(self, reason: str) -> None:
        """Of the object as a whole."""
        if reason not in self.faults:
            self.faults.append(reason)

    def note(self, text: str) -> None:
        """Something that whoever applies the outcome should know."""
        self.notes.append(text)

    def has(self, name: str) -> bool:
        """Whether it is there, and says something."""
        return self._left.get(name) not in (None, "", [], {})

    def text(self, name: str) -> str:
        """Empty where it is not there."""
        return str(self._take(name, str, ""))

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        return bool(self._take(name, bool, default))

    def number(self, name: str) -> int | None:
        """A whole number; None where it is not there."""
        found = self._take(name, int, None)
        if isinstance(found, bool):
            self.refuse(f"{self._where}.{name} is no number")
            return None
        return found if isinstance(found, int) else None

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [str(one) for one in self._items(name, str)]

    def mappings(self, name: str) -> list[Body]:
        """A list of mappings."""
        return [one for one in self._items(name, dict) if isinstance(one, dict)]

    def below(self, name: str) -> "Fields":
        """Of a mapping in it; its faults are to be taken over by `merge`."""
        return Fields(self._left.pop(name, None), f"{self._where}.{name}")

    def merge(self, other: "Fields") -> None:
        """What is wrong below is wrong here."""
        other.finish()
        for fault in other.faults:
            self.refuse(fault)
        self.notes += other.notes

    def finish(self) -> None:
        """What nobody read is not understood."""
        for name in sorted(self._left):
            if self.has(name):
                self.refuse(f"{self._where}.{shown(name)} is not known to this command")
        self._left = {}

    def _items(self, name: str, kind: type) -> list[object]:
        found = self._take(name, list, [])
        items: list[object] = list(found) if isinstance(found, list) else []
        if any(not isinstance(one, kind) for one in items):
            self.refuse(f"{self._where}.{name} has an entry of the wrong type")
        return [one for one in items if isinstance(one, kind)]

    def _take(self, name: str, kind: type, default: object) -> object:
        found = self._left.pop(name, None)
        if found is None:
            return default
        if not isinstance(found, kind):
            self.refuse(f"{self._where}.{name} is of the wrong type")
            return default
        return found


def shown(text: str) -> str:
    """A foreign text on one line, no longer than it helps."""
    plain = " ".join(text.split())
    return plain if len(plain) <= MOST_SHOWN else f"{plain[:MOST_SHOWN]}..."
