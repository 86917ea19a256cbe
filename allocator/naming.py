"""The external IPs of Services, one Service after the other: what is known of them goes into allocator.externals.

allocator.deciding enters what comes of it in the ledger. Pure.
"""

from collections.abc import Iterator

from allocator.claims import Holder
from allocator.externals import Named, named
from allocator.ledger import Ledger
from allocator.notices import Notice, Repeated
from allocator.policy import Refusal
from allocator.rejections import Rejections
from allocator.request import InvalidRequest, Request, request_for_external_ips
from allocator.services import KnownServices
from crds.conditions import Reason
from kube.objects import Service


class Naming:
    """Lives as long as the Assigner whose `ledger` and `services` these are."""

    def __init__(self, ledger: Ledger, services: KnownServices) -> None:
        self._ledger = ledger
        self._services = services
        self.rejections = Rejections()
        """Of records that the API server refused, with such an address."""
        self._told = Repeated()

    def decide(self, service: Service) -> Named:
        """What is to be announced for it. A wish that can't be read or recorded leaves it what it has."""
        request = request_for_external_ips(service)
        if request is None:
            return Named((), ())
        if isinstance(request, InvalidRequest):
            return self._as_it_is(service, Refusal(request.reason, request.message))
        if (rejection := self.rejections.of(request)) is not None:
            refusal = Refusal(Reason.RecordRefused, rejection.message)
            return self._as_it_is(service, refusal, again_at=rejection.until)
        labels = self._services.labels(request.holder.key.namespace)
        if labels is None and self._ledger.pools.select_by_namespace_labels:
            return self._as_it_is(service)
        return named(request, labels or {}, self._ledger, self._wish_of)

    def news(self, service: Service, decision: Named) -> Iterator[Notice]:
        """What is refused, as far as it was not told."""
        messages = (refusal.message for refusal in decision.refusals)
        return self._told.of(service, Reason.ExternalIPRefused, messages)

    def forget(self, uid: str) -> None:
        """The Service is no more."""
        self.rejections.forget(uid)
        self._told.forget(uid)

    def _as_it_is(self, service: Service, *refusals: Refusal, again_at: float | None = None) -> Named:
        held = self._ledger.named_by_uid(service.metadata.uid)
        return Named(tuple(entry.claim for entry in held if not entry.claim.releasing), refusals, again_at)

    def _wish_of(self, holder: Holder) -> Request | None:
        """What another one asks for as its Service is now; None when that is gone, or can't be read or recorded."""
        service = self._services.get(holder.key)
        if service is None or service.metadata.uid != holder.uid:
            return None
        request = request_for_external_ips(service)
        return request if isinstance(request, Request) and self.rejections.of(request) is None else None
