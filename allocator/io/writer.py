"""Performs the writes that allocator.assigner decides, and reports to it how they ended. Decides nothing itself.

Writes of one key follow each other, writes of different keys run at the same time, up to a limit. A write that fails is
not repeated: its key is looked at again, later each time, and what is right then is written.
"""

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from allocator.assigner import Assigner
from allocator.deciding import Key
from allocator.io.metrics import AllocatorMetrics
from allocator.notices import Notice
from allocator.objects import decode_allocation
from allocator.request import present_addresses
from allocator.stopwatch import Stopwatch
from allocator.writes import CreateAllocation, DeleteAllocation, PatchAllocation, PatchService, ReadService, Write
from crds.addresses import IPAddress
from crds.names import allocation_name
from kube.errors import AlreadyExists, ApiError, NotFound, is_precondition_failure, is_refused_content
from kube.io.client import Client
from kube.io.clock import timestamp
from kube.managedfields import writer_of
from kube.objects import ServiceKey, decode_service
from kube.resource import IPALLOCATIONS, SERVICES

log = structlog.get_logger()

TURN_SECONDS = 0.01
"""Decide for so long before the event loop gets its turn: watches and answers wait meanwhile."""

IDLE_SECONDS = 30.0
"""The longest sleep with nothing to do."""

REFUSALS = frozenset({400, 401, 403, 404, 409, 413, 422, 429})
"""Answers to a create that say for sure that nothing was created; after any other it may exist."""


