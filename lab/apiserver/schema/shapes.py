"""Reading built-in kinds as Go does: unknown fields are dropped and noted, wrong types are errors.

The shapes come from Kubernetes' own schemas (builtin.py). What a value may be, beyond its type, is judged
elsewhere.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from lab.apiserver.schema.builtin import definition_of, definitions, reference, type_of

Json = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TIMES = {
    f"{_META}Time": (
        "2006-01-02T15:04:05Z07:00",
        re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
    ),
    f"{_META}MicroTime": (
        "2006-01-02T15:04:05.000000Z07:00",
        re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
    ),
}
_GO_TYPES = {"string": "string", "boolean": "bool", "number": "float64"}
_JSON_NAMES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


@dataclass(slots=True)
class Reading:
    """What was found while an object was read; `error` is Go's complaint about the first value that does not fit."""

    unknown: list[str] = field(default_factory=list)
    error: str | None = None
    struct: str = ""  # the Go type of which a field is being read

    def misfit(self, path: str, value: Any, wanted: str) -> None:
        """Note that a value is not of the `wanted` Go type, in the words of Go's encoding/json.

        Only the first counts.
        """
        if self.error is None:
            found = _JSON_NAMES.get(type(value), "null")
            plain = re.sub(r"\[\d+\]", "", path)
            self.error = f"json: cannot unmarshal {found} into Go struct field {self.struct}.{plain} of type {wanted}"


class Shape(ABC):
    """What a value may be made of."""

    @abstractmethod
    def read(self, value: Any, path: str, reading: Reading) -> None:
        """Check a value that is not null, and drop what is unknown in it."""


class Anything(Shape):
    """Any value."""

    def read(self, value: Any, path: str, reading: Reading) -> None:
        pass


class Scalar(Shape):
    """Text, a boolean or a number; `declared` is the format that the schema gives (int32, double)."""

    def __init__(self, kind: str, declared: str) -> None:
        self._types: tuple[type, ...] = {
            "string": (str,),
            "boolean": (bool,),
            "integer": (int,),
            "number": (int, float),
        }[kind]
        self._refuses_bool = kind != "boolean"
        self._go_type = _GO_TYPES.get(kind) or declared or "int64"

    def read(self, value: Any, path: str, reading: Reading) -> None:
        if not isinstance(value, self._types) or (self._refuses_bool and isinstance(value, bool)):
            reading.misfit(path, value, self._go_type)


class Time(Shape):
    """A time in the form that Kubernetes writes; `name` is that of the definition (Time, MicroTime)."""

    def __init__(self, name: str) -> None:
        self._layout, self._pattern = _TIMES[name]

    def read(self, value: Any, path: str, reading: Reading) -> None:
        if not isinstance(value, str):
            reading.misfit(path, value, "string")
        elif not self._pattern.fullmatch(value) and reading.error is None:
            reading.error = f'parsing time "{value}" as "{self._layout}": cannot parse "{value}" as "2006"'


class Sequence(Shape):
    """A list of items of one shape; nulls among them stay."""

    def __init__(self, item: Shape) -> None:
        self._item = item

    def read(self, value: Any, path: str, reading: Reading) -> None:
        if not isinstance(value, list):
            reading.misfit(path, value, "[]")
            return
        for index, one in enumerate(value):
            if one is not None:
                self._item.read(one, f"{path}[{index}]", reading)


class Mapping(Shape):
    """A map with values of one shape; nulls among them stay."""

    def __init__(self, value: Shape) -> None:
        self._value = value

    def read(self, value: Any, path: str, reading: Reading) -> None:
        if not isinstance(value, dict):
            reading.misfit(path, value, "map")
            return
        for key, one in value.items():
            if one is not None:
                self._value.read(one, f"{path}.{key}", reading)


class Struct(Shape):
    """An object with known fields; others are dropped and noted, nulls are dropped."""

    def __init__(self, name: str) -> None:
        self._name = name.rpartition(".")[2]
        self.fields: dict[str, Shape] = {}  # filled after creation: schemas refer to themselves

    def read(self, value: Any, path: str, reading: Reading) -> None:
        if not isinstance(value, dict):
            reading.misfit(path, value, "struct")
            return
        dropped = []
        for key, one in value.items():
            shape = self.fields.get(key)
            if shape is None:
                reading.unknown.append(f"{path}.{key}" if path else key)
                dropped.append(key)
            elif one is None:
                dropped.append(key)
            else:
                reading.struct = self._name
                shape.read(one, f"{path}.{key}" if path else key, reading)
        for key in dropped:
            del value[key]


@cache
def object_metadata() -> Shape:
    """The shape of `metadata`, also that of custom resources."""
    name = f"{_META}ObjectMeta"
    return _shape({**definitions()[name], "known as": name}, {})


@cache
def shape_of(group: str, version: str, kind: str) -> Shape:
    """The shape of a kind; one that Kubernetes' schemas do not know may hold anything."""
    definition = definition_of(group, version, kind)
    return Anything() if definition is None else _shape({**definition, "known as": kind}, {})


def _shape(definition: Any, known: dict[str, Struct]) -> Shape:
    name = reference(definition)
    if name is not None:
        if name in _TIMES:
            return Time(name)
        if name in known:
            return known[name]
        return _shape({**definitions()[name], "known as": name}, known)
    kind = type_of(definition)
    if kind in ("string", "boolean", "integer", "number"):
        return Scalar(kind, definition.get("format", ""))
    if kind == "array":
        return Sequence(_shape(definition.get("items") or {}, known))
    if kind == "object" and definition.get("properties"):
        struct = known[definition.get("known as", "")] = Struct(definition.get("known as", ""))
        struct.fields = {key: _shape(one, known) for key, one in definition["properties"].items()}
        return struct
    if kind == "object" and isinstance(definition.get("additionalProperties"), dict):
        return Mapping(_shape(definition["additionalProperties"], known))
    return Anything()
