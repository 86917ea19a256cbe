"""The columns and rows of `kubectl get` for the built-in kinds that have some of their own.

Only kinds that the stand-in stores. This is a table of data, and so longer than most modules. What a Table is, is in
tables.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver.http.durations import age

Obj = dict[str, Any]
Row = Callable[[Obj, float], list[Any]]

_NAME_DESCRIPTION: Final = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow "
    "a client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column; a priority above 0 is for `-o wide`."""

    name: str
    type: str = "string"
    description: str = ""
    priority: int = 0
    format: str = ""

    def definition(self) -> Obj:
        """The entry of columnDefinitions."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


NAME: Final = Column("Name", "string", _NAME_DESCRIPTION, format="name")
_AGE: Final = Column("Age")


def _columns(*names: str) -> tuple[Column, ...]:
    """Columns by name; those that start with + only for `-o wide`."""
    made = [Column(name.removeprefix("+"), priority=1 if name.startswith("+") else 0) for name in names]
    return (NAME, *made)


def _meta(obj: Obj) -> Obj:
    return obj.get("metadata") or {}


def _name(obj: Obj) -> str:
    return str(_meta(obj).get("name", ""))


def _age(obj: Obj, now: float) -> str:
    return age(_meta(obj).get("creationTimestamp"), now)


def _spec(obj: Obj) -> Obj:
    return obj.get("spec") or {}


def _status(obj: Obj) -> Obj:
    return obj.get("status") or {}


def _labels(labels: Obj | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) if labels else "<none>"


def _selector(selector: Obj | None) -> str:
    if not selector:
        return "<none>"
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or []:
        operator, values = each.get("operator"), ",".join(each.get("values") or [])
        match operator:
            case "In" | "NotIn":
                terms.append(f"{each['key']} {operator.lower()} ({values})")
            case "Exists":
                terms.append(each["key"])
            case _:
                terms.append(f"!{each['key']}")
    return ",".join(terms) or "<none>"


def _service(obj: Obj, now: float) -> list[Any]:
    spec = _spec(obj)
    return [
        _name(obj),
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or "<none>",
        _external_ip(obj),
        ",".join(_service_port(each) for each in spec.get("ports") or []) or "<none>",
        _age(obj, now),
        _labels(spec.get("selector")),
    ]


def _service_port(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"


def _external_ip(obj: Obj) -> str:
    spec = _spec(obj)
    match spec.get("type", "ClusterIP"):
        case "LoadBalancer":
            ingress = (_status(obj).get("loadBalancer") or {}).get("ingress") or []
            given = [each.get("ip") or each.get("hostname") or "" for each in ingress]
            shown = list(dict.fromkeys([*given, *(spec.get("externalIPs") or [])]))
            return ",".join(shown) if shown else "<pending>"
        case "ExternalName":
            return str(spec.get("externalName", ""))
    return ",".join(spec.get("externalIPs") or []) or "<none>"


def _node(obj: Obj, now: float) -> list[Any]:
    known = _status(obj).get("nodeInfo") or {}
    return [
        _name(obj),
        _node_status(obj),
        _node_roles(obj),
        _age(obj, now),
        known.get("kubeletVersion", ""),
        _node_address(obj, "InternalIP"),
        _node_address(obj, "ExternalIP"),
        known.get("osImage") or "<unknown>",
        known.get("kernelVersion") or "<unknown>",
        known.get("containerRuntimeVersion") or "<unknown>",
    ]


def _node_status(obj: Obj) -> str:
    ready = next((each for each in _status(obj).get("conditions") or [] if each.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if _spec(obj).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(obj: Obj) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = {label.removeprefix(prefix) for label in _meta(obj).get("labels") or {} if label.startswith(prefix)}
    return ",".join(sorted(roles)) or "<none>"


def _node_address(obj: Obj, kind: str) -> str:
    addresses = _status(obj).get("addresses") or []
    return next((each.get("address", "") for each in addresses if each.get("type") == kind), "<none>")


def _pod(obj: Obj, now: float) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    containers = status.get("containerStatuses") or []
    ready = sum(1 for each in containers if each.get("ready"))
    restarts = sum(each.get("restartCount", 0) for each in containers)
    phase = status.get("reason") or status.get("phase") or "Pending"
    gates = spec.get("readinessGates") or []
    return [
        _name(obj),
        f"{ready}/{len(spec.get('containers') or [])}",
        "Terminating" if _meta(obj).get("deletionTimestamp") else phase,
        str(restarts),
        _age(obj, now),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"0/{len(gates)}" if gates else "<none>",
    ]


def _containers(obj: Obj) -> list[str]:
    containers = ((_spec(obj).get("template") or {}).get("spec") or {}).get("containers") or []
    return [
        ",".join(each.get("name", "") for each in containers),
        ",".join(each.get("image", "") for each in containers),
    ]


def _deployment(obj: Obj, now: float) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    return [
        _name(obj),
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        str(status.get("updatedReplicas", 0)),
        str(status.get("availableReplicas", 0)),
        _age(obj, now),
        *_containers(obj),
        _selector(spec.get("selector")),
    ]


def _replica_set(obj: Obj, now: float) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    return [
        _name(obj),
        str(spec.get("replicas", 1)),
        str(status.get("replicas", 0)),
        str(status.get("readyReplicas", 0)),
        _age(obj, now),
        *_containers(obj),
        _selector(spec.get("selector")),
    ]


def _stateful_set(obj: Obj, now: float) -> list[Any]:
    ready = f"{_status(obj).get('readyReplicas', 0)}/{_spec(obj).get('replicas', 1)}"
    return [_name(obj), ready, _age(obj, now), *_containers(obj)]


def _daemon_set(obj: Obj, now: float) -> list[Any]:
    spec, status = _spec(obj), _status(obj)
    selector = ((spec.get("template") or {}).get("spec") or {}).get("nodeSelector")
    counts = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled")
    return [
        _name(obj),
        *(str(status.get(each, 0)) for each in counts),
        str(status.get("numberAvailable", 0)),
        _labels(selector),
        _age(obj, now),
        *_containers(obj),
        _selector(spec.get("selector")),
    ]


def _endpoint_slice(obj: Obj, now: float) -> list[Any]:
    ports = [str(each["port"]) if each.get("port") else "*" for each in obj.get("ports") or []]
    addresses = [address for each in obj.get("endpoints") or [] for address in each.get("addresses") or []]
    return [
        _name(obj),
        obj.get("addressType", ""),
        _some(ports, "<unset>"),
        _some(addresses, "<unset>"),
        _age(obj, now),
    ]


def _some(items: Sequence[str], nothing: str, most: int = 3) -> str:
    if not items:
        return nothing
    more = f" + {len(items) - most} more..." if len(items) > most else ""
    return ",".join(items[:most]) + more


def _endpoints(obj: Obj, now: float) -> list[Any]:
    shown = [
        f"{address.get('ip')}:{port.get('port')}" if port else str(address.get("ip"))
        for subset in obj.get("subsets") or []
        for address in subset.get("addresses") or []
        for port in subset.get("ports") or [None]
    ]
    return [_name(obj), _some(shown, "<none>"), _age(obj, now)]


def _lease(obj: Obj, now: float) -> list[Any]:
    return [_name(obj), _spec(obj).get("holderIdentity", ""), _age(obj, now)]


def _event(obj: Obj, now: float) -> list[Any]:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    source = obj.get("source") or obj.get("deprecatedSource") or {}
    component = source.get("component") or obj.get("reportingComponent") or obj.get("reportingController") or ""
    series = obj.get("series") or {}
    count = series.get("count") or obj.get("count") or obj.get("deprecatedCount") or 1
    last = obj.get("lastTimestamp") or series.get("lastObservedTime") or obj.get("eventTime")
    first = obj.get("firstTimestamp") or obj.get("eventTime")
    return [
        age(last or _meta(obj).get("creationTimestamp"), now),
        obj.get("type", ""),
        obj.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        f"{component}, {source['host']}" if source.get("host") else component,
        str(obj.get("message") or obj.get("note") or "").strip(),
        age(first or _meta(obj).get("creationTimestamp"), now),
        count,
        _name(obj),
    ]


def _namespace(obj: Obj, now: float) -> list[Any]:
    return [_name(obj), _status(obj).get("phase", ""), _age(obj, now)]


def _secret(obj: Obj, now: float) -> list[Any]:
    return [_name(obj), obj.get("type", "Opaque"), len(obj.get("data") or {}), _age(obj, now)]


def _config_map(obj: Obj, now: float) -> list[Any]:
    return [_name(obj), len(obj.get("data") or {}) + len(obj.get("binaryData") or {}), _age(obj, now)]


def _service_account(obj: Obj, now: float) -> list[Any]:
    return [_name(obj), _age(obj, now)]


def _role_binding(obj: Obj, now: float) -> list[Any]:
    role, subjects = obj.get("roleRef") or {}, obj.get("subjects") or []

    def named(kind: str) -> str:
        return ", ".join(
            f"{each['namespace']}/{each['name']}" if kind == "ServiceAccount" else each.get("name", "")
            for each in subjects
            if each.get("kind") == kind
        )

    return [
        _name(obj),
        f"{role.get('kind', '')}/{role.get('name', '')}",
        _age(obj, now),
        named("User"),
        named("Group"),
        named("ServiceAccount"),
    ]


def _policy(obj: Obj, now: float) -> list[Any]:
    spec = _spec(obj)
    params = spec.get("paramKind") or {}
    shown = f"{params.get('apiVersion')}/{params.get('kind')}" if params else "<unset>"
    return [_name(obj), len(spec.get("validations") or []), shown, _age(obj, now)]


def _policy_binding(obj: Obj, now: float) -> list[Any]:
    spec = _spec(obj)
    params = (spec.get("paramRef") or {}).get("name") or "<unset>"
    return [_name(obj), spec.get("policyName", ""), params, _age(obj, now)]


def _event_columns() -> tuple[Column, ...]:
    return (
        Column("Last Seen"),
        Column("Type"),
        Column("Reason"),
        Column("Object"),
        Column("Subobject", priority=1),
        Column("Source", priority=1),
        Column("Message"),
        Column("First Seen", priority=1),
        Column("Count", "integer", priority=1),
        Column("Name", format="name", priority=1, description=_NAME_DESCRIPTION),
    )


_WORKLOAD: Final = ("+Containers", "+Images", "+Selector")
_BINDING: Final = _columns("Role", "Age", "+Users", "+Groups", "+ServiceAccounts")

BUILTIN_ROWS: Final[Mapping[tuple[str, str], tuple[Sequence[Column], Row]]] = {
    ("", "services"): (_columns("Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "+Selector"), _service),
    ("", "nodes"): (
        _columns(
            "Status",
            "Roles",
            "Age",
            "Version",
            "+Internal-IP",
            "+External-IP",
            "+OS-Image",
            "+Kernel-Version",
            "+Container-Runtime",
        ),
        _node,
    ),
    ("", "pods"): (
        _columns("Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"),
        _pod,
    ),
    ("", "namespaces"): (_columns("Status", "Age"), _namespace),
    ("", "secrets"): ((NAME, Column("Type"), Column("Data"), _AGE), _secret),
    ("", "configmaps"): ((NAME, Column("Data"), _AGE), _config_map),
    ("", "serviceaccounts"): (_columns("Age"), _service_account),
    ("", "endpoints"): (_columns("Endpoints", "Age"), _endpoints),
    ("", "events"): (_event_columns(), _event),
    ("events.k8s.io", "events"): (_event_columns(), _event),
    ("apps", "deployments"): (_columns("Ready", "Up-to-date", "Available", "Age", *_WORKLOAD), _deployment),
    ("apps", "replicasets"): (_columns("Desired", "Current", "Ready", "Age", *_WORKLOAD), _replica_set),
    ("apps", "statefulsets"): (_columns("Ready", "Age", "+Containers", "+Images"), _stateful_set),
    ("apps", "daemonsets"): (
        _columns("Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", *_WORKLOAD),
        _daemon_set,
    ),
    ("discovery.k8s.io", "endpointslices"): (_columns("AddressType", "Ports", "Endpoints", "Age"), _endpoint_slice),
    ("coordination.k8s.io", "leases"): (_columns("Holder", "Age"), _lease),
    ("rbac.authorization.k8s.io", "rolebindings"): (_BINDING, _role_binding),
    ("rbac.authorization.k8s.io", "clusterrolebindings"): (_BINDING, _role_binding),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"): (
        _columns("Validations", "ParamKind", "Age"),
        _policy,
    ),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"): (
        _columns("PolicyName", "ParamRef", "Age"),
        _policy_binding,
    ),
}
