"""What the server says of itself: version, health, discovery and OpenAPI.

The documents are made from the registry by discovery.py and openapi.py, and kept until a resource comes or goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from lab.apiserver.documents import discovery
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

    def openapi(self, path: str) -> tuple[str, bytes] | None:
        if not path.startswith("/openapi"):
            return None
        match path.strip("/").split("/"):
            case ["openapi", "v2"]:
                return self._json(path, self._v2)
            case ["openapi", "v3"]:
                return self._json(path, self._index)
            case ["openapi", "v3", "api", version]:
                return self._json(path, lambda: self._v3("", version))
            case ["openapi", "v3", "apis", group, version]:
                return self._json(path, lambda: self._v3(group, version))
            case _:
                return None

    # The schemas of the built-in kinds are large: loaded when somebody asks.

    def _v2(self) -> Json:
        from lab.apiserver.documents import openapi

        return openapi.v2_document(self._resources())

    def _index(self) -> Json:
        from lab.apiserver.documents import openapi

        return openapi.v3_index(self._resources())

    def _v3(self, group: str, version: str) -> Json | None:
        from lab.apiserver.documents import openapi

        return openapi.v3_document(group, version, self._resources())

    def _json(self, path: str, make: Callable[[], Json | None]) -> tuple[str, bytes] | None:
        return _typed("application/json", self._keep((path,), make))

    def _keep(self, key: tuple[str, ...], make: Callable[[], Json | None]) -> bytes | None:
        if self._kept_for != self._registry.version:
            self._kept.clear()
            self._kept_for = self._registry.version
        if key not in self._kept:
            document = make()
            self._kept[key] = None if document is None else encode(document)
        return self._kept[key]

    def _resources(self) -> list[Resource]:
        return self._registry.all()


def _typed(content_type: str, body: bytes | None) -> tuple[str, bytes] | None:
    return None if body is None else (content_type, body)


def etag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
