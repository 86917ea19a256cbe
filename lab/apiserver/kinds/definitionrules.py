"""Whether a CustomResourceDefinition is one that a real API server would take.

Names, versions, printer columns, selectable fields and subresources are here; schemas are judged in
schema/structural.py. The Established and NamesAccepted conditions are written in controllers/definitions.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from lab.apiserver.fielderrors import FieldError, duplicate, invalid, required, too_many, unsupported
from lab.apiserver.schema.jsonpath import JsonPath, JsonPathError
from lab.apiserver.schema.structural import schema_at, schema_errors

Json = dict[str, Any]

_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035_MESSAGE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_MESSAGE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MAX_SELECTABLE_FIELDS: Final = 8


def default_crd(crd: Json) -> None:
    """Fill what the API server fills, in place: singular, listKind, conversion.strategy."""
    spec = crd.setdefault("spec", {})
    names = spec.setdefault("names", {})
    kind = names.get("kind", "")
    if kind:
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {}).setdefault("strategy", "None")


def validate_crd(crd: Json, old: Json | None = None) -> list[FieldError]:
    """Everything wrong with a (defaulted) CustomResourceDefinition; with `old`, also what may not change."""
    spec = crd.get("spec") or {}
    names = spec.get("names") or {}
    errors = list(_name_errors(crd, spec, names))
    errors += _scope_errors(spec)
    errors += _version_errors(spec)
    errors += _names_errors(names)
    errors += _content_errors(spec)
    if old is not None:
        errors += _change_errors(crd, old)
    return errors


def _name_errors(crd: Json, spec: Json, names: Json) -> Iterator[FieldError]:
    name = (crd.get("metadata") or {}).get("name", "")
    if name != f"{names.get('plural', '')}.{spec.get('group', '')}":
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    group = spec.get("group")
    if not group:
        yield required("spec.group")
    elif not _SUBDOMAIN.fullmatch(group):
        yield invalid("spec.group", group, _SUBDOMAIN_MESSAGE)
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")


def _scope_errors(spec: Json) -> Iterator[FieldError]:
    scope = spec.get("scope")
    if not scope:
        yield required("spec.scope")
    elif scope not in ("Cluster", "Namespaced"):
        yield unsupported("spec.scope", scope, ("Cluster", "Namespaced"))
    if spec.get("preserveUnknownFields"):
        yield invalid("spec.preserveUnknownFields", True, "must be false")
    strategy = (spec.get("conversion") or {}).get("strategy")
    if strategy not in ("None", "Webhook"):
        yield unsupported("spec.conversion.strategy", strategy, ("None", "Webhook"))


def _version_errors(spec: Json) -> Iterator[FieldError]:
    versions = spec.get("versions") or []
    names = [each.get("name", "") for each in versions]
    for index, name in enumerate(names):
        if not _LABEL_1035.fullmatch(name):
            yield invalid(f"spec.versions[{index}].name", name, _LABEL_1035_MESSAGE)
    if len(set(names)) != len(names):
        yield invalid("spec.versions", versions, "must contain unique version names")
    if sum(1 for each in versions if each.get("storage")) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")


def _names_errors(names: Json) -> Iterator[FieldError]:
    for field in ("plural", "singular", "kind", "listKind"):
        name = names.get(field)
        if not name:
            yield required(f"spec.names.{field}")
        elif field in ("kind", "listKind"):
            if not _LABEL_1035.fullmatch(name.lower()):
                message = f"may have mixed case, but should otherwise match: {_LABEL_1035_MESSAGE}"
                yield invalid(f"spec.names.{field}", name, message)
        elif not _LABEL_1035.fullmatch(name):
            yield invalid(f"spec.names.{field}", name, _LABEL_1035_MESSAGE)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield invalid("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")
    for field in ("shortNames", "categories"):
        for index, name in enumerate(names.get(field) or []):
            if not _LABEL_1035.fullmatch(name):
                yield invalid(f"spec.names.{field}[{index}]", name, _LABEL_1035_MESSAGE)


def _content_errors(spec: Json) -> Iterator[FieldError]:
    versions = spec.get("versions") or []
    for index, version in enumerate(versions):
        source = (version.get("schema") or {}).get("openAPIV3Schema")
        if source is None:
            yield required(f"spec.versions[{index}].schema.openAPIV3Schema", "schemas are required")
    for part, prefix in (
        ("schema", "validation"),
        ("subresources", "subresources"),
        ("additionalPrinterColumns", "additionalPrinterColumns"),
        ("selectableFields", "selectableFields"),
    ):
        yield from _part_errors(versions, part, prefix)


def _part_errors(versions: list[Json], part: str, prefix: str) -> Iterator[FieldError]:
    """What all versions have alike, the API server keeps (and names) once, at the top of the spec."""
    parts = [version.get(part) for version in versions]
    if parts and all(each == parts[0] for each in parts):
        yield from _judge(part, parts[0], f"spec.{prefix}", versions[0])
        return
    for index, each in enumerate(parts):
        yield from _judge(part, each, f"spec.versions[{index}].{part}", versions[index])


def _judge(part: str, source: Any, path: str, version: Json) -> Iterator[FieldError]:
    if not source:
        return
    match part:
        case "schema":
            if source.get("openAPIV3Schema") is not None:
                yield from schema_errors(source["openAPIV3Schema"], f"{path}.openAPIV3Schema")
        case "subresources":
            yield from _scale_errors(source.get("scale"), f"{path}.scale")
        case "additionalPrinterColumns":
            for index, column in enumerate(source):
                yield from _column_errors(column, f"{path}[{index}]")
        case "selectableFields":
            schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
            yield from _selectable_errors(source, path, schema)


def _scale_errors(scale: Json | None, path: str) -> Iterator[FieldError]:
    if scale is None:
        return
    for field, below in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = scale.get(field, "")
        if not value:
            yield required(f"{path}.{field}")
        elif not value.startswith(below):
            yield invalid(f"{path}.{field}", value, f"should be a json path under {below.rstrip('.')}")


def _column_errors(column: Json, path: str) -> Iterator[FieldError]:
    if not column.get("name"):
        yield required(f"{path}.name")
    kind = column.get("type")
    if not kind:
        yield required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif kind not in _COLUMN_TYPES:
        yield invalid(f"{path}.type", kind, f"must be one of {','.join(_COLUMN_TYPES)}")
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        yield invalid(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
    source = column.get("jsonPath", "")
    if not source:
        yield required(f"{path}.jsonPath")
        return
    try:
        if not source.startswith("."):
            raise JsonPathError("must be a simple json path starting with .")
        JsonPath(source)
    except JsonPathError as error:
        yield invalid(f"{path}.jsonPath", source, f"must be a valid json path: {error}")


def _selectable_errors(fields: list[Json], path: str, schema: Json) -> Iterator[FieldError]:
    if len(fields) > _MAX_SELECTABLE_FIELDS:
        yield too_many(path, len(fields), _MAX_SELECTABLE_FIELDS)
    seen: set[str] = set()
    for index, field in enumerate(fields):
        source = field.get("jsonPath", "")
        where = f"{path}[{index}].jsonPath"
        if not source:
            yield required(where)
            continue
        if source in seen:
            yield duplicate(where, source)
        seen.add(source)
        found = schema_at(schema, source)
        if source.startswith(".metadata"):
            yield invalid(where, source, "must not point to fields in metadata")
        elif found is None:
            yield invalid(where, source, "is an invalid path: does not refer to a valid field")
        elif found.get("type") not in ("string", "integer", "boolean"):
            message = (
                "must point to a field of type string, boolean or integer. "
                "Enum string fields and strings with formats are allowed."
            )
            yield invalid(where, source, message)


def _change_errors(crd: Json, old: Json) -> Iterator[FieldError]:
    spec, former = crd.get("spec") or {}, old.get("spec") or {}
    conditions = (old.get("status") or {}).get("conditions") or []
    established = any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)
    frozen = [("group",), ("names", "plural")]
    if established:
        frozen += [("scope",), ("names", "kind")]
    for parts in frozen:
        new_value, old_value = _at(spec, parts), _at(former, parts)
        if new_value != old_value:
            yield invalid(f"spec.{'.'.join(parts)}", new_value, "field is immutable")
    names = {each.get("name") for each in spec.get("versions") or []}
    for index, stored in enumerate((old.get("status") or {}).get("storedVersions") or []):
        if stored not in names:
            yield invalid(f"status.storedVersions[{index}]", stored, "must appear in spec.versions")


def _at(value: Any, parts: Iterable[str]) -> Any:
    for part in parts:
        value = (value or {}).get(part)
    return value


def name_conflicts(crd: Json, others: Iterable[Json]) -> str | None:
    """Why NamesAccepted is False: a name or kind that another CRD of the group has accepted; None if accepted."""
    spec = crd["spec"]
    rivals = [each for each in others if each["spec"]["group"] == spec["group"]]
    accepted = [(each.get("status") or {}).get("acceptedNames") or {} for each in rivals]
    resources = {name for names in accepted for name in _resource_names(names)}
    kinds = {names.get(field) for names in accepted for field in ("kind", "listKind")} - {None, ""}
    names = spec["names"]
    taken = [name for name in _resource_names(names) if name in resources]
    taken += [names[field] for field in ("kind", "listKind") if names.get(field) in kinds]
    quoted = [f'"{name}" is already in use' for name in dict.fromkeys(taken)]
    if not quoted:
        return None
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _resource_names(names: Json) -> list[str]:
    return [each for each in (names.get("plural"), names.get("singular"), *(names.get("shortNames") or [])) if each]
