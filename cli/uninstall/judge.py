"""What holds Services when Berth goes, and whether it may be let go by hand. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from allocator.ownership import Ownership
from allocator.request import our_condition, present_addresses
from allocator.status.service import Wanted, service_patch
from cli.seen import World
from crds.addresses import IPAddress
from crds.names import ALLOCATOR_LEASE
from kube.objects import Service, ServiceKey
from kube.times import rfc3339


@dataclass(frozen=True)
class Held:
    """A Service that a finalizer of Berth's holds. `addresses`: those in its records."""

    service: Service
    addresses: tuple[IPAddress, ...]

    @property
    def key(self) -> ServiceKey:
        """Its place."""
        return ServiceKey(self.service.metadata.namespace or "", self.service.metadata.name)

    def __str__(self) -> str:
        return f"svc/{self.key} ({', '.join(map(str, self.addresses)) or 'no address'})"


def held(world: World, ownership: Ownership) -> list[Held]:
    """By place. The default finalizer is that of other load balancers, too: a Service counts only where a record of
    ours names it, or our condition is on it."""
    records: dict[str, list[IPAddress]] = {}
    for stored in world.seen.observed.allocations.values():
        for holder in stored.claim.holders:
            records.setdefault(holder.uid, []).append(stored.address)
    found = []
    for service in world.seen.observed.services.values():
        addresses = tuple(records.get(service.metadata.uid, ()))
        if ownership.is_held(service) and (addresses or our_condition(service) is not None):
            found.append(Held(service, addresses))
    return sorted(found, key=lambda one: one.key)


def still_there(world: World) -> Iterator[str]:
    """What of Berth may still write or announce, so that nothing may be let go by hand; each with what to do."""
    if world.seen.leases is None:
        yield "the Leases of Berth's namespace can't be read, so it can't be told whether an allocator runs"
        return
    lease = world.seen.leases.get(ALLOCATOR_LEASE)
    if lease is not None and lease.spec.holder_identity:
        yield (
            f"an allocator leads ({lease.spec.holder_identity}). While Berth runs, delete the Services: they go by "
            f"themselves. If none runs, delete its Lease {ALLOCATOR_LEASE} in Berth's namespace"
        )
    for speaker in sorted(world.seen.observed.speakers.values(), key=lambda one: one.node):
        if speaker.has_registered and not speaker.goodbye:
            yield (
                f"the speaker of {speaker.node} has not said that it withdrew everything: wait until its pod is gone. "
                f"Only if its machine is surely off, say so: kubectl delete speaker.berth.dev {speaker.node}"
            )


def let_go(one: Held, world: World, ownership: Ownership) -> dict[str, Any] | None:
    """A merge patch of the status subresource: without our finalizer, conditions and addresses, under the preconditions
    uid and resourceVersion. None when there is nothing of ours."""
    present = present_addresses(one.service)
    kept = tuple(address for address in present if address not in one.addresses)
    wanted = Wanted(None if kept == present else kept, False, None, former_go=True)
    return service_patch(one.service, wanted, ownership, rfc3339(world.seen.now))
