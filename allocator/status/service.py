"""The one patch of a Service: finalizer, ingress and condition together, and what goes when it is no longer ours.

A PATCH of the status subresource of a Service takes metadata too, so one write carries all three, under the
preconditions uid and resourceVersion. The finalizer is that of KEP-980, ipMode of KEP-1860. Others' finalizers and
conditions are kept.
"""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from allocator.ledger import Entry
from allocator.ownership import Ownership
from allocator.plan import Plan
from allocator.request import our_condition, present_addresses
from allocator.space.ranges import parse_address
from allocator.verdict import Verdict
from crds.addresses import IPAddress
from crds.conditions import ConditionType
from crds.observation import Observation
from kube.objects import Condition, Ingress, Service


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the Service should show. `ingress` None: leave what it shows. `verdict` None: our condition goes, but not
    before the finalizer: it is what says that the finalizer is ours. `former_go`: finalizers of names that ours had
    before are from us, and go."""

    ingress: tuple[IPAddress, ...] | None
    has_finalizer: bool
    verdict: Verdict | None
    former_go: bool = False


def wanted_of(
    service: Service,
    decision: Plan,
    finalizer: str,
    held: Container[IPAddress],
    *,
    holds: bool,
    shows_ours: bool,
) -> Wanted:
    """What a Service of ours should show once all that it was granted is recorded.

    `held`: addresses that somebody holds. `holds`: the Service is among these, or releases one. `shows_ours`: its
    ingress and the finalizer are from us; another system's stay while they name nobody's address.
    """
    has_finalizer = holds or (finalizer in service.metadata.finalizers and not shows_ours)
    ingress: tuple[IPAddress, ...] | None = decision.shown
    if not ingress and not shows_ours:
        present = present_addresses(service)
        nobodys = tuple(address for address in present if address not in held)
        ingress = None if nobodys == present else nobodys
    condition = our_condition(service)
    was_served = condition is not None and condition.status == "True"
    return Wanted(ingress, has_finalizer, decision.verdict, former_go=was_served if holds else shows_ours)


def hidden_before_it_leaves(service: Service, held: Iterable[Entry]) -> Wanted | None:
    """What must go from the status before these addresses are left, since kube-proxy serves what is shown; None when
    nothing must.

    Of a Service that lives all must. One that is being deleted goes with its status as soon as nothing holds it back;
    until then an address that it leaves to others must not be shown, since its ports are theirs to take.
    """
    lives = service.spec.type == "LoadBalancer" and not service.metadata.is_terminating
    uid = service.metadata.uid
    to_hide = {one.address for one in held if lives or (one.claim.others(uid) and not one.claim.releasing)}
    present = present_addresses(service)
    kept = tuple(address for address in present if address not in to_hide)
    return None if kept == present else Wanted(kept, True, None)


def bare(service: Service) -> Wanted:
    """Without anything of ours: it holds nothing any more. Of another type than LoadBalancer it shows nothing."""
    goes = service.metadata.is_terminating and service.spec.type == "LoadBalancer"
    return Wanted(() if goes else None, False, None, former_go=True)


def service_patch(service: Service, wanted: Wanted, ownership: Ownership, timestamp: str) -> dict[str, Any] | None:
    """The merge patch (RFC 7386) of the status subresource, None when there is nothing to change."""
    metadata: dict[str, Any] = {}
    status: dict[str, Any] = {}
    finalizers = ownership.finalizers(service, has_ours=wanted.has_finalizer, former_go=wanted.former_go)
    if finalizers is not None:
        metadata["finalizers"] = finalizers
    if wanted.ingress is not None and not shows_exactly(service, wanted.ingress):
        status["loadBalancer"] = {"ingress": [{"ip": str(one), "ipMode": "VIP"} for one in wanted.ingress] or None}
    keeps_condition = wanted.verdict is None and wanted.has_finalizer
    conditions = None if keeps_condition else _conditions(service.status.conditions, wanted.verdict, timestamp)
    if conditions is not None:
        status["conditions"] = conditions
    if not metadata and not status:
        return None
    metadata["uid"] = service.metadata.uid
    metadata["resourceVersion"] = service.metadata.resource_version
    return {"metadata": metadata, "status": status} if status else {"metadata": metadata}


def shows_exactly(service: Service, addresses: Sequence[IPAddress]) -> bool:
    """Whether the ingress is these addresses as virtual IPs, in this order, and nothing else."""
    shown = [_shown(entry) for entry in service.status.load_balancer.ingress]
    return shown == list(addresses)


def _shown(entry: Ingress) -> IPAddress | None:
    is_ours = entry.ip_mode in (None, "VIP") and not entry.hostname
    return parse_address(entry.ip) if is_ours and entry.ip else None


def _conditions(present: Sequence[Condition], verdict: Verdict | None, timestamp: str) -> list[Any] | None:
    old = next((one for one in present if one.type == ConditionType.Allocated), None)
    others = [_wire(one) for one in present if one.type != ConditionType.Allocated]
    if verdict is None:
        return others if old is not None else None
    observed = Observation(ConditionType.Allocated, verdict.satisfied, verdict.reason, verdict.message)
    new = observed.condition(old, timestamp)
    if old is not None and (old.status, old.reason, old.message) == (new.status, new.reason, new.message):
        return None
    return [*others, new.to_wire()]


def _wire(condition: Condition) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(condition)
    return {name: value for name, value in built.items() if value is not None}
