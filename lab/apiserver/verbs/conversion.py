"""The versions in which a stored object is served.

Nearly everything is stored as it is served, and then this costs nothing. Events are the exception (core/v1 and
events.k8s.io/v1 share their storage), and custom resources with several versions (conversion strategy None).
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.resource import Resource
from lab.apiserver.store import Record, decode, encode

Json = dict[str, Any]

# events.k8s.io/v1 name -> core/v1 name
_EVENT_FIELDS = {
    "note": "message",
    "regarding": "involvedObject",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE_FIELDS = {core: new for new, core in _EVENT_FIELDS.items()}


def stored_as(resource: Resource) -> str | None:
    """The apiVersion in the store where it is not the resource's own; None if there is nothing to convert."""
    if resource.group == "events.k8s.io":
        return "v1"
    if resource.definition is not None and not resource.definition.get("storage", True):
        return f"{resource.group}/{resource.definition['storedAs']}"
    return None


def to_storage(resource: Resource, obj: Json) -> Json:
    """The object in the version in which it is stored. May change the given one."""
    version = stored_as(resource)
    if version is None:
        return obj
    if resource.group == "events.k8s.io":
        obj = {_EVENT_FIELDS.get(key, key): value for key, value in obj.items()}
    obj["apiVersion"] = version
    return obj


def from_storage(resource: Resource, obj: Json) -> Json:
    """The object in the version of the resource. May change the given one."""
    if stored_as(resource) is None:
        return obj
    if resource.group == "events.k8s.io":
        obj = {_CORE_FIELDS.get(key, key): value for key, value in obj.items()}
    obj["apiVersion"] = resource.api_version
    return obj


def raw(resource: Resource, record: Record) -> bytes:
    """The object encoded as the resource serves it."""
    if stored_as(resource) is None:
        return record.raw
    return encode(from_storage(resource, decode(record.raw)))
