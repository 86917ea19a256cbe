"""Leader election by a Lease: one leads, the others stand by.

Shell of kube.lease.elector, which decides; this sends the requests, keeps the rhythm, and runs what the leader does.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from kube.errors import AlreadyExists, ApiError, NotFound, is_precondition_failure
from kube.io.client import Client
from kube.io.clock import micro_timestamp, monotonic
from kube.lease.elector import Claim, ElectionTimes, Elector
from kube.metrics import UNCOUNTED, Metrics
from kube.objects import Lease, decode_lease
from kube.resource import LEASES

RETRY_JITTER = 0.2  # client-go's 1.2: standbys must not ask in step
RELEASE_TIMEOUT_SECONDS = 3.0

log = structlog.get_logger()


class LeaderElection:
    """`identity` must be unique to this process. Times in seconds; retry_period < renew_deadline < lease_duration."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        lease_name: str,
        identity: str,
        *,
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        metrics: Metrics = UNCOUNTED,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = lease_name
        self._times = ElectionTimes(lease_duration, renew_deadline, retry_period)
        self._elector = Elector(identity, self._times)
        self._metrics = metrics
        self._log = log.bind(lease=lease_name, identity=identity)

    def is_leader(self, now: float) -> bool:
        """Whether our lease is surely not taken over yet: judged from when the last successful renewal was *sent*."""
        return self._elector.is_leader(now)

    @property
    def leader(self) -> str | None:
        """The holder as last read, None when nobody or not known yet."""
        return self._elector.leader

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Stand by; when elected run `lead()`; when the lease is lost cancel it, wait for its end, and stand by again.

        When `run` is cancelled: `lead` is cancelled and waited for, then the lease is released, so that a standby takes
        over at once. When `lead` returns, the lease is released and `run` returns; an exception of `lead` releases the
        lease too and is raised in an ExceptionGroup.
        """
        while True:
            await self._acquire()
            self._log.info("leading")
            self._metrics.leading(self._name, True)
            is_lost = False
            try:
                is_lost = await self._lead(lead)
                if not is_lost:
                    return
                self._log.warning("leadership lost", leader=self.leader)
            finally:
                self._metrics.leading(self._name, False)
                if not is_lost:
                    await self._release()

    async def _acquire(self) -> None:
        while True:
            self._elector.refused()  # whatever we knew is old by now
            if await self._attempt(self._times.renew_deadline):
                return
            await asyncio.sleep(self._times.retry_period * (1 + RETRY_JITTER * random.random()))

    async def _lead(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Whether the lease was lost while `lead` was still running."""
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(lead())
            await self._renew_while_running(leading)
            is_lost = not leading.done()
            leading.cancel()
        return is_lost

    async def _renew_while_running(self, leading: asyncio.Task[None]) -> None:
        while True:
            left = self._elector.leads_until() - monotonic()
            if left <= 0:
                return
            done, _ = await asyncio.wait([leading], timeout=min(left, self._times.retry_period))
            left = self._elector.leads_until() - monotonic()
            if done or left <= 0:
                return
            # Half of the deadline at most, so that one lost packet does not cost the leadership.
            await self._attempt(min(left, self._times.renew_deadline / 2))

    async def _attempt(self, timeout_seconds: float) -> bool:
        """Whether we hold the lease now. Trouble with the API server is a no."""
        try:
            async with asyncio.timeout(timeout_seconds):
                # When the Lease is not as we knew it, what it is now decides, and that is not left to the next period.
                return await self._read_and_claim() or (self._elector.must_read and await self._read_and_claim())
        except ApiError as error:
            self._log.debug("lease not renewed", error=str(error))
        except TimeoutError:
            self._log.debug("lease not renewed", error="no answer in time")
        self._elector.refused()
        return False

    async def _read_and_claim(self) -> bool:
        """False when somebody else holds it, or (then it must be read) it was changed by somebody else meanwhile."""
        if self._elector.must_read:
            self._elector.observe(await self._read(), monotonic())
        claim = self._elector.claim(monotonic(), micro_timestamp())
        if claim is None:
            return False
        sent = monotonic()
        try:
            lease = decode_lease(await self._write(claim))
        except ApiError as error:
            self._elector.refused()
            if isinstance(error, AlreadyExists | NotFound) or is_precondition_failure(error):
                return False
            raise
        self._elector.claimed(lease, sent)
        return True

    async def _read(self) -> Lease | None:
        try:
            return decode_lease(await self._client.get(LEASES, self._name, self._namespace))
        except NotFound:
            return None

    async def _write(self, claim: Claim) -> bytes:
        if claim.is_new:
            body = {**claim.body, "metadata": {"name": self._name}}
            return await self._client.create(LEASES, body, self._namespace)
        # A patch, not a PUT: labels and annotations that others put there stay.
        return await self._client.merge_patch(LEASES, self._name, claim.body, namespace=self._namespace)

    async def _release(self) -> None:
        patch = self._elector.resign(micro_timestamp())
        if patch is None:
            return
        with contextlib.suppress(ApiError, TimeoutError):
            async with asyncio.timeout(RELEASE_TIMEOUT_SECONDS):
                await self._client.merge_patch(LEASES, self._name, patch, namespace=self._namespace)
                self._log.info("lease released")
