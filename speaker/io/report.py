"""The conditions of the own Speaker object, its promise and the faults it finds: gathered from all parts of the agent.

The clock's end of speaker.own.conditions, which makes the sentences. For people, but for the promise: that binds.
"""

import time

from kube.io.clock import timestamp
from speaker.bgp.io.course import BgpCourse
from speaker.fencing import Hold, Peers, promise_to_make
from speaker.layer2.course import Announcer
from speaker.layer2.io.handover import PeerWatch
from speaker.members.io.heartbeats import Heartbeats
from speaker.options import Options
from speaker.own.conditions import SHOWN, Conditions

CONDITIONS_SECONDS = 1.0
"""Conditions are for people: evaluated at most this often."""


class Report:
    """Writes to the announcer's draft; who sends it is speaker.own.io.registration."""

    def __init__(
        self, announcer: Announcer, peers: PeerWatch, heartbeats: Heartbeats, bgp: BgpCourse, options: Options
    ) -> None:
        self._announcer = announcer
        self._peers = peers
        self._heartbeats = heartbeats
        self._bgp = bgp
        self._options = options
        self._conditions = Conditions()
        self._due = 0.0
        self._witnesses: frozenset[str] | None = None

    def is_due(self, now: float) -> bool:
        """Whether they have not been looked at for a while. `now`: monotonic seconds."""
        return now >= self._due

    def conditions(self, hold: Hold | None, renewal_sent: float | None, boottime: float) -> None:
        """As things stand. `renewal_sent` and `boottime`: CLOCK_BOOTTIME seconds."""
        self._due = time.monotonic() + CONDITIONS_SECONDS
        now, draft = timestamp(), self._announcer.draft
        self._conditions.set_ready(hold, now)
        peers = self._peers.for_fencing()
        draft.set("fencing", self._promise(peers, renewal_sent, boottime, now))
        self._judge_peers(peers, now)
        if hold is None:
            self._judge_addresses(now)
            draft.set("faults", self._bgp.faults())
        draft.set("conditions", self._conditions.to_wire())

    def stopped(self, *, withdrew_routes: bool) -> None:
        """The last ones."""
        self._conditions.set_stopped(timestamp(), withdrew_routes=withdrew_routes)
        self._announcer.draft.set("conditions", self._conditions.to_wire())

    def _promise(self, peers: Peers, renewal_sent: float | None, boottime: float, now: str) -> dict[str, object]:
        self._witnesses = promise_to_make(
            self._options.node,
            peers,
            self._options.limits(),
            present=self._witnesses,
            renewal_sent=renewal_sent,
            now=boottime,
        )
        self._conditions.set_promise(self._witnesses is not None, len(peers.known), now)
        return {
            "promised": self._witnesses is not None,
            "fenceAfterSeconds": self._options.fence_after_seconds,
            "witnesses": sorted(self._witnesses or ()),
        }

    def _judge_peers(self, peers: Peers, now: str) -> None:
        if self._heartbeats.are_wanted:
            self._conditions.set_peers_heard(self._heartbeats.fault, peers.known, self._heartbeats.heard, now)

    def _judge_addresses(self, now: str) -> None:
        decisions = self._announcer.decisions
        faults = decisions.faults(SHOWN + 1, self._bgp.picture.covers)
        self._conditions.set_announceable(faults, now)
        self._conditions.set_endpoints_placed(decisions.unplaced(), now)
