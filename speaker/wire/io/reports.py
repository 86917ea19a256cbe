"""What the wire process tells the agent of itself: its interfaces when they changed, its counters now and then."""

from __future__ import annotations

from collections.abc import Callable

from speaker.wire.io.channel import Channel
from speaker.wire.messages import Counters, Interfaces
from speaker.wire.neighbours.io.addresses import text_of
from speaker.wire.neighbours.io.ports import Ports
from speaker.wire.neighbours.table import Table

COUNTERS_SECONDS = 5.0
COUNTED_ADDRESSES_PER_REPORT = 256


class Reports:
    """`counters_due` is monotonic."""

    def __init__(
        self,
        channel: Channel,
        ports: Ports,
        table: Table,
        heartbeats: Callable[[], dict[str, int]],
        bfd: Callable[[], dict[str, int]],
        now: float,
    ) -> None:
        self._channel = channel
        self._ports = ports
        self._table = table
        self._heartbeats = heartbeats
        self._bfd = bfd
        self._told: Interfaces | None = None
        self.counters_due = now + COUNTERS_SECONDS

    def interfaces(self) -> None:
        """If there is news."""
        if not self._ports.has_news:
            return
        self._ports.has_news = False
        report = Interfaces(self._ports.described())
        if report != self._told:
            self._told = report
            self._channel.tell(report)

    def counters(self, now: float) -> None:
        """When they are due, unless the agent has more to read than it can."""
        if now < self.counters_due:
            return
        self.counters_due = now + COUNTERS_SECONDS
        if self._channel.is_crowded:
            return
        addresses: dict[str, int] = {}
        active = self._table.active
        while active and len(addresses) < COUNTED_ADDRESSES_PER_REPORT:
            entry = active.pop()
            entry.is_counted = False
            addresses[text_of(entry.address)] = entry.replies
        self._channel.tell(Counters(self._ports.totals(), addresses, self._heartbeats(), self._bfd()))
