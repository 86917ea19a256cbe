"""What each Service is to have now, entered in the ledger as soon as it is decided; what it waits for, noted.

The step after that, what is written of it, is the Assigner's. Serial and synchronous, as the Assigner is: what one
Service was given is in the ledger before another is asked. No I/O; `now` is monotonic seconds.
"""

from collections.abc import Iterable
from dataclasses import replace

from allocator.adoption import adopt
from allocator.annotations import not_understood
from allocator.claims import Claim, Holder
from allocator.ledger import Entry, Ledger
from allocator.naming import Naming
from allocator.notices import Notice
from allocator.ownership import Ownership
from allocator.plan import Plan, plan, plan_refused
from allocator.policy import Draw
from allocator.rejections import Rejections, without
from allocator.request import (
    InvalidRequest,
    Request,
    holder_of,
    key_of,
    request_for_external_ips,
    request_of,
)
from allocator.services import KnownServices
from allocator.sharing import left
from allocator.waiting import Wait, Waiting
from allocator.wakeups import Wakeups
from allocator.workqueue import WorkQueue
from crds.addresses import IPAddress
from crds.conditions import Reason
from kube.objects import Service, ServiceKey

Key = ServiceKey | IPAddress
"""What has a next step."""


class Deciding:
    """Lives as long as the Assigner whose `ledger`, `services`, `waiting` and `queue` these are."""

    def __init__(
        self,
        *,
        ownership: Ownership,
        draw: Draw,
        ledger: Ledger,
        services: KnownServices,
        waiting: Waiting,
        queue: WorkQueue[Key],
        wakeups: Wakeups,
        notices: list[Notice],
    ) -> None:
        self._ownership = ownership
        self._draw = draw
        self._ledger = ledger
        self._services = services
        self._waiting = waiting
        self._queue = queue
        self._wakeups = wakeups
        self._rejections = Rejections()
        self._naming = Naming(ledger, services)
        self._notices = notices

    def decide(self, key: ServiceKey) -> Plan | None:
        """Plan for the Service at this place and enter it in the ledger; None when it is not ours (or not yet)."""
        service, uid = self._services.get(key), self._services.uid_at(key)
        for entry in self._ledger.held_by_key(key):
            for holder in entry.claim.holders:
                if holder.key == key and holder.uid != uid:
                    self.leave(entry, holder.uid)
        waits = frozenset() if service is None else self._name(key, service)
        if service is None or not self._ownership.is_ours(service):
            self._await(key, service, waits)
            return None
        request, labels = request_of(service), self._services.labels(key.namespace)
        if isinstance(request, InvalidRequest):
            decision = plan_refused(holder_of(service), request.reason, request.message, self._ledger)
        elif (rejection := self._rejections.of(request)) is not None:
            decision = plan_refused(request.holder, Reason.RecordRefused, rejection.message, self._ledger)
            self._queue.add_at(key, rejection.until)
        elif labels is None and self._ledger.pools.select_by_namespace_labels:
            return None
        else:
            decision = plan(request, labels or {}, self._ledger, self._draw, self._wish_of)
        verdict = decision.verdict.noting(not_understood(service.metadata.annotations))
        decision = replace(decision, verdict=verdict)
        self._enter(decision.grants)
        lacks = "" if decision.verdict.satisfied else str(decision.verdict.reason)
        self._await(key, service, decision.waits | waits, lacks)
        return decision

    def leave(self, entry: Entry | None, uid: str) -> None:
        """The Service gives the address up: others keep it, or else it is released."""
        if entry is None or entry.claim.releasing or not entry.claim.held_by(uid):
            return
        departed = next(holder.key for holder in entry.claim.holders if holder.uid == uid)
        self._ledger.revise(entry, left(entry.claim, uid))
        self._queue.add(entry.address)
        self._wakeups.of_changed(entry.claim, departed)

    def adopt_shown(self) -> None:
        """What a Service shows that holds nothing is its own, before anybody gets an address of a pool that came."""
        unheld = [address for address in self._services.shown() if address not in self._ledger]
        showing = {key_of(one): one for address in unheld for one in self._services.showing(address)}
        for key, service in sorted(showing.items(), key=lambda one: one[1].metadata.creation_timestamp or ""):
            if not self._ownership.is_ours(service) or self._ledger.held_by_uid(service.metadata.uid):
                continue
            for address in adopt(service, self._services.labels(key.namespace) or {}, self._ledger):
                self._queue.add(address)
        for key in showing:
            self.decide(key)
            self._queue.add(key)

    def evict(self, entry: Entry, holder: Holder, recorded: Claim | None, what: str, now: float) -> None:
        """The holder leaves an address whose record was refused with it, or stays as `recorded`; `what` is told it."""
        if entry.claim.releasing or holder not in entry.claim.holders:
            return  # it changed or left meanwhile
        service = self._services.get(holder.key)
        if service is None or service.metadata.uid != holder.uid:
            request = None
        else:
            request = request_for_external_ips(service) if entry.claim.external else request_of(service)
        rejections = self._naming.rejections if entry.claim.external else self._rejections
        if isinstance(request, Request):
            rejections.add(request, f"The API server refuses the record of {what}", now)
        self._ledger.revise(entry, without(holder, entry.claim, recorded))
        self._wakeups.of_changed(entry.claim, holder.key)
        self._queue.add(holder.key, first=True)

    def expire(self, key: ServiceKey, now: float) -> None:
        """Try records again that the API server refused, when their time is over."""
        for rejections in (self._rejections, self._naming.rejections):
            rejections.expire(self._services.uid_at(key), now)

    def forget(self, known: Service) -> None:
        """The Service is no more."""
        self._waiting.remove(key_of(known))
        self._rejections.forget(known.metadata.uid)
        self._naming.forget(known.metadata.uid)

    def _await(self, key: ServiceKey, service: Service | None, waits: frozenset[Wait], lacks: str = "") -> None:
        if service is None or not (waits or lacks):
            self._waiting.remove(key)
        else:
            self._waiting.put(key, service.metadata.creation_timestamp or "", waits, lacks)

    def _name(self, key: ServiceKey, service: Service) -> frozenset[Wait]:
        """Enter in the ledger which external IPs are announced for the Service, of whatever type it is. Returns what
        could let it have the others."""
        decision = self._naming.decide(service)
        self._enter(decision.grants)
        granted = {grant.address for grant in decision.grants}
        for entry in self._ledger.named_by_uid(service.metadata.uid):
            if entry.address not in granted:
                self.leave(entry, service.metadata.uid)
        self._notices.extend(self._naming.news(service, decision))
        if decision.again_at is not None:
            self._queue.add_at(key, decision.again_at)
        return decision.waits

    def _wish_of(self, holder: Holder) -> Request | None:
        """What it asks for as its Service is now; None when that is gone or not ours, or can't be read or recorded."""
        service = self._services.get(holder.key)
        if service is None or service.metadata.uid != holder.uid or not self._ownership.is_ours(service):
            return None
        request = request_of(service)
        return None if isinstance(request, InvalidRequest) or self._rejections.of(request) is not None else request

    def _enter(self, grants: Iterable[Claim]) -> None:
        for grant in grants:
            entry = self._ledger.get(grant.address)
            if entry is None:
                self._ledger.reserve(grant)
            elif not self._ledger.revise(entry, grant):
                continue
            self._queue.add(grant.address, first=True)
            self._wakeups.of_changed(grant)
