"""Kubernetes Events about transitions: aggregated, rate limited, and never in the way of the main work.

Shell of kube.events.queue, which decides what is written. Loses Events rather than wait: they are hints to humans, and
conditions carry the state. core/v1, since that is what `kubectl describe` looks for by uid.
"""

import asyncio
import itertools
import random
import time
from typing import Any

import structlog

from kube.backoff import Backoff
from kube.errors import AlreadyExists, ApiError, Conflict, NotFound, ServerError, TooManyRequests, Unreachable
from kube.events.queue import MESSAGE_BYTES, EventQueue, EventType, ObjectRef, Occurrence, Series
from kube.io.client import Client
from kube.io.clock import timestamp
from kube.metrics import UNCOUNTED, Metrics
from kube.resource import EVENTS

__all__ = ["EventRecorder", "ObjectRef"]

WRITERS = 2  # at a time: enough for some hundred a second, and few beside the connections of the main work
ATTEMPTS = 5  # while the API server does not answer; what it refuses is not tried again
CLUSTER_SCOPED_NAMESPACE = "default"  # where Events about objects without a namespace belong

log = structlog.get_logger()


class EventRecorder:
    """`component` is shown as From in `kubectl describe`; `instance` says which process."""

    def __init__(
        self, client: Client, component: str, instance: str, *, capacity: int = 5000, metrics: Metrics = UNCOUNTED
    ) -> None:
        self._client = client
        self._component = component
        self._instance = instance
        self._metrics = metrics
        self._queue = EventQueue(capacity)
        self._has_work = asyncio.Event()
        self._backoff = Backoff(base_seconds=0.5, cap_seconds=30.0)
        self._numbers = itertools.count()

    def record(self, ref: ObjectRef, type: EventType, reason: str, message: str) -> None:
        """Queue an Event. Never blocks; when too many wait, the oldest is dropped and counted."""
        occurrence = Occurrence(ref, type, reason, _cut(message), timestamp())
        for outcome in self._queue.record(occurrence, time.monotonic()):
            self._metrics.event_outcome(outcome)
        self._has_work.set()

    async def run(self) -> None:
        """Write what is queued, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._write_forever())

    async def drain(self, timeout_seconds: float) -> None:
        """Write what is queued, while `run` is not running: for a clean stop. Gives up quietly."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while (series := self._queue.take()) is not None:
                    await self._write(series, may_retry=False)
        except TimeoutError:
            log.debug("events left unwritten", events=len(self._queue))

    async def _write_forever(self) -> None:
        while True:
            series = self._queue.take()
            if series is not None:
                await self._write(series, may_retry=True)
                continue
            self._has_work.clear()
            await self._has_work.wait()

    async def _write(self, series: Series, *, may_retry: bool) -> None:
        again = True  # also when cancelled: `drain` may still write it
        try:
            name = await self._store(series)
        except ApiError as error:
            again = may_retry and _is_passing(error) and series.attempts + 1 < ATTEMPTS
            await self._take_failure(series, error, again=again)
        else:
            self._queue.written(series, name)
            self._metrics.event_outcome("Sent")
            self._has_work.set()  # the same series may have waited for this
            return
        finally:
            if series.is_in_flight:
                for outcome in self._queue.failed(series, again=again):
                    self._metrics.event_outcome(outcome)

    async def _take_failure(self, series: Series, error: ApiError, *, again: bool) -> None:
        if again:
            await asyncio.sleep(self._backoff.delay_seconds(series.attempts, random.random()))
            return
        self._metrics.event_outcome("Failed")
        log.debug("event not written", error=str(error))

    async def _store(self, series: Series) -> str:
        """The name of the stored Event."""
        namespace = series.occurrence.ref.namespace or CLUSTER_SCOPED_NAMESPACE
        if series.written_as is not None:
            try:
                return await self._count_up(series, series.written_as, namespace)
            except NotFound:
                series.name = ""  # Events live for an hour: write it again, as a new one
        series.name = series.name or self._new_name(series.occurrence.ref.name)
        try:
            await self._client.create(EVENTS, self._body(series, series.name, namespace), namespace)
        except AlreadyExists:  # an attempt whose answer was lost; it may have happened again since
            return await self._count_up(series, series.name, namespace)
        return series.name

    async def _count_up(self, series: Series, name: str, namespace: str) -> str:
        body = {"count": series.count, "lastTimestamp": series.last_wall}
        await self._client.merge_patch(EVENTS, name, body, namespace=namespace)
        return name

    def _new_name(self, object_name: str) -> str:
        # Like client-go's, <object>.<time in hex>; the number tells two of one moment apart.
        return f"{object_name[:200]}.{time.time_ns():x}{next(self._numbers) % 256:02x}"

    def _body(self, series: Series, name: str, namespace: str) -> dict[str, Any]:
        occurrence = series.occurrence
        ref = occurrence.ref
        involved = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "name": ref.name,
            "namespace": ref.namespace,
            "uid": ref.uid,
            "resourceVersion": ref.resource_version,
        }
        return {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": occurrence.type,
            "reason": occurrence.reason,
            "message": occurrence.message,
            "count": series.count,
            "firstTimestamp": series.first_wall,
            "lastTimestamp": series.last_wall,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }


def _is_passing(error: ApiError) -> bool:
    """Whether the same write may succeed later; what was refused stays refused. No write of ours names a version, so a
    conflict is one of the API server's own."""
    return isinstance(error, Unreachable | ServerError | TooManyRequests | Conflict)


def _cut(message: str) -> str:
    encoded = message.encode()
    return message if len(encoded) <= MESSAGE_BYTES else encoded[: MESSAGE_BYTES - 3].decode(errors="ignore") + "..."
