"""The nftables rules that lead a Service's addresses to its endpoints on one node: what kube-proxy does in a cluster.

No I/O. Only traffic that comes in to addresses of `status.loadBalancer` and `spec.externalIPs`; no cluster IPs, no
session affinity.

Policy `Cluster`: to any ready endpoint, under the node's own address, because the answer must come back this way.
Policy `Local`: to a ready endpoint on this node with the source address as it came; dropped where there is none.
Where no endpoint is ready, those that serve until they end stand in (KEP-1669).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from lab.workload.objects import TargetedPort, TrafficService, TrafficSlice

TABLE = "inet lab_services"
MASQUERADE_MARK = "0x4000"


@dataclass(frozen=True)
class Target:
    """An endpoint's address and port."""

    address: str
    port: int


def ruleset(node_name: str, services: Iterable[TrafficService], slices: Iterable[TrafficSlice]) -> str:
    """A script for `nft -f` that replaces all of this node's rules at once."""
    of_service: dict[tuple[str | None, str], list[TrafficSlice]] = {}
    for each in slices:
        of_service.setdefault((each.metadata.namespace, each.service_name), []).append(each)
    translations, refusals = [], []
    for service in sorted(services, key=lambda s: (s.metadata.namespace or "", s.metadata.name)):
        its_slices = of_service.get((service.metadata.namespace, service.metadata.name), [])
        for match, targets in _destinations(service, its_slices, node_name):
            if targets:
                translations.append(_translation(service, match, targets))
            else:
                refusals.append(f"{match} drop")
    return _script(refusals, translations)


def _destinations(
    service: TrafficService, slices: list[TrafficSlice], node_name: str
) -> Iterator[tuple[str, list[Target]]]:
    """For each address and port of the Service: what matches it, and where it goes."""
    shown = [ingress.ip for ingress in service.status.load_balancer.ingress]
    for address in dict.fromkeys((*shown, *service.spec.external_ips)):
        family = "IPv6" if ip_address(address).version == 6 else "IPv4"
        for port in service.spec.ports:
            word = "ip6" if family == "IPv6" else "ip"
            match = f"{word} daddr {address} {port.protocol.lower()} dport {port.port}"
            local_only = service.spec.external_traffic_policy == "Local"
            yield match, _targets(slices, family, port, node_name if local_only else None)


def _targets(slices: list[TrafficSlice], family: str, port: TargetedPort, only_on: str | None) -> list[Target]:
    """Those that are ready; where none is, those that serve until they end (KEP-1669)."""
    every = [
        (endpoint, Target(endpoint.addresses[0], slice_port.port))
        for each in slices
        if each.address_type == family
        for endpoint in each.endpoints or ()
        if only_on in (None, endpoint.node_name)
        for slice_port in each.ports or ()
        if (slice_port.name, slice_port.protocol) == (port.name, port.protocol)
    ]
    ready = [target for endpoint, target in every if endpoint.is_ready]
    draining = [target for endpoint, target in every if endpoint.is_serving and endpoint.is_terminating]
    return sorted(ready or draining, key=lambda target: (int(ip_address(target.address)), target.port))


def _translation(service: TrafficService, match: str, targets: list[Target]) -> str:
    word = match.split(" ", 1)[0]
    mark = "" if service.spec.external_traffic_policy == "Local" else f" meta mark set {MASQUERADE_MARK}"
    choices = ", ".join(f"{i} : {target.address} . {target.port}" for i, target in enumerate(targets))
    return f"{match}{mark} dnat {word} to numgen random mod {len(targets)} map {{ {choices} }}"


def _script(refusals: list[str], translations: list[str]) -> str:
    lines = [
        f"table {TABLE}",  # makes it when it is missing, so that the next line never fails
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        "  chain refuse {",
        "    type filter hook prerouting priority mangle;",
        *(f"    {rule}" for rule in refusals),
        "  }",
        "  chain translate {",
        "    type nat hook prerouting priority dstnat;",
        *(f"    {rule}" for rule in translations),
        "  }",
        "  chain hide {",
        "    type nat hook postrouting priority srcnat;",
        f"    meta mark {MASQUERADE_MARK} masquerade",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"
