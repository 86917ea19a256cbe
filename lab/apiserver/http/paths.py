"""What a URL means: which resource, object and subresource, and the verb that goes with the method.

The text is only taken apart: the registry knows whether the resource exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Target:
    """A path below /api/VERSION or /apis/GROUP/VERSION that names a resource."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def parse(path: str) -> Target | None:
    """None for everything that is no resource (discovery, health, documents)."""
    parts = path.strip("/").split("/")
    match parts:
        case ["api", version, *rest] if rest:
            return _target("", version, rest)
        case ["apis", group, version, *rest] if rest:
            return _target(group, version, rest)
        case _:
            return None


def _target(group: str, version: str, rest: list[str]) -> Target | None:
    rest = [unquote(part) for part in rest]
    namespace = ""
    # /namespaces/NAME is a Namespace, /namespaces/NAME/RESOURCE something in it.
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    plural, name, subresource, *more = [*rest, "", ""]
    if any(more) or not all(rest):
        return None
    return Target(group, version, plural, namespace, name, subresource)


def verb(method: str, target: Target, *, watching: bool) -> str:
    """The verb that RBAC and counters know; empty for a method that means nothing here."""
    match method:
        case "GET" | "HEAD":
            if watching:
                return "watch"
            return "get" if target.name else "list"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
        case _:
            return _VERBS.get(method, "")
