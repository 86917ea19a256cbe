"""The one client of the API server: requests with raw bytes in and out, lists in pages, watches line by line.

It knows resources, verbs and preconditions. It decodes no objects (kube.objects and crds.types do), keeps no state of
the cluster (kube.informer.io.informer does), and sends nothing twice but what kube.io.transport says.

All methods raise kube.errors.ApiError; `Unreachable` when nothing answered. A write that ends so may have taken effect:
only reading again, or a precondition in the next attempt, tells.
"""

import builtins
import random
import time
from collections.abc import AsyncGenerator
from functools import lru_cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from kube.errors import ApiError, Gone
from kube.framing import LineBuffer, Page, WatchEvent, decode_event, decode_page
from kube.io.transport import REQUEST_TIMEOUT_SECONDS, Request, Transport
from kube.metrics import UNCOUNTED, Metrics
from kube.refusals import Refusals
from kube.resource import EVENTS, LEASES, Resource

__all__ = ["PAGE_SIZE", "Client", "Page", "WatchEvent"]

PAGE_SIZE = 500  # client-go's; a page of 500 Services is about 1 MB and decodes in a few ms
MAX_CONNECTIONS = 32  # each costs 0.14 MB; more gain nothing with an API server that answers 950 a second
LIST_TIMEOUT_SECONDS = 60.0  # for one page: API servers allow themselves as long
LIST_ATTEMPTS = 3  # a list that outlives its own snapshot this often needs a larger page size
WATCH_SECONDS = (300.0, 600.0)  # client-go's; jittered, so that watches do not all come back at once
IDLE_SECONDS = 90.0  # API servers send a bookmark about once a minute

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class Client:
    """An asynchronous context manager around the connections to one API server."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.refusals = Refusals()
        """Of writes, but for Events: these may be lost."""

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | None,
        *,
        user_agent: str,
        max_connections: int = MAX_CONNECTIONS,
        metrics: Metrics = UNCOUNTED,
        context: str | None = None,
        acts_as: str | None = None,
    ) -> Self:
        """For that kubeconfig file; None = the pod's service account. `context`: None = the current one. `acts_as`: the
        user to impersonate; None = nobody else.

        Sends nothing yet. Raises kube.config.io.credentials.CredentialsError.
        """
        return cls(await Transport.open(kubeconfig, user_agent, max_connections, metrics, context, acts_as))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections. Idempotent."""
        await self._transport.close()

    @property
    def manager(self) -> str:
        """What managedFields call this program: the User-Agent up to its first slash, as no other name is given."""
        return self._transport.user_agent.partition("/")[0]

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> bytes:
        """One object, by a quorum read."""
        return await self._send("get", "GET", res, res.path(name, namespace))

    async def list(
        self,
        res: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> tuple[builtins.list[bytes], str]:
        """All objects, and the list's resourceVersion: one snapshot, by a quorum read, in pages.

        Starts over when the snapshot expires between two pages; raises Gone when that happens again and again.
        """
        for _ in range(LIST_ATTEMPTS - 1):
            try:
                return await self._list_once(res, namespace, label_selector, field_selector, page_size)
            except Gone:
                continue
        return await self._list_once(res, namespace, label_selector, field_selector, page_size)

    async def _list_once(
        self,
        res: Resource,
        namespace: str | None,
        label_selector: str | None,
        field_selector: str | None,
        page_size: int,
    ) -> tuple[builtins.list[bytes], str]:
        items: builtins.list[bytes] = []
        token = ""
        while True:
            page = await self.list_page(
                res,
                continue_token=token,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                page_size=page_size,
            )
            items += page.items
            token = page.continue_token
            if not token:
                return items, page.resource_version

    async def list_page(
        self,
        res: Resource,
        *,
        continue_token: str = "",
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> Page:
        """One page (KEP-365). No resourceVersion is sent: that asks for the most recent state (a quorum read).

        Raises Gone when `continue_token` has expired.
        """
        path = _with_query(
            res.path(None, namespace),
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(page_size),
            **{"continue": continue_token},
        )
        return decode_page(await self._send("list", "GET", res, path, timeout_seconds=LIST_TIMEOUT_SECONDS))

    async def create(self, res: Resource, body: dict[str, Any], namespace: str | None = None) -> bytes:
        """POST; apiVersion and kind are filled in when missing. Raises AlreadyExists. Gives the object as stored."""
        if res.namespaced and namespace is None:
            raise ValueError(f"{res.kind} is namespaced: creating one needs the namespace")
        body = {"apiVersion": res.api_version, "kind": res.kind, **body}
        return await self._send("create", "POST", res, res.path(None, namespace), body)

    async def merge_patch(
        self,
        res: Resource,
        name: str,
        body: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> bytes:
        """RFC 7386. Preconditions: `uid`, `resourceVersion` in body["metadata"]; see is_precondition_failure."""
        path = res.path(name, namespace, subresource)
        return await self._send("patch", "PATCH", res, path, body, content_type=MERGE_PATCH)

    async def delete(
        self,
        res: Resource,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> None:
        """DELETE with preconditions; Conflict when they do not hold, NotFound when it is gone already."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        wanted = {key: value for key, value in preconditions.items() if value is not None}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": wanted} if wanted else None
        await self._send("delete", "DELETE", res, res.path(name, namespace), body)

    async def fetch(self, path: str, *, most: int, idle_seconds: float = REQUEST_TIMEOUT_SECONDS) -> bytes:
        """What is behind a path that gives no object: /version, a pod's log, or what a pod serves itself.

        The first `most` bytes of it. Raises Unreachable when nothing comes for `idle_seconds`.
        """
        request = Request("get", path.partition("?")[0].rpartition("/")[2], "GET", path)
        found = bytearray()
        async with self._transport.stream(request, idle_seconds) as chunks:
            async for chunk in chunks:
                found += chunk
                if len(found) >= most:
                    break
        return bytes(found[:most])

    async def watch(
        self,
        res: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        idle_seconds: float = IDLE_SECONDS,
        pace_seconds: float = 0.0,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after `resource_version`, until the server ends the stream (a normal end, every 5 to 10 minutes).

        Raises Gone when the history is not there any more; Unreachable when the stream breaks, with reason "Idle" when
        nothing, not even a bookmark, came for `idle_seconds`, and "Doubted" when nothing came since another request was
        sent that got no answer. All whole lines before that were delivered.
        `pace_seconds`: look at the stream no more often than that, where many events come and none is urgent.
        Close it (contextlib.aclosing) when you leave early: that ends the connection.
        """
        path = _with_query(
            res.path(None, namespace),
            watch="1",
            resourceVersion=resource_version,
            allowWatchBookmarks="true",
            timeoutSeconds=str(int(random.uniform(*WATCH_SECONDS))),
            labelSelector=label_selector,
            fieldSelector=field_selector,
        )
        request = Request("watch", res.plural, "GET", path)
        lines = LineBuffer()
        async with self._transport.stream(request, idle_seconds, pace_seconds) as chunks:
            async for chunk in chunks:
                for line in lines.feed(chunk):
                    yield decode_event(line)

    async def _send(
        self,
        verb: str,
        method: str,
        res: Resource,
        path: str,
        body: Any = None,
        *,
        content_type: str = JSON,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> bytes:
        # Leadership and liveness must not queue behind a burst of other writes.
        is_urgent = res is LEASES
        request = Request(verb, res.plural, method, path, body, content_type, timeout_seconds, is_urgent)
        if method == "GET" or res is EVENTS:
            return await self._transport.send(request)
        kind = f"{verb} {res.full_name}{'/status' if path.endswith('/status') else ''}"
        try:
            answer = await self._transport.send(request)
        except ApiError as error:
            self.refusals.refused(kind, path, error, time.monotonic())
            raise
        self.refusals.accepted(kind)
        return answer


def _with_query(path: str, **query: str | None) -> str:
    given = tuple((key, value) for key, value in query.items() if value)
    return f"{path}?{_encoded(given)}" if given else path


@lru_cache(maxsize=256)
def _encoded(query: tuple[tuple[str, str], ...]) -> str:
    return urlencode(query)
