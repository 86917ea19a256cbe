"""What a valid Service is: the field errors that Kubernetes gives for spec and status.

Judges only; defaults and allocation are in services.py.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from lab.apiserver import fielderrors
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import metadata

Json = dict[str, Any]

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
POLICIES = ("Cluster", "Local")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
AFFINITIES = ("ClientIP", "None")
IP_MODES = ("Proxy", "VIP")
IP_MESSAGE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
ONLY_LOAD_BALANCER = "may only be used when `type` is 'LoadBalancer'"
PORT_MESSAGE = "must be between 1 and 65535, inclusive"
UNCHANGED = "may not change once set"


def is_ip(text: Any) -> bool:
    """Whether a value is the text of an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return isinstance(text, str)


def is_load_balancer(spec: Json) -> bool:
    """Whether the type is LoadBalancer."""
    return spec.get("type") == "LoadBalancer"


def is_headless(spec: Json) -> bool:
    """Whether the client asks for no cluster IP (`clusterIP: None`)."""
    return spec.get("clusterIP") == "None"


def is_externally_accessible(spec: Json) -> bool:
    """Whether clients outside of the cluster may reach it, and so externalTrafficPolicy means something."""
    return spec.get("type") in ("LoadBalancer", "NodePort") or (
        spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs"))
    )


def needs_health_check_port(spec: Json) -> bool:
    """Whether load balancers need a port that says which nodes have endpoints."""
    return is_load_balancer(spec) and spec.get("externalTrafficPolicy") == "Local"


def validate(service: Json) -> list[FieldError]:
    """What is wrong with a Service, defaulted and prepared."""
    spec: Json = service.get("spec") or {}
    errors = _choice(spec, "type", TYPES)
    if spec.get("type") == "ExternalName":
        if not spec.get("externalName"):
            errors.append(fielderrors.required("spec.externalName"))
    elif not spec.get("ports") and not is_headless(spec):
        errors.append(fielderrors.required("spec.ports"))
    errors += _ports(spec)
    errors += metadata.validate_labels(spec.get("selector"), "spec.selector")
    errors += _choice(spec, "sessionAffinity", AFFINITIES)
    errors += _addresses(spec)
    errors += _traffic(spec)
    errors += _load_balancer(spec)
    errors += _choice(spec, "ipFamilyPolicy", FAMILY_POLICIES)
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in FAMILIES:
            errors.append(fielderrors.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES))
    return errors


def _choice(spec: Json, key: str, values: tuple[str, ...]) -> list[FieldError]:
    value = spec.get(key)
    return [] if value is None or value in values else [fielderrors.unsupported(f"spec.{key}", value, values)]


def _ports(spec: Json) -> list[FieldError]:
    errors = []
    ports: list[Json] = spec.get("ports") or []
    names: set[str] = set()
    pairs: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            errors.append(fielderrors.required(f"{path}.name"))
        elif name and (wrong := metadata.label(name)):
            errors.append(fielderrors.invalid(f"{path}.name", name, wrong))
        elif name and name in names:
            errors.append(fielderrors.duplicate(f"{path}.name", name))
        names.add(name)
        errors += _port_numbers(port, path)
        if spec.get("type") == "ClusterIP" and port.get("nodePort"):
            errors.append(fielderrors.forbidden(f"{path}.nodePort", "may not be used when `type` is 'ClusterIP'"))
        pair = (port.get("protocol", "TCP"), port.get("port", 0))
        if pair in pairs:
            errors.append(fielderrors.duplicate(path, {"protocol": pair[0], "port": pair[1]}))
        pairs.add(pair)
    return errors


def _port_numbers(port: Json, path: str) -> list[FieldError]:
    errors = []
    number = port.get("port", 0)
    if not 1 <= number <= 65535:
        errors.append(fielderrors.invalid(f"{path}.port", number, PORT_MESSAGE))
    if port.get("protocol") not in PROTOCOLS:
        errors.append(fielderrors.unsupported(f"{path}.protocol", port.get("protocol"), PROTOCOLS))
    target = port.get("targetPort")
    if isinstance(target, int) and not 1 <= target <= 65535:
        errors.append(fielderrors.invalid(f"{path}.targetPort", target, PORT_MESSAGE))
    return errors


def _addresses(spec: Json) -> list[FieldError]:
    errors = []
    for key in ("externalIPs", "clusterIPs"):
        for index, address in enumerate(spec.get(key) or ()):
            if not is_ip(address) and not (key == "clusterIPs" and address == "None"):
                errors.append(fielderrors.invalid(f"spec.{key}[{index}]", address, IP_MESSAGE))
    return errors


