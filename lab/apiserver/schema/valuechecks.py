"""The checks of single values that a schema asks for: type, enum, bounds, pattern, format, anyOf and the like.

Each check is a function from (value, path) to the errors, or None. What is required of an object's fields, and its
children, is in compiled.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from lab.apiserver.cel.regexes import GoRegexError, compile_go
from lab.apiserver.fielderrors import (
    FieldError,
    invalid,
    too_long,
    too_many,
    type_invalid,
    unsupported,
)
from lab.apiserver.fielderrors import (
    required as missing,
)
from lab.apiserver.schema.formats import FORMATS

Check = Callable[[Any, str], list[FieldError] | None]

_INTEGER_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def json_type(value: Any) -> str:
    """The JSON schema name of a decoded value's type; 3.0 is an integer too, and `is_type` knows it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


_PYTHON_TYPES: Final[Mapping[str, type]] = {"string": str, "object": dict, "array": list, "boolean": bool}


def checks_of(schema: dict[str, Any]) -> tuple[Check, ...]:
    """The checks that a schema asks for, cheapest and most telling first."""
    checks: list[Check] = []
    if schema.get("x-kubernetes-int-or-string"):
        checks.append(_int_or_string)
    elif schema.get("type"):
        checks.append(_type_check(schema["type"]))
    if schema.get("enum") is not None:
        checks.append(_enum_check(schema["enum"]))
    checks += [make(schema) for name, make in _MAKERS.items() if schema.get(name) is not None]
    if schema.get("type") == "integer" and schema.get("format") in _INTEGER_RANGES:
        checks.append(_range_check(schema["format"]))
    if schema.get("type") == "string" and schema.get("format") in FORMATS:
        checks.append(_format_check(schema["format"]))
    return tuple(checks)


def _int_or_string(value: Any, path: str) -> list[FieldError] | None:
    if isinstance(value, int | str) and not isinstance(value, bool):
        return None
    return [_wrong_type(value, path, "integer,string")]


def _wrong_type(value: Any, path: str, wanted: str) -> FieldError:
    actual = json_type(value)
    return type_invalid(path, actual, f'{path} in body must be of type {wanted}: "{actual}"')


def _type_check(wanted: str) -> Check:
    python = _PYTHON_TYPES.get(wanted)
    if python is not None:
        return lambda value, path: None if isinstance(value, python) else [_wrong_type(value, path, wanted)]
    if wanted == "integer":
        return lambda value, path: None if _is_integer(value) else [_wrong_type(value, path, wanted)]
    return lambda value, path: None if _is_number(value) else [_wrong_type(value, path, wanted)]


def _is_integer(value: Any) -> bool:
    return type(value) is int or (isinstance(value, float) and value.is_integer())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _enum_check(values: list[Any]) -> Check:
    names = [each if isinstance(each, str) else json.dumps(each) for each in values]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in values):
            return None
        return [unsupported(path, value, names)]

    return check


def _minimum(schema: dict[str, Any]) -> Check:
    bound, exclusive = schema["minimum"], bool(schema.get("exclusiveMinimum"))
    words = f"greater than {bound}" if exclusive else f"greater than or equal to {bound}"

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not _is_number(value) or value > bound or (value == bound and not exclusive):
            return None
        return [invalid(path, value, f"{path} in body should be {words}")]

    return check


def _maximum(schema: dict[str, Any]) -> Check:
    bound, exclusive = schema["maximum"], bool(schema.get("exclusiveMaximum"))
    words = f"less than {bound}" if exclusive else f"less than or equal to {bound}"

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not _is_number(value) or value < bound or (value == bound and not exclusive):
            return None
        return [invalid(path, value, f"{path} in body should be {words}")]

    return check


def _multiple_of(schema: dict[str, Any]) -> Check:
    factor = schema["multipleOf"]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not _is_number(value) or value % factor == 0:
            return None
        return [invalid(path, value, f"{path} in body should be a multiple of {factor}")]

    return check


def _max_length(schema: dict[str, Any]) -> Check:
    bound = schema["maxLength"]
    return lambda value, path: [too_long(path, bound)] if isinstance(value, str) and len(value) > bound else None


def _min_length(schema: dict[str, Any]) -> Check:
    bound = schema["minLength"]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not isinstance(value, str) or len(value) >= bound:
            return None
        return [invalid(path, value, f"{path} in body should be at least {bound} chars long")]

    return check


def _pattern(schema: dict[str, Any]) -> Check:
    pattern = schema["pattern"]
    try:
        search = compile_go(pattern).search
    except GoRegexError as error:  # the CRD was stored before it was checked, or unchecked: say so on every object
        message = f"{{path}} in body should match '{pattern}', but pattern is invalid: {error}"
        return lambda value, path: [invalid(path, value, message.replace("{path}", path))]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not isinstance(value, str) or search(value):
            return None
        return [invalid(path, value, f"{path} in body should match '{pattern}'")]

    return check


