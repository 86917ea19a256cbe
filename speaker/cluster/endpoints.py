"""Where the endpoints of Services are, as far as externalTrafficPolicy Local and routes depend on it.

Keeps the facts of EndpointSlices by Service and answers for an address. Knows nothing of nodes' health, nor which node
announces.
"""

from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

from kube.objects import ServiceKey
from speaker.cluster.objects import SliceFacts


class Placement(NamedTuple):
    """The nodes that may receive traffic for an address under the policy Local.

    `is_everywhere`: some endpoints carry no nodeName (implementations of the Gateway API make such). They count for
    every node: if they counted for none, the address would leave the network.
    """

    nodes: frozenset[str]
    is_everywhere: bool = False

    def admits(self, node: str) -> bool:
        """Whether this node has, or may have, an endpoint."""
        return self.is_everywhere or node in self.nodes

    @property
    def is_empty(self) -> bool:
        """There is no endpoint to send traffic to."""
        return not self.nodes and not self.is_everywhere


NOWHERE = Placement(frozenset())


class EndpointIndex:
    """The EndpointSlices of all Services."""

    def __init__(self) -> None:
        self._slices: dict[ServiceKey, dict[str, SliceFacts]] = {}

    def replace(self, name: str, old: SliceFacts | None, new: SliceFacts | None) -> set[ServiceKey]:
        """Slice `name` said `old` and says `new` (None = no such slice); the Services for which something changed."""
        if old == new:
            return set()
        changed: set[ServiceKey] = set()
        if old is not None and old.service is not None:
            self._forget(old.service, name)
            changed.add(old.service)
        if new is not None and new.service is not None:
            self._slices.setdefault(new.service, {})[name] = new
            changed.add(new.service)
        return changed

    def placement(self, services: Iterable[ServiceKey], is_ipv6: bool) -> Placement:
        """Where an address of these Services finds endpoints of its own family.

        Services share an address under Local when their selectors are equal, but one may get another selector and keep
        the address until the others follow. Then they have other Pods, and kube-proxy would drop what is for the ones
        on a node that has the others alone: so the address belongs where each of them has some. Where there is no such
        node, it belongs to those of the first namespace that has any. (Allocators let none of two namespaces share
        under Local; a record may be older than that rule.)

        Endpoints that serve while they terminate count only when none is ready anywhere (KEP-1669). While one is ready
        elsewhere, the address belongs there, and connections in flight still reach the old node's endpoint.
        """
        every = list(services)
        if len(every) == 1:
            return self._of_namespace(every, is_ipv6)
        common = self._common_to([[service] for service in every], is_ipv6)
        if not common.is_empty:
            return common
        groups = _by_namespace(every)
        common = self._common_to(groups, is_ipv6)
        found = (self._of_namespace(group, is_ipv6) for group in groups)
        return common if not common.is_empty else next((one for one in found if not one.is_empty), NOWHERE)

    def _common_to(self, groups: list[list[ServiceKey]], is_ipv6: bool) -> Placement:
        placements = [self._of_namespace(group, is_ipv6) for group in groups]
        return reduce(_common, placements) if placements else NOWHERE

    def _of_namespace(self, services: Iterable[ServiceKey], is_ipv6: bool) -> Placement:
        slices = self._slices_of(services, is_ipv6)
        if len(slices) == 1:
            (only,) = slices
            if only.ready or only.is_ready_unplaced:
                return Placement(only.ready, only.is_ready_unplaced)
            return Placement(only.draining, only.is_draining_unplaced)
        ready = Placement(_union(one.ready for one in slices), any(one.is_ready_unplaced for one in slices))
        if not ready.is_empty:
            return ready
        return Placement(_union(one.draining for one in slices), any(one.is_draining_unplaced for one in slices))

    def ready_nodes(self, services: Iterable[ServiceKey], is_ipv6: bool) -> frozenset[str]:
        """The nodes that have a ready endpoint of that family, of any of these Services."""
        slices = self._slices_of(services, is_ipv6)
        return slices[0].ready if len(slices) == 1 else _union(one.ready for one in slices)

    def serving_nodes(self, services: Iterable[ServiceKey], is_ipv6: bool) -> frozenset[str]:
        """Those, and the ones where an endpoint serves until it ends: connections that come there are served."""
        return _union(nodes for one in self._slices_of(services, is_ipv6) for nodes in (one.ready, one.draining))

    def _slices_of(self, services: Iterable[ServiceKey], is_ipv6: bool) -> list[SliceFacts]:
        every = (facts for service in services for facts in self._slices.get(service, {}).values())
        return [facts for facts in every if facts.is_ipv6 == is_ipv6]

    def weight(self, services: Iterable[ServiceKey], is_ipv6: bool, node: str) -> int | None:
        """How many ready endpoints of that family these Services have on the node, for comparison with other nodes.

        Services that share an address under Local have the same endpoints, so the greatest number counts, not the sum.
        It is 1 where none is ready (the node then has draining ones). None = unknown: some endpoint names no node.
        """
        most = 1
        for service in services:
            slices = [one for one in self._slices.get(service, {}).values() if one.is_ipv6 == is_ipv6]
            if any(one.is_ready_unplaced for one in slices):
                return None
            most = max(most, sum(one.count(node) for one in slices))
        return most

    def _forget(self, service: ServiceKey, name: str) -> None:
        slices = self._slices.get(service, {})
        slices.pop(name, None)
        if not slices:
            self._slices.pop(service, None)


def _by_namespace(services: Iterable[ServiceKey]) -> list[list[ServiceKey]]:
    """In the order of the namespaces' names, which is the same on every node."""
    groups: dict[str, list[ServiceKey]] = {}
    for service in services:
        groups.setdefault(service.namespace, []).append(service)
    return [groups[namespace] for namespace in sorted(groups)]


def _common(one: Placement, other: Placement) -> Placement:
    if one.is_everywhere or other.is_everywhere:
        somewhere = other if one.is_everywhere else one
        return Placement(somewhere.nodes, one.is_everywhere and other.is_everywhere)
    return Placement(one.nodes & other.nodes)


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
