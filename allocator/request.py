"""What a Service asks for: families, addresses, pool, sharing; and what it shows.

Reads one Service object: ipFamilies and ipFamilyPolicy (KEP-563), our annotations. Whether it is ours to serve is the
business of allocator.ownership, and whether the wish can be granted that of allocator.plan.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from allocator.annotations import Contradiction, asked_for
from allocator.claims import Holder, Pairs, Port, pairs
from allocator.space.ranges import parse_address
from crds.addresses import Family, IPAddress, family_of
from crds.conditions import ConditionType, Reason
from crds.ipallocation import MOST_KEY_CHARACTERS, MOST_LABELS, MOST_PORTS
from crds.names import ANNOTATION_IPS, ANNOTATION_NODE, ANNOTATION_POOL, ANNOTATION_SHARING_KEY, GROUP
from crds.rules import OBJECT_NAME_PATTERN
from kube.objects import Condition, Service, ServiceKey

DEFAULT_CLASS = f"{GROUP}/berth"
"""`spec.loadBalancerClass` that is ours beside Services without a class, as long as no other class is configured."""

MOST_NAME_CHARACTERS = 253
_NODE_NAME = re.compile(OBJECT_NAME_PATTERN)

LOCAL = "Local"
CLUSTER = "Cluster"
HEADLESS = "None"
"""In place of a cluster IP: proxies do not serve such a Service."""
REQUIRE_DUAL_STACK = "RequireDualStack"

MOST_ADDRESSES = 16
"""Of one Service. Each is a record of its own, and each node has a rule for each port of it."""

MOST_NAMED_POOLS = 16
"""In one annotation."""

MOST_EXTERNAL_IPS = 64
"""Of one Service. Whoever may write Services could keep a whole pool from all others."""

EXTERNAL = ""
"""In place of a sharing key: all who name the same external IP share it. No annotation gives it."""


class Slot(NamedTuple):
    """One address that a Service is to have: this very one, or any of the family (`wanted` None)."""

    family: Family
    wanted: IPAddress | None


@dataclass(frozen=True, slots=True)
class Request:
    """`families` in the Service's order. `requires_all`: all families or none (RequireDualStack, or a single one)."""

    holder: Holder
    families: tuple[Family, ...]
    requires_all: bool
    addresses: Mapping[Family, tuple[IPAddress, ...]]
    """What it asks for by name; of a family that is not there it takes any one."""
    pools: tuple[str, ...]
    """Where it wants to be, the first one rather than the next; empty = wherever it may."""
    sharing_key: str | None
    traffic_policy: str
    selector: Pairs
    present: tuple[IPAddress, ...] = ()
    """The addresses that the Service's status shows."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """One for each address that it asks for."""
        return tuple(Slot(family, one) for family in self.families for one in self.addresses.get(family, (None,)))

    def takes(self, pool: str) -> bool:
        """Whether an address of this pool is as it wishes."""
        return not self.pools or pool in self.pools


@dataclass(frozen=True, slots=True)
class InvalidRequest:
    """A wish that cannot be read or recorded; `message` says what to write instead."""

    message: str
    reason: Reason = Reason.InvalidRequest


def key_of(service: Service) -> ServiceKey:
    """Its place."""
    return ServiceKey(service.metadata.namespace or "", service.metadata.name)


def present_addresses(service: Service) -> tuple[IPAddress, ...]:
    """The addresses in the Service's status; hostnames and what cannot be read are left out."""
    parsed = (parse_address(entry.ip) for entry in service.status.load_balancer.ingress if entry.ip)
    return tuple(address for address in parsed if address is not None)


def our_condition(service: Service) -> Condition | None:
    """The condition berth.dev/Allocated as the Service has it; None when an allocator never wrote it."""
    return next((one for one in service.status.conditions if one.type == ConditionType.Allocated), None)


def request_of(service: Service) -> Request | InvalidRequest:
    """Read the wish of a Service that is ours."""
    asked = asked_for(service.metadata.annotations)
    if isinstance(asked, Contradiction):
        return InvalidRequest(asked.message)
    sharing_key = asked.get(ANNOTATION_SHARING_KEY)
    families = _families(service)
    if not families:
        return InvalidRequest("spec.ipFamilies is empty, so no address can be chosen: set it to IPv4, IPv6 or both")
    addresses = _requested_addresses(asked.get(ANNOTATION_IPS), service.spec.load_balancer_ip.strip(), families)
    if isinstance(addresses, InvalidRequest):
        return addresses
    if sharing_key is not None and len(sharing_key) > MOST_KEY_CHARACTERS:
        return InvalidRequest(
            f"annotation {ANNOTATION_SHARING_KEY} is longer than {MOST_KEY_CHARACTERS} characters: use a shorter key"
        )
    if _node(service) is None:
        return InvalidRequest(
            f"annotation {ANNOTATION_NODE} names no node: write the name of one, as kubectl get nodes has it"
        )
    traffic_policy = LOCAL if service.spec.external_traffic_policy == LOCAL else CLUSTER
    pools = _requested_pools(asked.get(ANNOTATION_POOL, ""))
    if isinstance(pools, InvalidRequest):
        return pools
    holder = holder_of(service)
    selector = pairs(service.spec.selector) if traffic_policy == LOCAL else ()
    return _too_large(holder, selector) or Request(
        holder=holder,
        families=families,
        requires_all=len(families) == 1 or service.spec.ip_family_policy == REQUIRE_DUAL_STACK,
        addresses=addresses,
        pools=pools,
        sharing_key=sharing_key,
        traffic_policy=traffic_policy,
        selector=selector,
        present=present_addresses(service),
    )


