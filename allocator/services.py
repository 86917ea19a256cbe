"""What is known of Services and of their namespaces' labels, the newest of each, and what of theirs is from us.

From lists, watches and answers to our own writes. Knows no ledger: who holds what is not asked here.
"""

from collections.abc import Iterator, Mapping

from allocator.claims import Claim, Holder
from allocator.request import key_of, our_condition, present_addresses
from allocator.space.pools import Labels
from crds.addresses import IPAddress
from kube.objects import Service, ServiceKey


class KnownServices:
    """Services by their place. One that is older than what is known changes nothing."""

    def __init__(self) -> None:
        self._services: dict[ServiceKey, Service] = {}
        self._namespaces: dict[str, Labels] = {}
        self._holders: set[str] = set()

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[ServiceKey]:
        return iter(self._services)

    def get(self, key: ServiceKey) -> Service | None:
        """The newest that is known; None when there is none at that place."""
        return self._services.get(key)

    def is_news(self, service: Service) -> bool:
        """Whether it is newer than what is known at its place. Takes in nothing."""
        known = self._services.get(key_of(service))
        return known is None or _version(service) > _version(known)

    def put(self, service: Service) -> None:
        """Take it in, unless it is older. Of the same version this copy is kept: the informer has it anyway."""
        known = self._services.get(key_of(service))
        if known is None or _version(service) >= _version(known):
            self._services[key_of(service)] = service

    def remove(self, key: ServiceKey, uid: str) -> Service | None:
        """The Service with that uid is no more. None when it was not known."""
        known = self._services.get(key)
        return self._services.pop(key) if known is not None and known.metadata.uid == uid else None

    def show(self, claim: Claim) -> bool:
        """Whether a holder's status still names the address: kube-proxy serves it there, so nobody else gets it yet."""
        return any(self._shows(holder, claim.address) for holder in claim.holders)

    def _shows(self, holder: Holder, address: IPAddress) -> bool:
        service = self._services.get(holder.key)
        return service is not None and service.metadata.uid == holder.uid and address in present_addresses(service)

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
