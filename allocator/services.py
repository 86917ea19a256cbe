"""What is known of Services and of their namespaces' labels, the newest of each, and what of theirs is from us.

From lists, watches and answers to our own writes. Knows no ledger: who holds what is not asked here.
"""

from collections.abc import Iterator, Mapping

from allocator.claims import Claim
from allocator.ownership import Ownership
from allocator.request import key_of, our_condition, present_addresses
from allocator.space.pools import Labels
from crds.addresses import IPAddress
from kube.objects import Service, ServiceKey


class KnownServices:
    """Services by their place. One that is older than what is known changes nothing."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._services: dict[ServiceKey, Service] = {}
        self._showing: dict[IPAddress, set[ServiceKey]] = {}
        """Who shows an address, whosever it is."""
        self._namespaces: dict[str, Labels] = {}
        self._holders: set[str] = set()

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[ServiceKey]:
        return iter(self._services)

    def get(self, key: ServiceKey) -> Service | None:
        """The newest that is known; None when there is none at that place."""
        return self._services.get(key)

    def naming_external_ips(self) -> list[ServiceKey]:
        """Those that have any, whatever their type."""
        return [key for key, service in self._services.items() if service.spec.external_ips]

    def uid_at(self, key: ServiceKey) -> str:
        """Of the Service at that place; empty when there is none."""
        known = self._services.get(key)
        return "" if known is None else known.metadata.uid

    def is_news(self, service: Service) -> bool:
        """Whether it is newer than what is known at its place. Takes in nothing."""
        known = self._services.get(key_of(service))
        return known is None or _version(service) > _version(known)

    def put(self, service: Service) -> None:
        """Take it in, unless it is older. Of the same version this copy is kept: the informer has it anyway."""
        known = self._services.get(key_of(service))
        if known is None or _version(service) >= _version(known):
            if known is not None:
                self._unindex(known)
            self._services[key_of(service)] = service
            for address in present_addresses(service):
                self._showing.setdefault(address, set()).add(key_of(service))

    def remove(self, key: ServiceKey, uid: str) -> Service | None:
        """The Service with that uid is no more. None when it was not known."""
        known = self._services.get(key)
        if known is None or known.metadata.uid != uid:
            return None
        self._unindex(known)
        return self._services.pop(key)

    def _unindex(self, service: Service) -> None:
        key = key_of(service)
        for address in present_addresses(service):
            showing = self._showing.get(address, set())
            showing.discard(key)
            if not showing:
                self._showing.pop(address, None)

    # What they show

    def shown(self) -> list[IPAddress]:
        """All addresses that some Service shows, whosever they are."""
        return list(self._showing)

    def showing(self, address: IPAddress) -> list[Service]:
        """Who shows it, whosever it is."""
        return [self._services[key] for key in sorted(self._showing.get(address, ()))]

    def still_showing(self, address: IPAddress, claim: Claim | None = None) -> list[Service]:
        """Who shows an address that an allocator gave it, or that it holds by this claim.

        Whatever these Services are now (terminating, say), kube-proxy serves them there: so it is nobody else's yet.
        """
        uids = {holder.uid for holder in claim.holders} if claim is not None else set()
        return [one for one in self.showing(address) if one.metadata.uid in uids or self._ownership.is_marked(one)]

    # Namespaces

    def labels(self, namespace: str) -> Labels | None:
        """None when the namespace is not known (yet)."""
        return self._namespaces.get(namespace)

    def set_namespaces(self, namespaces: Mapping[str, Labels]) -> None:
        """From a full list."""
        self._namespaces.update(namespaces)

    def put_namespace(self, name: str, labels: Labels) -> bool:
        """False when that was known."""
        is_news = self._namespaces.get(name) != labels
        self._namespaces[name] = labels
        return is_news

    def remove_namespace(self, name: str) -> None:
        """It is deleted."""
        self._namespaces.pop(name, None)

    # What is ours of what they show

    def note_holder(self, uid: str) -> None:
        """The Service with that uid holds an address: from now on its finalizer and ingress are from us."""
        self._holders.add(uid)

    def forget_holder(self, uid: str) -> None:
        """Nothing of ours is left on it."""
        self._holders.discard(uid)

    def held_in_our_time(self, uid: str) -> bool:
        """Whether it holds an address, or held one since this process leads."""
        return uid in self._holders

    def shows_ours(self, service: Service) -> bool:
        """Whether what it shows is from us or a predecessor, though it may hold nothing now."""
        condition = our_condition(service)
        return self.held_in_our_time(service.metadata.uid) or (condition is not None and condition.status == "True")


def _version(service: Service) -> int:
    """resourceVersions of one resource are numbers that rise (KEP-5504)."""
    return int(service.metadata.resource_version or 0)
