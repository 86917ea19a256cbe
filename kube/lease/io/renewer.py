"""A Lease renewed as a sign of life. Those of others are judged by kube.lease.observer.

Renewing claims nothing: the Lease's name belongs to this node. For leadership, where that is not so, see
kube.lease.io.election. Yet each renewal names the version that it follows, so none can arrive after a later one; and
versions that follow each other show that the holder knew of each before it sent the next: its contact goes both ways.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from kube.errors import ApiError, NotFound, is_precondition_failure
from kube.io.client import Client
from kube.io.clock import micro_timestamp, monotonic
from kube.io.waking import wait_or_wake
from kube.objects import decode_lease
from kube.resource import LEASES

RETRY_SECONDS = 0.5  # after a failure: much shorter than any renew period, since others wait for a sign of life

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Renewal:
    """When the last successful renewal was *sent*, on both clocks; boottime goes on while the machine is suspended."""

    sent_monotonic: float
    sent_boottime: float


class LeaseRenewer:
    """Creates the Lease when it is missing, then renews it every `renew_seconds`."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        holder: str,
        *,
        duration_seconds: int,
        renew_seconds: float,
        labels: Mapping[str, str] | None = None,
        on_renewed: Callable[[Renewal], None] | None = None,
        boottime: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """`labels` are written with each renewal. `on_renewed` is called before the next one is sent."""
        self.last_renewal: Renewal | None = None
        """The latest one that is known to have arrived."""
        self._client = client
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._duration_seconds = duration_seconds
        self._renew_seconds = renew_seconds
        self._labels = dict(labels or {})
        self._on_renewed = on_renewed
        self._boottime = boottime
        self._version: str | None = None
        self._unanswered: dict[str, Renewal] = {}
        """By renewTime, all that were sent since the last version known: one of them may have arrived."""
        self._hurry = asyncio.Event()
        self._news = asyncio.Event()
        self._failures = 0
        self._log = log.bind(lease=name)

    async def run(self) -> None:
        """Renew until cancelled. API trouble is retried forever and shows only in `last_renewal` growing old."""
        while True:
            self._hurry.clear()
            began = monotonic()
            is_renewed = await self._try_to_renew()
            period = self._renew_seconds if is_renewed else min(RETRY_SECONDS, self._renew_seconds)
            # From start to start, so that a slow answer does not stretch the period; a little early, never late.
            pause = began + period * (0.9 + 0.1 * random.random()) - monotonic()
            await wait_or_wake(self._hurry, max(0.05, pause))

    async def renewed_since(self, boottime: float) -> Renewal:
        """A renewal that was sent later than this and arrived: forever if need be. `run` makes it, without delay."""
        while self.last_renewal is None or self.last_renewal.sent_boottime <= boottime:
            self._news.clear()
            self._hurry.set()
            await self._news.wait()
        return self.last_renewal

    async def renew(self) -> Renewal:
        """Renew once, now. Raises ApiError, or TimeoutError after one renew period (at least a second)."""
        async with asyncio.timeout(max(1.0, self._renew_seconds)):
            if self._version is None:
                await self._look()
            sent = Renewal(monotonic(), self._boottime())
            await self._write(sent)
        self._arrived(sent)
        return sent

    def _arrived(self, renewal: Renewal) -> None:
        self._unanswered.clear()
        self.last_renewal = renewal
        self._news.set()
        if self._on_renewed is not None:
            self._on_renewed(renewal)

    async def release(self) -> None:
        """Empty holderIdentity, if it is ours. Bounded by the requests' timeouts; raises ApiError."""
        lease = decode_lease(await self._client.get(LEASES, self._name, self._namespace))
        if lease.spec.holder_identity != self._holder:
            return
        body = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": {"holderIdentity": ""}}
        try:
            await self._client.merge_patch(LEASES, self._name, body, namespace=self._namespace)
        except ApiError as error:
            if not is_precondition_failure(error):
                raise  # otherwise somebody else has it now

    async def _try_to_renew(self) -> bool:
        try:
            await self.renew()
        except (ApiError, TimeoutError) as error:
            self._failures += 1
            is_news = self._failures == 3
            (self._log.warning if is_news else self._log.debug)("lease not renewed", error=str(error))
            return False
        self._failures = 0
        return True

    async def _look(self) -> None:
        """Learn the Lease's version, and whether a renewal arrived whose answer did not."""
        try:
            lease = decode_lease(await self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            return
        holder = lease.spec.holder_identity
        if self.last_renewal is not None and holder not in (None, "", self._holder):
            raise ApiError(409, "Taken", f"{holder} has taken the Lease {self._name}")
        self._version = lease.metadata.resource_version
        arrived = self._unanswered.get(lease.spec.renew_time or "")
        if arrived is not None and lease.spec.holder_identity == self._holder:
            self._arrived(arrived)

    async def _write(self, renewal: Renewal) -> None:
        spec: dict[str, Any] = {
            "holderIdentity": self._holder,
            "leaseDurationSeconds": self._duration_seconds,
            "renewTime": micro_timestamp(),
        }
        version, self._version = self._version, None
        self._unanswered[spec["renewTime"]] = renewal
        if version is None:
            metadata = {"name": self._name, "labels": self._labels}
            body: dict[str, Any] = {"metadata": metadata, "spec": {**spec, "acquireTime": spec["renewTime"]}}
            raw = await self._client.create(LEASES, body, self._namespace)
        else:
            body = {"metadata": {"resourceVersion": version, "labels": self._labels}, "spec": spec}
            raw = await self._client.merge_patch(LEASES, self._name, body, namespace=self._namespace)
        self._version = decode_lease(raw).metadata.resource_version