def _max_items(schema: dict[str, Any]) -> Check:
    bound = schema["maxItems"]
    return lambda value, path: (
        [too_many(path, len(value), bound)] if isinstance(value, list) and len(value) > bound else None
    )


def _min_items(schema: dict[str, Any]) -> Check:
    bound = schema["minItems"]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not isinstance(value, list) or len(value) >= bound:
            return None
        return [invalid(path, len(value), f"{path} in body should have at least {bound} items")]

    return check


def _max_properties(schema: dict[str, Any]) -> Check:
    bound = schema["maxProperties"]
    return lambda value, path: (
        [too_many(path, len(value), bound)] if isinstance(value, dict) and len(value) > bound else None
    )


def _min_properties(schema: dict[str, Any]) -> Check:
    bound = schema["minProperties"]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not isinstance(value, dict) or len(value) >= bound:
            return None
        return [invalid(path, len(value), f"{path} in body should have at least {bound} properties")]

    return check


def _range_check(name: str) -> Check:
    low, high = _INTEGER_RANGES[name]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not _is_number(value) or low <= value <= high:
            return None
        return [invalid(path, value, f"Checked value must be of type integer with format {name} in {path}")]

    return check


def _format_check(name: str) -> Check:
    holds = FORMATS[name]

    def check(value: Any, path: str) -> list[FieldError] | None:
        if not isinstance(value, str) or holds(value):
            return None
        return [type_invalid(path, value, f'{path} in body must be of type {name}: "{value}"')]

    return check


# Value validation in a nested context: no structure of its own, so it is checked here and not by compiled.py.


def _nested(schema: dict[str, Any]) -> Check:
    checks = checks_of(schema)
    properties = {name: _nested(each) for name, each in schema.get("properties", {}).items()}
    required = tuple(schema.get("required", ()))
    items = _nested(schema["items"]) if isinstance(schema.get("items"), dict) else None
    additional = schema.get("additionalProperties")
    others = _nested(additional) if isinstance(additional, dict) else None

    def check(value: Any, path: str) -> list[FieldError] | None:
        errors = [error for each in checks for error in each(value, path) or ()]
        if isinstance(value, dict):
            errors += [missing(f"{path}.{name}") for name in required if name not in value]
            for name, child in value.items():
                nested = properties.get(name, others)
                errors += (nested(child, f"{path}.{name}") if nested else None) or ()
        elif isinstance(value, list) and items is not None:
            errors += [error for index, item in enumerate(value) for error in items(item, f"{path}[{index}]") or ()]
        return errors or None

    return check


def _all_of(schema: dict[str, Any]) -> Check:
    checks = [_nested(each) for each in schema["allOf"]]

    def check(value: Any, path: str) -> list[FieldError] | None:
        errors = [error for each in checks for error in each(value, path) or ()]
        if not errors:
            return None
        return [invalid(path, value, f'"{path}" must validate all the schemas (allOf)'), *errors]

    return check


def _any_of(schema: dict[str, Any]) -> Check:
    checks = [_nested(each) for each in schema["anyOf"]]

    def check(value: Any, path: str) -> list[FieldError] | None:
        outcomes = [each(value, path) for each in checks]
        if not all(outcomes):
            return None
        best = min((each for each in outcomes if each), key=len)
        return [invalid(path, value, f'"{path}" must validate at least one schema (anyOf)'), *best]

    return check


def _one_of(schema: dict[str, Any]) -> Check:
    checks = [_nested(each) for each in schema["oneOf"]]

    def check(value: Any, path: str) -> list[FieldError] | None:
        outcomes = [each(value, path) for each in checks]
        valid = sum(1 for each in outcomes if not each)
        if valid == 1:
            return None
        found = f"Found {valid} valid alternatives" if valid else "Found none valid"
        error = invalid(path, value, f'"{path}" must validate one and only one schema (oneOf). {found}')
        return [error, *(min((each for each in outcomes if each), key=len) if not valid else ())]

    return check


def _not(schema: dict[str, Any]) -> Check:
    nested = _nested(schema["not"])

    def check(value: Any, path: str) -> list[FieldError] | None:
        if nested(value, path):
            return None
        return [invalid(path, value, f'"{path}" must not validate the schema (not)')]

    return check


_MAKERS: Final[Mapping[str, Callable[[dict[str, Any]], Check]]] = {
    "minimum": _minimum,
    "maximum": _maximum,
    "multipleOf": _multiple_of,
    "maxLength": _max_length,
    "minLength": _min_length,
    "pattern": _pattern,
    "maxItems": _max_items,
    "minItems": _min_items,
    "maxProperties": _max_properties,
    "minProperties": _min_properties,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
}
