"""Which requests a policy or a binding takes in: matchConstraints and matchResources.

Match conditions are expressions, and so in policy.py.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.access.admissionrequest import AdmissionRequest
from lab.apiserver.selectors import labels_of_selector

Json = dict[str, Any]


def matches_constraints(constraints: Json, request: AdmissionRequest) -> bool:
    """Whether a request falls under matchConstraints or matchResources."""
    rules = constraints.get("resourceRules")
    if rules and not any(_rule_matches(rule, request) for rule in rules):
        return False
    if any(_rule_matches(rule, request) for rule in constraints.get("excludeResourceRules") or []):
        return False
    return _selectors_match(constraints, request)


def _selectors_match(constraints: Json, request: AdmissionRequest) -> bool:
    selector = constraints.get("namespaceSelector")
    if selector and request.namespace:
        labels = ((request.namespace_object or {}).get("metadata") or {}).get("labels") or {}
        if not labels_of_selector(selector).matches(labels):
            return False
    selector = constraints.get("objectSelector")
    if not selector:
        return True
    objects = [each for each in (request.object, request.old_object) if each is not None]
    return any(
        labels_of_selector(selector).matches((each.get("metadata") or {}).get("labels") or {}) for each in objects
    )


def _rule_matches(rule: Json, request: AdmissionRequest) -> bool:
    return (
        _listed(rule.get("operations"), str(request.operation))
        and _listed(rule.get("apiGroups"), request.group)
        and _listed(rule.get("apiVersions"), request.version)
        and any(_resource_matches(each, request) for each in rule.get("resources") or [])
        and (not rule.get("resourceNames") or request.name in rule["resourceNames"])
        and _scope_matches(rule.get("scope", "*"), request)
    )


def _listed(values: list[str] | None, value: str) -> bool:
    return bool(values) and ("*" in (values or ()) or value in (values or ()))


def _resource_matches(pattern: str, request: AdmissionRequest) -> bool:
    resource, slash, subresource = pattern.partition("/")
    if resource not in ("*", request.resource):
        return False
    if not slash:
        return not request.subresource
    return subresource == "*" or subresource == request.subresource


def _scope_matches(scope: str, request: AdmissionRequest) -> bool:
    match scope:
        case "Namespaced":
            return bool(request.namespace)
        case "Cluster":
            return not request.namespace
    return True
