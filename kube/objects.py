"""Kubernetes' own objects, decoded from the wire to just the fields that Berth uses.

Immutable values; unknown fields cost nothing and break nothing. Berth's own kinds are in crds.types. Encodes nothing:
writes are patches, built as plain dicts where they are decided.

Lists are tuples. Where an API server may answer `null` for a list (Go's nil slice in a field without omitempty), the
wire field has its own name and a property gives the tuple.
"""

import base64
from collections.abc import Mapping

import msgspec

from kube.decoding import decoder


class Meta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """ObjectMeta. `namespace` is None for cluster-scoped objects; times are RFC 3339 strings as they came."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()

    @property
    def is_terminating(self) -> bool:
        """Deleted, and waiting for its finalizers."""
        return self.deletion_timestamp is not None


class KubeObject(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What every object has."""

    metadata: Meta


class Condition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """metav1.Condition, NodeCondition: `status` is "True", "False" or "Unknown"."""

    type: str
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int | None = None


class ServicePort(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One entry of `spec.ports`; `node_port` 0 = none. `app_protocol`: KEP-1422."""

    port: int
    protocol: str = "TCP"
    name: str = ""
    node_port: int = 0
    app_protocol: str = ""


class ServiceSpec(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`ip_families`, `ip_family_policy`: KEP-563. `load_balancer_class` None = the default (KEP-1959)."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()
    selector: dict[str, str] = {}
    ip_families: tuple[str, ...] = msgspec.field(default=(), name="ipFamilies")
    ip_family_policy: str | None = msgspec.field(default=None, name="ipFamilyPolicy")
    load_balancer_class: str | None = msgspec.field(default=None, name="loadBalancerClass")
    load_balancer_ip: str = msgspec.field(default="", name="loadBalancerIP")
    external_traffic_policy: str = msgspec.field(default="", name="externalTrafficPolicy")
    cluster_ips: tuple[str, ...] = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    health_check_node_port: int = msgspec.field(default=0, name="healthCheckNodePort")


class Ingress(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One entry of `status.loadBalancer.ingress`."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(msgspec.Struct, frozen=True, gc=False):
    """What a load balancer has given the Service."""

    ingress: tuple[Ingress, ...] = ()


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`conditions` are those of any writer: types of others are qualified with their group."""

    load_balancer: LoadBalancerStatus = msgspec.field(default=LoadBalancerStatus(), name="loadBalancer")
    conditions: tuple[Condition, ...] = ()


class Service(KubeObject, frozen=True, kw_only=True, gc=False):
    """core/v1."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class ServiceKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """A Service's place. Another Service may come to the same place later: their uids differ."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class EndpointConditions(msgspec.Struct, frozen=True, gc=False):
    """KEP-1672. None = not said."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`node_name` None: it runs on no node of the cluster, or its controller does not say."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    node_name: str | None = None

    @property
    def is_ready(self) -> bool:
        """EndpointConditions: an unset `ready` is to be read as true."""
        return self.conditions.ready is not False

    @property
    def is_serving(self) -> bool:
        """An unset `serving` means what `ready` says."""
        serving = self.conditions.serving
        return self.is_ready if serving is None else serving

    @property
    def is_terminating(self) -> bool:
        """Whether its Pod is being deleted. It may be serving still (KEP-1672)."""
        return self.conditions.terminating is True


class EndpointSlice(KubeObject, frozen=True, kw_only=True, gc=False):
    """discovery.k8s.io/v1. A Service has several, in any order, each of one address type (KEP-752)."""

    address_type: str = msgspec.field(default="IPv4", name="addressType")
    wire_endpoints: tuple[Endpoint, ...] | None = msgspec.field(default=None, name="endpoints")

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """() also where the API server writes null."""
        return self.wire_endpoints or ()

    @property
    def service_name(self) -> str | None:
        """The Service it belongs to, in its own namespace."""
        return self.metadata.labels.get("kubernetes.io/service-name")


class ServiceCIDRSpec(msgspec.Struct, frozen=True, gc=False):
    """Networks as texts, one or one of each family."""

    cidrs: tuple[str, ...] | None = None


class ServiceCIDR(KubeObject, frozen=True, kw_only=True, gc=False):
    """networking.k8s.io/v1 (KEP-1880): where cluster IPs come from. A cluster has one or several."""

    spec: ServiceCIDRSpec = ServiceCIDRSpec()


class Taint(msgspec.Struct, frozen=True, gc=False):
    """`effect` is NoSchedule, PreferNoSchedule or NoExecute."""

    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(msgspec.Struct, frozen=True, gc=False):
    """What is asked of the node."""

    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeAddress(msgspec.Struct, frozen=True, gc=False):
    """`type` is InternalIP, ExternalIP, Hostname, ..."""

    type: str
    address: str


class NodeSystemInfo(
    msgspec.Struct,
    frozen=True,
    rename={"machine_id": "machineID", "system_uuid": "systemUUID", "boot_id": "bootID"},
    gc=False,
):
    """`status.nodeInfo`, as far as it tells machines apart."""

    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""


class NodeStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What kubelet and cloud controllers say of the node."""

    conditions: tuple[Condition, ...] = ()
    addresses: tuple[NodeAddress, ...] = ()
    node_info: NodeSystemInfo = NodeSystemInfo()


class Node(KubeObject, frozen=True, kw_only=True, gc=False):
    """core/v1."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    def condition(self, type: str) -> str | None:
        """The status of that condition, None when the node has no such condition."""
        return next((one.status for one in self.status.conditions if one.type == type), None)

    def has_taint(self, key: str) -> bool:
        """Of any value and effect."""
        return any(taint.key == key for taint in self.spec.taints)


class Namespace(KubeObject, frozen=True, gc=False):
    """Its labels are what selectors look at."""


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """coordination.k8s.io/v1; times are MicroTime strings as they came."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(KubeObject, frozen=True, kw_only=True, gc=False):
    """coordination.k8s.io/v1."""

    spec: LeaseSpec = LeaseSpec()


class Secret(KubeObject, frozen=True, kw_only=True, gc=False):
    """core/v1. Its repr shows no values."""

    type: str = ""
    data: dict[str, str] = {}

    def value(self, key: str) -> bytes | None:
        """The decoded value, None when the Secret has no such key. Raises ValueError when it is not base64."""
        encoded = self.data.get(key)
        return None if encoded is None else base64.b64decode(encoded, validate=True)

    def __repr__(self) -> str:
        return f"Secret(name={self.metadata.name!r}, keys={sorted(self.data)})"


decode_meta = decoder(KubeObject)
decode_service = decoder(Service)
decode_service_cidr = decoder(ServiceCIDR)
decode_endpoint_slice = decoder(EndpointSlice)
decode_node = decoder(Node)
decode_namespace = decoder(Namespace)
decode_lease = decoder(Lease)
decode_secret = decoder(Secret)

Labels = Mapping[str, str]
