"""The speaker's own object on the API server: registering, keeping its status, saying goodbye.

What the status should say is drafted by speaker.own.status; what becomes of a registration is the agent's business.

Every write names the uid and the resourceVersion that this speaker knows. So no write of a process that was replaced
can count as the word of its successor: an old confirmation of a release would be a lie about what that one announces.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
import structlog

from kube.backoff import Backoff
from kube.errors import AlreadyExists, ApiError, NotFound, is_precondition_failure
from kube.io.client import Client
from kube.objects import Node, decode_node
from kube.resource import NODES, SPEAKERS
from speaker.fencing import Promise
from speaker.own.predecessor import Past
from speaker.own.status import Patch, StatusDraft

COALESCE_SECONDS = 0.02
"""Releases mostly come in bursts: those confirmed within this time share a write."""
ROUTINE_SECONDS = 0.25
"""Announcements, interfaces and conditions are written at most this often, ..."""
ROUTINE_SECONDS_PER_ENTRY = 0.0002
"""... and less often as the object grows, since each write sends it whole to all who watch: 1 s more at 5,000."""
ENTRIES_PER_WRITE = 2000
"""Bounds one request to about 200 KB."""
RETRY = Backoff(base_seconds=0.1, cap_seconds=5.0)

T = TypeVar("T")

log = structlog.get_logger()


class SupersededError(Exception):
    """Another process has registered as the speaker of this node. This one has no say any more and must end."""


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    resource_version: str


class _Session(msgspec.Struct, frozen=True):
    peer: str
    address: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    incarnation: str = ""
    goodbye: bool = False
    outlives_seconds: int = 0
    bgp_sessions: tuple[_Session, ...] | None = None


class _OwnObject(msgspec.Struct, frozen=True):
    metadata: _Meta
    status: _Status = _Status()


_decode = msgspec.json.Decoder(_OwnObject).decode


class Presence:
    """One writer: registration, status and goodbye follow each other, never overlap."""

    def __init__(
        self,
        client: Client,
        node: str,
        incarnation: str,
        draft: StatusDraft,
        promise: Promise,
        *,
        on_removed: Callable[[str], None],
        on_past: Callable[[Past], None] = lambda _: None,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_removed(why)`: the Speaker object was found deleted, or replaced by another one. `on_past`: before the
        first registration is written, what the predecessor may have left with routers. `on_written()`: after each
        confirmed write.
        """
        self._client = client
        self._node = node
        self._incarnation = incarnation
        self._draft = draft
        self._promise = promise
        self._on_removed = on_removed
        self._on_past = on_past
        self._on_written = on_written
        self._own: _OwnObject | None = None
        self._is_registered = False
        self._has_ever_registered = False
        self._writing = asyncio.Lock()
        self._poked = asyncio.Event()
        self._next_routine = 0.0

    @property
    def uid(self) -> str | None:
        """Of the Speaker object that this process registered with; None when it is not registered."""
        return self._own.metadata.uid if self._own and self._is_registered else None

    def poke(self) -> None:
        """The draft may have changed."""
        self._poked.set()

    async def own_node(self) -> Node:
        """The Node of this speaker. Waits, forever if need be, until there is one."""
        return await self._until_done("read the own Node", self._get_node)

    async def register(self) -> None:
        """Write the Speaker object. Tries forever; SupersededError when another process is this node's speaker."""
        async with self._writing:
            self._is_registered = False
            await self._until_done("register", self._register)
        log.info("registered", speaker=self._node, uid=self.uid, incarnation=self._incarnation)

    async def write_forever(self) -> None:
        """Write what differs, as soon as its kind allows. Trouble is retried; only the draft's latest state counts."""
        while True:
            await self._until_done("write the status", self._write_next)

    async def say_goodbye(self, *, withdrew_everything: bool = True) -> None:
        """The last write. Only who withdrew everything says goodbye: releases do not wait for it any more. Tries
        forever; the caller bounds the time."""
        async with self._writing:
            self._is_registered = False
            await self._until_done("say goodbye", lambda: self._say_goodbye(withdrew_everything))

    async def _get_node(self) -> Node:
        return decode_node(await self._client.get(NODES, self._node))

    async def _register(self) -> None:
        own = await self._get_or_create(await self._get_node())
        self._refuse_successor(own)
        if not self._has_ever_registered:
            self._on_past(_past_of(own.status))
        patch = self._draft.registration(self._incarnation)
        self._own = await self._write(own, patch)
        self._draft.registered(patch)
        self._on_written()
        self._is_registered = self._has_ever_registered = True
        self._next_routine = 0.0  # that it serves is to be told at once: others give up what it takes over

    async def _say_goodbye(self, withdrew_everything: bool) -> None:
        try:
            own = _decode(await self._client.get(SPEAKERS, self._node))
        except NotFound:
            return
        if own.status.incarnation not in ("", self._incarnation):
            log.warning("the Speaker object is another process's: no goodbye", incarnation=own.status.incarnation)
            return
        draft = self._draft.next(only_urgent=False, limit=ENTRIES_PER_WRITE)
        gone: Patch = {"announcements": None, "goodbye": True} if withdrew_everything else {}
        await self._write(own, draft.body() | gone)

    async def _get_or_create(self, node: Node) -> _OwnObject:
        """The garbage collector takes the Speaker along with its Node."""
        with contextlib.suppress(NotFound):
            return _decode(await self._client.get(SPEAKERS, self._node))
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._node, "uid": node.metadata.uid}
        body = {"metadata": {"name": self._node, "ownerReferences": [owner]}, "spec": {}}
        try:
            return _decode(await self._client.create(SPEAKERS, body))
        except AlreadyExists:
            return _decode(await self._client.get(SPEAKERS, self._node))

    def _refuse_successor(self, own: _OwnObject) -> None:
        """Before the first registration of this process, every incarnation found is that of a predecessor."""
        if self._has_ever_registered and own.status.incarnation not in ("", self._incarnation):
            raise SupersededError(f"incarnation {own.status.incarnation} has registered as speaker of {self._node}")

    async def _write_next(self) -> None:
        """Wait for something to write, then write it once."""
        only_urgent = await self._wait_for_work()
        async with self._writing:
            if not self._is_registered or self._own is None:
                return  # registering writes all
            draft = self._draft.next(only_urgent=only_urgent, limit=ENTRIES_PER_WRITE)
            if draft.is_empty:
                return
            try:
                self._own = await self._write(self._own, draft.body())
            except NotFound:
                self._removed("it is gone")
            except ApiError as error:
                if not is_precondition_failure(error):
                    raise
                await self._look_again()
            else:
                self._draft.confirm(draft)
                self._on_written()
                if not only_urgent:
                    entries = len(self._draft.announcements) + len(self._draft.released)
                    self._next_routine = time.monotonic() + ROUTINE_SECONDS + entries * ROUTINE_SECONDS_PER_ENTRY

    async def _wait_for_work(self) -> bool:
        """Whether only what is urgent may be written now. Returns at once only if there is something to write."""
        while True:
            self._poked.clear()
            now = time.monotonic()
            is_stale = self._is_registered and self._draft.is_stale
            if is_stale and self._draft.is_urgent:
                await asyncio.sleep(COALESCE_SECONDS)
                return now < self._next_routine
            if is_stale and now >= self._next_routine:
                return False
            with contextlib.suppress(TimeoutError):  # without anything stale it waits forever, for a poke
                async with asyncio.timeout(self._next_routine - now if is_stale else None):
                    await self._poked.wait()

    async def _look_again(self) -> None:
        """Somebody else wrote the object, or a write of ours arrived without an answer: take up its new version."""
        assert self._own is not None
        try:
            own = _decode(await self._client.get(SPEAKERS, self._node))
        except NotFound:
            self._removed("it is gone")
            return
        if own.metadata.uid != self._own.metadata.uid:
            self._removed("another one has its name")
            return
        self._refuse_successor(own)
        self._own = own

    def _removed(self, why: str) -> None:
        self._is_registered = False
        self._on_removed(why)

    async def _write(self, own: _OwnObject, status: Patch) -> _OwnObject:
        """One merge patch of the status subresource, on the condition that the object is the one we know."""
        carries_promise = "fencing" in status
        promised = promised_in(status)
        if carries_promise:
            self._promise.sending(promised)
        body: dict[str, Any] = {
            "metadata": {"uid": own.metadata.uid, "resourceVersion": own.metadata.resource_version},
            "status": status,
        }
        written = _decode(await self._client.merge_patch(SPEAKERS, self._node, body, subresource="status"))
        if carries_promise:
            self._promise.confirmed(promised)
        return written

    async def _until_done(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Retry on whatever the API server, or its absence, makes of it; each attempt starts from the present state."""
        failures = 0
        while True:
            try:
                return await attempt()
            except ApiError as error:
                log.warning("the API server refused; trying again", what=what, error=str(error))
                delay_seconds = max(RETRY.delay_seconds(failures, random.random()), error.retry_after_seconds or 0.0)
            failures += 1
            await asyncio.sleep(delay_seconds)


def _past_of(status: _Status) -> Past:
    if status.goodbye:
        return Past()
    sessions = status.bgp_sessions or ()
    return Past(status.outlives_seconds, {one.peer: ip_address(one.address) for one in sessions if one.address})


def promised_in(status: Patch) -> frozenset[str] | None:
    """The witnesses that this patch, or status, promises on; None = it makes no promise."""
    fencing = status.get("fencing")
    return frozenset(fencing["witnesses"]) if fencing and fencing["promised"] else None
