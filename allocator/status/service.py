"""The one patch of a Service: finalizer, ingress and condition together, and what goes when it is no longer ours.

A PATCH of the status subresource of a Service takes metadata too, so one write carries all three, under the
preconditions uid and resourceVersion. The finalizer is that of KEP-980, ipMode of KEP-1860. Others' finalizers and
conditions are kept.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
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
from crds.meta import Condition as NewCondition
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


def service_patch(
    service: Service, wanted: Wanted, ownership: Ownership, timestamp: str, announced: Observation | None = None
) -> dict[str, Any] | None:
    """The merge patch (RFC 7386) of the status subresource, None when there is nothing to change.

    `announced`: what else to say when there is, so that it costs no write of its own; None: leave it as it is.
    """
    metadata: dict[str, Any] = {}
    status: dict[str, Any] = {}
    finalizers = ownership.finalizers(service, has_ours=wanted.has_finalizer, former_go=wanted.former_go)
    if finalizers is not None:
        metadata["finalizers"] = finalizers
    if wanted.ingress is not None and not shows_exactly(service, wanted.ingress):
        status["loadBalancer"] = {"ingress": [{"ip": str(one), "ipMode": "VIP"} for one in wanted.ingress] or None}
    said = _said(wanted)
    if metadata or status or _conditions(service.status.conditions, said, timestamp) is not None:
        if announced is not None and wanted.has_finalizer:
            said[ConditionType.AnnouncedOnService] = announced
        conditions = _conditions(service.status.conditions, said, timestamp)
        if conditions is not None:
            status["conditions"] = conditions
        return _patch(service, metadata, status)
    return None


def _said(wanted: Wanted) -> dict[str, Observation | None]:
    """The conditions that are to be as here, by type; None = it goes."""
    verdict = wanted.verdict
    if verdict is None:
        return {} if wanted.has_finalizer else {one: None for one in _OURS}
    said: dict[str, Observation | None] = {
        ConditionType.Allocated: Observation(
            ConditionType.Allocated, verdict.satisfied, verdict.reason, verdict.message
        )
    }
    return said if wanted.has_finalizer else {**said, ConditionType.AnnouncedOnService: None}


_OURS = (ConditionType.Allocated, ConditionType.AnnouncedOnService)


def announced_patch(service: Service, announced: Observation, timestamp: str) -> dict[str, Any] | None:
    """The same where nothing else is to change."""
    said: dict[str, Observation | None] = {ConditionType.AnnouncedOnService: announced}
    conditions = _conditions(service.status.conditions, said, timestamp)
    return None if conditions is None else _patch(service, {}, {"conditions": conditions})


def _patch(service: Service, metadata: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
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


def _conditions(
    present: Sequence[Condition], said: Mapping[str, Observation | None], timestamp: str
) -> list[dict[str, Any]] | None:
    """All of them on the wire, after those that are left as they are; None where they say so already."""
    old = {one.type: one for one in present}
    new = [one.condition(old.get(kind), timestamp) for kind, one in said.items() if one is not None]
    gone = any(one is None and kind in old for kind, one in said.items())
    if not gone and all(_is_same(old.get(one.type), one) for one in new):
        return None
    return [*(_wire(one) for one in present if one.type not in said), *(one.to_wire() for one in new)]


def _is_same(old: Condition | None, new: NewCondition) -> bool:
    return old is not None and (old.status, old.reason, old.message) == (new.status, new.reason, new.message)


def _wire(condition: Condition) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(condition)
    return {name: value for name, value in built.items() if value is not None}
