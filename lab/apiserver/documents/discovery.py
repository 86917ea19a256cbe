"""Discovery documents: /api, /apis, group and resource lists, and aggregated discovery v2.

It describes the resources that it is given; the registry knows which exist at the moment.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from lab.apiserver.resource import Resource, Subresource

AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_VERSION: Final = re.compile(r"^v(\d+)(?:(alpha|beta)(\d+))?$")


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v1beta1, v1alpha1, then others by name."""
    match = _VERSION.match(version)
    if match is None:
        return (3, 0, 0, version)
    stability = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stability, -int(match[1]), -int(match[3] or 0), "")


def _versions(group: str, resources: Iterable[Resource]) -> list[str]:
    return sorted({each.version for each in resources if each.group == group}, key=version_order)


def _groups(resources: Iterable[Resource]) -> list[str]:
    return list(dict.fromkeys(each.group for each in resources if each.group))


def api_versions(server_address: str) -> dict[str, Any]:
    """GET /api."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def _group(group: str, resources: Sequence[Resource]) -> dict[str, Any]:
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for version in _versions(group, resources)]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def api_group_list(resources: Sequence[Resource]) -> dict[str, Any]:
    """GET /apis."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(group, resources) for group in _groups(resources)],
    }


def api_group(group: str, resources: Sequence[Resource]) -> dict[str, Any] | None:
    """GET /apis/GROUP; None when nothing is served there (404)."""
    if not group or not _versions(group, resources):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, resources)}


def api_resource_list(group: str, version: str, resources: Sequence[Resource]) -> dict[str, Any] | None:
    """GET /api/v1 (group "") or /apis/GROUP/VERSION; None when nothing is served there (404)."""
    served = [each for each in resources if each.group == group and each.version == version]
    if not served:
        return None
    entries: list[dict[str, Any]] = []
    for resource in sorted(served, key=lambda each: each.plural):
        entries.append(_entry(resource))
        entries += [_subresource_entry(resource, each) for each in sorted(resource.subresources, key=lambda s: s.name)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": entries,
    }


def _entry(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "list" in resource.verbs:
        entry["storageVersionHash"] = _storage_version_hash(resource)
    return entry


def _storage_version_hash(resource: Resource) -> str:
    """As the API server makes it: the first 8 bytes of the SHA-256 of group, version and kind."""
    text = f"{resource.group}/{resource.version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


def _subresource_entry(resource: Resource, sub: Subresource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind or resource.kind,
        "verbs": list(sub.verbs),
    }
    if sub.group is not None:
        entry = entry | {"group": sub.group, "version": sub.version}
    return entry


def aggregated(resources: Sequence[Resource], *, core: bool) -> dict[str, Any]:
    """The APIGroupDiscoveryList of GET /api (core) or /apis."""
    groups = [""] if core else _groups(resources)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_discovered_group(group, resources) for group in groups],
    }


def _discovered_group(group: str, resources: Sequence[Resource]) -> dict[str, Any]:
    return {
        "metadata": {"name": group} if group else {},
        "versions": [_discovered_version(group, version, resources) for version in _versions(group, resources)],
    }


def _discovered_version(group: str, version: str, resources: Sequence[Resource]) -> dict[str, Any]:
    served = sorted(
        (each for each in resources if each.group == group and each.version == version), key=lambda each: each.plural
    )
    return {"version": version, "resources": [_discovered(each) for each in served], "freshness": "Current"}


def _discovered(resource: Resource) -> dict[str, Any]:
    group, version = (resource.group, resource.version) if resource.is_custom else ("", "")
    found: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": group, "version": version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        found["shortNames"] = list(resource.short_names)
    if resource.categories:
        found["categories"] = list(resource.categories)
    if resource.subresources:
        found["subresources"] = [
            _discovered_subresource(resource, each)
            for each in sorted(resource.subresources, key=lambda each: each.name)
        ]
    return found


def _discovered_subresource(resource: Resource, sub: Subresource) -> dict[str, Any]:
    group, version = (resource.group, resource.version) if resource.is_custom else ("", "")
    if sub.group is not None:
        group, version = sub.group, sub.version or ""
    kind = {"group": group, "version": version, "kind": sub.kind or resource.kind}
    return {"subresource": sub.name, "responseKind": kind, "verbs": list(sub.verbs)}


def wants_aggregated(accept: str) -> str | None:
    """The content type to answer with when the Accept header prefers aggregated discovery v2, else None."""
    for entry in accept.split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        if media != "application/json":
            continue
        asked = dict(parameter.partition("=")[::2] for parameter in parameters)
        if asked.get("as") == "APIGroupDiscoveryList":
            if asked.get("v") == "v2" and asked.get("g") == "apidiscovery.k8s.io":
                return AGGREGATED
            continue
        return None
    return None
