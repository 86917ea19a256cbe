"""meta.k8s.io/v1 Tables: what `kubectl get` prints, for built-in kinds and for CRDs with printer columns.

It renders objects it is given; selecting, paging and streaming them is the server's. The rows of built-in kinds are in
builtintables.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from lab.apiserver.cel.values import parse_timestamp
from lab.apiserver.http.builtintables import BUILTIN_ROWS, NAME, Column, Row
from lab.apiserver.http.durations import age, human_duration
from lab.apiserver.schema.jsonpath import JsonPath, JsonPathError


class Printer:
    """The columns of one kind, and how a row is made of an object."""

    def __init__(self, columns: Sequence[Column], row: Row) -> None:
        self.columns = [each.definition() for each in columns]
        self._row = row

    def cells(self, obj: dict[str, Any], now: float) -> list[Any]:
        """The cells of one object; `now` is UTC seconds since the epoch (ages)."""
        return self._row(obj, now)


def _name_and_age(obj: dict[str, Any], now: float) -> list[Any]:
    metadata = obj.get("metadata") or {}
    return [metadata.get("name", ""), age(metadata.get("creationTimestamp"), now)]


def _created_at(obj: dict[str, Any], now: float) -> list[Any]:
    metadata = obj.get("metadata") or {}
    return [metadata.get("name", ""), metadata.get("creationTimestamp")]


_AGE: Final = Column("Age", "date", "CreationTimestamp is a timestamp representing the server time of creation.")
_DEFAULT: Final = Printer((NAME, _AGE), _name_and_age)
_CREATED_AT: Final = Printer(
    (NAME, Column("Created At", "date", "CreationTimestamp is a timestamp representing the server time of creation.")),
    _created_at,
)
# These have no columns of their own in Kubernetes either, and show the time instead of the age.
_CREATED_AT_RESOURCES: Final = frozenset(
    {
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "clusterroles"),
    }
)
_BUILTIN: Final = {key: Printer(columns, row) for key, (columns, row) in BUILTIN_ROWS.items()}


def builtin_printer(group: str, resource: str) -> Printer:
    """The printer of a built-in resource (plural name); Name and Age when it has none of its own."""
    if (group, resource) in _CREATED_AT_RESOURCES:
        return _CREATED_AT
    return _BUILTIN.get((group, resource), _DEFAULT)


def crd_printer(version: dict[str, Any]) -> Printer:
    """The printer of a CRD version (an entry of spec.versions) from its additionalPrinterColumns."""
    sources = version.get("additionalPrinterColumns") or [
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    ]
    columns = [NAME, *(_crd_column(each) for each in sources)]
    readers = [_crd_cell(each) for each in sources]

    def row(obj: dict[str, Any], now: float) -> list[Any]:
        return [(obj.get("metadata") or {}).get("name", ""), *(read(obj, now) for read in readers)]

    return Printer(columns, row)


def _crd_column(source: dict[str, Any]) -> Column:
    path = source.get("jsonPath", "")
    description = source.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        source["name"], source.get("type", "string"), description, source.get("priority", 0), source.get("format", "")
    )


def _crd_cell(source: dict[str, Any]) -> Callable[[dict[str, Any], float], Any]:
    try:
        find = JsonPath(source.get("jsonPath", "")).find
    except JsonPathError:
        return lambda obj, now: "<error>"
    convert = _CONVERSIONS.get(source.get("type", "string"), _as_string)

    def cell(obj: dict[str, Any], now: float) -> Any:
        values = find(obj)
        if not values or values[0] is None:
            return None
        if len(values) > 1 and convert is _as_string:
            return ",".join(_text(each) for each in values)
        return convert(values[0], now)

    return cell


def _as_integer(value: Any, now: float) -> Any:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return None
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _as_number(value: Any, now: float) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _as_boolean(value: Any, now: float) -> Any:
    return value if isinstance(value, bool) else None


def _as_date(value: Any, now: float) -> Any:
    if not isinstance(value, str):
        return None
    moment = parse_timestamp(value)
    return human_duration(now - moment.timestamp()) if moment is not None else "<invalid>"


def _as_string(value: Any, now: float) -> Any:
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return json.dumps(value, separators=(",", ":"))
    return json.dumps(value, separators=(",", ":"))


_CONVERSIONS: Final[dict[str, Callable[[Any, float], Any]]] = {
    "integer": _as_integer,
    "number": _as_number,
    "boolean": _as_boolean,
    "date": _as_date,
    "string": _as_string,
}


def table(
    printer: Printer,
    objects: Iterable[dict[str, Any]],
    *,
    now: float,
    metadata: dict[str, Any],
    include_object: str = "Metadata",
    with_columns: bool = True,
) -> dict[str, Any]:
    """A Table. `include_object` is the query parameter (None, Metadata, Object), `metadata` that of the list.

    A watch wraps a Table of one row in each event (`with_columns` only in the first), with the object's
    resourceVersion as its metadata."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {key: value for key, value in metadata.items() if value not in ("", None)},
        "columnDefinitions": printer.columns if with_columns else None,
        "rows": [_row(printer, each, now, include_object) for each in objects],
    }


def _row(printer: Printer, obj: dict[str, Any], now: float, include_object: str) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": printer.cells(obj, now)}
    if include_object == "Object":
        row["object"] = obj
    elif include_object != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj.get("metadata", {}),
        }
    return row


def wants_table(accept: str) -> bool:
    """Whether an Accept header asks for a Table before anything else that we serve."""
    for entry in accept.split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        if media not in ("application/json", "*/*"):
            continue
        asked = dict(parameter.partition("=")[::2] for parameter in parameters)
        if asked.get("as") == "Table":
            if asked.get("g") == "meta.k8s.io" and asked.get("v") == "v1":
                return True
            continue
        return False
    return False
