"""Routes of addresses under externalTrafficPolicy Local while their endpoints move from node to node. Pure.

    node with the new endpoint    its proxy is awaited -- route
    node with the old one         route .................... goes a moment after a new node's proxy is ready

So a router always has a route to a node that can serve, as far as can be known; for a moment it may have both. What is
not Local passes unchanged.
"""

from itertools import islice

from speaker.cluster.endpoints import NOWHERE, Placement
from speaker.cluster.objects import Allocation
from speaker.cluster.state import ClusterState
from speaker.proxies.readiness import Readiness

MOST_ASKED = 3
"""Of the nodes that take an address over: one that is ready is enough."""


class Moves:
    """As one node sees them."""

    def __init__(self, own_node: str, cluster: ClusterState, proxies: Readiness) -> None:
        self._own_node = own_node
        self._cluster = cluster
        self._proxies = proxies

    def placement(self, allocation: Allocation, placement: Placement, *, has_route: bool) -> Placement:
        """Where its endpoints are to be taken to be, for what this node advertises. `has_route`: it does so now."""
        if not allocation.is_local:
            return placement
        if placement.admits(self._own_node):
            return NOWHERE if not has_route and self._waits(allocation) else placement
        if has_route and self._lingers(allocation, placement):
            return Placement(placement.nodes | {self._own_node})
        return placement

    def _waits(self, allocation: Allocation) -> bool:
        """Another node serves meanwhile, which is not new itself, and this one's proxy may not have its rule."""
        others = self._cluster.serving_nodes(allocation) - {self._own_node}
        is_covered = any(self._announces(node) and not self._proxies.is_new(allocation, node) for node in others)
        return is_covered and self._proxies.is_awaited(allocation, self._own_node)

    def _lingers(self, allocation: Allocation, placement: Placement) -> bool:
        """An endpoint serves here until it ends, and all nodes with a ready one have it since a moment ago."""
        if self._own_node not in self._cluster.serving_nodes(allocation):
            return False
        if not all(self._proxies.is_new(allocation, node) for node in placement.nodes):
            return False
        for node in islice(sorted(placement.nodes), MOST_ASKED):
            self._proxies.is_awaited(allocation, node)
        return True

    def _announces(self, node: str) -> bool:
        """As far as the objects say: whether it is alive matters little, since this node waits for what it needs."""
        speaker, facts = self._cluster.speakers.get(node), self._cluster.nodes.get(node)
        if speaker is None or facts is None or facts.is_excluded or facts.is_out_of_service:
            return False
        return speaker.is_serving and not speaker.said_goodbye and not facts.is_network_unavailable
