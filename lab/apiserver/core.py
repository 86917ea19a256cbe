"""A whole API server without its network: store, rules and the objects that every cluster starts with.

The HTTP side is in http/api.py, the process in server.py.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lab.apiserver.access.admission import PolicyAdmission
from lab.apiserver.access.rbac import Rbac
from lab.apiserver.access.reviews import Reviews
from lab.apiserver.access.tokens import Tokens
from lab.apiserver.call import Call, User
from lab.apiserver.controllers.definitions import Establisher
from lab.apiserver.controllers.namespaces import NamespaceKeeper
from lab.apiserver.documents.served import Documents
from lab.apiserver.faults import Faults, RequestCounters
from lab.apiserver.kinds.behaviour import Behaviour
from lab.apiserver.kinds.builtins import BUILTINS
from lab.apiserver.kinds.customresources import Definitions
from lab.apiserver.kinds.namespaces import PRESET, Namespaces
from lab.apiserver.kinds.presets import PRESET_OBJECTS
from lab.apiserver.kinds.registry import Registry
from lab.apiserver.kinds.services import Services
from lab.apiserver.kinds.simple import (
    ConfigMaps,
    EndpointSlices,
    Events,
    Leases,
    NetworkPolicies,
    Nodes,
    Policies,
    PolicyBindings,
    PriorityClasses,
    RoleBindings,
    Roles,
    Secrets,
    ServiceAccounts,
    ServiceCIDRs,
)
from lab.apiserver.kinds.workloads import DisruptionBudgets, PodMakers, Pods
from lab.apiserver.resource import Resource
from lab.apiserver.schema.shapes import shape_of
from lab.apiserver.store import HISTORY_EVENTS, Json, Store, encode
from lab.apiserver.timeline import Timeline
from lab.apiserver.verbs.rest import Rest

SERVICE_NETWORKS = ("10.96.0.0/16", "fd00:10:96::/112")
NODE_PORTS = (30000, 32767)


@dataclass(frozen=True, slots=True)
class Settings:
    """What may be set when the server starts."""

    history_events: int = HISTORY_EVENTS  # kept for each resource; older watches get 410
    service_networks: tuple[str, ...] = SERVICE_NETWORKS  # the first is the default family
    node_ports: tuple[int, int] = NODE_PORTS
    bookmark_seconds: float = 60.0  # between bookmarks of a watch that asked for them
    future_version_seconds: float = 3.0  # how long a list waits for a version that is not there yet
    watch_seconds: tuple[float, float] = (1800.0, 3600.0)  # a watch without timeoutSeconds lasts between these
    seed: int | None = None
    pod_logs: Path | None = None  # where a kubelet shows what pods write; None: nothing runs pods


class Core:
    """The store with everything that acts on it. `rest` does what clients may do; `create` writes past RBAC.

    Parts are public, so that the HTTP side and tests reach them.
    """

    def __init__(self, settings: Settings) -> None:
        rng = random.Random(settings.seed)
        self.settings = settings
        self.rng = rng
        self.store = Store(settings.history_events)
        self.admin_token = secrets.token_urlsafe(32)
        self.services = Services(settings.service_networks, settings.node_ports, rng)
        self.store.table("services").listen(self.services.follow)
        self.registry = Registry((resource, self._shaped(resource)) for resource in BUILTINS)
        for resource in BUILTINS:
            self.store.table(resource.storage)
        self.tokens = Tokens(self.store, self.admin_token, secrets.token_bytes(32))
        self.rbac = Rbac(self.store)
        self.reviews = Reviews(self.rbac, self.tokens)
        self.rest = Rest(self.store, self.registry, PolicyAdmission(self.store), rng)
        self.documents = Documents(self.registry)
        self.faults = Faults(rng)
        self.counters = RequestCounters()
        self.timeline = Timeline()
        Establisher(self.rest, self.registry, self.store)
        NamespaceKeeper(self.rest, self.registry, self.store)
        self._preset()

    def _shaped(self, resource: Resource) -> Behaviour:
        behaviour = self._behaviour(resource)
        behaviour.shape = shape_of(resource.group, resource.version, resource.kind)
        return behaviour

    def _behaviour(self, resource: Resource) -> Behaviour:
        match resource.kind:
            case "Service":
                return self.services
            case "Namespace":
                return Namespaces()
            case "CustomResourceDefinition":
                return Definitions(self.store)
            case "Event":
                return Events(strict=bool(resource.group))
            case "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet" | "Job":
                return PodMakers(resource.kind)
            case "Role" | "ClusterRole":
                return Roles()
            case "RoleBinding" | "ClusterRoleBinding":
                return RoleBindings()
            case kind:
                return _SIMPLE.get(kind, Behaviour)()

    def _preset(self) -> None:
        """Namespaces, the API's own Service, and the default RBAC roles."""
        for name in PRESET:
            self.create("v1", "namespaces", {"metadata": {"name": name}})
        for group_version, plural, namespace, obj in PRESET_OBJECTS:
            self.create(group_version, plural, obj, namespace)
        cluster_networks = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(self.settings.service_networks)}}
        self.create("networking.k8s.io/v1", "servicecidrs", cluster_networks)

    def publish(self, host: str, port: int) -> None:
        """Name an address of the API server in the EndpointSlice of Service default/kubernetes, which has one."""
        family = f"IPv{ip_address(host).version}"
        slice_ = {
            "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": family,
            "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        }
        self.create("discovery.k8s.io/v1", "endpointslices", slice_, "default")

    def create(self, group_version: str, plural: str, obj: Json, namespace: str = "") -> Json:
        """Create an object in the name of the server, past RBAC."""
        group, _, version = group_version.rpartition("/")
        resource = self.registry.find(group, version, plural)
        if resource is None:
            raise LookupError(f"{group_version} {plural} is not served")
        answer = self.rest.create(Call("create", resource, namespace, body=encode(obj)))
        return answer.record.value() if answer.record else answer.body or {}

    def add_user(self, name: str, groups: tuple[str, ...] = ()) -> str:
        """A token for a user of that name; what it may do is RBAC's to say."""
        token = secrets.token_urlsafe(24)
        self.tokens.add(token, User(name, (*groups, "system:authenticated")))
        return token


_SIMPLE: dict[str, type[Behaviour]] = {
    "Node": Nodes,
    "EndpointSlice": EndpointSlices,
    "Lease": Leases,
    "ConfigMap": ConfigMaps,
    "Secret": Secrets,
    "ServiceAccount": ServiceAccounts,
    "ValidatingAdmissionPolicy": Policies,
    "ValidatingAdmissionPolicyBinding": PolicyBindings,
    "PriorityClass": PriorityClasses,
    "NetworkPolicy": NetworkPolicies,
    "PodDisruptionBudget": DisruptionBudgets,
    "Pod": Pods,
    "ServiceCIDR": ServiceCIDRs,
}
