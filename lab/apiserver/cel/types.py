"""CEL's types, and those that a schema gives to `self`.

Types are values; assignability and the printing that error messages use are here, inference is in compiler.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lab.apiserver.cel.tokens import RESERVED


@dataclass(frozen=True, slots=True)
class Type:
    """A CEL type. `fields` only for objects (by their escaped names); `keys` for the list type of a list."""

    name: str
    params: tuple[Type, ...] = ()
    fields: Mapping[str, Field] | None = field(default=None, hash=False, compare=False)
    list_type: str = field(default="atomic", compare=False)
    list_keys: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        if self.params:
            return f"{self.name}({', '.join(str(each) for each in self.params)})"
        return self.name


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an object: its name in JSON, and its type."""

    json_name: str
    type: Type


DYN: Final = Type("dyn")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
NULL: Final = Type("null_type")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
TYPE: Final = Type("type")
IP: Final = Type("net.IP")
CIDR: Final = Type("net.CIDR")
QUANTITY: Final = Type("kubernetes.Quantity")
URL: Final = Type("kubernetes.URL")
FORMAT: Final = Type("kubernetes.NamedFormat")
A: Final = Type("A")
B: Final = Type("B")


def list_of(item: Type) -> Type:
    """`list(item)`."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """`map(key, value)`."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """`optional_type(value)`."""
    return Type("optional_type", (value,))


def object_of(fields: Mapping[str, Type]) -> Type:
    """An object with these fields (JSON names)."""
    reachable = {escape(name): Field(name, each) for name, each in fields.items()}
    return Type("object", (), {name: each for name, each in reachable.items() if name is not None})


def is_assignable(actual: Type, wanted: Type, bound: dict[str, Type] | None = None) -> bool:
    """Whether a value of `actual` may stand where `wanted` is; `bound` collects what A and B stand for."""
    if wanted.name in ("A", "B") and bound is not None:
        return _bind(actual, wanted.name, bound)
    if "dyn" in (actual.name, wanted.name):
        return True
    if actual.name != wanted.name:
        return actual.name == "null_type" and wanted.name in (
            "object",
            "timestamp",
            "duration",
            "optional_type",
            "net.IP",
            "net.CIDR",
        )
    if len(actual.params) != len(wanted.params):
        return not actual.params or not wanted.params
    return all(is_assignable(a, w, bound) for a, w in zip(actual.params, wanted.params, strict=True))


def _bind(actual: Type, name: str, bound: dict[str, Type]) -> bool:
    former = bound.get(name)
    if former is None or former.name == "dyn":
        bound[name] = actual if former is None or actual.name != "dyn" else former
        return True
    return is_assignable(actual, former) or is_assignable(former, actual)


def substitute(result: Type, bound: Mapping[str, Type]) -> Type:
    """The result type with A and B replaced."""
    if result.name in ("A", "B"):
        return bound.get(result.name, DYN)
    if not result.params:
        return result
    return Type(result.name, tuple(substitute(each, bound) for each in result.params))


def join(one: Type, other: Type) -> Type:
    """The type of a place that holds either."""
    if one == other and one.fields is other.fields:
        return one
    if one.name == other.name and len(one.params) == len(other.params) and one.params:
        return Type(one.name, tuple(join(a, b) for a, b in zip(one.params, other.params, strict=True)))
    return DYN


# Types from schemas

_KEYWORDS: Final = RESERVED | {"true", "false", "null", "in"}
_IDENTIFIER: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_SPECIAL: Final = re.compile(r"__|\.|-|/")
_SPECIALS: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def escape(name: str) -> str | None:
    """The name by which a rule reaches a JSON field, or None if it can't be reached."""
    if name in _KEYWORDS:
        return f"__{name}__"
    escaped = _SPECIAL.sub(lambda match: _SPECIALS[match[0]], name)
    return escaped if _IDENTIFIER.match(escaped) else None


_META: Final = {"name": STRING, "generateName": STRING}


def from_schema(schema: dict[str, Any], *, root: bool = False) -> Type:
    """The type of values that a structural schema describes."""
    if schema.get("x-kubernetes-int-or-string"):
        return DYN
    match schema.get("type"):
        case "object":
            return _object(schema, root=root or bool(schema.get("x-kubernetes-embedded-resource")))
        case "array":
            items = schema.get("items")
            keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
            inner = from_schema(items) if isinstance(items, dict) else DYN
            return Type("list", (inner,), None, schema.get("x-kubernetes-list-type", "atomic"), keys)
        case "string":
            return _STRINGS.get(schema.get("format", ""), STRING)
        case "integer":
            return INT
        case "number":
            return DOUBLE
        case "boolean":
            return BOOL
    return DYN


_STRINGS: Final = {"date-time": TIMESTAMP, "date": TIMESTAMP, "duration": DURATION, "byte": BYTES}


def _object(schema: dict[str, Any], *, root: bool) -> Type:
    additional = schema.get("additionalProperties")
    if isinstance(additional, dict):
        return map_of(STRING, from_schema(additional))
    properties = schema.get("properties", {})
    if not properties and not root:
        return DYN if schema.get("x-kubernetes-preserve-unknown-fields") or additional else object_of({})
    fields = {name: from_schema(each) for name, each in properties.items()}
    if root:
        fields |= {"apiVersion": STRING, "kind": STRING, "metadata": object_of(_META)}
    return object_of(fields)