def request_for_external_ips(service: Service) -> Request | InvalidRequest | None:
    """The wish that its external IPs are announced for it, whatever its type; None when it has none that proxies serve.

    Where it stands with others at one of them there is no key that it would need.
    """
    spec = service.spec
    is_served = spec.type != "ExternalName" and HEADLESS not in spec.cluster_ips
    if not spec.external_ips or not is_served or service.metadata.is_terminating:
        return None
    parsed = map(parse_address, spec.external_ips[:MOST_EXTERNAL_IPS])
    named = tuple(address for address in parsed if address is not None)
    traffic_policy = LOCAL if spec.external_traffic_policy == LOCAL else CLUSTER
    holder = holder_of(service)
    selector = pairs(spec.selector) if traffic_policy == LOCAL else ()
    return _too_large(holder, selector) or Request(
        holder=holder,
        families=_families(service),
        requires_all=False,
        addresses={family: tuple(one for one in named if family_of(one) is family) for family in map(family_of, named)},
        pools=(),
        sharing_key=EXTERNAL,
        traffic_policy=traffic_policy,
        selector=selector,
    )


def holder_of(service: Service) -> Holder:
    """What an IPAllocation says of this Service."""
    ports = sorted({Port(port.protocol, port.port) for port in service.spec.ports})
    return Holder(
        key_of(service),
        service.metadata.uid,
        tuple(ports),
        pairs(service.metadata.labels),
        _health_port(service),
        _node(service) or "",
    )


def _node(service: Service) -> str | None:
    """The node that it asks for; "" = none, None = what can be no node."""
    name = service.metadata.annotations.get(ANNOTATION_NODE, "").strip()
    return name if not name or (len(name) <= MOST_NAME_CHARACTERS and _NODE_NAME.fullmatch(name)) else None


def _health_port(service: Service) -> int:
    """0 = none, or none that matters: proxies serve it for the policy Local alone."""
    port = service.spec.health_check_node_port
    return port if service.spec.external_traffic_policy == LOCAL and 0 < port < 1 << 16 else 0


def _too_large(holder: Holder, selector: Pairs) -> InvalidRequest | None:
    """What the record of an address can't hold; None when it can hold it all."""
    counted = (
        (len(holder.ports), MOST_PORTS, "ports", "split it into several Services, which may share an address"),
        (len(holder.labels), MOST_LABELS, "labels", "take some off"),
        (len(selector), MOST_LABELS, "entries in its selector", "use fewer"),
    )
    for count, most, what, advice in counted:
        if count > most:
            message = f"the Service has {count} {what}, and the record of an address holds {most}: {advice}"
            return InvalidRequest(message, Reason.TooLarge)
    return None


def _families(service: Service) -> tuple[Family, ...]:
    if service.spec.ip_families:
        named = [Family(one) for one in service.spec.ip_families if one in set(Family)]
    else:
        parsed = (parse_address(one) for one in service.spec.cluster_ips)
        named = [family_of(address) for address in parsed if address is not None]
    return tuple(dict.fromkeys(named))


def _requested_pools(annotation: str) -> tuple[str, ...] | InvalidRequest:
    if not annotation:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in annotation.split(",")))
    if "" in names:
        return InvalidRequest(f"annotation {ANNOTATION_POOL} has a comma too many: write pools as edge,inner")
    if len(names) > MOST_NAMED_POOLS:
        return InvalidRequest(
            f"annotation {ANNOTATION_POOL} names {len(names)} pools: write {MOST_NAMED_POOLS} at most"
        )
    return names


def _requested_addresses(
    annotation: str | None, field: str, families: tuple[Family, ...]
) -> dict[Family, tuple[IPAddress, ...]] | InvalidRequest:
    wanted = _parse_addresses(annotation, f"annotation {ANNOTATION_IPS}") if annotation else {}
    if isinstance(wanted, InvalidRequest):
        return wanted
    if field:
        by_field = _parse_addresses(field, "spec.loadBalancerIP")
        if isinstance(by_field, InvalidRequest):
            return by_field
        for family, addresses in by_field.items():
            if not set(addresses) <= set(wanted.get(family, addresses)):
                return InvalidRequest(
                    f"spec.loadBalancerIP asks for {_listed(addresses)}, annotation {ANNOTATION_IPS} for "
                    f"{_listed(wanted[family])}: keep the annotation only"
                )
        wanted = {**by_field, **wanted}
    for family, addresses in wanted.items():
        if family not in families:
            return InvalidRequest(
                f"{addresses[0]} is {family}, but the Service is {' and '.join(families)} only: "
                "ask for an address of that family, or change spec.ipFamilies"
            )
    return wanted


def _parse_addresses(text: str, where: str) -> dict[Family, tuple[IPAddress, ...]] | InvalidRequest:
    found: dict[IPAddress, None] = {}
    for part in text.split(","):
        address = parse_address(part)
        if address is None:
            return InvalidRequest(
                f"{where}: {part.strip()!r} is not an IP address; write them as 192.0.2.1,2001:db8::1"
            )
        found[address] = None
        if len(found) > MOST_ADDRESSES:
            return InvalidRequest(f"{where} asks for more than {MOST_ADDRESSES} addresses: a Service has no more")
    return {family: tuple(one for one in found if family_of(one) is family) for family in map(family_of, found)}


def _listed(addresses: Iterable[IPAddress]) -> str:
    return ", ".join(map(str, addresses))
