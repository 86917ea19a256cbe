"""A claim to an address and its holders: the values of the ledger, and their form in an IPAllocation.

Values only: allocator.ledger keeps them, allocator.plan decides them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from sys import intern
from typing import Annotated, Any, NamedTuple

import msgspec

from crds.addresses import IPAddress
from crds.ipallocation import Holder as WholeHolder
from crds.ipallocation import TrafficPolicy, TransportProtocol
from crds.names import (
    API_VERSION,
    LABEL_POOL,
    LABEL_SERVICE_NAME,
    LABEL_SERVICE_NAMESPACE,
    LABEL_VALUE_CHARACTERS,
    allocation_name,
)
from crds.types import IPAllocationSpec
from kube.objects import ServiceKey


class Port(NamedTuple):
    """Two Services may not have the same one at one address."""

    protocol: str
    port: int

    def __str__(self) -> str:
        return f"{self.protocol} {self.port}"


Pairs = tuple[tuple[str, str], ...]
"""A map of strings as a sorted tuple: hashable, small, and equal when the maps are."""


def pairs(mapping: Mapping[str, str]) -> Pairs:
    """Sorted by key."""
    return tuple(sorted(mapping.items())) if mapping else ()


HOLDER_BYTES = len('{"namespace":"","name":"","uid":"","ports":[],"labels":{},"healthCheckNodePort":65535,"node":""},')
PORT_BYTES = len('{"port":65535,"protocol":"SCTP"},')
LABEL_BYTES = len('"":"",')
"""What stands around the texts of a holder in JSON."""

PORTS_KEPT_ONCE = 4096
"""Thousands of Services have the same few."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A Service that holds an address. `health_port`: its healthCheckNodePort, 0 = none that matters. `node`: the one
    that it wants to own the address, "" = any."""

    key: ServiceKey
    uid: str
    ports: tuple[Port, ...]
    labels: Pairs = ()
    health_port: int = 0
    node: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What `IPAllocation.spec` says: the address and who has it. `holders` are sorted by key and uid."""

    address: IPAddress
    pool: str
    holders: tuple[Holder, ...]
    traffic_policy: str = "Cluster"
    sharing_key: str | None = None
    selector: Pairs = ()
    releasing: bool = False
    external: bool = False
    """Whether its holders name it in spec.externalIPs, and did not get it from the pool. Never changes."""

    def held_by(self, uid: str) -> bool:
        """Whether the Service with that uid is among the holders."""
        return any(holder.uid == uid for holder in self.holders)

    def holders_in(self, namespace: str) -> tuple[Holder, ...]:
        """The holders that are of that namespace."""
        return tuple(holder for holder in self.holders if holder.key.namespace == namespace)

    def others(self, uid: str) -> tuple[Holder, ...]:
        """The holders but the Service with that uid."""
        return tuple(holder for holder in self.holders if holder.uid != uid)


def sort_holders(holders: tuple[Holder, ...]) -> tuple[Holder, ...]:
    """In the order in which a claim has them."""
    if len(holders) < 2:
        return holders
    return tuple(sorted(holders, key=lambda holder: (holder.key, holder.uid)))


def wire_bytes(holders: Iterable[Holder]) -> int:
    """What these take in a record as JSON, rounded up: texts are ASCII, as names, uids and labels are."""
    return sum(
        HOLDER_BYTES
        + len(holder.key.namespace)
        + len(holder.key.name)
        + len(holder.uid)
        + len(holder.node)
        + PORT_BYTES * len(holder.ports)
        + sum(len(name) + len(value) + LABEL_BYTES for name, value in holder.labels)
        for holder in holders
    )


PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class WirePort(msgspec.Struct, frozen=True, gc=False):
    """As crds.ipallocation.ServicePort."""

    port: PortNumber
    protocol: TransportProtocol = TransportProtocol.TCP


