"""The watches of one registration: they feed one picture, and notice what may be somebody's word that we are dead.

Decides nothing about addresses, writes nothing. A session ends with its registration; the next one lists everything
anew, so that nothing it holds is older than its registration.
"""

import asyncio
import time
from collections.abc import Callable, Set
from typing import Any

from crds.bfdprofile import BFDProfile, BFDProfileSpec
from crds.bgpadvertisement import BGPAdvertisement, BGPAdvertisementSpec
from crds.bgppeer import BGPPeer, BGPPeerSpec
from crds.community import Community, CommunitySpec
from crds.l2advertisement import L2Advertisement, L2AdvertisementSpec
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
    Allocation,
    NodeFacts,
    PoolFacts,
    SliceFacts,
    SpeakerFacts,
    allocation_from,
    node_from,
    pool_from,
    slice_from,
    speaker_from,
)
from speaker.layer2.decisions import Picture
from speaker.members.io.leasewatch import LeaseWatch
from speaker.members.liveness import Liveness
from speaker.own.io.registration import SupersededError


class Session:
    """`on_change()` after each change of the picture; `on_removed(why)` when this node or speaker was deleted."""

    def __init__(
        self,
        client: Client,
        picture: Picture,
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
        self._picture = picture
        self._bgp = bgp
        self._liveness = liveness
        self._node = node
        self._node_uid = node_uid
        self._speaker_uid = speaker_uid
        self._incarnation = incarnation
        self._on_change = on_change
        self._on_removed = on_removed
        self._informers: dict[str, Informer[Any]] = {}
        self._watch(IPALLOCATIONS, allocation_from, self._allocation_changed)
        self._watch(ENDPOINTSLICES, slice_from, self._slice_changed)
        self._watch(NODES, node_from, self._node_changed)
        self._watch(SPEAKERS, speaker_from, self._speaker_changed)
        self._watch(IPPOOLS, pool_from, self._pool_changed)
        self._watch(L2ADVERTISEMENTS, _advertisement_from, self._advertisement_changed)
        self._watch(BGPPEERS, lambda raw: BGPPeer.decode(raw).spec, self._peer_changed)
        self._watch(BGPADVERTISEMENTS, lambda raw: BGPAdvertisement.decode(raw).spec, self._bgp_advertisement_changed)
        self._watch(COMMUNITIES, lambda raw: Community.decode(raw).spec, self._community_changed)
        self._watch(BFDPROFILES, lambda raw: BFDProfile.decode(raw).spec, self._profile_changed)
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

    def _watch(
        self,
        resource: Resource,
        decode: Callable[[bytes], Any],
        on_change: Callable[[Change[Any]], None],
    ) -> None:
        self._informers[resource.plural] = Informer(self._client, resource, decode, on_change=on_change)

    def _allocation_changed(self, change: Change[Allocation]) -> None:
        self._picture.set_allocation(change.key.name, change.new)
        self._bgp.allocation_changed(change.key.name)
        self._on_change()

    def _slice_changed(self, change: Change[SliceFacts]) -> None:
        self._picture.set_slice(str(change.key), change.old, change.new)
        self._bgp.service_changed(
            one.service for one in (change.old, change.new) if one is not None and one.service is not None
        )
        self._on_change()

    def _node_changed(self, change: Change[NodeFacts]) -> None:
        self._picture.set_node(change.key.name, change.new)
        if change.key.name == self._node:
            self._bgp.node_changed()
            self._secrets.want(self._bgp.secrets)
            if change.new is None or change.new.uid != self._node_uid:
                self._on_removed("the Node was deleted")
        self._on_change()

    def _speaker_changed(self, change: Change[SpeakerFacts]) -> None:
        self._picture.set_speaker(change.key.name, change.new)
        if change.key.name == self._node:
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

    def _pool_changed(self, change: Change[PoolFacts]) -> None:
        self._picture.set_pool(change.key.name, change.new)
        self._bgp.pools_changed()
        self._on_change()

    def _advertisement_changed(self, change: Change[L2AdvertisementSpec]) -> None:
        self._picture.set_advertisement(change.key.name, change.new)
        self._on_change()

    def _peer_changed(self, change: Change[BGPPeerSpec]) -> None:
        self._bgp.set_peer(change.key.name, change.new)
        self._secrets.want(self._bgp.secrets)
        self._on_change()

    def _secret_changed(self, name: str, values: Values | None) -> None:
        self._bgp.set_secret(name, values)
        self._on_change()

    def _bgp_advertisement_changed(self, change: Change[BGPAdvertisementSpec]) -> None:
        self._bgp.set_advertisement(change.key.name, change.new)
        self._on_change()

    def _community_changed(self, change: Change[CommunitySpec]) -> None:
        self._bgp.set_community(change.key.name, change.new)
        self._on_change()

    def _profile_changed(self, change: Change[BFDProfileSpec]) -> None:
        self._bgp.set_bfd_profile(change.key.name, change.new)
        self._on_change()

    def _unheard(self) -> Set[str]:
        speakers = {node for node, facts in self._picture.speakers.items() if not facts.said_goodbye}
        return speakers - self._liveness.heard - {self._node}

    def _lease_changed(self, node: str, is_held: bool) -> None:
        """A Lease that runs out is noticed by the agent's tick; one taken up or given back, here."""
        if is_held != (node in self._picture.alive):
            self._picture.set_alive(self._liveness.alive(time.monotonic()))
            self._on_change()


def _advertisement_from(raw: bytes) -> L2AdvertisementSpec:
    return L2Advertisement.decode(raw).spec
