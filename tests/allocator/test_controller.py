"""The whole allocator against the API server stand-in, over TLS: a Service's way, and how many writes it costs."""

import asyncio
import json

import pytest

from crds.names import FINALIZER
from kube.resource import IPALLOCATIONS, SERVICES
from tests.allocator.cluster import User, allocating, speaking

pytestmark = pytest.mark.asyncio

EDGE = "192.0.2.10-192.0.2.13"


async def test_the_main_way_there_and_back(user: User) -> None:
    await user.pool("edge", EDGE)
    async with allocating(user.server), speaking(user, "node-a", "node-b"):
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        body = await user.get(SERVICES, "web", "default")
        assert body is not None
        assert body["metadata"]["finalizers"] == [FINALIZER]
        assert body["status"]["loadBalancer"]["ingress"] == [{"ip": "192.0.2.10", "ipMode": "VIP"}]
        (record,) = (await user.client.list(IPALLOCATIONS, field_selector="spec.pool=edge"))[0]
        labels = {"berth.dev/pool": "edge", "berth.dev/service-namespace": "default", "berth.dev/service-name": "web"}
        assert json.loads(record)["metadata"]["labels"] == labels
        assert (await user.client.list(IPALLOCATIONS, field_selector="spec.pool=other"))[0] == []
        await user.until_event("web", "Allocated")
        await user.delete("web")
        await user.until_gone("web")
        assert await user.allocations() == {}
    assert await user.events("web") == ["Allocated"]


async def test_three_writes_a_service(user: User) -> None:
    await user.pool("edge", "192.0.2.0/24")
    async with allocating(user.server):
        for number in range(20):
            await user.service(f"web{number}")
        for number in range(20):
            await user.until_reason(f"web{number}", "Allocated")
        await asyncio.sleep(0.2)
        counters = user.server.counters
        assert counters.total(verb="create", resource="ipallocations.berth.dev") == 20
        assert counters.total(verb="patch", resource="services/status") == 20
        assert counters.total(verb="create", resource="events") == 20
        assert counters.total(verb="patch", resource="ipallocations.berth.dev/status") == 0


async def test_both_families_in_one_ingress(user: User) -> None:
    await user.pool("edge", EDGE, "2001:db8::10-2001:db8::13")
    async with allocating(user.server):
        await user.service("web", ipFamilyPolicy="RequireDualStack")
        await user.until_addresses("web", "192.0.2.10", "2001:db8::10")
