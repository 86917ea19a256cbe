"""Discovery documents: /api, /apis, group and resource lists, and aggregated discovery v2.

It describes the resources it is given; which exist at the moment is the server's to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource such as `status`; `kind` "" means the parent's."""

    name: str
    verbs: tuple[str, ...] = ("get", "patch", "update")
    group: str = ""
    version: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class ApiResource:
    """A resource in one group and version, as discovery shows it."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = ALL_VERBS
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[Subresource, ...] = ()
    custom: bool = False


def crd_resources(crd: dict[str, Any]) -> list[ApiResource]:
    """The resources that a CustomResourceDefinition serves (one each served version)."""
    raise NotImplementedError


def api_versions(server_address: str) -> dict[str, Any]:
    """GET /api."""
    raise NotImplementedError


def api_group_list(resources: Sequence[ApiResource]) -> dict[str, Any]:
    """GET /apis."""
    raise NotImplementedError


def api_group(group: str, resources: Sequence[ApiResource]) -> dict[str, Any] | None:
    """GET /apis/GROUP; None when nothing is served there (404)."""
    raise NotImplementedError


def api_resource_list(group: str, version: str, resources: Sequence[ApiResource]) -> dict[str, Any] | None:
    """GET /api/v1 (group "") or /apis/GROUP/VERSION; None when nothing is served there (404)."""
    raise NotImplementedError


def aggregated(resources: Sequence[ApiResource], *, core: bool) -> dict[str, Any]:
    """The APIGroupDiscoveryList of GET /api (core) or /apis."""
    raise NotImplementedError


def wants_aggregated(accept: str) -> str | None:
    """The content type to answer with when the Accept header prefers aggregated discovery v2, else None."""
    raise NotImplementedError
