"""What a field's type says beyond its Python type: bounds, list semantics, and CEL rules of the API server.

Markers stand in `Annotated[...]` and are read by crds/schema.py. They take no part in decoding: the API server
has judged an object before we see it, and an object that slipped past must reach the code that can report on it.
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """Bounds of a string, in characters, and a pattern (RE2, anchored by its writer)."""

    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Items:
    """Bounds on the number of items of a list, or of entries of a map."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True)
class ItemText:
    """Bounds of the values of a map of strings."""

    max_length: int


@dataclass(frozen=True)
class Format:
    """An OpenAPI format, such as date-time or int64."""

    name: str


@dataclass(frozen=True)
class ListMap:
    """The list is a map by this key (x-kubernetes-list-type: map): its items are merged one by one."""

    key: str


@dataclass(frozen=True)
class ListSet:
    """The list holds no value twice (x-kubernetes-list-type: set)."""


@dataclass(frozen=True)
class AtomicMap:
    """The map has one owner (x-kubernetes-map-type: atomic): managedFields name the map and not each of its entries.

    Merge patches still change single entries.
    """


@dataclass(frozen=True)
class IntOrString:
    """The field takes an integer or a string (x-kubernetes-int-or-string)."""


@dataclass(frozen=True)
class Rule:
    """A CEL rule on the value it stands on, and the sentence for one that breaks it: what is wrong, what to write."""

    expression: str
    message: str

    def to_schema(self) -> dict[str, Any]:
        """Its form in x-kubernetes-validations."""
        return {"rule": self.expression, "message": self.message}
