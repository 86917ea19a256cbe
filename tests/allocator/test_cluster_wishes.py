"""The whole allocator against the API server stand-in: what Services ask for, and what they become."""

import asyncio

import pytest

from crds.names import FINALIZER
from kube.resource import (
    SERVICES,
)
from tests.allocator.cluster import EDGE, Body, User, allocating, settled, speaking

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


@pytest.mark.parametrize(
    ("annotations", "spec", "reason"),
    [
        ({"berth.dev/ips": "203.0.113.1"}, {}, "AddressNotInPool"),
        ({"metallb.io/loadBalancerIPs": "192.0.2.10"}, {}, "AddressInUse"),
        ({"berth.dev/pool": "nope"}, {}, "PoolNotFound"),
        ({"berth.dev/ips": "nonsense"}, {}, "InvalidRequest"),
        ({}, {"ipFamilyPolicy": "RequireDualStack"}, "FamilyUnavailable"),
        ({}, {"ipFamilies": ["IPv6"]}, "FamilyUnavailable"),
    ],
)
async def test_a_wish_that_cannot_be_granted_leaves_a_condition_and_an_event(
    user: User, annotations: dict[str, str], spec: Body, reason: str
) -> None:
    async with settled(user):
        await user.service("wish", annotations=annotations, **spec)
        await user.until_reason("wish", reason)
        assert await user.addresses("wish") == []
        await user.until_event("wish", reason)
    assert await user.events("wish") == [reason]


async def test_a_foreign_class_is_never_touched(user: User) -> None:
    await user.pool("edge", EDGE)
    async with allocating(user.server):
        created = await user.service("theirs", loadBalancerClass="example.org/theirs")
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        body = await user.get(SERVICES, "theirs", "default")
        assert body is not None
        assert body["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_a_type_change_frees_the_address_after_the_barrier(user: User) -> None:
    async with settled(user, "node-a") as (speaker,):
        speaker.frozen = True
        await user.edit("web", {"spec": {"type": "ClusterIP"}})
        await user.service("wish", annotations={"berth.dev/ips": "192.0.2.10"})
        await user.until_reason("wish", "AddressInUse")
        await asyncio.sleep(0.3)
        assert await user.addresses("wish") == []
        body = await user.get(SERVICES, "web", "default")
        assert body is not None
        assert body["metadata"]["finalizers"] == [FINALIZER]
        speaker.frozen = False
        await user.until_addresses("wish", "192.0.2.10")
        body = await user.get(SERVICES, "web", "default")
        assert body is not None
        assert "finalizers" not in body["metadata"]
        assert await user.reason("web") is None


async def test_a_move_waits_for_nobody_and_the_old_address_for_everybody(user: User) -> None:
    async with settled(user, "node-a") as (speaker,):
        speaker.frozen = True
        await user.edit("web", {"metadata": {"annotations": {"berth.dev/ips": "192.0.2.12"}}})
        await user.until_addresses("web", "192.0.2.12")
        await user.until(lambda: user.is_releasing("v4-192-0-2-10"), "the old address is being released")
        speaker.frozen = False

        async def is_alone() -> bool:
            return list(await user.allocations()) == ["v4-192-0-2-12"]

        await user.until(is_alone, "the old address is free")


async def test_a_service_recreated_at_once_waits_for_its_own_old_address(user: User) -> None:
    await user.pool("edge", "192.0.2.10")
    async with allocating(user.server), speaking(user, "node-a") as (speaker,):
        first = await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        speaker.frozen = True
        await user.delete("web")
        await user.edit("web", {"metadata": {"finalizers": None}})
        second = await user.service("web")
        await user.until_reason("web", "PoolExhausted")
        await user.until_event("web", "FinalizerRemoved")
        record = (await user.allocations())["v4-192-0-2-10"]
        assert record["spec"]["holders"][0]["uid"] == first["metadata"]["uid"]
        speaker.frozen = False
        await user.until_addresses("web", "192.0.2.10")
        record = (await user.allocations())["v4-192-0-2-10"]
        assert record["spec"]["holders"][0]["uid"] == second["metadata"]["uid"]
