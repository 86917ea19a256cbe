"""Services: defaults, cluster IPs and node ports, and what a change of type drops.

Follows kube-apiserver's REST storage of Services (KEP-1864, KEP-2086, KEP-563). Which fields are valid is in
servicerules.py.
"""

from __future__ import annotations

import random
from typing import Any

from lab.apiserver import fielderrors
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import metadata, servicerules
from lab.apiserver.kinds.behaviour import Behaviour, Moment, restore
from lab.apiserver.kinds.serviceranges import ClusterIPRange, NodePortRange, RangeFull
from lab.apiserver.kinds.servicerules import is_headless, is_load_balancer, needs_health_check_port
from lab.apiserver.status import StatusError
from lab.apiserver.store import Event, EventType

Json = dict[str, Any]
CLIENT_AFFINITY_SECONDS = 10800


class Services(Behaviour):
    """Service objects, with the cluster IPs and node ports that they hold.

    `cluster_ips` are networks, the first one of the default family; `node_ports` are the first and the last port.
    """

    has_status = True
    creates_on_update = True
    returns_deleted_object = True
    name_rule = staticmethod(metadata.label)

    def __init__(self, cluster_ips: tuple[str, ...], node_ports: tuple[int, int], rng: random.Random) -> None:
        self._ranges = {one.family: one for one in map(ClusterIPRange, cluster_ips)}
        self._ports = NodePortRange(*node_ports)
        self._rng = rng

    def default(self, obj: Json) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        if spec["sessionAffinity"] == "ClientIP":
            spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {}).setdefault(
                "timeoutSeconds", CLIENT_AFFINITY_SECONDS
            )
        for port in spec.get("ports") or ():
            port.setdefault("protocol", "TCP")
            if not port.get("targetPort"):
                port["targetPort"] = port.get("port", 0)
        if servicerules.is_externally_accessible(spec):
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] != "ExternalName":
            spec.setdefault("internalTrafficPolicy", "Cluster")
        if is_load_balancer(spec):
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        self._default_status(obj)
        _drop_empty(spec)

    def _default_status(self, obj: Json) -> None:
        balancer = obj.setdefault("status", {}).setdefault("loadBalancer", {})
        if not balancer.get("ingress"):
            balancer.pop("ingress", None)
        elif is_load_balancer(obj["spec"]):
            for entry in balancer["ingress"]:
                if entry.get("ip"):
                    entry.setdefault("ipMode", "VIP")
        if not obj["status"].get("conditions"):
            obj["status"].pop("conditions", None)

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, new: Json, old: Json, moment: Moment) -> None:
        restore(new, old, "status")
        after, before = new["spec"], old["spec"]
        self._keep_allocated(after, before)
        self._drop_with_type(after, before)
        if is_load_balancer(before) and not is_load_balancer(after):
            new["status"] = dict(new["status"]) | {"loadBalancer": {}}

    def _keep_allocated(self, after: Json, before: Json) -> None:
        """A PUT that leaves out what the server had handed out keeps it."""
        if _needs_cluster_ip(after) and _needs_cluster_ip(before):
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if not after.get(key) and key in before:
                    after[key] = before[key]
        if _may_have_node_ports(after) and _may_have_node_ports(before):
            known = {(port["port"], port["protocol"]): port.get("nodePort") for port in before.get("ports") or ()}
            for port in after.get("ports") or ():
                if not port.get("nodePort") and (kept := known.get((port.get("port"), port.get("protocol")))):
                    port["nodePort"] = kept
        if needs_health_check_port(after) and needs_health_check_port(before) and not after.get("healthCheckNodePort"):
            after["healthCheckNodePort"] = before.get("healthCheckNodePort")

    def _drop_with_type(self, after: Json, before: Json) -> None:
        """What made sense only for the old type goes, unless the client has just set it."""
        if _needs_cluster_ip(before) and not _needs_cluster_ip(after):
            _drop_unchanged(after, before, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
            _drop_unchanged(after, before, "internalTrafficPolicy")
        if _may_have_node_ports(before) and not _may_have_node_ports(after):
            old_ports = {port.get("nodePort") for port in before.get("ports") or ()}
            for port in after.get("ports") or ():
                if port.get("nodePort") in old_ports:
                    port.pop("nodePort", None)
        if needs_health_check_port(before) and not needs_health_check_port(after):
            _drop_unchanged(after, before, "healthCheckNodePort")
        if is_load_balancer(before) and not is_load_balancer(after):
            _drop_unchanged(after, before, "allocateLoadBalancerNodePorts", "loadBalancerClass")
        if servicerules.is_externally_accessible(before) and not servicerules.is_externally_accessible(after):
            _drop_unchanged(after, before, "externalTrafficPolicy")

    def validate(self, obj: Json) -> list[FieldError]:
        return servicerules.validate(obj)

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        return servicerules.validate_update(new, old) + servicerules.validate(new)

    def validate_status(self, new: Json, old: Json) -> list[FieldError]:
        return servicerules.validate_status(new)

    def allocate(self, new: Json, old: Json | None, moment: Moment) -> list[FieldError]:
        spec = new["spec"]
        before = old["spec"] if old else {}
        try:
            return self._allocate_ips(spec, before) + self._allocate_ports(spec, before)
        except RangeFull as full:
            raise StatusError(500, "InternalError", f"Internal error occurred: failed to allocate: {full}") from full

    def _allocate_ips(self, spec: Json, before: Json) -> list[FieldError]:
        if not _needs_cluster_ip(spec):
            return []
        if spec.get("clusterIPs") and not spec.get("clusterIP"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        given: list[str] = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
        families, errors = self._families(spec, given)
        if errors:
            return errors
        spec["ipFamilies"] = families
        if is_headless(spec):
            spec["clusterIPs"] = ["None"]
            return []
        given = given[: len(families)]
        for address in given:
            taken = None if address in before.get("clusterIPs", ()) else self._range_of(address).why_not(address)
            if taken:
                detail = f"failed to allocate IP {address}: {taken}"
                return [fielderrors.invalid("spec.clusterIPs", given, detail)]
        spec["clusterIPs"] = given + [self._ranges[family].free(self._rng) for family in families[len(given) :]]
        spec["clusterIP"] = spec["clusterIPs"][0]
        return []

    def _families(self, spec: Json, given: list[str]) -> tuple[list[str], list[FieldError]]:
        """The families that the Service gets, first one first; fills ipFamilyPolicy."""
        asked: list[str] = spec.get("ipFamilies") or [
            "IPv6" if ":" in address else "IPv4" for address in given if address != "None"
        ]
        policy = spec.get("ipFamilyPolicy") or ("RequireDualStack" if len(asked) > 1 else "SingleStack")
        for index, family in enumerate(asked):
            if family not in self._ranges:
                detail = "not configured on this cluster"
                return [], [fielderrors.invalid(f"spec.ipFamilies[{index}]", family, detail)]
        if policy == "RequireDualStack" and len(self._ranges) < 2:
            detail = "this cluster is not configured for dual-stack services"
            return [], [fielderrors.invalid("spec.ipFamilyPolicy", policy, detail)]
        spec["ipFamilyPolicy"] = policy
        families = list(dict.fromkeys([*asked, *self._ranges]))
        return families[: 1 if policy == "SingleStack" else 2], []

    def _range_of(self, address: str) -> ClusterIPRange:
        family = "IPv6" if ":" in address else "IPv4"
        return self._ranges.get(family) or next(iter(self._ranges.values()))

    def _allocate_ports(self, spec: Json, before: Json) -> list[FieldError]:
        held = set(_node_ports(before))
        fresh: set[int] = set()
        shared: dict[int, int] = {}  # port -> node port: TCP and UDP of one port get the same number
        wants = spec["type"] == "NodePort" or (is_load_balancer(spec) and spec.get("allocateLoadBalancerNodePorts"))
        for index, port in enumerate(spec.get("ports") or ()):
            number = port.get("nodePort")
            if number and number not in held and number not in fresh and (wrong := self._ports.why_not(number)):
                return [fielderrors.invalid(f"spec.ports[{index}].nodePort", number, wrong)]
            if not number and wants:
                port["nodePort"] = shared.get(port["port"]) or self._ports.free(self._rng, fresh)
            if port.get("nodePort"):
                fresh.add(port["nodePort"])
                shared[port["port"]] = port["nodePort"]
        if needs_health_check_port(spec):
            number = spec.get("healthCheckNodePort")
            if number and number not in held and (wrong := self._ports.why_not(number)):
                return [fielderrors.invalid("spec.healthCheckNodePort", number, wrong)]
            spec["healthCheckNodePort"] = number or self._ports.free(self._rng, fresh)
        return []

    def follow(self, event: Event) -> None:
        """Count what a committed Service holds: to be called at each change in the store."""
        before = event.previous.value()["spec"] if event.previous else {}
        after = {} if event.type is EventType.DELETED else event.record.value()["spec"]
        if before == after:
            return
        for port in set(_node_ports(before)):
            self._ports.give_back(port)
        for address in before.get("clusterIPs") or ():
            self._range_of(address).taken.discard(address)
        for port in set(_node_ports(after)):
            self._ports.take(port)
        for address in after.get("clusterIPs") or ():
            self._range_of(address).taken.add(address)


def _needs_cluster_ip(spec: Json) -> bool:
    return spec.get("type") != "ExternalName"


def _may_have_node_ports(spec: Json) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _node_ports(spec: Json) -> list[int]:
    ports = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    return ports + ([spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else [])


def _drop_unchanged(after: Json, before: Json, *keys: str) -> None:
    for key in keys:
        if after.get(key) == before.get(key):
            after.pop(key, None)


def _drop_empty(spec: Json) -> None:
    """Empty strings, lists and maps, and port 0 mean `not set`."""
    for key in [key for key, value in spec.items() if value in ("", [], {}, None)]:
        del spec[key]
    if spec.get("healthCheckNodePort") == 0:
        del spec["healthCheckNodePort"]
    for port in spec.get("ports") or ():
        for key in [key for key in ("name", "appProtocol", "nodePort") if not port.get(key, "kept")]:
            del port[key]
