"""Fixtures of the tests that run a whole allocator."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from kube.io.client import Client
from lab.apiserver.server import ApiServer
from tests.allocator.cluster import Desk, install


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with (
        ApiServer(tmp_path) as server,
        await Client.connect(str(server.kubeconfig_path), user_agent="test") as client,
    ):
        await install(client)
        yield Desk(server, client)
