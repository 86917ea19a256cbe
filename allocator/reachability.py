"""Whether the addresses of Services are announced, and which Services are to say so now.

Told what each address was judged to be; the condition rides along with whatever else is written of a Service, and is
written alone in its turn. Pure: the Assigner asks what a Service should say, and its Writer writes it.
"""

from collections.abc import Iterator

from allocator.claims import Claim
from allocator.ledger import Ledger
from allocator.services import KnownServices
from allocator.status.onservices import OnServices, differs_in_status, says, shown
from allocator.status.serviceline import News, ServiceLine
from crds.addresses import IPAddress
from crds.observation import Observation
from kube.objects import Service, ServiceKey


class Reachability:
    """Lives as long as the Assigner whose `ledger` and `services` these are. `now`: monotonic seconds."""

    def __init__(self, ledger: Ledger, services: KnownServices) -> None:
        self._ledger = ledger
        self._services = services
        self._addresses = OnServices()
        self._line = ServiceLine()
        self._due: set[str] = set()
        """uids of Services that are to be written for this alone."""

    # What is seen

    def judge(self, claim: Claim, observed: Observation, now: float) -> None:
        """What an address is, as its Services say it (allocator.status.onservices)."""
        if self._addresses.judge(claim.address, observed):
            for holder in claim.holders:
                self.look_at(holder.key, now)

    def forget(self, address: IPAddress) -> None:
        """Its record is gone."""
        self._addresses.forget(address)

    def look_at(self, key: ServiceKey, now: float) -> None:
        """The Service may say something else than it should, or it has been written."""
        service = self._services.get(key)
        observed = None if service is None else self._of(service.metadata.uid)
        if service is None or observed is None or says(shown(service), observed):
            self._line.leave(key)
            if service is not None:
                self._due.discard(service.metadata.uid)
            return
        self._line.join(key, _news(service, observed), now)

    def take_turn(self, now: float) -> Iterator[ServiceKey]:
        """Services whose turn it is to be written for this alone."""
        for key in self._line.take(now):
            self._due.add(self._services.uid_at(key))
            yield key

    def sweep(self, now: float) -> None:
        """Forget what counts no more."""
        self._line.sweep(now)
        self._due &= {self._services.uid_at(key) for key in self._services}

    # What a Service should say

    def along(self, service: Service) -> Observation | None:
        """What is said with another write; None: leave it. That it ends is said only when it has lasted."""
        observed = self._of(service.metadata.uid)
        may_go = observed is not None and (observed.holds or _news(service, observed) is not News.ENDS)
        return observed if may_go or service.metadata.uid in self._due else None

    def alone(self, service: Service) -> Observation | None:
        """What is said by a write of its own, now; None: nothing."""
        return self._of(service.metadata.uid) if service.metadata.uid in self._due else None

    def _of(self, uid: str) -> Observation | None:
        return self._addresses.of([entry.address for entry in self._ledger.in_use_by_uid(uid)])


def _news(service: Service, observed: Observation) -> News:
    if not differs_in_status(shown(service), observed):
        return News.OTHER
    return News.BEGINS if observed.holds else News.ENDS