class Writer:
    """Works through `assigner.queue` while this process leads. `notify` receives the notices that are due."""

    def __init__(
        self,
        client: Client,
        assigner: Assigner,
        metrics: AllocatorMetrics,
        *,
        concurrency: int,
        may_write: Callable[[], bool],
        notify: Callable[[Notice], None],
    ) -> None:
        self._client = client
        self._assigner = assigner
        self._metrics = metrics
        self._concurrency = concurrency
        self._may_write = may_write
        self._notify = notify
        self._stopwatch = Stopwatch()
        self._in_flight = 0
        self._wake = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Nothing is in flight and nothing queued: others may use the API server."""
        return self._in_flight == 0 and not len(self._assigner.queue)

    def nudge(self) -> None:
        """There may be something in the queue."""
        self._wake.set()

    def measure(self, key: ServiceKey) -> None:
        """The Service, as it is known by now, may have what it waited for. What came late by a watch is not known."""
        service = self._assigner.services.get(key)
        if service is None:
            self._stopwatch.forget(key)
            return
        lacks = self._assigner.lacks_address(service)
        seconds = self._stopwatch.seen(key, lacks=lacks, now=time.monotonic())
        if seconds is not None and present_addresses(service):
            self._metrics.allocated(seconds)

    async def run(self) -> None:
        """Until cancelled; writes under way are cancelled too, and the next leader reads what became of them."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._wake.clear()
                is_drained = self._take_turn(tasks)
                if not is_drained:
                    await asyncio.sleep(0)
                    continue
                try:
                    async with asyncio.timeout(self._idle_seconds()):
                        await self._wake.wait()
                except TimeoutError:
                    self._assigner.wake(time.monotonic())

    def _idle_seconds(self) -> float:
        now = time.monotonic()
        due = [at for at in (self._assigner.queue.deadline(), self._assigner.ledger.deadline()) if at is not None]
        return max(0.0, min([IDLE_SECONDS, *(at - now for at in due)]))

    def _take_turn(self, tasks: asyncio.TaskGroup) -> bool:
        """Decide and start writes; False when the turn ended before the work did."""
        queue = self._assigner.queue
        began = now = time.monotonic()
        while self._in_flight < self._concurrency and self._may_write():
            key = queue.take(now)
            if key is None:
                break
            write = self._assigner.step(key, now, timestamp())
            if write is None:
                queue.done(key)
            else:
                self._in_flight += 1
                tasks.create_task(self._perform(key, write))
            now = time.monotonic()
            if now - began > TURN_SECONDS:
                self._send_notices()
                return False
        self._send_notices()
        return True

    def _send_notices(self) -> None:
        for notice in self._assigner.notices:
            self._notify(notice)
        self._assigner.notices.clear()

    async def _perform(self, key: Key, write: Write) -> None:
        queue = self._assigner.queue
        try:
            await self._send(write)
            queue.done(key)
        except ApiError as error:
            self._metrics.write_failed(type(write).__name__, error.code)
            if self._is_settled_by(write, error):
                queue.done(key)
                log.warning("record refused", key=str(key), write=type(write).__name__, error=str(error))
                return
            delay = queue.failed(key, time.monotonic(), random.random(), error.retry_after_seconds)
            level = log.debug if isinstance(error, NotFound) or is_precondition_failure(error) else log.warning
            level("write failed", key=str(key), write=type(write).__name__, error=str(error), again_seconds=delay)
        finally:
            self._in_flight -= 1
            self._wake.set()

    def _is_settled_by(self, write: Write, error: ApiError) -> bool:
        """The same record would be refused again: whoever it is about leaves it and is told."""
        if not isinstance(write, CreateAllocation | PatchAllocation) or not is_refused_content(error):
            return False
        return self._assigner.record_refused(write.claim, error.message, time.monotonic())

    async def _send(self, write: Write) -> None:
        match write:
            case CreateAllocation():
                await self._create(write)
            case PatchAllocation():
                await self._patch_allocation(write)
            case DeleteAllocation():
                await self._delete(write)
            case PatchService():
                await self._patch_service(write)
            case ReadService():
                await self._read_service(write.service)

    async def _create(self, write: CreateAllocation) -> None:
        self._assigner.create_sent(write.address)
        try:
            raw = await self._client.create(IPALLOCATIONS, write.body)
        except AlreadyExists:
            await self._look_again(write.address)
            return
        except ApiError as error:
            if error.code in REFUSALS:
                self._assigner.create_refused(write.address)
            raise
        self._take_in(raw)

    async def _patch_allocation(self, write: PatchAllocation) -> None:
        try:
            raw = await self._client.merge_patch(IPALLOCATIONS, allocation_name(write.address), write.body)
        except ApiError as error:
            if not is_precondition_failure(error) and not isinstance(error, NotFound):
                raise
            await self._look_again(write.address)
            return
        self._take_in(raw)

    async def _delete(self, write: DeleteAllocation) -> None:
        name = allocation_name(write.address)
        try:
            await self._client.delete(IPALLOCATIONS, name, uid=write.uid, resource_version=str(write.resource_version))
        except NotFound:
            pass
        except ApiError as error:
            if not is_precondition_failure(error):
                raise
            await self._look_again(write.address)
            return
        self._assigner.allocation_deleted(write.address, write.uid)
        self._metrics.released()

    async def _look_again(self, address: IPAddress) -> None:
        """Somebody else wrote it: learn what it is now."""
        try:
            raw = await self._client.get(IPALLOCATIONS, allocation_name(address))
        except NotFound:
            entry = self._assigner.ledger.get(address)
            if entry is not None and entry.recorded is not None:
                self._assigner.allocation_gone(address, entry.recorded.uid)
            self._assigner.queue.add(address)
            return
        self._take_in(raw)
        self._assigner.queue.add(address)

    def _take_in(self, raw: bytes) -> None:
        stored = decode_allocation(raw)
        self._assigner.allocation_written(stored, time.monotonic())

    async def _patch_service(self, write: PatchService) -> None:
        key = write.service
        try:
            raw = await self._client.merge_patch(
                SERVICES, key.name, write.body, namespace=key.namespace, subresource="status"
            )
        except NotFound:
            return  # the watch will say so, and what it holds is released then
        except ApiError as error:
            if not is_precondition_failure(error):
                raise
            await self._look_again_at(key)
            return
        self._assigner.service_written(decode_service(raw))
        self.measure(key)
        for notice in write.notices:
            self._notify(notice)

    async def _look_again_at(self, key: ServiceKey) -> None:
        try:
            raw = await self._client.get(SERVICES, key.name, key.namespace)
        except NotFound:
            return
        self._assigner.service_seen(decode_service(raw))
        self._assigner.queue.add(key)

    async def _read_service(self, key: ServiceKey) -> None:
        try:
            raw = await self._client.get(SERVICES, key.name, key.namespace)
        except NotFound:
            return
        writer = writer_of(raw, "status", "loadBalancer", subresource="status", besides=self._client.manager)
        self._assigner.status_writer_found(decode_service(raw), writer)
