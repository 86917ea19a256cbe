"""What the agent does about machines that use our addresses and are no speakers: defends, asks after them, reports.

The clock and the wire's end of speaker.conflicts, which decides.
"""

import time
from datetime import UTC, datetime

import structlog

from speaker.announcer import Announcer
from speaker.conflicts import Claim, Conflicts
from speaker.l2.link import WireConflict, WireLink
from speaker.metrics import SpeakerMetrics

log = structlog.get_logger()


class Strangers:
    """`tick` twice a second or so. Fills the field `conflicts` of the announcer's draft."""

    def __init__(self, link: WireLink, announcer: Announcer, metrics: SpeakerMetrics) -> None:
        self._link = link
        self._announcer = announcer
        self._metrics = metrics
        self._conflicts = Conflicts()
        announcer.draft.set("conflicts", [])

    def claimed(self, conflict: WireConflict) -> None:
        """Another host claims an address that is announced here. During a take-over that is the other speaker."""
        is_speakers = self._announcer.picture.is_speakers(conflict.mac)
        self._metrics.conflict_seen(is_speakers)
        where = {"address": conflict.address, "interface": conflict.interface, "mac": conflict.mac}
        if is_speakers:
            log.debug("another speaker claims an address of ours", **where)
            return
        claim = Claim(conflict.address, conflict.interface, conflict.mac)
        if self._conflicts.seen(claim, time.monotonic(), _timestamp()):
            log.warning("another host uses an address of ours: defended once", **where)
            self._link.defend(conflict.address, conflict.interface)
            self._metrics.defended()

    def tick(self) -> None:
        """Ask those that fell silent, and tell who there is."""
        now = time.monotonic()
        for claim in self._conflicts.silent(now):
            self._link.ask(claim.address, claim.interface, claim.mac)
        entries = self._conflicts.believed(now, self._announcer.picture.is_speakers)
        self._announcer.draft.set("conflicts", entries)
        self._metrics.conflicts_now(len(entries))


def _timestamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
