"""Watches the Leases of the speakers, but only while they matter.

A member whose heartbeats arrive is alive whatever its Lease says. Every speaker renews its Lease every two seconds, and
a watch carries each renewal to each node: in a cluster of 100 nodes that is 5,000 events a second that tell nobody
anything. So the watch rests while all speakers are heard, or have been dead for long by their Leases. It goes on as
soon as one is not heard. Those that have been dead for long are looked at now and then meanwhile: one that heartbeats
do not reach may be back.
"""

import asyncio
import time
from collections.abc import Callable, Sequence, Set

import structlog

from crds.names import node_of_speaker_lease
from kube.errors import ApiError
from kube.informer.io.informer import Informer
from kube.io.client import Client
from kube.objects import Lease, decode_lease
from kube.resource import LEASES

PACE_SECONDS = 0.4
"""Renewals are taken in batches: one by one they cost more than everything else that an idle agent does. This is well
below the second that speaker.members.liveness allows a watch to lag."""
LOOK_SECONDS = 0.5
"""This long after a member is lost the watch begins, at most; it is taken for dead for longer anyway."""
GLANCE_SECONDS = 10.0
"""Between two looks at those that have been dead for long."""

log = structlog.get_logger()


class LeaseWatch:
    """`unheard()`: the nodes with a speaker that is to be reckoned with though it is not heard. `is_needed(now)`:
    whether Leases are to be watched at present (monotonic seconds). `on_lease(node, lease)`: what a Lease says; None =
    there is none. `on_listed(nodes)`: these have Leases, and no others."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        *,
        unheard: Callable[[], Set[str]],
        is_needed: Callable[[float], bool],
        on_lease: Callable[[str, Lease | None], None],
        on_listed: Callable[[Sequence[str]], None],
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._unheard = unheard
        self._is_needed = is_needed
        self._on_lease = on_lease
        self._on_listed = on_listed
        self._has_read = asyncio.Event()

    @property
    def has_read(self) -> bool:
        """Whether all Leases have been read once."""
        return self._has_read.is_set()

    async def wait_read(self) -> None:
        """Wait until all Leases have been read, without a limit."""
        await self._has_read.wait()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            async with asyncio.TaskGroup() as group:
                informer = self._informer()
                watching = group.create_task(informer.run())
                await informer.wait_synced()
                nodes = [node_of_speaker_lease(key.name) for key in informer.items]
                self._on_listed([node for node in nodes if node is not None])
                self._has_read.set()
                await self._until_not_needed()
                watching.cancel()
            log.debug("all speakers are heard, or have been dead for long: their Leases are not watched")
            await self._rest()

    async def _until_not_needed(self) -> None:
        while True:
            if not self._is_needed(time.monotonic()):
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _rest(self) -> None:
        """Until it is needed again."""
        glance_at = time.monotonic() + GLANCE_SECONDS
        while not self._is_needed(time.monotonic()):
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() >= glance_at and self._unheard():
                await self._glance()
                glance_at = time.monotonic() + GLANCE_SECONDS

    async def _glance(self) -> None:
        """List the Leases once."""
        try:
            leases, _ = await self._client.list(LEASES, namespace=self._namespace)
            for lease in map(decode_lease, leases):
                self._read(lease.metadata.name, lease)
        except (ApiError, ValueError) as error:
            log.debug("the Leases can't be read", error=str(error))

    def _read(self, name: str, lease: Lease | None) -> None:
        node = node_of_speaker_lease(name)
        if node is not None:
            self._on_lease(node, lease)

    def _informer(self) -> Informer[Lease]:
        return Informer(
            self._client,
            LEASES,
            decode_lease,
            on_change=lambda change: self._read(change.key.name, change.new),
            namespace=self._namespace,
            pace_seconds=PACE_SECONDS,
        )
