"""The Kubernetes objects that stand for the lab's own hosts: Nodes and the pods on them. No I/O."""

from typing import Any

from lab.net.hosts import Node

POD_NAMESPACE = "default"
POD_LABELS = {"app": "example"}
IMAGE = "lab/backend"
BACKEND_CONTAINER = "backend"
POD_LOGS = "pod-logs"
"""The folder of a lab that shows what its pods write, as /var/log/containers on a node."""
BACKEND_PORTS = (9376, 8080, 80)
"""The pod listens on all of these: the demo's port, and those a hand-made Service is likely to name."""


def pod_name(node: Node) -> str:
    return f"example-{node.name}"


def log_name(pod: str, namespace: str, container: str) -> str:
    """Of its file in POD_LOGS, as a kubelet begins it."""
    return f"{pod}_{namespace}_{container}.log"


def node_object(node: Node) -> dict[str, Any]:
    """As its kubelet would report it."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux"}},
        "spec": {"podCIDR": str(node.pod_network_ipv4)},
    }


def node_status(node: Node) -> dict[str, Any]:
    return {
        "conditions": [_condition("Ready", True, "KubeletReady")],
        "addresses": [
            {"type": "InternalIP", "address": str(node.ipv4)},
            {"type": "InternalIP", "address": str(node.ipv6)},
            {"type": "Hostname", "address": node.name},
        ],
    }


def pod_object(node: Node) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod_name(node), "namespace": POD_NAMESPACE, "labels": POD_LABELS},
        "spec": {
            "nodeName": node.name,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": BACKEND_CONTAINER,
                    "image": IMAGE,
                    "ports": [{"containerPort": port} for port in BACKEND_PORTS],
                }
            ],
        },
    }


def pod_status(node: Node, *, ready: bool, started: str) -> dict[str, Any]:
    """`started`: when its process did, in RFC 3339."""
    return {
        "phase": "Running",
        "startTime": started,
        "hostIP": str(node.ipv4),
        "hostIPs": [{"ip": str(node.ipv4)}, {"ip": str(node.ipv6)}],
        "podIP": str(node.pod_ipv4),
        "podIPs": [{"ip": str(node.pod_ipv4)}, {"ip": str(node.pod_ipv6)}],
        "conditions": [_condition("Ready", ready, "ReadinessProbe")],
        "containerStatuses": [
            {
                "name": BACKEND_CONTAINER,
                "image": IMAGE,
                "imageID": "",
                "ready": ready,
                "restartCount": 0,
                "state": {"running": {"startedAt": started}},
            }
        ],
    }


def started_status(container: str, started: str) -> dict[str, Any]:
    """Of a pod with one container that runs, since then."""
    running = {
        "name": container,
        "image": "",
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": started}},
    }
    return {
        "phase": "Running",
        "startTime": started,
        "conditions": [_condition("Ready", True, "Started")],
        "containerStatuses": [running],
    }


def _condition(kind: str, holds: bool, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": str(holds), "reason": reason, "message": "the lab says so"}
