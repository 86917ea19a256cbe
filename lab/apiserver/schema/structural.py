"""Whether an openAPIV3Schema is structural, and its extensions, defaults and CEL rules are sound.

The rules of apiextensions.k8s.io/v1, in Kubernetes' words. What a schema says of objects is in compiled.py. The cost of
CEL rules is not estimated: a real API server also refuses rules over lists and strings without a bound.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, Final

from lab.apiserver.cel.regexes import GoRegexError, compile_go
from lab.apiserver.cel.types import from_schema
from lab.apiserver.fielderrors import OMIT, FieldError, forbidden, invalid, required, unsupported
from lab.apiserver.schema.celrules import compile_rule
from lab.apiserver.schema.compiled import CompiledSchema, copy_json
from lab.apiserver.schema.jsonpath import JsonPath, JsonPathError

Json = dict[str, Any]

_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED: Final = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref", "$schema")
_NESTED_FORBIDDEN: Final = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_REASONS: Final = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")
_EMPTY_TYPE: Final = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}


def schema_errors(schema: Json, path: str) -> list[FieldError]:
    """Everything wrong with the schema of one version; `path` is where it stands in the CRD."""
    return list(_schema_errors(json.dumps(schema), path))


@functools.lru_cache(maxsize=64)
def _schema_errors(text: str, path: str) -> tuple[FieldError, ...]:
    schema = json.loads(text)
    errors = tuple(_walk(schema, path, "root"))
    if not errors:
        errors = tuple(_default_errors(schema, path, root=True))
    if not errors:
        errors = tuple(_rule_errors(schema, path, root=True))
    return errors


def schema_at(schema: Json, json_path: str) -> Json | None:
    """The schema of the field that a simple path (`.spec.color`) leads to."""
    found: Any = schema
    for name in json_path.lstrip(".").split("."):
        properties = found.get("properties") or {}
        additional = found.get("additionalProperties")
        found = properties.get(name, additional if isinstance(additional, dict) else None)
        if found is None:
            return None
    return found if isinstance(found, dict) else None


def _walk(schema: Json, path: str, level: str) -> Iterator[FieldError]:
    yield from _keyword_errors(schema, path)
    yield from _type_errors(schema, path, level)
    yield from _extension_errors(schema, path)
    yield from _list_errors(schema, path)
    yield from _validation_errors(schema, path)
    if level == "root" or schema.get("x-kubernetes-embedded-resource"):
        yield from _resource_errors(schema, path, level)
    items, additional = schema.get("items"), schema.get("additionalProperties")
    if isinstance(items, dict):
        yield from _walk(items, f"{path}.items", "item")
    if isinstance(additional, dict):
        yield from _walk(additional, f"{path}.additionalProperties", "field")
    for name, child in (schema.get("properties") or {}).items():
        yield from _walk(child, f"{path}.properties[{name}]", "field")


def _keyword_errors(schema: Json, path: str) -> Iterator[FieldError]:
    for keyword in _UNSUPPORTED:
        if schema.get(keyword):
            yield forbidden(f"{path}.{keyword}", f"{keyword} is not supported")
    if schema.get("uniqueItems"):
        yield forbidden(
            f"{path}.uniqueItems", "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        )
    if schema.get("additionalProperties") not in (None, True) and schema.get("properties"):
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if isinstance(schema.get("items"), list):
        yield forbidden(f"{path}.items", "items must be a schema object and not an array")
    pattern = schema.get("pattern")
    if pattern:
        try:
            compile_go(pattern)
        except GoRegexError as error:
            yield invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _type_errors(schema: Json, path: str, level: str) -> Iterator[FieldError]:
    kind = schema.get("type", "")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not kind and (not free or schema.get("x-kubernetes-embedded-resource")):
        yield required(f"{path}.type", _EMPTY_TYPE[level])
    elif kind == "null":
        yield forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    elif kind and kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
    if level == "root" and kind and kind != "object":
        yield invalid(f"{path}.type", kind, "must be object at the root")
    if level == "root" and schema.get("nullable"):
        yield forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    if kind == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    if level == "root" and schema.get("additionalProperties") is not None:
        yield forbidden(f"{path}.additionalProperties", "must not be used at the root")


def _extension_errors(schema: Json, path: str) -> Iterator[FieldError]:
    preserve = schema.get("x-kubernetes-preserve-unknown-fields")
    if preserve is False:
        yield invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")
    if schema.get("x-kubernetes-int-or-string"):
        if preserve:
            yield invalid(
                f"{path}.x-kubernetes-preserve-unknown-fields",
                True,
                "must be false if x-kubernetes-int-or-string is true",
            )
        if schema.get("type"):
            yield forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")
    if schema.get("x-kubernetes-embedded-resource") and schema.get("type") not in ("object", None):
        yield invalid(f"{path}.type", schema["type"], "must be object if x-kubernetes-embedded-resource is true")
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        if schema.get("type") != "object":
            yield invalid(
                f"{path}.type", schema.get("type", ""), "must be object if x-kubernetes-map-type is specified"
            )
        if map_type not in ("atomic", "granular"):
            yield unsupported(f"{path}.x-kubernetes-map-type", map_type, ("atomic", "granular"))


def _list_errors(schema: Json, path: str) -> Iterator[FieldError]:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    if list_type is not None:
        if schema.get("type") != "array":
            yield invalid(
                f"{path}.type", schema.get("type", ""), "must be array if x-kubernetes-list-type is specified"
            )
        if list_type not in ("atomic", "set", "map"):
            yield unsupported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "set", "map"))
    items: Json = schema["items"] if isinstance(schema.get("items"), dict) else {}
    if list_type == "set" and items.get("type") in ("object", "array") and not _is_atomic(items):
        yield invalid(f"{path}.items", OMIT, "set items must be scalars, or atomic lists or maps")
    if keys and list_type != "map":
        yield forbidden(f"{path}.x-kubernetes-list-map-keys", "must be empty if x-kubernetes-list-type is not map")
    if list_type == "map":
        yield from _list_map_errors(items, keys or [], path)


def _is_atomic(items: Json) -> bool:
    if items.get("type") == "array":
        return bool(items.get("x-kubernetes-list-type", "atomic") == "atomic")
    return bool(items.get("x-kubernetes-map-type") == "atomic")


def _list_map_errors(items: Json, keys: list[str], path: str) -> Iterator[FieldError]:
    if not keys:
        yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if items.get("type") != "object":
        yield invalid(
            f"{path}.items.type",
            items.get("type", ""),
            "must be object if parent array's x-kubernetes-list-type is map",
        )
    if len(set(keys)) != len(keys):
        yield invalid(f"{path}.x-kubernetes-list-map-keys", keys, "must not contain duplicate entries")
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        found = properties.get(key)
        if found is None:
            yield invalid(
                f"{path}.x-kubernetes-list-map-keys[{index}]", key, "entries must all be names of item properties"
            )
            continue
        where = f"{path}.items.properties[{key}]"
        if found.get("type") in ("array", "object"):
            yield invalid(
                f"{where}.type", found["type"], "must be a scalar type if parent array's x-kubernetes-list-type is map"
            )
        if found.get("nullable"):
            yield forbidden(
                f"{where}.nullable", "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            )
        if found.get("default") is None and key not in (items.get("required") or []):
            yield required(
                f"{where}.default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )


def _resource_errors(schema: Json, path: str, level: str) -> Iterator[FieldError]:
    properties = schema.get("properties") or {}
    for name in ("kind", "apiVersion"):
        if name in properties and properties[name].get("type") != "string":
            yield invalid(f"{path}.properties[{name}].type", properties[name].get("type", ""), "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    if metadata.get("type") != "object":
        yield invalid(f"{path}.properties[metadata].type", metadata.get("type", ""), "must be object")
    beyond = set(metadata.get("properties") or {}) - {"name", "generateName"}
    others = set(metadata) - {"type", "properties", "description"}
    if level == "root" and (beyond or others):
        yield forbidden(
            f"{path}.properties[metadata]",
            "must not specify anything other than name and generateName, but metadata is implicitly specified",
        )


def _validation_errors(schema: Json, path: str) -> Iterator[FieldError]:
    """The logical parts may only restrict what the structure says already."""
    is_int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, nested in enumerate(schema.get(junctor) or []):
            where = f"{path}.{junctor}[{index}]"
            if is_int_or_string and junctor == "anyOf" and schema["anyOf"] == _INT_OR_STRING:
                continue
            if is_int_or_string and junctor == "allOf" and index == 0 and nested.get("anyOf") == _INT_OR_STRING:
                continue
            yield from _nested_errors(nested, schema, where)
    if schema.get("not") is not None:
        yield from _nested_errors(schema["not"], schema, f"{path}.not")


def _nested_errors(nested: Json, structure: Json, path: str) -> Iterator[FieldError]:
    for keyword, message in _NESTED_FORBIDDEN.items():
        if nested.get(keyword):
            yield forbidden(f"{path}.{keyword}", message)
    known = structure.get("properties") or {}
    for name, child in (nested.get("properties") or {}).items():
        where = f"{path}.properties[{name}]"
        if name == "metadata":
            yield forbidden(where, "must not be specified in a nested context")
        if name not in known:
            if structure.get("additionalProperties") is None:
                yield required(f"{_structure_path(path)}.properties[{name}]", f"because it is defined in {where}")
        else:
            yield from _nested_errors(child, known[name], where)
    if isinstance(nested.get("items"), dict) and isinstance(structure.get("items"), dict):
        yield from _nested_errors(nested["items"], structure["items"], f"{path}.items")
    for junctor in ("allOf", "anyOf", "oneOf"):
        for index, inner in enumerate(nested.get(junctor) or []):
            yield from _nested_errors(inner, structure, f"{path}.{junctor}[{index}]")
    if isinstance(nested.get("not"), dict):
        yield from _nested_errors(nested["not"], structure, f"{path}.not")


def _structure_path(path: str) -> str:
    for junctor in (".allOf[", ".anyOf[", ".oneOf[", ".not"):
        path = path.partition(junctor)[0]
    return path


def _default_errors(schema: Json, path: str, *, root: bool = False) -> Iterator[FieldError]:
    if schema.get("default") is not None:
        if root:
            yield forbidden(f"{path}.default", "must not be set at the root")
        else:
            yield from _wrong_default(schema, f"{path}.default")
    for where, child in _children(schema, path):
        yield from _default_errors(child, where)


def _wrong_default(schema: Json, path: str) -> Iterator[FieldError]:
    """A default must be pruned, and hold against its own schema."""
    holder = {"type": "object", "properties": {"default": schema}}
    compiled = CompiledSchema(holder)
    value = {"default": schema["default"]}
    unknown = compiled.prune(copy_json(value))
    if unknown:
        yield invalid(path, schema["default"], "must not have unknown fields")
    for error in compiled.validate(value):
        where = path + error.field.removeprefix("default")
        yield FieldError(error.type, where, error.bad_value, error.detail.replace("default in body", f"{path} in body"))


def _children(schema: Json, path: str) -> Iterator[tuple[str, Json]]:
    for name, child in (schema.get("properties") or {}).items():
        yield f"{path}.properties[{name}]", child
    if isinstance(schema.get("items"), dict):
        yield f"{path}.items", schema["items"]
    if isinstance(schema.get("additionalProperties"), dict):
        yield f"{path}.additionalProperties", schema["additionalProperties"]


def _rule_errors(schema: Json, path: str, *, root: bool = False, correlatable: bool = True) -> Iterator[FieldError]:
    rules = schema.get("x-kubernetes-validations") or []
    if rules and not schema.get("type") and not schema.get("x-kubernetes-int-or-string"):
        yield forbidden(f"{path}.x-kubernetes-validations", "must not be used where the type is not known")
        return
    own = from_schema(schema, root=root) if rules else None
    for index, rule in enumerate(rules):
        where = f"{path}.x-kubernetes-validations[{index}]"
        yield from _rule_form_errors(rule, schema, where)
        if own is None or not rule.get("rule", "").strip():
            continue
        compiled = compile_rule(rule, own)
        if compiled.problem:
            yield invalid(f"{where}.rule", rule["rule"], compiled.problem)
        elif compiled.is_transition and not correlatable:
            yield invalid(
                f"{where}.rule",
                rule["rule"],
                f"oldSelf cannot be used on the uncorrelatable portion of the schema within {path}",
            )
        if compiled.message_problem:
            yield invalid(f"{where}.messageExpression", rule["messageExpression"], compiled.message_problem)
    keyed = schema.get("type") != "array" or schema.get("x-kubernetes-list-type") == "map"
    for below, child in _children(schema, path):
        yield from _rule_errors(child, below, correlatable=correlatable and keyed)


def _rule_form_errors(rule: Json, schema: Json, path: str) -> Iterator[FieldError]:
    text, message = rule.get("rule", ""), rule.get("message", "")
    if not text.strip():
        yield required(f"{path}.rule", "rule is not specified")
    if "message" in rule and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    elif "\n" in text.strip() and not message:
        yield required(f"{path}.message", "message must be specified if rule contains line breaks")
    reason = rule.get("reason")
    if reason is not None and reason not in _REASONS:
        yield unsupported(f"{path}.reason", reason, _REASONS)
    field_path = rule.get("fieldPath")
    if field_path and not _leads_to_a_field(schema, field_path):
        yield invalid(
            f"{path}.fieldPath", field_path, "fieldPath must be a valid path: does not refer to a valid field"
        )


def _leads_to_a_field(schema: Json, field_path: str) -> bool:
    try:
        JsonPath(field_path)
    except JsonPathError:
        return False
    plain = field_path.replace("['", ".").replace("']", "")
    return plain.startswith(".") and schema_at(schema, plain) is not None
