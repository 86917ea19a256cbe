"""A server in this process, and a small client that shows codes and bodies."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from lab.apiserver.server import ApiServer, Settings

Json = dict[str, Any]
MERGE = "application/merge-patch+json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GADGETS = "/apis/example.dev/v1/namespaces/default/gadgets"
SERVICES = "/api/v1/namespaces/default/services"
PATIENCE_SECONDS = 5.0


class Client:
    """Requests with one token. Returns (code, body); `headers` are those of the last answer."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession, token: str) -> None:
        self.server = server
        self.session = session
        self._token = token
        self.headers: Any = {}

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        sent = {"Authorization": f"Bearer {self._token}"} | {
            key.replace("_", "-"): value for key, value in headers.items()
        }
        data = None
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            data = body if isinstance(body, (bytes, io.BytesIO)) else json.dumps(body).encode()
        async with self.session.request(method, self.server.url + path, data=data, headers=sent) as response:
            self.headers = response.headers
            text = await response.text()
            return response.status, json.loads(text) if response.content_type.endswith("json") else text

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: Any, media: str = MERGE) -> tuple[int, Any]:
        return await self.call("PATCH", path, body, Content_Type=media)

    async def delete(self, path: str, body: Any = None) -> tuple[int, Any]:
        return await self.call("DELETE", path, body)

    @asynccontextmanager
    async def watch(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        sent = {"Authorization": f"Bearer {self._token}"} | headers
        separator = "&" if "?" in path else "?"
        async with self.session.get(f"{self.server.url}{path}{separator}watch=1", headers=sent) as response:
            yield Stream(response)


class Stream:
    """The events of a watch, one at a time."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def event(self) -> Json | None:
        """The next event; None at the end of the stream."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self.response.content.readline()
        return json.loads(line) if line else None

    async def names(self, number: int) -> list[tuple[str, str]]:
        """Types and names of the next events."""
        events = [await self.event() for _ in range(number)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events if event]

    async def is_silent(self, seconds: float = 0.1) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.response.content.readline()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def serving(directory: Path, **settings: Any) -> AsyncIterator[Client]:
    async with ApiServer(directory, settings=Settings(**settings)) as server:
        tls = ssl.create_default_context(cafile=str(server.ca_path))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls, limit=0)) as session:
            yield Client(server, session, server.admin_token)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Client]]:
    """`async with serve(history_events=10) as api:`: a server with settings of its own."""
    return lambda **settings: serving(tmp_path, **settings)


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Client]:
    """A server with the usual settings, and its admin."""
    async with serving(tmp_path) as client:
        yield client


def service(name: str, **spec: Any) -> Json:
    ports = [{"port": 80}]
    return {"metadata": {"name": name}, "spec": {"type": "LoadBalancer", "ports": ports} | spec}


def definition() -> Json:
    """A definition of Gadgets, with a number and nothing else."""
    properties = {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "gadgets", "kind": "Gadget"}
    spec = {"group": "example.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "gadgets.example.dev"}, "spec": spec}
