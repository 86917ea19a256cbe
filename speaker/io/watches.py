"""The watches of one registration: they feed one ClusterState, and notice what may be somebody's word that we are dead.

Decides nothing about addresses, writes nothing. A session ends with its registration; the next one lists everything
anew, so that nothing it holds is older than its registration.
"""

import asyncio
import time
from collections.abc import Callable, Set
from typing import Any

from crds.bfdprofile import BFDProfile
from crds.bgpadvertisement import BGPAdvertisement
from crds.bgppeer import BGPPeer
from crds.community import Community
from crds.l2advertisement import L2Advertisement
from kube.informer.io.informer import Change, Informer
from kube.io.client import Client
from kube.resource import (
    BFDPROFILES,
    BGPADVERTISEMENTS,
    BGPPEERS,
    COMMUNITIES,
    ENDPOINTSLICES,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    LEASES,
    NODES,
    SPEAKERS,
    Resource,
)
from speaker.bgp.decisions import BGPPicture
from speaker.bgp.io.secretwatch import SecretWatch, Values
from speaker.cluster.objects import (
    SpeakerFacts,
    allocation_from,
    node_from,
    pool_from,
    slice_from,
    speaker_from,
)
from speaker.cluster.state import ClusterState, Kind
from speaker.layer2.decisions import Decisions
from speaker.members.io.leasewatch import LeaseWatch
from speaker.members.liveness import Liveness
from speaker.own.io.registration import SupersededError

_WATCHED: tuple[tuple[Kind, Resource, Callable[[bytes], Any]], ...] = (
    (Kind.ALLOCATION, IPALLOCATIONS, allocation_from),
    (Kind.SLICE, ENDPOINTSLICES, slice_from),
    (Kind.NODE, NODES, node_from),
    (Kind.SPEAKER, SPEAKERS, speaker_from),
    (Kind.POOL, IPPOOLS, pool_from),
    (Kind.L2_ADVERTISEMENT, L2ADVERTISEMENTS, lambda raw: L2Advertisement.decode(raw).spec),
    (Kind.BGP_PEER, BGPPEERS, lambda raw: BGPPeer.decode(raw).spec),
    (Kind.BGP_ADVERTISEMENT, BGPADVERTISEMENTS, lambda raw: BGPAdvertisement.decode(raw).spec),
    (Kind.COMMUNITY, COMMUNITIES, lambda raw: Community.decode(raw).spec),
    (Kind.BFD_PROFILE, BFDPROFILES, lambda raw: BFDProfile.decode(raw).spec),
)
_NAME_SECRETS = (Kind.NODE, Kind.BGP_PEER)
"""What decides which Secrets are read: the peers of this node."""


class Session:
    """`on_change()` after each change of `cluster`; `on_removed(why)` when this node or speaker was deleted."""

    def __init__(
        self,
        client: Client,
        cluster: ClusterState,
        decisions: Decisions,
        bgp: BGPPicture,
        liveness: Liveness,
        *,
        node: str,
        node_uid: str,
        speaker_uid: str,
        incarnation: str,
        namespace: str,
        on_change: Callable[[], None],
        on_removed: Callable[[str], None],
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._decisions = decisions
        self._bgp = bgp
        self._liveness = liveness
        self._node = node
        self._node_uid = node_uid
        self._speaker_uid = speaker_uid
        self._incarnation = incarnation
        self._on_change = on_change
        self._on_removed = on_removed
        self._informers: dict[str, Informer[Any]] = {}
        for kind, resource, decode in _WATCHED:
            self._watch(kind, resource, decode)
        self._secrets = SecretWatch(client, namespace, self._secret_changed)
        self._leases = LeaseWatch(client, namespace, liveness, unheard=self._unheard, on_lease=self._lease_changed)

    async def run(self) -> None:
        """Keep all watches until cancelled. Raises SupersededError when another process is this node's speaker."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())
            group.create_task(self._secrets.run())
            group.create_task(self._leases.run())

    async def wait_synced(self) -> None:
        """Until every first list is in: forever if need be, since nothing may be announced before."""
        for informer in self._informers.values():
            await informer.wait_synced()
        await self._leases.wait_read()

    def unsynced(self) -> list[str]:
        """The resources whose first list is not in yet."""
        unsynced = [plural for plural, informer in self._informers.items() if not informer.synced]
        return unsynced if self._leases.has_read else [*unsynced, LEASES.plural]

    def _watch(self, kind: Kind, resource: Resource, decode: Callable[[bytes], Any]) -> None:
        self._informers[resource.plural] = Informer(
            self._client, resource, decode, on_change=lambda change: self._changed(kind, change)
        )

    def _changed(self, kind: Kind, change: Change[Any]) -> None:
        name = str(change.key) if kind is Kind.SLICE else change.key.name
        self._cluster.take(kind, name, change.old, change.new)
        if kind in _NAME_SECRETS:
            self._secrets.want(self._bgp.secrets)
        if change.key.name == self._node:
            if kind is Kind.NODE and (change.new is None or change.new.uid != self._node_uid):
                self._on_removed("the Node was deleted")
            elif kind is Kind.SPEAKER:
                self._check_own(change.new)
        self._on_change()

    def _check_own(self, own: SpeakerFacts | None) -> None:
        """All that is seen here is newer than our registration, since the first list came after it."""
        if own is None or own.uid != self._speaker_uid:
            self._on_removed("the Speaker object was deleted")
        elif own.incarnation != self._incarnation:
            raise SupersededError(f"incarnation {own.incarnation} has registered as speaker of {self._node}")
        elif own.said_goodbye:
            self._on_removed("somebody else said goodbye in the Speaker object")

    def _secret_changed(self, name: str, values: Values | None) -> None:
        self._cluster.set_secret(name, values)
        self._on_change()

    def _unheard(self) -> Set[str]:
        speakers = {node for node, facts in self._cluster.speakers.items() if not facts.said_goodbye}
        return speakers - self._liveness.heard - {self._node}

    def _lease_changed(self, node: str, is_held: bool) -> None:
        """A Lease that runs out is noticed by the agent's tick; one taken up or given back, here."""
        if is_held != (node in self._decisions.alive):
            self._decisions.set_alive(self._liveness.alive(time.monotonic()))
            self._on_change()
