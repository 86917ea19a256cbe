"""The same acts without faults: a life whose faults are over is to end as a life that had none.

The twin does what was done, in the words as they were meant then, and waits where there was a fault. Which address a
Service has may differ, and where Services compete, also which of them has one: then others came first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crds.conditions import Reason
from tests.sim.acts import FAULTS, Doing, Step, end_of_faults, expect
from tests.sim.api import Body
from tests.sim.cluster import Cluster

WISHES = ("services", "ippools", "l2advertisements", "bgpadvertisements", "bgppeers", "endpointslices", "nodes")
FILLED_IN = ("clusterIPs", "healthCheckNodePort", "taints")
"""Fields of a spec that no user wrote."""
BY_ORDER = frozenset(
    one.value
    for one in (
        Reason.AddressInUse,
        Reason.OutsidePool,
        Reason.PartiallyAllocated,
        Reason.PoolExhausted,
        Reason.QuotaExceeded,
        Reason.SharingConflict,
    )
)
"""Why a Service has no address, or not all, though another order of events had given it one; or keeps one that it had
before the pool changed."""
MOST_BYTES = 16_000
"""Of one object of ours, in a cluster of a few nodes and Services."""


@dataclass(frozen=True)
class End:
    """`wishes`: what users and operators want, by kind and name. `services`: of each that is ours the families of its
    addresses, and what it is told of them."""

    wishes: dict[str, Body]
    services: dict[str, tuple[tuple[str, ...], str]]


def end_of(cluster: Cluster) -> End:
    """As things stand."""
    wishes = {}
    for plural in WISHES:
        for body in cluster.api.all(plural):
            meta, spec = body["metadata"], body.get("spec", {})
            wishes[f"{plural} {meta.get('namespace', '')}/{meta['name']}"] = {
                "spec": {name: one for name, one in spec.items() if name not in FILLED_IN},
                "annotations": meta.get("annotations", {}) if plural == "services" else {},
                "labels": meta.get("labels", {}),
                "endpoints": body.get("endpoints"),
            }
    services = {}
    for body in cluster.api.all("services"):
        status = body["status"]
        told = [one["reason"] for one in status.get("conditions", ()) if one["type"] == "berth.dev/Allocated"]
        if told:
            addresses = [one["ip"] for one in status.get("loadBalancer", {}).get("ingress") or ()]
            families = sorted("IPv6" if ":" in one else "IPv4" for one in addresses)
            services[f"{body['metadata']['namespace']}/{body['metadata']['name']}"] = (tuple(families), told[0])
    return End(wishes, services)


def without_faults(cluster: Cluster, steps: Sequence[Step]) -> None:
    """Live them up to the end of all faults, of which there are none."""
    doing = Doing(cluster)
    cluster.install()
    cluster.start_allocators()
    for step in steps:
        cluster.world.run_until(cluster.world.now + step.pause_seconds)
        if step.act not in FAULTS and step.act != expect.__name__:
            doing.do(step)
    end_of_faults(cluster)


def differences(end: End, twin: End) -> list[str] | None:
    """What is not as without faults. None = nothing can be said: some wish was taken in one of the two only, as where
    the API server refused a write, or the order of events decides who has an address.

    A Service keeps what it had when its request became one that can't be met. Whether it had an address by then is a
    matter of time, so what it is told is all that counts."""
    if end.wishes != twin.wishes:
        return None
    found = [
        f"{name} has {' and '.join(has) or 'no address'} ({told}), and {' and '.join(had) or 'none'} ({was_told}) "
        "where there were no faults"
        for name in sorted(end.services.keys() | twin.services.keys())
        for has, told in [end.services.get(name, ((), ""))]
        for had, was_told in [twin.services.get(name, ((), ""))]
        if (has, told) != (had, was_told) and not told == was_told != Reason.Allocated.value
    ]
    competed = any(told in BY_ORDER for one in (end, twin) for _, told in one.services.values())
    return None if found and competed else found


def too_large(cluster: Cluster) -> list[str]:
    """Objects of ours that grew beyond their bound."""
    return [
        f"{plural} {key.name} has {len(stored.raw)} bytes"
        for plural, key, stored in cluster.api.everything()
        if plural not in ("services", "nodes", "events") and len(stored.raw) > MOST_BYTES
    ]
