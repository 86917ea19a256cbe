"""Watches the Leases of the speakers, while what they say may matter.

A peer whose heartbeats arrive is alive whatever its Lease says. Every speaker renews its Lease every two seconds, and a
watch carries each renewal to each node: in a cluster of 100 nodes that is 5,000 events a second that tell nobody
anything. So the watch rests while all speakers are heard, or have been dead for long by their Leases. It goes on as
soon as one is not heard. Those who have been dead for long are looked at now and then meanwhile: one that heartbeats do
not reach may be back.
"""

import asyncio
import time
from collections.abc import Callable, Set

import structlog

from crds.names import COMPONENT_SPEAKER, LABEL_COMPONENT, node_of_speaker_lease
from kube.errors import ApiError
from kube.informer.io.informer import Informer
from kube.io.client import Client
from kube.objects import Lease, decode_lease
from kube.resource import LEASES
from speaker.members.liveness import LeaseNeed, Liveness

SELECTOR = f"{LABEL_COMPONENT}={COMPONENT_SPEAKER}"

PACE_SECONDS = 0.4
"""Renewals are looked at in batches, well below the second that speaker.members.liveness allows a watch to lag: one by
one they cost more than all the rest that an idle agent does."""
LOOK_SECONDS = 0.5
"""This long after a peer is lost the watch begins, at most; it is taken for dead for longer anyway."""
GLANCE_SECONDS = 10.0
"""Between two looks at those who have been dead for long."""

log = structlog.get_logger()


class LeaseWatch:
    """`unheard()`: the nodes with a speaker that is to be reckoned with though it is not heard. `on_lease(node,
    is_held)` comes after a Lease has been taken in; one that runs out is for the caller's tick to notice."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        liveness: Liveness,
        *,
        unheard: Callable[[], Set[str]],
        on_lease: Callable[[str, bool], None],
    ) -> None:
        self._client = client
        self._liveness = liveness
        self._need = LeaseNeed(liveness)
        self._unheard = unheard
        self._on_lease = on_lease
        self._namespace = namespace
        self._has_read = asyncio.Event()

    @property
    def has_read(self) -> bool:
        """Whether all Leases have been read once."""
        return self._has_read.is_set()

    async def wait_read(self) -> None:
        """Until they have been, forever if need be."""
        await self._has_read.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            async with asyncio.TaskGroup() as group:
                informer = self._informer()
                watching = group.create_task(informer.run())
                await informer.wait_synced()
                self._liveness.forget_others(node_of_speaker_lease(key.name) for key in informer.items)
                self._has_read.set()
                await self._until_not_needed()
                watching.cancel()
            log.debug("all speakers are heard, or have been dead for long: their Leases are not watched")
            await self._rest()

    def _is_needed(self) -> bool:
        return self._need.is_there(self._unheard(), time.monotonic())

    async def _until_not_needed(self) -> None:
        while True:
            if not self._is_needed():
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _rest(self) -> None:
        """Until it is needed again."""
        glance_at = time.monotonic() + GLANCE_SECONDS
        while not self._is_needed():
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() >= glance_at and self._unheard():
                await self._glance()
                glance_at = time.monotonic() + GLANCE_SECONDS

    async def _glance(self) -> None:
        """At the Leases as they are now."""
        try:
            leases, _ = await self._client.list(LEASES, namespace=self._namespace, label_selector=SELECTOR)
            for lease in map(decode_lease, leases):
                self._take_in(node_of_speaker_lease(lease.metadata.name), lease)
        except (ApiError, ValueError) as error:
            log.debug("the Leases can't be read", error=str(error))

    def _informer(self) -> Informer[Lease]:
        return Informer(
            self._client,
            LEASES,
            decode_lease,
            on_change=lambda change: self._take_in(node_of_speaker_lease(change.key.name), change.new),
            namespace=self._namespace,
            label_selector=SELECTOR,
            pace_seconds=PACE_SECONDS,
        )

    def _take_in(self, node: str, lease: Lease | None) -> None:
        if lease is None:
            self._liveness.forget(node)
        else:
            self._liveness.observe(node, lease.spec.holder_identity, lease.spec.renew_time, time.monotonic())
        self._on_lease(node, lease is not None and bool(lease.spec.holder_identity))
