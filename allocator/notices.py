"""What is said about a Service when something happens to it: as an Event, and in the log.

On transitions only; the steady state is what conditions are for. Builds values, sends nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from allocator.ledger import Entry
from allocator.objects import StoredAllocation
from allocator.ownership import Ownership
from allocator.request import key_of, our_condition, present_addresses
from allocator.status.onservices import shown
from allocator.status.owners import Move
from allocator.status.service import Wanted
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.observation import Observation
from kube.objects import Service, ServiceKey

_NOT_GOOD = frozenset({Reason.OutsidePool, Reason.AddressTaken, Reason.StatusOverwritten, Reason.SomeSessionsDown})
"""It is as it was asked for, and yet somebody should look."""

_GOOD: Mapping[str, str] = {
    ConditionType.Degraded: "False",
    ConditionType.Exhausted: "False",
    ConditionType.Overlapping: "False",
    ConditionType.Conflicted: "False",
}
"""The status that is good, of conditions for which that is not True."""


Kind = Literal["Normal", "Warning"]


class Common(NamedTuple):
    """An object of ours that many Services may have in common: an IPPool, or the Speaker of a node."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class ObjectNotice:
    """One Event about an object of ours."""

    about: Common
    type: Kind
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """One Event about a Service. `uid` is the Service's. `common`: what tells of it instead where the same happens to
    many at once; None: the first of those to which it happens."""

    service: ServiceKey
    uid: str
    type: Kind
    reason: Reason
    message: str
    common: Common | None = None


class Repeated:
    """Warnings about Services that have no condition of ours to say it: each is told when it is news."""

    def __init__(self) -> None:
        self._told: dict[str, frozenset[str]] = {}

    def of(self, service: Service, reason: Reason, messages: Iterable[str]) -> Iterator[Notice]:
        """All that is wrong now; what is not among it any more is told again when it comes back."""
        uid, now = service.metadata.uid, list(dict.fromkeys(messages))
        before = self._told.get(uid, frozenset())
        if now:
            self._told[uid] = frozenset(now)
        else:
            self._told.pop(uid, None)
        return (Notice(key_of(service), uid, "Warning", reason, one) for one in now if one not in before)

    def forget(self, uid: str) -> None:
        """The Service is no more."""
        self._told.pop(uid, None)


def of_change(service: Service, wanted: Wanted, pool: str | None = None) -> Iterator[Notice]:
    """What is news to somebody who knows what the Service shows now. `pool`: of its first address, if it has any."""
    old, verdict = our_condition(service), wanted.verdict
    transition = _of_transition(service, wanted, pool)
    if transition is not None:
        yield transition
    if verdict is not None and verdict.note and (old is None or verdict.note not in old.message):
        yield Notice(key_of(service), service.metadata.uid, "Warning", Reason.UnknownAnnotation, verdict.note)


def _of_transition(service: Service, wanted: Wanted, pool: str | None) -> Notice | None:
    """Another status or reason than the Service shows, or another address; None when that stays."""
    old, verdict = our_condition(service), wanted.verdict
    if verdict is None:
        return None
    status = "True" if verdict.satisfied else "False"
    is_same = old is not None and (old.status, old.reason) == (status, verdict.reason)
    if is_same and not (verdict.satisfied and wanted.ingress != present_addresses(service)):
        return None
    is_good = verdict.satisfied and verdict.reason not in _NOT_GOOD
    kind: Kind = "Normal" if is_good else "Warning"
    reason, message = verdict.reason, verdict.message
    before, now = present_addresses(service), wanted.ingress
    if is_same and before and now:
        reason = Reason.AddressChanged
        message = f"{' and '.join(map(str, before))} before, now {message}"
    return Notice(key_of(service), service.metadata.uid, kind, reason, message, _pool(pool))


def _pool(name: str | None) -> Common | None:
    return None if name is None else Common("IPPool", name)


def of_announced(service: Service, announced: Observation | None, pool: str | None) -> Iterator[Notice]:
    """It is not announced any more, or again. The first time is the usual course, and told by the condition alone.
    `pool`: of its first address, if it has any."""
    old = shown(service)
    if announced is None or pool is None or (old.status == announced.status if old is not None else announced.holds):
        return
    reason = Reason.Announced if announced.holds else Reason.NotAnnounced
    kind: Kind = "Normal" if announced.holds else "Warning"
    yield Notice(key_of(service), service.metadata.uid, kind, reason, announced.message, _pool(pool))


