"""The fields of Pods, Services and EndpointSlices that kube-proxy and the EndpointSlice controller read.

More of them than Berth itself uses (kube.objects): target ports, pod addresses, readiness. Decoding only.
"""

import msgspec

from kube.objects import Condition, Endpoint, KubeObject, LoadBalancerStatus


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str = ""


class PodIP(msgspec.Struct, frozen=True):
    ip: str


class PodStatus(msgspec.Struct, frozen=True, kw_only=True):
    pod_ips: tuple[PodIP, ...] = msgspec.field(default=(), name="podIPs")
    conditions: tuple[Condition, ...] = ()


class Pod(KubeObject, frozen=True, kw_only=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        ready = any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)
        return ready and not self.metadata.is_terminating


class TargetedPort(msgspec.Struct, frozen=True, rename="camel"):
    port: int
    protocol: str = "TCP"
    name: str = ""
    target_port: int | str = 0

    @property
    def target_number(self) -> int:
        """Named target ports are not looked up in pods here: the Service's own port stands for them."""
        return self.target_port if isinstance(self.target_port, int) and self.target_port else self.port


class TrafficSpec(msgspec.Struct, frozen=True, kw_only=True):
    type: str = "ClusterIP"
    ports: tuple[TargetedPort, ...] = ()
    selector: dict[str, str] = {}
    ip_families: tuple[str, ...] = msgspec.field(default=("IPv4",), name="ipFamilies")
    external_traffic_policy: str = msgspec.field(default="", name="externalTrafficPolicy")
    external_ips: tuple[str, ...] = msgspec.field(default=(), name="externalIPs")
    health_check_node_port: int = msgspec.field(default=0, name="healthCheckNodePort")


class TrafficStatus(msgspec.Struct, frozen=True, kw_only=True):
    load_balancer: LoadBalancerStatus = msgspec.field(default=LoadBalancerStatus(), name="loadBalancer")


class TrafficService(KubeObject, frozen=True, kw_only=True):
    spec: TrafficSpec = TrafficSpec()
    status: TrafficStatus = TrafficStatus()


class SlicePort(msgspec.Struct, frozen=True):
    port: int
    protocol: str = "TCP"
    name: str = ""


class TrafficSlice(KubeObject, frozen=True, kw_only=True):
    address_type: str = msgspec.field(default="IPv4", name="addressType")
    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[SlicePort, ...] | None = None

    @property
    def service_name(self) -> str:
        return self.metadata.labels.get("kubernetes.io/service-name", "")
