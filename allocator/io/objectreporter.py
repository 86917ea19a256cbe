"""Writes the statuses of what users write (pools, advertisements, peers, and what these name), and of silent Speakers.

A part of allocator.io.reporter, which says when. What depends on many nodes is written at most 3 times at once and 6
times a minute.
"""

from collections.abc import Callable, Set

from allocator.assigner import Assigner
from allocator.io.statuswriter import StatusWriter
from allocator.notices import Common, Notice, ObjectNotice
from allocator.observed import Observed
from allocator.status.advertisement import JUDGED_HERE, advertisement_status, no_speaker
from allocator.status.faults import reported_faults
from allocator.status.peer import peer_faults, peer_status
from allocator.status.pool import pool_status
from allocator.status.reports import Reports
from allocator.status.speaker import SILENT_SECONDS, silent_conditions
from allocator.status.use import community_users, profile_users, use_status
from allocator.status.writerate import WriteRate
from crds.conditions import ConditionType, Reason
from crds.meta import Condition
from crds.types import BGPPeerStatus
from kube.informer.store import ObjectKey
from kube.io.clock import timestamp
from kube.resource import (
    BFDPROFILES,
    BGPADVERTISEMENTS,
    BGPPEERS,
    COMMUNITIES,
    IPPOOLS,
    L2ADVERTISEMENTS,
    SPEAKERS,
)

REFUSED_SECONDS = 5.0
"""A pool whose status was refused is left alone for so long."""

SETTLED_SECONDS = 1.0
"""What a BGPPeer is to say has settled when it was the same for so long."""

SPEAKERS_AT_ONCE = 5
"""Of speakers that are silent so many are written in one round."""


class ObjectReporter:
    """`reports`: what nodes say; kept up to date elsewhere. `now`: monotonic seconds."""

    def __init__(
        self,
        statuses: StatusWriter,
        assigner: Assigner,
        observed: Observed,
        reports: Reports,
        notify: Callable[[Notice | ObjectNotice], None],
    ) -> None:
        self._statuses = statuses
        self._assigner = assigner
        self._observed = observed
        self._reports = reports
        self._notify = notify
        self._object_rate = WriteRate(burst=3, seconds=10.0)
        self._refused_pools: dict[str, float] = {}
        """Until when none of these is tried again."""
        self._called_silent: set[str] = set()
        """Nodes of which that is written."""
        self._peers_since: dict[str, tuple[object, float]] = {}
        """Of BGPPeers whose status is not written yet: what it is to say, and since when."""
        self.is_bgp_dirty = True
        """Whether BGPPeers are to be looked at."""

    def sweep(self, now: float) -> None:
        """Forget what counts no more."""
        self._object_rate.sweep(now)

    async def report_pools(self, now: float) -> None:
        """One whose status is refused waits for a while."""
        self._refused_pools = {name: until for name, until in self._refused_pools.items() if until > now}
        for pool in self._assigner.ledger.pools.in_order:
            stored = self._observed.pools.get(ObjectKey(None, pool.name))
            if stored is None or stored.metadata.generation != pool.generation or pool.name in self._refused_pools:
                continue
            status = pool_status(pool, self._assigner.ledger, stored.status, timestamp())
            if status != stored.status:
                wire = {"ipv4": None, "ipv6": None, "keptOut": None, **status.to_wire()}
                if await self._statuses.patch(IPPOOLS, pool.name, stored.metadata.uid, wire) is None:
                    self._refused_pools[pool.name] = now + REFUSED_SECONDS
                else:
                    self._statuses.tell(IPPOOLS, pool.name, stored.status.conditions, status.conditions)

    async def report_speakers(self, silent: Set[str], now: float) -> None:
        """Those that are silent, once each time that they are: one that writes anew is back, whatever its Lease said
        when it was read last. A few in each round, since each write goes to all other speakers."""
        written = 0
        self._called_silent &= silent
        for node in sorted(silent - self._called_silent):
            speaker = self._observed.speakers.get(ObjectKey(None, node))
            conditions = None if speaker is None else silent_conditions(speaker, SILENT_SECONDS, timestamp())
            if speaker is None or conditions is None or not self._object_rate.admits(("Speaker", node), now):
                continue
            wire = {"conditions": conditions}
            if await self._statuses.patch(
                SPEAKERS, node, speaker.metadata.uid, wire, speaker.metadata.resource_version
            ):
                message = next(one["message"] for one in conditions if one["type"] == ConditionType.Ready)
                self._notify(ObjectNotice(Common("Speaker", node), "Warning", Reason.NodeSilent, message))
                self._called_silent.add(node)
            written += 1
            if written >= SPEAKERS_AT_ONCE:
                return

    async def report_uses(self, now: float) -> None:
        """Of BFDProfiles and Communities: there are few."""
        for helpers, resource, users in (
            (self._observed.profiles, BFDPROFILES, profile_users(self._observed.peers.values())),
            (self._observed.communities, COMMUNITIES, community_users(self._observed.advertisements())),
        ):
            for one in list(helpers.values()):
                status = use_status(one, users, timestamp())
                if status != one.status and self._object_rate.admits((one.kind, one.name), now):
                    await self._statuses.patch(resource, one.name, one.uid, status)

    async def report_advertisements(self, now: float) -> None:
        """With what speakers find wrong."""
        peers = {one.name for one in self._observed.peers.values()}
        for one in self._observed.advertisements():
            faults = reported_faults(self._reports.bgp, one.kind, one.name, JUDGED_HERE)
            if all(speaker.goodbye or not speaker.has_registered for speaker in self._observed.speakers.values()):
                faults = (no_speaker(),)
            status = advertisement_status(one, self._assigner.ledger.pools, peers, faults, timestamp())
            if status != one.status and self._object_rate.admits((one.kind, one.name), now):
                resource = L2ADVERTISEMENTS if one.kind == "L2Advertisement" else BGPADVERTISEMENTS
                if await self._statuses.patch(resource, one.name, one.uid, status) is not None:
                    after = [Condition.model_validate(condition) for condition in status["conditions"]]
                    self._statuses.tell(resource, one.name, one.conditions, after)

    async def report_peers(self, silent: Set[str], now: float) -> None:
        """Of all when something changed: that is seldom, or often for all of them."""
        if not self.is_bgp_dirty:
            return
        self.is_bgp_dirty = False
        self._peers_since = {
            name: since for name, since in self._peers_since.items() if ObjectKey(None, name) in self._observed.peers
        }
        for one in list(self._observed.peers.values()):
            faults = peer_faults(self._reports.bgp, one, self._observed.peers.values())
            status = peer_status(one, self._reports.bgp.sessions(one.name), faults, silent, timestamp())
            if status == one.status:
                self._peers_since.pop(one.name, None)
                continue
            if self._object_rate.admits(
                ("BGPPeer", one.name), now, is_settled=self._has_settled(one.name, status, now)
            ):
                written = await self._statuses.patch(BGPPEERS, one.name, one.uid, status.to_wire())
                if written is not None:
                    self._statuses.tell(BGPPEERS, one.name, one.status.conditions, status.conditions)
            self.is_bgp_dirty = True  # it is looked at again: whether that was taken, and what it is by then

    def _has_settled(self, name: str, status: BGPPeerStatus, now: float) -> bool:
        """Whether it has been to say this for a moment."""
        said = (status.sessions, [(one.type, one.status, one.reason, one.message) for one in status.conditions])
        known = self._peers_since.get(name)
        if known is None or known[0] != said:
            known = self._peers_since[name] = (said, now)
        return now - known[1] >= SETTLED_SECONDS
