"""What a PATCH does to an object, by its media type.

The three kinds of patches are worked out in patch.py and strategic.py. Server-side apply is a verb of its own
(apply.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lab.apiserver import status
from lab.apiserver.call import Call
from lab.apiserver.resource import Resource
from lab.apiserver.schema.merging import MergeNode, builtin_merge_schema, crd_merge_schema
from lab.apiserver.store import Json
from lab.apiserver.verbs.patch import MalformedPatch, PatchError, json_patch, merge_patch
from lab.apiserver.verbs.strategic import StrategicPatchError, strategic_merge

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

Transform = Callable[[Json], Json]


def media_of(call: Call) -> str:
    """The media type of the body, without parameters."""
    return call.content_type.partition(";")[0].strip()


def transform_of(call: Call) -> Transform:
    """A function from an object to the patched one, for all but server-side apply.

    Raises StatusError: 400 for a body that can't be read, 415 for a media type that is not taken. The function raises
    400 for a patch that is none, and 422 for one that does not apply to the object.
    """
    document = call.document()
    match media_of(call):
        case "application/merge-patch+json":
            return lambda obj: merge_patch(obj, document)
        case "application/json-patch+json":
            return lambda obj: _json_patch(obj, document)
        case "application/strategic-merge-patch+json" if not call.resource.is_custom:
            schema = merge_schema(call.resource)
            return lambda obj: _strategic(obj, document, schema)
        case _:
            accepted = (JSON_PATCH, MERGE_PATCH) + (() if call.resource.is_custom else (STRATEGIC,)) + (APPLY,)
            raise status.unsupported_media_type(accepted)


@lru_cache(maxsize=256)
def merge_schema(resource: Resource) -> MergeNode:
    """How the objects of a resource merge."""
    if resource.definition is not None:
        return crd_merge_schema(resource.definition["schema"]["openAPIV3Schema"])
    return builtin_merge_schema(resource.group, resource.version, resource.kind)


def _json_patch(obj: Json, operations: Any) -> Json:
    try:
        patched: Json = json_patch(obj, operations)
    except PatchError:
        raise status.rejected_patch() from None
    except MalformedPatch as error:
        raise status.bad_request(str(error)) from None
    return patched


def _strategic(obj: Json, patch: Any, schema: MergeNode) -> Json:
    try:
        return strategic_merge(obj, patch, schema)
    except StrategicPatchError as error:
        raise status.bad_request(str(error)) from None
