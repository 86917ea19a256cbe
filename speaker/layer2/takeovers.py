"""Addresses that this node takes over from another one, for the log: one line each, and of many at once one for all.

Pure. `now`: monotonic seconds.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

LINES_AT_ONCE = 10
"""Lines of single addresses; then one more for each second that passes."""

NAMED_ADDRESSES = 3
"""How many addresses the line for the others names."""

NAMED_CAUSES = 5
"""From which nodes, and why: as many of these."""


class OwnerChange(Enum):
    """Why a node that owned an address does not any more, in a word."""

    NODE_FAULT = "NodeFault"
    """Its Node says so: no network, out of service, excluded."""
    NOT_HEARD = "NotHeard"
    STOPPED = "Stopped"
    STOPPING = "Stopping"
    API_SERVER_LOST = "APIServerLost"
    NO_INTERFACE = "NoInterface"
    NO_ENDPOINT = "NoEndpoint"
    PREFERRED = "Preferred"
    """Nothing keeps it away: the new owner comes first."""


class WhyNot(NamedTuple):
    """`said`: in words, after the node's name."""

    reason: OwnerChange
    said: str


class TakeOver(NamedTuple):
    """`before`: the node that owned the address. `why`: what keeps that one from it, or what this one is preferred
    for."""

    address: str
    before: str
    why: str
    reason: OwnerChange


class Several(NamedTuple):
    """So many that no line tells of each."""

    number: int
    such_as: list[str]
    why: list[str]
    """By node, the most frequent first."""


@dataclass
class TakeOvers:
    """Decided, then confirmed by the wire process: only then another node has surely lost it."""

    _decided: dict[str, TakeOver] = field(default_factory=dict)
    _lines: float = LINES_AT_ONCE
    _counted_at: float = 0.0
    _others: list[TakeOver] = field(default_factory=list)
    _reasons: Counter[OwnerChange] = field(default_factory=Counter)

    def decided(self, one: TakeOver) -> None:
        """This node is to announce it."""
        self._decided[one.address] = one

    def dropped(self, address: str) -> None:
        """It is not, after all."""
        self._decided.pop(address, None)

    def confirmed(self, addresses: Iterable[str], now: float) -> Iterator[TakeOver]:
        """This node answers for them. Those that get a line of their own."""
        self._lines = min(LINES_AT_ONCE, self._lines + now - self._counted_at)
        self._counted_at = now
        for address in addresses:
            one = self._decided.pop(address, None)
            if one is None:
                continue
            self._reasons[one.reason] += 1
            if self._lines < 1:
                self._others.append(one)
            else:
                self._lines -= 1
                yield one

    def take_reasons(self) -> Counter[OwnerChange]:
        """How many were taken over since the last call, and why."""
        taken, self._reasons = self._reasons, Counter()
        return taken

    def others(self) -> Several | None:
        """All that got none since the last call. None where there are none."""
        if not self._others:
            return None
        taken, self._others = self._others, []
        causes = Counter(f"{one.before} {one.why}" for one in taken).most_common(NAMED_CAUSES)
        named = [f"{cause} ({count})" for cause, count in causes]
        return Several(len(taken), [one.address for one in taken[:NAMED_ADDRESSES]], named)
