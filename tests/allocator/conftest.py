"""Fixtures: a small API server for the assigner, and a whole one for whole allocators."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kube.io.client import Client
from lab.apiserver.server import ApiServer
from tests.allocator.cluster import User, install
from tests.allocator.fakeapi import FakeApi


@pytest_asyncio.fixture
async def user(tmp_path: Path) -> AsyncIterator[User]:
    async with (
        ApiServer(tmp_path) as server,
        await Client.connect(str(server.kubeconfig_path), user_agent="test") as client,
    ):
        await install(client)
        yield User(server, client)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()
