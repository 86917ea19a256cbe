"""Reads from the stand-in by plain GETs, named as for kubectl."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kube.io.client import Client
from kube.resource import SERVICES
from lab.apiserver.server import ApiServer
from lab.kubectl import Access
from lab.net.netns import CommandFailed
from lab.reader import Reader

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    """Of a server with the Service `default/web`."""
    async with (
        ApiServer(tmp_path) as server,
        await Client.connect(str(server.kubeconfig_path), user_agent="test") as client,
    ):
        web = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}}
        await client.create(SERVICES, web, namespace="default")
        yield Reader(Access(server.url, server.ca_path, server.admin_token))


@pytest.mark.parametrize("kind", ["service", "services"])
async def test_kinds_are_named_as_for_kubectl(reader: Reader, kind: str) -> None:
    found = await asyncio.to_thread(reader.get, kind, "web")
    assert found is not None
    assert found["spec"]["ports"][0]["port"] == 80
    listed = await asyncio.to_thread(reader.list, kind)
    assert "web" in [each["metadata"]["name"] for each in listed]


async def test_what_is_not_there_is_none_and_a_kind_that_is_not_defined_has_no_list(reader: Reader) -> None:
    assert await asyncio.to_thread(reader.get, "service", "none") is None
    with pytest.raises(CommandFailed, match="ippools"):
        await asyncio.to_thread(reader.list, "ippools")


async def test_a_refusal_is_an_error_and_not_nothing(reader: Reader) -> None:
    stranger = Reader(reader.access.as_user("nobody"))
    with pytest.raises(CommandFailed, match="401"):
        await asyncio.to_thread(stranger.get, "service", "web")
    assert not await asyncio.to_thread(stranger.is_ready)
    assert await asyncio.to_thread(reader.is_ready)


async def test_a_server_that_is_away_is_an_error(reader: Reader) -> None:
    away = Reader(reader.access.at("https://127.0.0.1:1"))
    with pytest.raises(CommandFailed, match="refused"):
        await asyncio.to_thread(away.get, "service", "web")


async def test_an_unknown_kind_is_a_mistake_of_the_caller(reader: Reader) -> None:
    with pytest.raises(ValueError, match="gadget"):
        reader.get("gadget", "web")
