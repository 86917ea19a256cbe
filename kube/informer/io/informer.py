"""A local copy of one resource, kept by list and watch, whose changes are handed on in order.

Shell of kube.informer.store (what changed) and kube.informer.pacing (what to read next, and when): it does the reading
and the waiting. It keeps no history and writes nothing.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

import structlog

from kube.errors import ApiError, Gone, NotFound, ServerError, TooManyRequests, Unreachable
from kube.informer.pacing import Pacing, Step, WatchEnd
from kube.informer.store import Change, ChangeKind, ObjectKey, Outcome, Store, WentBack
from kube.io.client import IDLE_SECONDS, PAGE_SIZE, Client
from kube.metrics import UNCOUNTED, Metrics
from kube.resource import Resource

__all__ = ["Change", "ChangeKind", "Informer", "ObjectKey"]

T = TypeVar("T")
log = structlog.get_logger()


class Informer(Generic[T]):
    """`on_change` is called from the event loop for each change, after `items` shows it; it must not block.

    After a list, `items` shows the whole list before the first `on_change` of it. An object that `decode` refuses (any
    ValueError, which pydantic's and msgspec's errors are) is logged and counted, keeps its last good version in
    `items` if there is one, and disturbs no other.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        decode: Callable[[bytes], T],
        *,
        on_change: Callable[[Change[T]], None] | None = None,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE_SIZE,
        idle_seconds: float = IDLE_SECONDS,
        pace_seconds: float = 0.0,
        may_be_unknown: bool = False,
        metrics: Metrics = UNCOUNTED,
    ) -> None:
        """`may_be_unknown`: some API servers do not serve the resource. Then there are no objects until they do."""
        self.last_activity = -math.inf
        """Monotonic time at which the server last sent anything about this resource; -inf before the first time."""
        self.is_unknown = False
        """Whether the server says now that it knows no such resource: its definition is missing, or was deleted."""
        self._client = client
        self._resource = resource
        self._selection = {
            "namespace": namespace,
            "label_selector": label_selector,
            "field_selector": field_selector,
        }
        self._page_size = page_size
        self._idle_seconds = idle_seconds
        self._pace_seconds = pace_seconds
        self._may_be_unknown = may_be_unknown
        self._on_change = on_change
        self._metrics = metrics
        self._log = log.bind(resource=resource.plural)
        self._store: Store[T] = Store(decode)
        self._pacing = Pacing()
        self._has_synced = asyncio.Event()
        # Lists are asked for by number, so that one already under way does not pass for one that was asked for later.
        self._asked = 0
        self._served = 0
        self._asking = asyncio.Event()
        self._served_more = asyncio.Condition()
        self._watching: asyncio.Timeout | None = None

    @property
    def items(self) -> Mapping[ObjectKey, T]:
        """The objects as last received. Live: read it, don't keep it."""
        return self._store.items

    @property
    def resource(self) -> Resource:
        """What it reads."""
        return self._resource

    @property
    def synced(self) -> bool:
        """Whether a full list has been taken in. Once true it stays true."""
        return self._has_synced.is_set()

    async def wait_synced(self) -> None:
        """Forever, until the first full list is in: bound it with asyncio.timeout."""
        await self._has_synced.wait()

    def relist(self) -> None:
        """Ask `run` to end the watch and read a full list now: after a fence, an old watch is the past speaking."""
        self._asked += 1
        self._asking.set()
        if self._watching is not None and not self._watching.expired():
            self._watching.reschedule(asyncio.get_running_loop().time())

    async def relisted(self) -> None:
        """`relist`, and wait until a list that was started after this call is in. Forever: bound it."""
        self.relist()
        wanted = self._asked
        async with self._served_more:
            await self._served_more.wait_for(lambda: self._served >= wanted)

    async def run(self) -> None:
        """List and watch until cancelled. API trouble is waited out; a bug in `on_change` is raised."""
        while True:
            await self._pause()
            match self._pacing.step:
                case Step.LIST:
                    await self._list()
                case Step.WATCH:
                    await self._watch()

    async def _pause(self) -> None:
        pause = self._pacing.pause_seconds(random.random())
        if not pause:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._asking.wait()
        if self._asking.is_set():  # it may have been asked for in the very moment in which the time was up
            self._pacing.want_list()

    async def _list(self) -> None:
        began, number = time.monotonic(), self._asked
        self._asking.clear()
        try:
            resource_version = await self._read_pages()
            outcome = self._store.finish_list(resource_version, may_go_back=self._pacing.may_go_back)
        except ApiError as error:
            self._pacing.list_failed(error.retry_after_seconds)
            is_unknown = isinstance(error, NotFound) and error.is_unknown_resource
            if self._may_be_unknown and is_unknown:
                await self._served_list(number)  # what was known before stays: a server that is older now says nothing
            elif is_unknown:
                (self._log.debug if self.is_unknown else self._log.error)("list failed", error=str(error))
                self.is_unknown = True
            else:
                self._report_trouble("list failed", error)
            return
        except WentBack as error:
            self._pacing.list_went_back()
            self._log.warning("list is older than what is known", error=str(error), believed=self._pacing.may_go_back)
            return
        self._pacing.listed()
        self.is_unknown = False
        self._metrics.relist(self._resource.plural, len(self.items), time.monotonic() - began)
        self._hand_on(outcome)
        await self._served_list(number)

    async def _served_list(self, number: int) -> None:
        self._has_synced.set()
        async with self._served_more:
            self._served = number
            self._served_more.notify_all()

    async def _read_pages(self) -> str:
        """Pages are decoded as they come, so that no more than one is in memory as bytes."""
        self._store.begin_list()
        token = ""
        while True:
            page = await self._client.list_page(
                self._resource, continue_token=token, page_size=self._page_size, **self._selection
            )
            self.last_activity = time.monotonic()
            self._store.take_page(page.items)
            token = page.continue_token
            if not token:
                return page.resource_version

    async def _watch(self) -> None:
        began, before = time.monotonic(), self.last_activity
        trouble: ApiError | None = None
        try:
            async with asyncio.timeout(None) as self._watching:
                await self._follow()
        except TimeoutError:
            return  # `relist` was called: `_pause` sees to it
        except ApiError as error:
            trouble = error
        finally:
            self._watching = None
        end = _end_of(trouble)
        self._metrics.watch_restart(self._resource.plural, end.value)
        self._pacing.watch_ended(
            end,
            brought_events=self.last_activity > before,
            lasted_seconds=time.monotonic() - began,
            retry_after_seconds=None if trouble is None else trouble.retry_after_seconds,
        )
        if trouble is not None:
            self._report_trouble("watch ended", trouble)

    async def _follow(self) -> None:
        watch = self._client.watch(
            self._resource,
            resource_version=self._store.resource_version,
            idle_seconds=self._idle_seconds,
            pace_seconds=self._pace_seconds,
            **self._selection,
        )
        async with aclosing(watch) as events:
            async for event in events:
                self.last_activity = time.monotonic()
                self._hand_on(self._store.apply(event.type, event.raw_object, event.resource_version))

    def _hand_on(self, outcome: Outcome[T]) -> None:
        for bad in outcome.undecodable:
            self._metrics.undecodable(self._resource.plural)
            self._log.warning("object skipped: it does not decode", object=str(bad.key), error=str(bad.error))
        if self._on_change is not None:
            for change in outcome.changes:
                self._on_change(change)

    def _report_trouble(self, message: str, error: ApiError) -> None:
        # Worth an operator's eye once per outage, and not for one break that the next attempt mends.
        is_news = self._pacing.failures == (2 if self.synced else 1)
        (self._log.warning if is_news else self._log.debug)(message, error=str(error))


def _end_of(trouble: ApiError | None) -> WatchEnd:
    match trouble:
        case None:
            return WatchEnd.CLOSED
        case Gone():
            return WatchEnd.GONE
        case Unreachable(reason="Idle"):
            return WatchEnd.IDLE
        case Unreachable(reason="Doubted"):
            return WatchEnd.DOUBTED
        case Unreachable() | TooManyRequests() | ServerError():
            return WatchEnd.BROKEN
        case _:
            return WatchEnd.REFUSED
