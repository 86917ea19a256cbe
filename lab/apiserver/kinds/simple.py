"""Behaviours of the built-in kinds that need a few lines each: nodes, slices, events, leases, RBAC, policies.

Services, namespaces, workloads and custom resources have modules of their own.
"""

from __future__ import annotations

import base64
import binascii
from ipaddress import ip_address, ip_network
from typing import Any

from lab.apiserver import fielderrors
from lab.apiserver.access.policyrules import default_policy, validate_policy
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import metadata
from lab.apiserver.kinds.behaviour import Behaviour, Moment, restore
from lab.apiserver.kinds.servicerules import IP_MESSAGE, is_ip
from lab.apiserver.schema.shapes import Reading

Json = dict[str, Any]

RBAC_GROUP = "rbac.authorization.k8s.io"
_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)


def without_empty_text(items: list[Json]) -> None:
    """Empty optional strings are not written out."""
    for item in items:
        for key in [key for key, value in item.items() if value == ""]:
            del item[key]


def _without_empty(obj: Json, *keys: str) -> None:
    for key in keys:
        if not obj.get(key):
            obj.pop(key, None)


class Nodes(Behaviour):
    """Node objects: a new one has the taint not-ready."""

    has_status = True

    def default(self, obj: Json) -> None:
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        without_empty_text(status.get("conditions") or [])
        status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {}).setdefault("Port", 0)
        info = status.setdefault("nodeInfo", {})
        for key in _NODE_INFO:
            info.setdefault(key, "")

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        """A new node is not ready until something says so (admission plugin TaintNodesByCondition)."""
        taints = obj["spec"].setdefault("taints", [])
        not_ready = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        if not any(taint.get("key") == not_ready["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append(not_ready)


class EndpointSlices(Behaviour):
    """EndpointSlice objects: the family of their addresses is checked and fixed."""

    has_generation = True
    generation_fields = None

    def default(self, obj: Json) -> None:
        obj.setdefault("endpoints", None)
        for endpoint in obj.get("endpoints") or ():
            if endpoint.get("conditions") is None:
                endpoint["conditions"] = {}
        if not obj.get("ports"):
            obj["ports"] = None
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def validate(self, obj: Json) -> list[FieldError]:
        kind = obj.get("addressType")
        if not kind:
            return [fielderrors.required("addressType", "supported values: FQDN, IPv4, IPv6")]
        if kind not in ("FQDN", "IPv4", "IPv6"):
            return [fielderrors.unsupported("addressType", kind, ("FQDN", "IPv4", "IPv6"))]
        errors = []
        for index, endpoint in enumerate(obj.get("endpoints") or ()):
            if not endpoint.get("addresses"):
                errors.append(fielderrors.required(f"endpoints[{index}].addresses", "must contain at least 1 endpoint"))
            for position, address in enumerate(endpoint.get("addresses") or ()):
                errors += _endpoint_address(kind, address, f"endpoints[{index}].addresses[{position}]")
        return errors

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        if new.get("addressType") != old.get("addressType"):
            return [fielderrors.invalid("addressType", new.get("addressType"), "field is immutable")]
        return self.validate(new)


def _endpoint_address(kind: str, address: str, field: str) -> list[FieldError]:
    if kind == "FQDN":
        wrong = metadata.subdomain(address)
        return [fielderrors.invalid(field, address, wrong)] if wrong else []
    if not is_ip(address):
        return [fielderrors.invalid(field, address, IP_MESSAGE)]
    if f"IPv{ip_address(address).version}" != kind:
        return [fielderrors.invalid(field, address, f"must be an {kind} address")]
    return []


class Events(Behaviour):
    """Both groups store the core/v1 form; only events.k8s.io asks for the newer fields."""

    creates_on_update = True

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict

    def default(self, obj: Json) -> None:
        obj.setdefault("involvedObject", {})
        for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
            obj.setdefault(key, None)
        obj.setdefault("source", {})
        for key in ("reportingComponent", "reportingInstance"):
            obj.setdefault(key, "")

    def validate(self, obj: Json) -> list[FieldError]:
        named = obj["involvedObject"].get("namespace", "")
        namespace = obj["metadata"].get("namespace", "")
        if named != namespace and not (not named and namespace == "default"):
            return [fielderrors.invalid("involvedObject.namespace", named, "does not match event.namespace")]
        return self._strict_errors(obj) if self._strict and obj.get("eventTime") else []

    def _strict_errors(self, obj: Json) -> list[FieldError]:
        errors = []
        for field, key in (
            ("reportingController", "reportingComponent"),
            ("reportingInstance", "reportingInstance"),
            ("action", "action"),
            ("reason", "reason"),
        ):
            if not obj.get(key):
                errors.append(fielderrors.required(field))
            elif len(obj[key]) > 128:
                errors.append(fielderrors.invalid(field, "", "can have at most 128 characters"))
        if len(obj.get("message") or "") > 1024:
            errors.append(fielderrors.invalid("message", "", "can have at most 1024 characters"))
        if obj.get("type") not in ("Normal", "Warning"):
            errors.append(fielderrors.invalid("type", "", "has invalid value: " + str(obj.get("type", ""))))
        return errors

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        return self.validate(new)


class Leases(Behaviour):
    """Lease objects: nulls in their spec are dropped, so that holders may clear fields."""

    creates_on_update = True

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        for key in [key for key, value in spec.items() if value is None]:
            del spec[key]

    def validate(self, obj: Json) -> list[FieldError]:
        spec, errors = obj["spec"], []
        if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
            errors.append(fielderrors.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
        if (transitions := spec.get("leaseTransitions")) is not None and transitions < 0:
            detail = "must be greater than or equal to 0"
            errors.append(fielderrors.invalid("spec.leaseTransitions", transitions, detail))
        return errors


class ConfigMaps(Behaviour):
    """ConfigMap objects: empty maps are dropped."""

    def default(self, obj: Json) -> None:
        _without_empty(obj, "data", "binaryData")


class Secrets(Behaviour):
    """Secret objects: `stringData` goes into `data`, which is checked to be base64; the type is fixed."""

    def default(self, obj: Json) -> None:
        obj.setdefault("type", "Opaque")
        _without_empty(obj, "data")
        if text := obj.pop("stringData", None):
            data = obj.setdefault("data", {})
            data.update({key: base64.b64encode(value.encode()).decode() for key, value in text.items()})

    def read(self, obj: Json) -> Reading:
        reading = super().read(obj)
        try:
            for value in (obj.get("data") or {}).values():
                base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError):
            reading.error = reading.error or "illegal base64 data at input byte 0"
        return reading

    def prepare_update(self, new: Json, old: Json, moment: Moment) -> None:
        if not new.get("type"):
            new["type"] = old["type"]

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        errors = []
        if new.get("type") != old.get("type"):
            errors.append(fielderrors.invalid("type", new.get("type"), "field is immutable"))
        if old.get("immutable"):
            for key in ("data", "immutable"):
                if new.get(key) != old.get(key):
                    errors.append(fielderrors.forbidden(key, "field is immutable when `immutable` is set"))
        return errors


class ServiceAccounts(Behaviour):
    """ServiceAccount objects; their tokens are in access/tokens.py."""

    returns_deleted_object = True


class Roles(Behaviour):
    """Role and ClusterRole objects; what they grant is worked out in access/rbac.py."""

    creates_on_update = True
    name_rule = staticmethod(metadata.path_segment)

    def default(self, obj: Json) -> None:
        obj.setdefault("rules", None)

    def validate(self, obj: Json) -> list[FieldError]:
        errors = []
        for index, rule in enumerate(obj.get("rules") or ()):
            if not rule.get("verbs"):
                errors.append(fielderrors.required(f"rules[{index}].verbs", "verbs must contain at least one value"))
            if rule.get("nonResourceURLs"):
                continue
            for key, what in (("apiGroups", "api groups"), ("resources", "resources")):
                if not rule.get(key):
                    detail = f"resource rules must supply at least one {what.removesuffix('s')}"
                    errors.append(fielderrors.required(f"rules[{index}].{key}", detail))
        return errors


class RoleBindings(Behaviour):
    """RoleBinding and ClusterRoleBinding objects; their roleRef is fixed."""

    creates_on_update = True
    name_rule = staticmethod(metadata.path_segment)

    def default(self, obj: Json) -> None:
        obj.setdefault("roleRef", {}).setdefault("apiGroup", RBAC_GROUP)
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group"):
                subject.setdefault("apiGroup", RBAC_GROUP)
            elif subject.get("apiGroup") == "":
                del subject["apiGroup"]

    def validate(self, obj: Json) -> list[FieldError]:
        errors = []
        kind = obj["roleRef"].get("kind")
        if kind not in ("Role", "ClusterRole"):
            errors.append(fielderrors.unsupported("roleRef.kind", kind, ("ClusterRole", "Role")))
        if not obj["roleRef"].get("name"):
            errors.append(fielderrors.required("roleRef.name"))
        for index, subject in enumerate(obj.get("subjects") or ()):
            if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
                errors.append(fielderrors.required(f"subjects[{index}].namespace"))
        return errors

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        if new["roleRef"] != old["roleRef"]:
            return [fielderrors.invalid("roleRef", new["roleRef"], "cannot change roleRef")]
        return self.validate(new)


class Policies(Behaviour):
    """ValidatingAdmissionPolicy."""

    has_generation = True
    has_status = True
    status_takes_metadata = False

    def default(self, obj: Json) -> None:
        default_policy(obj)
        obj.setdefault("status", {})

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        obj["status"] = {}

    def prepare_update(self, new: Json, old: Json, moment: Moment) -> None:
        restore(new, old, "status")

    def validate(self, obj: Json) -> list[FieldError]:
        return validate_policy(obj)


class PolicyBindings(Behaviour):
    """ValidatingAdmissionPolicyBinding."""

    has_generation = True

    def validate(self, obj: Json) -> list[FieldError]:
        spec, errors = obj.get("spec") or {}, []
        if not spec.get("policyName"):
            errors.append(fielderrors.required("spec.policyName"))
        if not spec.get("validationActions"):
            errors.append(fielderrors.required("spec.validationActions"))
        for index, action in enumerate(spec.get("validationActions") or ()):
            if action not in ("Audit", "Deny", "Warn"):
                field = f"spec.validationActions[{index}]"
                errors.append(fielderrors.unsupported(field, action, ("Audit", "Deny", "Warn")))
        return errors


class PriorityClasses(Behaviour):
    """PriorityClass objects."""

    has_generation = True
    generation_fields = None

    def default(self, obj: Json) -> None:
        obj.setdefault("value", 0)
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


class NetworkPolicies(Behaviour):
    """NetworkPolicy objects: stored, not enforced."""

    has_generation = True

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("podSelector", {})
        if not spec.get("policyTypes"):
            spec["policyTypes"] = ["Ingress"] + (["Egress"] if spec.get("egress") else [])
        for rule in (*(spec.get("ingress") or ()), *(spec.get("egress") or ())):
            for port in rule.get("ports") or ():
                port.setdefault("protocol", "TCP")


class ServiceCIDRs(Behaviour):
    """ServiceCIDR objects: networks of cluster IPs, one or one of each family. Nothing is given out of further ones."""

    has_status = True

    def validate(self, obj: Json) -> list[FieldError]:
        cidrs = (obj.get("spec") or {}).get("cidrs") or []
        if not cidrs:
            return [fielderrors.required("spec.cidrs", "at least one CIDR required")]
        if len(cidrs) > 2:
            return [fielderrors.invalid("spec.cidrs", cidrs, "may only hold up to 2 values")]
        return [
            fielderrors.invalid(f"spec.cidrs[{index}]", cidr, "must be a valid CIDR value, (e.g. 10.9.8.0/24)")
            for index, cidr in enumerate(cidrs)
            if not is_network(cidr)
        ]


def is_network(text: str) -> bool:
    """Whether it is an address of a network with its prefix length."""
    try:
        ip_network(text)
    except ValueError:
        return False
    return "/" in text
