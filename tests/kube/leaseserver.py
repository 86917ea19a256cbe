"""A store of Leases in virtual time, and a client of it: slow, down, cut off or lossy as a test likes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from kube.errors import AlreadyExists, ApiError, Conflict, NotFound, Unreachable
from kube.resource import Resource
from tests.virtual import now


class LeaseServer:
    """One namespace of objects. Requests take `latency`; while `is_down` they hang until their caller gives up."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.uids = 0
        self.latency = 0.01
        self.is_down = False
        self.loses_answers = False
        self.refuses_writes = False
        self.holds_writes = False
        self.held: list[Callable[[], object]] = []
        self.writes: list[tuple[float, str]] = []

    def client(self) -> "LeaseClient":
        return LeaseClient(self)

    def store(self, name: str, body: dict[str, Any]) -> bytes:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[name] = body
        self.writes.append((now(), str(body["spec"].get("holderIdentity"))))
        return json.dumps(body).encode()

    def delete(self, name: str) -> None:
        del self.objects[name]

    def let_go(self) -> list[str]:
        """The writes that were held arrive, late: what became of each."""
        held, self.held = self.held, []
        outcomes = []
        for write in held:
            try:
                write()
                outcomes.append("written")
            except ApiError as error:
                outcomes.append(type(error).__name__)
        return outcomes


class LeaseClient:
    """What election and lease use of kube.io.client.Client. `is_cut` = only this client can't reach the server."""

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.is_cut = False

    async def _travel(self) -> None:
        if self.server.is_down or self.is_cut:
            await asyncio.sleep(10.0)
            raise Unreachable(0, "Timeout", "")
        await asyncio.sleep(self.server.latency)

    async def get(self, res: Resource, name: str, namespace: str | None = None) -> bytes:
        await self._travel()
        if name not in self.server.objects:
            raise NotFound(404, "NotFound", name)
        return json.dumps(self.server.objects[name]).encode()

    async def create(self, res: Resource, body: dict[str, Any], namespace: str | None = None) -> bytes:
        await self._travel()
        name = body["metadata"]["name"]
        if name in self.server.objects:
            raise AlreadyExists(409, "AlreadyExists", name)
        self.server.uids += 1
        metadata = {**body["metadata"], "uid": f"uid{self.server.uids}"}
        return await self._answer(self.server.store(name, {**body, "metadata": metadata}))

    async def merge_patch(
        self,
        res: Resource,
        name: str,
        body: dict[str, Any],
        *,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> bytes:
        await self._travel()
        if self.server.refuses_writes:
            raise Unreachable(0, "Refused", "")
        if self.server.holds_writes:
            self.server.held.append(lambda: self._patch(name, body))
            await asyncio.sleep(10.0)
            raise Unreachable(0, "Timeout", "")
        return await self._answer(self._patch(name, body))

    def _patch(self, name: str, body: dict[str, Any]) -> bytes:
        stored = self.server.objects.get(name)
        if stored is None:
            raise NotFound(404, "NotFound", name)
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted not in (None, stored["metadata"]["resourceVersion"]):
            raise Conflict(409, "Conflict", name)
        labels = {**stored["metadata"].get("labels", {}), **body.get("metadata", {}).get("labels", {})}
        metadata = {**stored["metadata"], "labels": labels}
        return self.server.store(name, {"metadata": metadata, "spec": {**stored["spec"], **body["spec"]}})

    async def _answer(self, body: bytes) -> bytes:
        if self.server.loses_answers:
            raise Unreachable(0, "Broken", "the answer was lost")
        await asyncio.sleep(self.server.latency)
        return body