def of_move(stored: StoredAllocation, move: Move, why: str) -> Iterator[Notice]:
    """To each holder: another node owns its address on layer 2. `why`: of the node before, such as "is silent"; empty
    where nothing is known."""
    because = f": {move.before} {why}" if why else ""
    message = f"{move.address} moved from {move.before} to {move.after}{because}"
    common = Common("Speaker", move.before)
    for holder in stored.claim.holders:
        yield Notice(holder.key, holder.uid, "Normal", Reason.Moved, message, common)


def of_object(
    about: Common, before: Sequence[Condition], after: Sequence[Condition], good: Mapping[str, str] = _GOOD
) -> Iterator[ObjectNotice]:
    """Its conditions that have another status or reason than before. What is well from the start is no news, nor that
    nodes have not reported of a new BGPPeer yet.

    `good`: by condition, the status that is good; others are.
    """
    old = {one.type: (one.status, one.reason) for one in before}
    for one in after:
        is_good = one.status == good.get(one.type, "True") and one.reason not in _NOT_GOOD
        is_usual = one.type not in old and (is_good or one.reason == Reason.NoSessions)
        if is_usual or old.get(one.type) == (one.status, one.reason):
            continue
        yield ObjectNotice(about, "Normal" if is_good else "Warning", Reason(one.reason), one.message)


def of_class_changed(service: Service, ownership: Ownership, pool: str | None = None) -> Iterator[Notice]:
    """It is about to lose what it shows because its class is not the one that is served, now. None for other causes.
    `pool`: of its first address, if it has any."""
    if service.spec.type != "LoadBalancer" or service.metadata.is_terminating or ownership.is_ours(service):
        return
    its = service.spec.load_balancer_class
    has = f"has the class {its}" if its else "has no class"
    message = (
        f"{', '.join(map(str, present_addresses(service)))} is withdrawn: Berth serves {ownership.served}, and this "
        f"Service {has}. A class can't be set on a Service that is there: give the chart's loadBalancerClass its "
        f"former value, or create the Service anew with spec.loadBalancerClass: {ownership.class_name}"
    )
    yield Notice(key_of(service), service.metadata.uid, "Warning", Reason.ClassChanged, message, _pool(pool))


def of_tampering(entry: Entry, what: str) -> Iterator[Notice]:
    """One for each holder of an address whose record somebody changed."""
    message = f"The IPAllocation of {entry.address} {what}; it is put right"
    return of_entry(entry, Reason.AllocationLost, message)


def of_entry(entry: Entry, reason: Reason, message: str) -> Iterator[Notice]:
    """The same warning to each holder of an address."""
    common = Common("IPPool", entry.claim.pool)
    for holder in entry.claim.holders:
        yield Notice(holder.key, holder.uid, "Warning", reason, message, common)


def of_conflict(stored: StoredAllocation, conflict: Condition) -> Iterator[Notice]:
    """To each holder of the address: another machine began or ceased to use it, or kernels of nodes to answer for
    it."""
    kind: Kind = "Warning" if conflict.status == "True" else "Normal"
    for holder in stored.claim.holders:
        common = Common("IPPool", stored.claim.pool)
        yield Notice(holder.key, holder.uid, kind, Reason(conflict.reason), conflict.message, common)


def of_lost_finalizer(service: Service, held: Iterable[Entry], finalizer: str) -> Notice | None:
    """Somebody took our finalizer off; None when no address depended on it."""
    exposed = [entry for entry in held if entry.is_exposed]
    if not exposed:
        return None
    addresses = [str(entry.address) for entry in exposed]
    message = (
        f"Somebody took finalizer {finalizer} off while the Service held {', '.join(addresses)}: "
        "an address stays reserved until every speaker has withdrawn it"
    )
    common = _pool(exposed[0].claim.pool)
    return Notice(key_of(service), service.metadata.uid, "Warning", Reason.FinalizerRemoved, message, common)
