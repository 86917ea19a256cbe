"""Everything that a speaker watches: one reading of the cluster, listed anew and then followed.

Tells the core what it sees, as values with the number of the reading; decides nothing, writes nothing.
"""

import asyncio
from collections.abc import Callable, Sequence, Set
from functools import partial
from typing import Any

from crds.bfdprofile import BFDProfile
from crds.bgpadvertisement import BGPAdvertisement
from crds.bgppeer import BGPPeer
from crds.community import Community
from crds.l2advertisement import L2Advertisement
from kube.informer.io.informer import Change, Informer
from kube.io.client import Client
from kube.objects import Lease
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
from speaker.bgp.io.secretwatch import SecretWatch, Values
from speaker.cluster.objects import allocation_from, node_from, pool_from, slice_from, speaker_from
from speaker.cluster.state import Kind
from speaker.inputs import AllRead, LeaseGone, LeaseSeen, LeasesListed, Observed
from speaker.members.io.leasewatch import LeaseWatch

WATCHED: tuple[tuple[Kind, Resource, Callable[[bytes], Any]], ...] = (
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

News = Observed | AllRead | LeaseSeen | LeaseGone | LeasesListed


class Watches:
    """One reading: `run` once. `tell` is called from the event loop, in the order of what is seen."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        reading: int,
        *,
        node: str,
        tell: Callable[[News], None],
        unheard: Callable[[], Set[str]],
        needs_leases: Callable[[float], bool],
    ) -> None:
        """`node`: this one. `unheard`, `needs_leases`: see speaker.members.io.leasewatch."""
        self._client = client
        self._reading = reading
        self._tell = tell
        self._informers: dict[str, Informer[Any]] = {}
        for kind, resource, decode in WATCHED:
            self._watch(kind, resource, partial(node_from, own_node=node) if kind is Kind.NODE else decode)
        self._secrets = SecretWatch(client, namespace, self._secret_changed)
        self._leases = LeaseWatch(
            client,
            namespace,
            unheard=unheard,
            is_needed=needs_leases,
            on_lease=self._lease_changed,
            on_listed=self._leases_listed,
        )

    async def run(self) -> None:
        """Keep all watches until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run())
            group.create_task(self._secrets.run())
            group.create_task(self._leases.run())
            group.create_task(self._tell_all_read())

    def want_secrets(self, names: Set[str]) -> None:
        """Watch these Secrets, and no others."""
        self._secrets.want(names)

    def unread(self) -> list[str]:
        """The resources whose first list is not in yet."""
        unread = [plural for plural, informer in self._informers.items() if not informer.synced]
        return unread if self._leases.has_read else [*unread, LEASES.plural]

    async def _tell_all_read(self) -> None:
        """Every first list is in: forever if need be, since nothing may be announced before."""
        for informer in self._informers.values():
            await informer.wait_synced()
        await self._leases.wait_read()
        self._tell(AllRead(self._reading))

    def _watch(self, kind: Kind, resource: Resource, decode: Callable[[bytes], Any]) -> None:
        def changed(change: Change[Any]) -> None:
            name = str(change.key) if kind is Kind.SLICE else change.key.name
            self._tell(Observed(self._reading, kind, name, change.old, change.new))

        self._informers[resource.plural] = Informer(self._client, resource, decode, on_change=changed)

    def _secret_changed(self, name: str, values: Values | None) -> None:
        self._tell(Observed(self._reading, Kind.SECRET, name, None, values))

    def _lease_changed(self, node: str, lease: Lease | None) -> None:
        if lease is None:
            self._tell(LeaseGone(self._reading, node))
        else:
            self._tell(LeaseSeen(self._reading, node, lease.spec.holder_identity, lease.spec.renew_time))

    def _leases_listed(self, nodes: Sequence[str]) -> None:
        self._tell(LeasesListed(self._reading, tuple(nodes)))
