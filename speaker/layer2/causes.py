"""Why no node announces an address, as this node is to tell it: of many nodes that see the same, one tells. Pure."""

from collections.abc import Iterable

from speaker.cluster.faults import Fault
from speaker.members.election import owner
from speaker.own.entries import Entry, unannounced

MOST_TOLD = 1000
"""Addresses that one node tells of."""


class Causes:
    """By address. `own_node` tells of those that it would own if all nodes that live could announce."""

    def __init__(self, own_node: str) -> None:
        self._own_node = own_node
        self._told: dict[str, Fault] = {}
        self._has_changed = True

    def is_to_be_told(self, address: str, nodes: Iterable[str]) -> bool:
        """Whether this node tells why nobody announces it. `nodes`: those with a speaker that lives."""
        return address != "" and owner(address, nodes) == self._own_node

    def note(self, address: str, cause: Fault | None) -> None:
        """None = it is announced, or another node tells."""
        if self._told.get(address) == cause:
            return
        self._has_changed = True
        if cause is None:
            del self._told[address]
        elif address in self._told or len(self._told) < MOST_TOLD:
            self._told[address] = cause

    def take_changed(self) -> list[Entry] | None:
        """All of them, for the field of that name; None when they are as they were."""
        if not self._has_changed:
            return None
        self._has_changed = False
        return [unannounced(address, one.reason.value, one.message) for address, one in self._told.items()]
