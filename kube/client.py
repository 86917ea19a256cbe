"""The one client of the API server: requests with raw bytes in and out, lists in pages, watches line by line.

It knows paths, credentials, timeouts and errors; it decodes no objects (kube.objects and crds.types do), keeps no state
of the cluster (kube.cache does), and retries nothing but one 401 (after reading the credentials again) and 429s.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from kube.metrics import UNCOUNTED, Metrics
from kube.resource import Resource

PAGE_SIZE = 500
REQUEST_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `resource_version` is that of the whole list; `continue_token` is "" on the last page."""

    items: list[bytes]
    resource_version: str
    continue_token: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK; a bookmark's object has nothing but a resourceVersion."""

    type: str
    raw_object: bytes
    resource_version: str


class Client:
    """An asynchronous context manager; all methods raise kube.errors.ApiError (Unreachable when nothing answered)."""

    last_contact: float
    """Monotonic time at which the last *answered* request was sent, -inf before. Any answer counts, also an error."""

    @classmethod
    async def connect(
        cls, kubeconfig: str | None, *, user_agent: str, max_connections: int = 128, metrics: Metrics = UNCOUNTED
    ) -> Self:
        """For the current context of that kubeconfig file; None = the pod's service account. Sends nothing yet."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections. Idempotent."""

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> bytes:
        """One object, by a quorum read."""
        raise NotImplementedError

    async def list(
        self,
        res: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE_SIZE,
    ) -> tuple[list[bytes], str]:
        """All objects and the list's resourceVersion, by a quorum read in pages; starts over when its token expires."""
        raise NotImplementedError

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
        """One page. Raises Gone when `continue_token` has expired."""
        raise NotImplementedError

    async def create(self, res: Resource, body: dict[str, Any], namespace: str | None = None) -> bytes:
        """POST; apiVersion and kind are filled in when missing. Raises AlreadyExists. Gives the object as stored."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def json_patch(
        self,
        res: Resource,
        name: str,
        body: Sequence[dict[str, Any]],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> bytes:
        """RFC 6902. A failed `test` is Invalid."""
        raise NotImplementedError

    async def replace(
        self,
        res: Resource,
        name: str,
        body: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> bytes:
        """PUT of the whole object; metadata.resourceVersion in it is the precondition."""
        raise NotImplementedError

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
        raise NotImplementedError

    def watch(
        self,
        res: Resource,
        *,
        resource_version: str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        idle_seconds: float = 90.0,
    ) -> AsyncIterator[WatchEvent]:
        """Events after `resource_version`, until the server ends the stream (a normal end, every 5 to 10 minutes).

        Raises Gone when the history is not there any more, Unreachable when the stream breaks or nothing, not even a
        bookmark, came for `idle_seconds`. What was read before that was delivered; a partial last line is dropped.
        """
        raise NotImplementedError
