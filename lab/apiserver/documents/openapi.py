"""OpenAPI documents: /openapi/v3 for `kubectl explain` and its checks of parameters, /openapi/v2 for others.

Built-in kinds come from the Kubernetes schemas that the `kubernetes-validate` package carries, ours from their CRDs.
Only what clients read is there: schemas, and of paths the kinds and parameters of PATCH.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from lab.apiserver.resource import Resource
from lab.apiserver.schema.builtin import VERSION, definitions, name_of, reference, type_of

Json = dict[str, Any]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TYPE_META: Final[Mapping[str, Json]] = {
    "apiVersion": {
        "description": "The version of the schema of this object, as group/version. Servers convert what they know to "
        "the latest version, and may refuse the rest.",
        "type": "string",
    },
    "kind": {
        "description": "The kind of this object, in CamelCase. Can't be changed.",
        "type": "string",
    },
}
_PATCH_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation", "force", "pretty")
_ONLY_OURS: Final = frozenset({"x-kubernetes-validations"})


def _group_version_path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def v3_index(resources: Sequence[Resource]) -> Json:
    """GET /openapi/v3: where the document of each group and version is; the hash in it changes with the content."""
    by_version: dict[tuple[str, str], list[Resource]] = {}
    for each in resources:
        by_version.setdefault((each.group, each.version), []).append(each)
    paths = {}
    for (group, version), served in by_version.items():
        path = _group_version_path(group, version)
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={_hash(served)}"}
    return {"paths": paths}


def _hash(resources: Iterable[Resource]) -> str:
    content = [[each.plural, each.kind, each.definition and dict(each.definition)] for each in resources]
    text = json.dumps([VERSION, content], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest().upper()[:32]


def v3_document(group: str, version: str, resources: Sequence[Resource]) -> Json | None:
    """GET /openapi/v3/api/v1 (group "") or /openapi/v3/apis/GROUP/VERSION; None when nothing is served there."""
    served = [each for each in resources if each.group == group and each.version == version]
    if not served:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": dict(_paths(served, version=3)),
        "components": {"schemas": _schemas(served, _Dialect("#/components/schemas/", wraps_references=True))},
    }


def v2_document(resources: Sequence[Resource]) -> Json:
    """GET /openapi/v2 as JSON (Swagger 2.0)."""
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": dict(_paths(resources, version=2)),
        "definitions": _schemas(resources, _Dialect("#/definitions/", wraps_references=False)),
    }


def _paths(resources: Iterable[Resource], *, version: int) -> Iterator[tuple[str, Json]]:
    for resource in resources:
        if "patch" not in resource.verbs:
            continue
        scope = "namespaces/{namespace}/" if resource.namespaced else ""
        path = f"/{_group_version_path(resource.group, resource.version)}/{scope}{resource.plural}/{{name}}"
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        operation = {
            "description": f"partially update the specified {resource.kind}",
            "operationId": f"patch{resource.kind}",
            "parameters": [_parameter(name, version) for name in _PATCH_PARAMETERS],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": kind,
        }
        yield path, {"patch": operation}


def _parameter(name: str, version: int) -> Json:
    kind = {"type": "boolean" if name == "force" else "string", "uniqueItems": True}
    parameter: Json = {"name": name, "in": "query"}
    return parameter | ({"schema": kind} if version == 3 else kind)


class _Dialect:
    """How a version of OpenAPI writes references: v3 can't have anything beside `$ref`, so it wraps it in allOf."""

    def __init__(self, prefix: str, *, wraps_references: bool) -> None:
        self._prefix = prefix
        self._wraps = wraps_references

    def refer(self, name: str, beside: Mapping[str, Any]) -> Json:
        """A reference with what stands beside it (a description, list extensions)."""
        target = {"$ref": f"{self._prefix}{name}"}
        if self._wraps and beside:
            return {"allOf": [target], **beside}
        return {**target, **beside}

    def translate(self, source: Mapping[str, Any], found: set[str]) -> Json:
        """A schema of the Kubernetes package in this dialect; the names it refers to are added to `found`."""
        name = reference(source)
        if name is not None:
            found.add(name)
            return self.refer(name, {key: value for key, value in source.items() if key != "$ref"})
        made = {key: value for key, value in source.items() if key not in ("enum", "type")}
        if type_of(source):
            made["type"] = type_of(source)
        if "enum" in source and "x-kubernetes-group-version-kind" not in source:
            made["enum"] = [each for each in source["enum"] if each is not None]
        if "properties" in source:
            made["properties"] = {key: self.translate(each, found) for key, each in source["properties"].items()}
        for key in ("items", "additionalProperties"):
            if isinstance(source.get(key), dict):
                made[key] = self.translate(source[key], found)
        if "oneOf" in source:
            made["oneOf"] = [self.translate(each, found) for each in source["oneOf"]]
        return made


def _schemas(resources: Iterable[Resource], dialect: _Dialect) -> Json:
    """The schemas of the kinds, and all that they refer to."""
    made: Json = {}
    wanted: set[str] = {f"{_META}ObjectMeta", f"{_META}ListMeta"}
    for resource in resources:
        if resource.is_custom:
            made.update(_custom_schemas(resource, dialect))
        else:
            wanted.update(filter(None, (_name(resource, resource.kind), _name(resource, resource.list_kind))))
    while wanted:
        name = wanted.pop()
        if name not in made:
            found: set[str] = set()
            made[name] = dialect.translate(definitions()[name], found)
            wanted |= found - made.keys()
    return made


def _name(resource: Resource, kind: str) -> str | None:
    return name_of(resource.group, resource.version, kind)


def _custom_schemas(resource: Resource, dialect: _Dialect) -> Iterator[tuple[str, Json]]:
    prefix = ".".join(reversed(resource.group.split("."))) + f".{resource.version}."
    source = ((resource.definition or {}).get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    schema = _without_rules(source)
    metadata = dialect.refer(
        f"{_META}ObjectMeta", {"description": "Standard object's metadata: name, labels, annotations and the like."}
    )
    schema["properties"] = {**_TYPE_META, "metadata": metadata, **_but_metadata(schema.get("properties") or {})}
    schema["x-kubernetes-group-version-kind"] = [_kind(resource, resource.kind)]
    yield f"{prefix}{resource.kind}", schema
    yield (
        f"{prefix}{resource.list_kind}",
        {
            "description": f"{resource.list_kind} is a list of {resource.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                **_TYPE_META,
                "items": {"type": "array", "items": dialect.refer(f"{prefix}{resource.kind}", {})},
                "metadata": dialect.refer(f"{_META}ListMeta", {"description": "Standard list metadata."}),
            },
            "x-kubernetes-group-version-kind": [_kind(resource, resource.list_kind)],
        },
    )


def _but_metadata(properties: Mapping[str, Any]) -> Json:
    own = {name: each for name, each in properties.items() if name not in ("apiVersion", "kind", "metadata")}
    described = {
        name: {**_TYPE_META[name], **properties[name]} for name in ("apiVersion", "kind") if name in properties
    }
    return {**described, **own}


def _without_rules(source: Any) -> Any:
    if isinstance(source, dict):
        return {name: _without_rules(each) for name, each in source.items() if name not in _ONLY_OURS}
    if isinstance(source, list):
        return [_without_rules(each) for each in source]
    return source


def _kind(resource: Resource, kind: str) -> Json:
    return {"group": resource.group, "kind": kind, "version": resource.version}
