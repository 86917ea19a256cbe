"""An API server stand-in with Berth's definitions, and the cluster on it as it is when all is well."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kube.io.client import Client
from lab.apiserver.server import ApiServer
from tests.allocator.cluster import install
from tests.cli.setups import Setup


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiServer]:
    async with ApiServer(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def kubeconfig(api_server: ApiServer) -> str:
    return str(api_server.kubeconfig_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(api_server: ApiServer) -> AsyncIterator[Client]:
    """One for all of a module, with the definitions: to install these takes longer than a test."""
    async with await Client.connect(str(api_server.kubeconfig_path), user_agent="test") as client:
        await install(client)
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def setup(server: Client) -> AsyncIterator[Setup]:
    made = Setup(server)
    await made.well()
    yield made
    await made.clear()
