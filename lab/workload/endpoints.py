"""EndpointSlices of a Service from the pods that its selector matches: one slice for each IP family.

No I/O. As Kubernetes' controller does it, without splitting: a lab has few pods. Slices of other writers are not
touched; ours carry the managed-by label.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from lab.workload.objects import Pod, TrafficService

MANAGED_BY = "berth-lab"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


def slices_of(service: TrafficService, pods: Iterable[Pod]) -> dict[str, dict[str, Any]]:
    """The wanted EndpointSlices by name. A Service without selector has none of ours."""
    if not service.spec.selector:
        return {}
    chosen = sorted((pod for pod in pods if _is_chosen(service, pod)), key=lambda pod: pod.metadata.name)
    slices = (_slice(service, family, chosen) for family in service.spec.ip_families)
    return {body["metadata"]["name"]: body for body in slices}


def _is_chosen(service: TrafficService, pod: Pod) -> bool:
    if pod.metadata.namespace != service.metadata.namespace:
        return False
    return service.spec.selector.items() <= pod.metadata.labels.items()


def _slice(service: TrafficService, family: str, pods: list[Pod]) -> dict[str, Any]:
    meta = service.metadata
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{meta.name}-{family.lower()}",
            "namespace": meta.namespace,
            "labels": {SERVICE_NAME_LABEL: meta.name, MANAGED_BY_LABEL: MANAGED_BY},
        },
        "addressType": family,
        "endpoints": [_endpoint(pod, address) for pod in pods for address in _addresses(pod, family)],
        "ports": [
            {"name": port.name, "port": port.target_number, "protocol": port.protocol} for port in service.spec.ports
        ],
    }


def _addresses(pod: Pod, family: str) -> list[str]:
    version = 4 if family == "IPv4" else 6
    return [each.ip for each in pod.status.pod_ips if ip_address(each.ip).version == version]


def _endpoint(pod: Pod, address: str) -> dict[str, Any]:
    ready = pod.is_ready
    return {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": ready, "terminating": pod.metadata.is_terminating},
        "nodeName": pod.spec.node_name,
        "targetRef": {"kind": "Pod", "name": pod.metadata.name, "namespace": pod.metadata.namespace},
    }
