"""A write as admission sees it, and as the expressions of a policy read it.

The fields and their names in expressions are those of admission.k8s.io/v1 AdmissionRequest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from lab.apiserver.cel import types as t
from lab.apiserver.cel.types import Type, list_of, map_of, object_of

Json = dict[str, Any]


class Operation(StrEnum):
    """What the request does."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The request as policies see it. `resource` is the plural, `subresource` "" for the object itself."""

    operation: Operation
    group: str
    version: str
    resource: str
    kind: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    object: Json | None = None
    old_object: Json | None = None
    dry_run: bool = False
    namespace_object: Json | None = None


_GVK: Final = object_of({"group": t.STRING, "version": t.STRING, "kind": t.STRING})
_GVR: Final = object_of({"group": t.STRING, "version": t.STRING, "resource": t.STRING})
_USER: Final = object_of(
    {
        "username": t.STRING,
        "uid": t.STRING,
        "groups": list_of(t.STRING),
        "extra": map_of(t.STRING, list_of(t.STRING)),
    }
)
_REQUEST: Final = object_of(
    {
        "kind": _GVK,
        "resource": _GVR,
        "subResource": t.STRING,
        "requestKind": _GVK,
        "requestResource": _GVR,
        "requestSubResource": t.STRING,
        "name": t.STRING,
        "namespace": t.STRING,
        "operation": t.STRING,
        "userInfo": _USER,
        "dryRun": t.BOOL,
        "options": t.DYN,
    }
)
VARIABLES: Final[Mapping[str, Type]] = {
    "object": t.DYN,
    "oldObject": t.DYN,
    "request": _REQUEST,
    "namespaceObject": t.DYN,
    "params": t.DYN,
}
"""The variables of a policy's expressions, and their types."""


def values_of(request: AdmissionRequest) -> Json:
    """The values of VARIABLES for one request."""
    return {
        "object": request.object,
        "oldObject": request.old_object,
        "request": _request_value(request),
        "namespaceObject": request.namespace_object,
        "params": None,
    }


def _request_value(request: AdmissionRequest) -> Json:
    """What is empty is left out, as in the JSON of an AdmissionRequest: reading it is an error, so rules ask has()."""
    kind = {"group": request.group, "version": request.version, "kind": request.kind}
    resource = {"group": request.group, "version": request.version, "resource": request.resource}
    user = {
        "username": request.username,
        "uid": request.uid,
        "groups": list(request.groups),
        "extra": {name: list(values) for name, values in request.extra.items()},
    }
    optional = {
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
        "name": request.name,
        "namespace": request.namespace,
    }
    return {
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "operation": str(request.operation),
        "userInfo": {name: value for name, value in user.items() if value},
        "dryRun": request.dry_run,
        **{name: value for name, value in optional.items() if value},
    }
