"""The objects that a fresh cluster has: the API's own Service and the default roles and bindings.

Of the many roles of a real cluster only those that clients and people meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

RBAC = "rbac.authorization.k8s.io/v1"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_INFO = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_BOOTSTRAP = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_EVERYONE = ("system:authenticated",)


def _role(name: str, rules: list[Json], labels: dict[str, str] | None = None) -> tuple[str, str, str, Json]:
    meta = {"name": name, "labels": _BOOTSTRAP | (labels or {})}
    return RBAC, "clusterroles", "", {"metadata": meta, "rules": rules}


def _binding(name: str, groups: Iterable[str], role: str | None = None) -> tuple[str, str, str, Json]:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role or name}
    subjects = [{"kind": "Group", "name": group} for group in groups]
    meta = {"name": name, "labels": dict(_BOOTSTRAP)}
    return RBAC, "clusterrolebindings", "", {"metadata": meta, "roleRef": reference, "subjects": subjects}


def _resources(groups: list[str], resources: list[str], verbs: list[str]) -> Json:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


_VIEWED = [
    _resources([""], ["configmaps", "endpoints", "events", "namespaces", "pods", "serviceaccounts", "services"], _READ),
    _resources(["apps"], ["daemonsets", "deployments", "replicasets", "statefulsets"], _READ),
    _resources(["discovery.k8s.io"], ["endpointslices"], _READ),
    _resources(["networking.k8s.io"], ["networkpolicies", "ingresses"], _READ),
    _resources(["policy"], ["poddisruptionbudgets"], _READ),
]
_EDITED = [
    *_VIEWED,
    _resources([""], ["configmaps", "events", "pods", "secrets", "serviceaccounts", "services"], [*_READ, *_WRITE]),
    _resources(["apps"], ["daemonsets", "deployments", "replicasets", "statefulsets"], _WRITE),
    _resources(["coordination.k8s.io"], ["leases"], [*_READ, *_WRITE]),
    _resources(["networking.k8s.io"], ["networkpolicies", "ingresses"], _WRITE),
    _resources(["policy"], ["poddisruptionbudgets"], _WRITE),
]

PRESET_OBJECTS: tuple[tuple[str, str, str, Json], ...] = (
    (
        "v1",
        "services",
        "default",
        {
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
        },
    ),
    _role(
        "cluster-admin",
        [_resources(["*"], ["*"], ["*"]), {"nonResourceURLs": ["*"], "verbs": ["*"]}],
    ),
    _binding("cluster-admin", ("system:masters",)),
    _role("admin", [*_EDITED, _resources(["rbac.authorization.k8s.io"], ["roles", "rolebindings"], [*_READ, *_WRITE])]),
    _role("edit", _EDITED),
    _role("view", _VIEWED),
    _role("system:discovery", [{"nonResourceURLs": [*_INFO, *_DISCOVERY], "verbs": ["get"]}]),
    _binding("system:discovery", _EVERYONE),
    _role("system:public-info-viewer", [{"nonResourceURLs": _INFO, "verbs": ["get"]}]),
    _binding("system:public-info-viewer", (*_EVERYONE, "system:unauthenticated")),
    _role(
        "system:basic-user",
        [
            _resources(["authorization.k8s.io"], ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
            _resources(["authentication.k8s.io"], ["selfsubjectreviews"], ["create"]),
        ],
    ),
    _binding("system:basic-user", _EVERYONE),
    _role(
        "system:auth-delegator",
        [
            _resources(["authentication.k8s.io"], ["tokenreviews"], ["create"]),
            _resources(["authorization.k8s.io"], ["subjectaccessreviews"], ["create"]),
        ],
    ),
)
