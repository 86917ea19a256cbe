"""Whether a node that is to own an address under externalTrafficPolicy Local waits for its proxy, and how long the old
owner goes on. Pure.

    old owner   answers, hands over .......... sees the successor's frame: silent
    successor   is owner -- its proxy is awaited -- announces

It waits only while waiting loses nothing: the node that it takes the address from lives, goes on, and has an endpoint
that serves. Whoever has announced the address goes on with it. See speaker.proxies.readiness for how long.
"""

from collections import Counter

from speaker.cluster.objects import Allocation
from speaker.cluster.state import ClusterState
from speaker.layer2.decisions import Decisions
from speaker.proxies.readiness import LONGEST_WAIT_SECONDS, Readiness

HANDOVER_SECONDS = 2.0
"""How long to answer for an address whose successor is not seen to announce it. The successor learns of the hand-over
by heartbeats in milliseconds; without heartbeats it takes a write and a watch of the Speaker object."""

WAITING = "ProxyNotReady"
"""The state of an address that waits."""


class Succession:
    """Of one node, for one registration: what was decided before it is not known."""

    def __init__(self, own_node: str, cluster: ClusterState, decisions: Decisions, proxies: Readiness) -> None:
        self._own_node = own_node
        self._cluster = cluster
        self._decisions = decisions
        self._proxies = proxies
        self._owners: dict[str, str] = {}
        """Of IPAllocations with the policy Local, by name: the other node that was last decided to own it."""
        self._waiting: set[str] = set()

    def held_back(self) -> Counter[str]:
        """How many addresses wait, by what they wait for."""
        return +Counter({WAITING: len(self._waiting)})

    def left_to(self, allocation: Allocation, owner: str) -> None:
        """It was decided that another node owns it."""
        self._waiting.discard(allocation.name)
        if allocation.is_local:
            self._owners[allocation.name] = owner

    def forget(self, name: str) -> None:
        """It is nobody's to announce now, or gone."""
        self._waiting.discard(name)
        self._owners.pop(name, None)

    def waits(self, allocation: Allocation) -> bool:
        """Whether this node, which owns it and does not announce it yet, is to leave it for now to the one before."""
        before = self._owners.get(allocation.name)
        is_covered = before is not None and self._goes_on(before, allocation)
        if is_covered and self._proxies.is_awaited(allocation, self._own_node):
            self._waiting.add(allocation.name)
            return True
        self.forget(allocation.name)
        return False

    def _goes_on(self, node: str, allocation: Allocation) -> bool:
        return node in self._cluster.serving_nodes(allocation) and self._decisions.goes_on(node)

    def give_up_at(self, allocation: Allocation, now: float) -> float:
        """Until when this node answers for what another one owns. A successor may wait only while an endpoint serves
        here: without one there is nothing to answer for but its first frame."""
        is_served = allocation.is_local and self._own_node in self._cluster.serving_nodes(allocation)
        return now + HANDOVER_SECONDS + (LONGEST_WAIT_SECONDS if is_served else 0.0)
