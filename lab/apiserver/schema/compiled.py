"""A CRD version's openAPIV3Schema, compiled once: pruning, defaults and validation of its objects.

CEL rules are in celrules.py, and whether the schema is a proper one is judged in structural.py. Storage and the rules
for `metadata` are not known here.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, Final

from lab.apiserver.fielderrors import ErrorType as Type
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.schema.celrules import RuleSet
from lab.apiserver.schema.listtypes import correlate, duplicates
from lab.apiserver.schema.valuechecks import Check, checks_of

Json = Any

_UNCHECKED: Final = FieldError(
    Type.INVALID,
    "<nil>",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)
_BLOCKING: Final = {Type.NOT_SUPPORTED, Type.REQUIRED, Type.TOO_LONG, Type.TOO_MANY, Type.TYPE_INVALID}
_OBJECT_META: Final = frozenset(
    {
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "finalizers",
        "managedFields",
    }
)
_ROOT_FIELDS: Final = ("apiVersion", "kind", "metadata")
_EMPTY: Final[dict[str, Json]] = {}


class CompiledSchema:
    """What one version of a CRD says about its objects. Compile once, use for each request."""

    def __init__(self, schema: dict[str, Json]) -> None:
        self._root = _Node(schema, root=True)

    def prune(self, obj: dict[str, Json]) -> list[str]:
        """Remove unknown fields in place; return their paths (`spec.unknown`) for Strict (400) and Warn."""
        unknown: list[str] = []
        metadata = obj.get("metadata")
        if isinstance(metadata, dict):
            _prune_metadata(metadata, "metadata", unknown)
        self._root.prune(obj, "", unknown)
        return unknown

    def default(self, obj: dict[str, Json]) -> None:
        """Fill defaults in place (after pruning); also drops nulls of defaulted, non-nullable fields."""
        self._root.default(obj)

    def validate(self, obj: dict[str, Json], old: dict[str, Json] | None = None) -> list[FieldError]:
        """Everything wrong with obj: by the schema, by list types, then by CEL.

        With `old`, transition rules apply, and errors in unchanged parts do not count (ratcheting, KEP-4008). The
        caller validates object metadata.
        """
        errors: list[FieldError] = []
        self._root.validate(obj, old, "", errors)
        if self._root.has_rules:
            if any(error.type in _BLOCKING for error in errors):
                errors.append(_UNCHECKED)
            else:
                self._root.validate_rules(obj, old, "", errors)
        return errors


def compiled(schema: dict[str, Json]) -> CompiledSchema:
    """The same one for the same text. A definition is written again with each change of its status, and compiling takes
    long."""
    return _compiled(json.dumps(schema))


@functools.lru_cache(maxsize=64)
def _compiled(schema: str) -> CompiledSchema:
    return CompiledSchema(json.loads(schema))


def _prune_metadata(metadata: dict[str, Json], path: str, unknown: list[str]) -> None:
    if metadata.keys() <= _OBJECT_META:
        return
    for name in [name for name in metadata if name not in _OBJECT_META]:
        del metadata[name]
        unknown.append(f"{path}.{name}")


class _Node:
    """One schema of the tree. `has_*` say whether anything below needs a visit, so that most of a tree is skipped."""

    __slots__ = (
        "additional",
        "checks",
        "default_value",
        "defaulted",
        "embedded",
        "has_default",
        "has_defaults",
        "has_rules",
        "int_or_string",
        "items",
        "list_keys",
        "list_type",
        "nullable",
        "preserve",
        "properties",
        "required",
        "root",
        "rules",
        "type",
    )
    has_defaults: bool
    has_rules: bool

    def __init__(self, schema: dict[str, Json], *, root: bool = False) -> None:
        self.root = root
        self.type: str = schema.get("type", "")
        self.nullable = bool(schema.get("nullable"))
        self.preserve = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        self.embedded = bool(schema.get("x-kubernetes-embedded-resource"))
        self.int_or_string = bool(schema.get("x-kubernetes-int-or-string"))
        self.list_type: str = schema.get("x-kubernetes-list-type", "atomic")
        self.list_keys: tuple[str, ...] = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        self.properties = {name: _Node(each) for name, each in schema.get("properties", {}).items()}
        additional = schema.get("additionalProperties")
        self.additional = _Node(additional) if isinstance(additional, dict) else None
        if additional is True:
            self.preserve = True
        items = schema.get("items")
        self.items = _Node(items) if isinstance(items, dict) else None
        self.required: tuple[str, ...] = tuple(schema.get("required", ()))
        self.has_default = schema.get("default") is not None
        self.default_value = schema.get("default")
        self.checks: tuple[Check, ...] = checks_of(schema)
        self.rules = RuleSet.compile(schema, root=root)
        self._summarize()

    def _summarize(self) -> None:
        children = list(self._children())
        self.defaulted = tuple(name for name, child in self.properties.items() if child.has_default)
        self.has_defaults = bool(self.defaulted) or any(child.has_defaults for child in children)
        self.has_rules = bool(self.rules) or any(child.has_rules for child in children)

    def _children(self) -> Iterator[_Node]:
        yield from self.properties.values()
        if self.additional is not None:
            yield self.additional
        if self.items is not None:
            yield self.items

    # pruning

    def prune(self, value: Json, path: str, unknown: list[str]) -> None:
        if isinstance(value, dict):
            self._prune_object(value, path, unknown)
        elif isinstance(value, list) and self.items is not None:
            for index, item in enumerate(value):
                if isinstance(item, dict | list):
                    self.items.prune(item, f"{path}[{index}]", unknown)

    def _prune_object(self, value: dict[str, Json], path: str, unknown: list[str]) -> None:
        own = self.root or self.embedded
        drop: list[str] = []
        for name, child_value in value.items():
            if own and name in _ROOT_FIELDS:
                continue
            child = self.properties.get(name, self.additional)
            if child is None:
                if not self.preserve:
                    drop.append(name)
            elif isinstance(child_value, dict | list):
                child.prune(child_value, _child(path, name), unknown)
        for name in drop:
            del value[name]
            unknown.append(_child(path, name))

    # defaults

    def default(self, value: Json) -> None:
        if not self.has_defaults:
            return
        if isinstance(value, dict):
            self._default_object(value)
        elif isinstance(value, list) and self.items is not None and self.items.has_defaults:
            for item in value:
                self.items.default(item)

    def _default_object(self, value: dict[str, Json]) -> None:
        for name in self.defaulted:
            child = self.properties[name]
            if name not in value or (value[name] is None and not child.nullable):
                value[name] = copy_json(child.default_value)
        if self.additional is not None:
            for name, child_value in value.items():
                if name not in self.properties:
                    self.additional.default(child_value)
        for name, child in self.properties.items():
            if child.has_defaults and name in value:
                child.default(value[name])

    # validation by schema

    def validate(self, value: Json, old: Json, path: str, errors: list[FieldError]) -> None:
        """Append what is wrong. An unchanged value is not judged again (ratcheting, KEP-4008)."""
        if value is None and self.nullable:
            return
        if old is not None and value == old:
            return
        for check in self.checks:
            error = check(value, path)
            if error is not None:
                errors.extend(error)
                if error[0].type is Type.TYPE_INVALID:
                    return
        if isinstance(value, dict):
            self._validate_object(value, old if isinstance(old, dict) else _EMPTY, path, errors)
        elif isinstance(value, list):
            self._validate_list(value, old, path, errors)

    def _validate_object(
        self, value: dict[str, Json], old: dict[str, Json], path: str, errors: list[FieldError]
    ) -> None:
        for name in self.required:
            if name not in value:
                errors.append(FieldError(Type.REQUIRED, _child(path, name)))
        if self.embedded:
            errors.extend(_embedded_errors(value, path))
        properties = self.properties
        for name, child_value in value.items():
            child = properties.get(name, self.additional)
            if child is None or (self.root and name == "metadata"):
                continue
            child.validate(child_value, old.get(name), _child(path, name), errors)

    def _validate_list(self, value: list[Json], old: Json, path: str, errors: list[FieldError]) -> None:
        if self.list_type != "atomic":
            errors.extend(duplicates(value, self.list_type, self.list_keys, path))
        items = self.items
        if items is None:
            return
        former = correlate(value, old, self.list_type, self.list_keys)
        for index, item in enumerate(value):
            items.validate(item, former(index), f"{path}[{index}]", errors)

    # validation by CEL

    def validate_rules(
        self, value: Json, old: Json, path: str, errors: list[FieldError], *, unchanged: bool = False
    ) -> None:
        if value is None:
            return
        unchanged = unchanged or (old is not None and value == old)
        if self.rules:
            errors.extend(self.rules.evaluate(value, old, path, unchanged=unchanged))
        for child, child_value, child_old, where in self._parts_with_rules(value, old, path):
            child.validate_rules(child_value, child_old, where, errors, unchanged=unchanged)

    def _parts_with_rules(self, value: Json, old: Json, path: str) -> Iterator[tuple[_Node, Json, Json, str]]:
        additional, items = self.additional, self.items
        if isinstance(value, dict):
            former = old if isinstance(old, dict) else _EMPTY
            for name, child_value in value.items():
                child = self.properties.get(name)
                if child is not None and child.has_rules:
                    yield child, child_value, former.get(name), _child(path, name)
                elif child is None and additional is not None and additional.has_rules:
                    yield additional, child_value, former.get(name), f"{path}[{name}]"
        elif isinstance(value, list) and items is not None and items.has_rules:
            before = correlate(value, old, self.list_type, self.list_keys)
            for index, item in enumerate(value):
                yield items, item, before(index), f"{path}[{index}]"


def _child(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _embedded_errors(value: dict[str, Json], path: str) -> Iterator[FieldError]:
    for name in ("apiVersion", "kind"):
        if not value.get(name):
            yield FieldError(Type.REQUIRED, _child(path, name), detail="must not be empty")


def copy_json(value: Json) -> Json:
    """A deep copy of a JSON value (an order of magnitude cheaper than copy.deepcopy)."""
    if isinstance(value, dict):
        return {name: copy_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [copy_json(each) for each in value]
    return value


def unknown_fields_message(kind: str, version: str, paths: list[str]) -> str:
    """The message of the 400 of fieldValidation=Strict."""
    listed = ", ".join(f'unknown field "{path}"' for path in paths)
    return f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {listed}'


def unknown_field_warnings(paths: list[str]) -> list[str]:
    """The texts of the Warning headers of fieldValidation=Warn (the caller puts `299 - "..."` around)."""
    return [f'unknown field "{path}"' for path in paths]
