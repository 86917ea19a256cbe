"""Which objects of the cluster concern Berth, and which paths lead to the logs and metrics of its pods. Pure."""

from collections.abc import Container, Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from cli.capture.clean import OUR_CONTAINERS
from crds.names import GROUP
from kube.resource import (
    BFDPROFILES,
    BGPADVERTISEMENTS,
    BGPPEERS,
    COMMUNITIES,
    DEPARTEDSPEAKERS,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    NODES,
    RELEASECONFIRMATIONS,
    SERVICECIDRS,
    SPEAKERREPORTS,
    SPEAKERS,
    Resource,
)

PODS = Resource("", "v1", "pods", "Pod", True)
WORKLOADS = (
    Resource("apps", "v1", "deployments", "Deployment", True),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True),
)
WHOLE = (
    IPPOOLS,
    IPALLOCATIONS,
    L2ADVERTISEMENTS,
    BGPADVERTISEMENTS,
    BGPPEERS,
    BFDPROFILES,
    COMMUNITIES,
    SPEAKERS,
    SPEAKERREPORTS,
    RELEASECONFIRMATIONS,
    DEPARTEDSPEAKERS,
    NODES,
    SERVICECIDRS,
)
"""Kinds of which all objects are taken."""
COMPONENTS = "app.kubernetes.io/component in (allocator,speaker)"
LOG_LINES = 10_000
LOG_BYTES = 8 << 20

Body = dict[str, Any]


def concerns_service(one: Body) -> bool:
    """A Service that Berth may serve, serves, or is to announce external IPs of."""
    spec = one.get("spec") or {}
    return spec.get("type") == "LoadBalancer" or bool(spec.get("externalIPs")) or f'"{GROUP}/' in str(_types(one))


def _types(one: Body) -> str:
    conditions = (one.get("status") or {}).get("conditions") or []
    return " ".join(f'"{each.get("type", "")}' for each in conditions if isinstance(each, dict))


def key(one: Body) -> tuple[str, str]:
    """Namespace and name."""
    metadata = one.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")


def concerns_slice(one: Body, services: Container[tuple[str, str]]) -> bool:
    """An EndpointSlice of one of these."""
    labels = (one.get("metadata") or {}).get("labels") or {}
    return (key(one)[0], str(labels.get("kubernetes.io/service-name", ""))) in services


def concerns_event(one: Body, berth: str, services: Container[tuple[str, str]]) -> bool:
    """About our kinds, what we serve, Nodes, or what is in Berth's namespace and called as we are."""
    about = one.get("involvedObject") or one.get("regarding") or {}
    kind, name, namespace = (str(about.get(each) or "") for each in ("kind", "name", "namespace"))
    if str(about.get("apiVersion", "")).startswith(f"{GROUP}/") or kind == "Node":
        return True
    if kind == "Service":
        return (namespace, name) in services
    return namespace == berth and "berth" in name


class Running(NamedTuple):
    """One of ours. `restarted`: it has run before."""

    pod: str
    name: str
    restarted: bool
    node: str
    port: int
    """Of its metrics; 0 = none is named."""


def containers(pods: list[Body]) -> Iterator[Running]:
    """Of Berth's pods: allocators first."""
    for pod in sorted(pods, key=lambda one: (not key(one)[1].startswith("berth-allocator"), key(one)[1])):
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        restarts = {each.get("name"): each.get("restartCount", 0) for each in status.get("containerStatuses") or []}
        for one in spec.get("containers") or []:
            if one.get("name") in OUR_CONTAINERS:
                ports = {each.get("name"): each.get("containerPort", 0) for each in one.get("ports") or []}
                restarted = bool(restarts.get(one["name"], 0))
                node = str(spec.get("nodeName") or "")
                yield Running(key(pod)[1], one["name"], restarted, node, int(ports.get("metrics") or 0))


def log_path(berth: str, one: Running, *, previous: bool) -> str:
    """Of the API server."""
    query = {"container": one.name, "tailLines": LOG_LINES, "limitBytes": LOG_BYTES, "timestamps": "true"}
    return f"{PODS.path(one.pod, berth, 'log')}?{urlencode(query | ({'previous': 'true'} if previous else {}))}"


def metrics_path(berth: str, one: Running, scheme: str) -> str:
    """Through the API server, which asks the pod."""
    return f"{PODS.path(None, berth)}/{quote(f'{scheme}{one.pod}:{one.port}', safe=':')}/proxy/metrics"