class WireHolder(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """As crds.ipallocation.Holder."""

    namespace: str
    name: str
    uid: str
    ports: tuple[WirePort, ...] = ()
    labels: dict[str, str] = {}
    health_check_node_port: PortNumber | None = None
    node: str | None = None


class WireSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """What is read of an IPAllocation's spec: as crds.ipallocation.IPAllocationSpec, in half the time."""

    address: str
    pool: str
    holders: tuple[WireHolder, ...]
    traffic_policy: TrafficPolicy = TrafficPolicy.Cluster
    sharing_key: str | None = None
    selector: dict[str, str] = {}
    external: bool | None = None
    releasing: bool = False


def claim_from(address: IPAddress, spec: IPAllocationSpec | WireSpec) -> Claim:
    """The claim that a record makes; `address` is `spec.address`, parsed."""
    return Claim(
        address,
        intern(spec.pool),
        sort_holders(tuple([_holder_from(one) for one in spec.holders])),
        spec.traffic_policy.value,
        spec.sharing_key,
        pairs(spec.selector),
        spec.releasing,
        bool(spec.external),
    )


def _holder_from(one: WireHolder | WholeHolder) -> Holder:
    return Holder(
        ServiceKey(intern(one.namespace), one.name),
        one.uid,
        tuple([_port(port.protocol, port.port) for port in one.ports]),
        pairs(one.labels),
        one.health_check_node_port or 0,
        intern(one.node or ""),
    )


@lru_cache(PORTS_KEPT_ONCE)
def _port(protocol: TransportProtocol, number: int) -> Port:
    return Port(protocol.value, number)


def wire_spec(claim: Claim) -> dict[str, Any]:
    """`IPAllocation.spec` for a create."""
    spec: dict[str, Any] = {"address": str(claim.address), **_wire_claim(claim)}
    return {name: value for name, value in spec.items() if value is not None}


def wire_allocation(claim: Claim) -> dict[str, Any]:
    """The whole object for a create. One that is made only to be released says no more than who had the address."""
    if claim.releasing:
        bare = tuple(replace(holder, ports=(), labels=(), health_port=0, node="") for holder in claim.holders)
        claim = replace(claim, holders=bare, selector=())
    return {
        "apiVersion": API_VERSION,
        "kind": "IPAllocation",
        "metadata": {"name": allocation_name(claim.address), "labels": labels_of(claim)},
        "spec": wire_spec(claim),
    }


def labels_of(claim: Claim) -> dict[str, str]:
    """For people who select records: what all holders have in common, as far as it can be the value of a label."""
    found = {LABEL_POOL: {claim.pool}}
    found[LABEL_SERVICE_NAMESPACE] = {one.key.namespace for one in claim.holders}
    found[LABEL_SERVICE_NAME] = {one.key.name for one in claim.holders}
    known = {label: next(iter(values)) for label, values in found.items() if len(values) == 1}
    return {label: value for label, value in known.items() if 0 < len(value) <= LABEL_VALUE_CHARACTERS}


def labels_change(old: Claim, new: Claim) -> dict[str, str | None]:
    """The same for a merge patch (RFC 7386) of `metadata.labels`; empty when nothing changes."""
    before, after = labels_of(old), labels_of(new)
    gone: dict[str, str | None] = dict.fromkeys(label for label in before if label not in after)
    return gone | {label: value for label, value in after.items() if before.get(label) != value}


def wire_change(old: Claim, new: Claim) -> dict[str, Any]:
    """What a merge patch (RFC 7386) of `spec` must carry to make the old claim the new one."""
    before, after = _wire_claim(old), _wire_claim(new)
    change = {name: value for name, value in after.items() if before[name] != value}
    if "selector" in change:
        change["selector"] = {**{name: None for name, _ in old.selector}, **dict(new.selector)}
    return change


def _wire_claim(claim: Claim) -> dict[str, Any]:
    """All but the address, which never changes."""
    return {
        "pool": claim.pool,
        "holders": [_wire_holder(holder) for holder in claim.holders],
        "trafficPolicy": claim.traffic_policy,
        "sharingKey": claim.sharing_key,
        "selector": dict(claim.selector),
        "releasing": claim.releasing,
        "external": True if claim.external else None,
    }


def _wire_holder(holder: Holder) -> dict[str, Any]:
    health_port = {"healthCheckNodePort": holder.health_port} if holder.health_port else {}
    return {
        "namespace": holder.key.namespace,
        "name": holder.key.name,
        "uid": holder.uid,
        "ports": [{"protocol": port.protocol, "port": port.port} for port in holder.ports],
        "labels": dict(holder.labels),
        **health_port,
        **({"node": holder.node} if holder.node else {}),
    }