def _traffic(spec: Json) -> list[FieldError]:
    errors = _choice(spec, "internalTrafficPolicy", POLICIES)
    policy = spec.get("externalTrafficPolicy")
    if policy is not None and not is_externally_accessible(spec):
        detail = "may only be set for externally-accessible services"
        errors.append(fielderrors.invalid("spec.externalTrafficPolicy", policy, detail))
    else:
        errors += _choice(spec, "externalTrafficPolicy", POLICIES)
    if spec.get("healthCheckNodePort") and not needs_health_check_port(spec):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(fielderrors.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail))
    return errors


def _load_balancer(spec: Json) -> list[FieldError]:
    errors = []
    if not is_load_balancer(spec):
        for key in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
            if spec.get(key) is not None:
                errors.append(fielderrors.forbidden(f"spec.{key}", ONLY_LOAD_BALANCER))
    elif (wanted := spec.get("loadBalancerClass")) is not None and (wrong := metadata.qualified_name(wanted)):
        errors.append(fielderrors.invalid("spec.loadBalancerClass", wanted, wrong))
    for index, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        if not _is_cidr(cidr):
            detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            errors.append(fielderrors.invalid(f"spec.loadBalancerSourceRanges[{index}]", cidr, detail))
    return errors


def _is_cidr(text: str) -> bool:
    try:
        ip_network(text.strip(), strict=False)
    except ValueError:
        return False
    return "/" in text


def validate_update(new: Json, old: Json) -> list[FieldError]:
    """What may not change; the rest of the new object is judged by `validate`."""
    errors = []
    after, before = new["spec"], old["spec"]
    if is_load_balancer(after) and is_load_balancer(before):
        wanted = after.get("loadBalancerClass")
        if wanted != before.get("loadBalancerClass"):
            errors.append(fielderrors.invalid("spec.loadBalancerClass", wanted, UNCHANGED))
    if needs_health_check_port(after) and needs_health_check_port(before):
        port = after.get("healthCheckNodePort")
        if port != before.get("healthCheckNodePort"):
            errors.append(fielderrors.invalid("spec.healthCheckNodePort", port, "field is immutable"))
    errors += _cluster_ip_changes(after, before)
    return errors


def _cluster_ip_changes(after: Json, before: Json) -> list[FieldError]:
    if "ExternalName" in (after.get("type"), before.get("type")):
        return []
    new, old = after.get("clusterIPs") or [], before.get("clusterIPs") or []
    errors = []
    if new[:1] != old[:1]:
        errors.append(fielderrors.invalid("spec.clusterIPs[0]", new, UNCHANGED))
    if len(new) > 1 and len(old) > 1 and new[1] != old[1]:
        errors.append(fielderrors.invalid("spec.clusterIPs[1]", new, UNCHANGED))
    return errors


def validate_status(service: Json) -> list[FieldError]:
    """What is wrong with the addresses in the status of a Service of this spec."""
    ingress: list[Json] = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if ingress and not is_load_balancer(service["spec"]):
        detail = "may only be used when `spec.type` is 'LoadBalancer'"
        return [fielderrors.forbidden("status.loadBalancer.ingress", detail)]
    errors: list[FieldError] = []
    for index, entry in enumerate(ingress):
        errors += _ingress(entry, f"status.loadBalancer.ingress[{index}]")
    return errors


def _ingress(entry: Json, path: str) -> list[FieldError]:
    errors = []
    address, hostname, mode = entry.get("ip"), entry.get("hostname"), entry.get("ipMode")
    if address and not is_ip(address):
        errors.append(fielderrors.invalid(f"{path}.ip", address, IP_MESSAGE))
    if address and mode is None:
        errors.append(fielderrors.required(f"{path}.ipMode", "must be specified when `ip` is set"))
    if mode is not None and not address:
        errors.append(fielderrors.forbidden(f"{path}.ipMode", "may not be specified when `ip` is not set"))
    if address and mode is not None and mode not in IP_MODES:
        errors.append(fielderrors.unsupported(f"{path}.ipMode", mode, IP_MODES))
    if hostname and (wrong := metadata.subdomain(hostname)):
        errors.append(fielderrors.invalid(f"{path}.hostname", hostname, wrong))
    if hostname and is_ip(hostname):
        errors.append(fielderrors.invalid(f"{path}.hostname", hostname, "must be a DNS name, not an IP address"))
    return errors
