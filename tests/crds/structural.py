"""What a kube-apiserver demands of a CRD's schema, as far as our schemas can break it.

After the Kubernetes documentation, "Specifying a structural schema", and the rules for x-kubernetes extensions. Meant
for schemas without allOf, anyOf, oneOf and not, which ours never need.
"""

from collections.abc import Iterator
from typing import Any

ALLOWED = {
    "type",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "enum",
    "format",
    "default",
    "nullable",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
}
FORMATS = {"integer": {"int32", "int64"}, "string": {"date-time"}}
BOUNDS = {
    "string": {"pattern", "minLength", "maxLength", "enum"},
    "integer": {"minimum", "maximum", "enum"},
    "array": {"minItems", "maxItems", "items", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
    "object": {
        "properties",
        "required",
        "additionalProperties",
        "minProperties",
        "maxProperties",
        "x-kubernetes-map-type",
    },
    "boolean": set[str](),
}
ANY_TYPE = {"type", "description", "default", "format", "x-kubernetes-validations"}


def violations(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every breach in this schema and below it, as `path: sentence`."""
    yield from (f"{path}: {key} is not allowed" for key in schema.keys() - ALLOWED)
    if schema.get("x-kubernetes-int-or-string"):
        if "type" in schema:
            yield f"{path}: int-or-string takes no type"
    elif schema.get("type") not in BOUNDS:
        yield f"{path}: no proper type"
    else:
        yield from _of_type(schema, path)
    yield from _rules(schema, path)
    for name, child in _children(schema):
        yield from violations(child, f"{path}.{name}")


def _children(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from schema.get("properties", {}).items()
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield name, schema[name]


def _of_type(schema: dict[str, Any], path: str) -> Iterator[str]:
    kind = schema["type"]
    yield from (f"{path}: {key} on type {kind}" for key in schema.keys() - BOUNDS[kind] - ANY_TYPE)
    if "format" in schema and schema["format"] not in FORMATS.get(kind, set()):
        yield f"{path}: format {schema['format']}"
    if kind == "integer" and "format" not in schema:
        yield f"{path}: an integer says its width"
    if "properties" in schema and "additionalProperties" in schema:
        yield f"{path}: properties and additionalProperties exclude each other"
    yield from (
        f"{path}: requires {name}, which it has not" for name in set(schema.get("required", ())) - _names(schema)
    )
    if "default" in schema:
        yield from (f"{path}: default {problem}" for problem in _value(schema["default"], schema))
    if kind == "array":
        yield from _array(schema, path)


def _names(schema: dict[str, Any]) -> set[str]:
    return set(schema.get("properties", {}))


def _array(schema: dict[str, Any], path: str) -> Iterator[str]:
    items = schema.get("items")
    if not items:
        yield f"{path}: an array says what its items are"
        return
    match schema.get("x-kubernetes-list-type", "atomic"):
        case "set" if items.get("type") in ("object", "array"):
            yield f"{path}: a set holds scalars"
        case "map":
            yield from _list_map(schema, items, path)


def _list_map(schema: dict[str, Any], items: dict[str, Any], path: str) -> Iterator[str]:
    for key in schema.get("x-kubernetes-list-map-keys", ()) or [""]:
        field = items.get("properties", {}).get(key)
        if field is None or field["type"] in ("object", "array"):
            yield f"{path}: key {key!r} is no scalar property"
        elif key not in items.get("required", ()) and "default" not in field:
            yield f"{path}: key {key!r} is neither required nor defaulted"


def _rules(schema: dict[str, Any], path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if not rule["rule"].strip() or not rule["message"].strip() or "\n" in rule["message"]:
            yield f"{path}: a rule and its message are one line of text each"
        if len(rule["message"]) > 2048:
            yield f"{path}: the message of a rule has at most 2048 characters"


def _value(value: Any, schema: dict[str, Any]) -> Iterator[str]:
    python = {"string": str, "integer": int, "boolean": bool, "object": dict, "array": list}[schema["type"]]
    if type(value) is not python:
        yield f"{value!r} is no {schema['type']}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{value!r} is not in the enumeration"
    elif schema["type"] == "integer" and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{value!r} is out of bounds"
    elif isinstance(value, dict) and not set(schema.get("required", ())) <= value.keys():
        yield f"{value!r} lacks what is required"
