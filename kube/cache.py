"""A local copy of one resource, kept by list and watch, whose changes are handed on in order.

Shell of kube.reflector: it does the I/O and the waiting, and decides nothing about what changed.
"""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from kube.client import Client
from kube.resource import Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """`namespace` is None for cluster-scoped objects. Keys of one resource sort."""

    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class ChangeKind(enum.Enum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """`old` is None when ADDED, `new` when DELETED. Another object under the same name is DELETED, then ADDED."""

    kind: ChangeKind
    key: ObjectKey
    old: T | None
    new: T | None


class Cache(Generic[T]):
    """`on_change` is called from the event loop for each change, after `items` shows it; it must not block.

    An object that `decode` refuses (any ValueError, which pydantic's and msgspec's errors are) is reported to
    `on_undecodable`, keeps its last good version in `items`, if there is one, and disturbs no other.
    """

    items: Mapping[ObjectKey, T]
    last_activity: float
    """Monotonic time at which the server last told us anything about this resource; -inf before the first time."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        decode: Callable[[bytes], T],
        *,
        on_change: Callable[[Change[T]], None] | None = None,
        on_undecodable: Callable[[ObjectKey, Exception], None] | None = None,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def synced(self) -> bool:
        """Whether a full list has been taken in. Once true it stays true."""
        raise NotImplementedError

    async def wait_synced(self) -> None:
        """Forever, until the first full list is in: bound it with asyncio.timeout."""

    def relist(self) -> None:
        """Ask `run` to end the watch and read a full list now: after a fence, an old watch is the past speaking."""

    async def run(self) -> None:
        """List and watch until cancelled. API trouble is waited out; a bug in `on_change` is raised."""
