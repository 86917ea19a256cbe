"""What the server says about itself: version, health, discovery and OpenAPI.

The documents are made from the registry by discovery.py and openapi.py, and kept until a resource comes or goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from lab.apiserver.documents import discovery, openapi, openapiproto
from lab.apiserver.kinds.registry import Registry
from lab.apiserver.resource import Resource
from lab.apiserver.store import encode

Json = dict[str, Any]

VERSION: Json = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "$Format:%H$",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}


class Documents:
    """Discovery and OpenAPI of the resources in a registry, made when asked for and kept until one comes or goes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._kept: dict[tuple[str, ...], bytes | None] = {}
        self._kept_for = -1  # the version of the registry

    def discovery(self, path: str, accept: str, server_address: str) -> tuple[str, bytes] | None:
        """Content type and body of /api, /apis and what is below them; None if nothing is there."""
        parts = path.strip("/").split("/")
        aggregated = discovery.wants_aggregated(accept)
        if aggregated and len(parts) == 1:
            core = parts == ["api"]
            make = lambda: discovery.aggregated(self._resources(), core=core)  # noqa: E731
            return _typed(aggregated, self._keep((path, aggregated), make))
        match parts:
            case ["api"]:
                return _typed("application/json", encode(discovery.api_versions(server_address)))
            case ["apis"]:
                return self._json(path, lambda: discovery.api_group_list(self._resources()))
            case ["apis", group]:
                return self._json(path, lambda: discovery.api_group(group, self._resources()))
            case ["api", version]:
                return self._json(path, lambda: discovery.api_resource_list("", version, self._resources()))
            case ["apis", group, version]:
                return self._json(path, lambda: discovery.api_resource_list(group, version, self._resources()))
            case _:
                return None

    def openapi(self, path: str, accept: str) -> tuple[str, bytes] | None:
        """Content type and body of what is below /openapi; None if nothing is there."""
        match path.strip("/").split("/"):
            case ["openapi", "v2"] if openapiproto.is_wanted(accept):
                make = lambda: openapiproto.encode(openapi.v2_document(self._resources()))  # noqa: E731
                return _typed(openapiproto.MEDIA, self._keep_bytes((path, openapiproto.MEDIA), make))
            case ["openapi", "v2"]:
                return self._json(path, lambda: openapi.v2_document(self._resources()))
            case ["openapi", "v3"]:
                return self._json(path, lambda: openapi.v3_index(self._resources()))
            case ["openapi", "v3", "api", version]:
                return self._json(path, lambda: openapi.v3_document("", version, self._resources()))
            case ["openapi", "v3", "apis", group, version]:
                return self._json(path, lambda: openapi.v3_document(group, version, self._resources()))
            case _:
                return None

    def _json(self, path: str, make: Callable[[], Json | None]) -> tuple[str, bytes] | None:
        return _typed("application/json", self._keep((path,), make))

    def _keep(self, key: tuple[str, ...], make: Callable[[], Json | None]) -> bytes | None:
        def encoded() -> bytes | None:
            document = make()
            return None if document is None else encode(document)

        return self._keep_bytes(key, encoded)

    def _keep_bytes(self, key: tuple[str, ...], make: Callable[[], bytes | None]) -> bytes | None:
        if self._kept_for != self._registry.version:
            self._kept.clear()
            self._kept_for = self._registry.version
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def _resources(self) -> list[Resource]:
        return self._registry.all()


def _typed(content_type: str, body: bytes | None) -> tuple[str, bytes] | None:
    return None if body is None else (content_type, body)


def etag(body: bytes) -> str:
    """The ETag of a document: the same for the same bytes."""
    return f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
