"""Values for the speaker's tests: short to write, ordinary where the test does not care."""

import json
from typing import Any

from msgspec.structs import replace

from crds.l2advertisement import L2AdvertisementSpec
from crds.names import allocation_name
from kube.objects import ServiceKey
from speaker.cluster.networks import Attached, network_of
from speaker.cluster.objects import Allocation, Holder, NodeFacts, SliceFacts, SpeakerFacts
from speaker.moment import Moment

NOW = "2026-01-02T03:04:05Z"

BOOTED_BEFORE_SECONDS = 5000.0
"""By which CLOCK_BOOTTIME is ahead of the monotonic clock: code that mixes them is far off."""


def at(seconds: float) -> Moment:
    """That moment (monotonic seconds), on all clocks."""
    return Moment(seconds, seconds + BOOTED_BEFORE_SECONDS, 1767323045.0 + seconds)


def service(name: str = "web", namespace: str = "default") -> ServiceKey:
    return ServiceKey(namespace, name)


def allocation(
    address: str = "192.0.2.10",
    *,
    uid: str = "",
    generation: int = 1,
    pool: str = "edge",
    services: tuple[str, ...] = ("web",),
    labels: dict[str, str] | None = None,
    is_local: bool = False,
    is_releasing: bool = False,
    health_port: int = 0,
) -> Allocation:
    return Allocation(
        name=allocation_name(address),
        uid=uid or f"uid-{address}",
        generation=generation,
        address=address,
        pool=pool,
        holders=tuple(Holder(service(name), labels or {}, health_port) for name in services),
        is_local=is_local,
        is_releasing=is_releasing,
    )


def node(
    labels: dict[str, str] | None = None,
    *,
    uid: str = "node",
    addresses: tuple[str, ...] = (),
    annotations: dict[str, str] | None = None,
    **flags: bool,
) -> NodeFacts:
    return NodeFacts(
        uid=uid,
        labels=labels or {},
        excluded_by=("the label",) if flags.get("is_excluded") else (),
        is_network_unavailable=flags.get("is_network_unavailable", False),
        addresses=addresses,
        is_out_of_service=flags.get("is_out_of_service", False),
        annotations=annotations or {},
    )


def speaker(
    *interfaces: str, said_goodbye: bool = False, is_serving: bool = True, mac: str = "02:00:00:00:00:01"
) -> SpeakerFacts:
    return SpeakerFacts(
        uid="spk",
        incarnation="one",
        said_goodbye=said_goodbye,
        is_serving=is_serving,
        interfaces=interfaces or ("eth0",),
        macs=frozenset({mac}),
    )


def on_networks(*, has_ipv6: bool = True, **interfaces: tuple[str, ...]) -> SpeakerFacts:
    """A speaker that tells its networks: by interface, such as 192.0.2.11/24."""
    made = speaker(*sorted(interfaces))
    attached = {name: attachment(*networks, has_ipv6=has_ipv6) for name, networks in interfaces.items()}
    return replace(made, attached=attached)


def attachment(*networks: str, has_ipv6: bool = True) -> Attached:
    found = map(network_of, networks)
    return Attached(frozenset(one for one in found if one is not None), has_ipv6)


def slice_of(
    name: str = "web",
    *,
    ready: tuple[str, ...] = (),
    draining: tuple[str, ...] = (),
    is_ipv6: bool = False,
    is_ready_unplaced: bool = False,
    is_draining_unplaced: bool = False,
    several: dict[str, int] | None = None,
) -> SliceFacts:
    return SliceFacts(
        service=service(name),
        is_ipv6=is_ipv6,
        ready=frozenset(ready),
        draining=frozenset(draining),
        is_ready_unplaced=is_ready_unplaced,
        is_draining_unplaced=is_draining_unplaced,
        several=frozenset((several or {}).items()),
    )


def advertisement(**spec: Any) -> L2AdvertisementSpec:
    """As an operator writes it, in camel case."""
    return L2AdvertisementSpec.model_validate(spec)


def raw(**fields: Any) -> bytes:
    return json.dumps(fields).encode()
