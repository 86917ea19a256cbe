"""Which node owns each address on layer 2, from what nodes report, and when that has changed. Pure.

A hand-over shows both nodes for a moment, and a node that dies is named by its last report until it counts as silent.
So who appears beside the owner that is known is the new owner once that has lasted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from allocator.objects import StoredAllocation
from allocator.status.entries import Announcement
from crds.addresses import IPAddress
from crds.conditions import ConditionType

SETTLE_SECONDS = 3.0
"""How long the new owner must have been there: one that moves back at once has not moved."""


class Move(NamedTuple):
    """An address that another node owns now."""

    address: IPAddress
    before: str
    after: str


@dataclass
class Owners:
    """Told of each address whenever it is looked at. `now`: monotonic seconds."""

    _known: dict[IPAddress, tuple[str, str]] = field(default_factory=dict)
    """The record's uid, and the owner."""
    _coming: dict[IPAddress, tuple[str, float]] = field(default_factory=dict)

    def seen(self, stored: StoredAllocation, announcers: Mapping[str, Announcement], now: float) -> None:
        """`announcers`: those that are believed. The first one that is seen is no move, unless the record names another
        one: a former leader wrote that."""
        nodes = {node for node, how in announcers.items() if "Layer2" in how.protocols}
        address = stored.address
        uid, owner = self._known.get(address, ("", ""))
        if uid != stored.uid:
            owner = _recorded_owner(stored) or (next(iter(nodes)) if len(nodes) == 1 else "")
            if not owner:
                return
            self._known[address] = (stored.uid, owner)
        others = sorted(nodes - {owner})
        if len(others) != 1:
            self._coming.pop(address, None)
        elif self._coming.get(address, ("", 0.0))[0] != others[0]:
            self._coming[address] = (others[0], now)

    def forget(self, address: IPAddress) -> None:
        """Its record is gone."""
        self._known.pop(address, None)
        self._coming.pop(address, None)

    def take_moves(self, now: float) -> list[Move]:
        """Those that have lasted; each is told once."""
        due = [(address, node) for address, (node, since) in self._coming.items() if since + SETTLE_SECONDS <= now]
        moves = []
        for address, node in due:
            del self._coming[address]
            uid, before = self._known[address]
            self._known[address] = (uid, node)
            moves.append(Move(address, before, node))
        return moves


def _recorded_owner(stored: StoredAllocation) -> str:
    """Empty where the record names none, or several."""
    announced = next((one for one in stored.conditions if one.type == ConditionType.Announced), None)
    is_one = announced is not None and len(stored.announced_by) == 1 and "(Layer2 " in announced.message
    return stored.announced_by[0] if is_one else ""
