"""The whole allocator against the API server stand-in: pools say how full they are, and bad ones harm nobody."""

import pytest

from kube.errors import Invalid
from kube.resource import (
    IPPOOLS,
)
from tests.allocator.cluster import CRDS, EDGE, Body, User, allocating, settled

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


async def condition_of(user: User, pool: str, type: str) -> Body:
    body = await user.get(IPPOOLS, pool)
    assert body is not None
    conditions = body.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == type), {})


async def until_pool(user: User, pool: str, type: str, reason: str) -> Body:
    async def is_so() -> bool:
        return (await condition_of(user, pool, type)).get("reason") == reason

    await user.until(is_so, f"pool {pool} says {reason}")
    return await condition_of(user, pool, type)


async def test_a_pool_says_how_full_it_is_and_what_is_wrong_with_it(user: User) -> None:
    await user.pool("edge", "192.0.2.10", "2001:db8::/64")
    await user.pool("late", "192.0.2.8/29")
    async with allocating(user.server):
        await user.service("web")
        await until_pool(user, "edge", "Exhausted", "NoAddressesLeft")
        body = await user.get(IPPOOLS, "edge")
        assert body is not None
        assert body["status"]["ipv4"] == {"capacity": "1", "allocated": 1, "free": "0"}
        assert body["status"]["ipv6"]["capacity"] == str(2**64)
        assert (await condition_of(user, "edge", "Ready"))["status"] == "True"
        lost = await until_pool(user, "late", "Overlapping", "PoolsOverlap")
        assert "192.0.2.10 with edge" in lost["message"]
        await user.delete("web")
        await until_pool(user, "edge", "Exhausted", "NotExhausted")


@pytest.mark.parametrize(
    "addresses",
    [["192.0.2.300"], ["192.0.2.20-192.0.2.10"], ["192.0.2.1-2001:db8::1"], ["192.0.2.1/24"], [], ["nonsense"]],
)
async def test_a_pool_that_cannot_be_is_refused_by_the_api_server(user: User, addresses: list[str]) -> None:
    with pytest.raises(Invalid):
        await user.pool("edge", *addresses)


def _drop_rules(schema: Body) -> None:
    for value in list(schema.values()):
        if isinstance(value, dict):
            _drop_rules(value)
    schema.pop("x-kubernetes-validations", None)


async def test_a_pool_that_slipped_past_the_rules_harms_nobody(user: User) -> None:
    """Objects may be older than a rule: a schema without rules stands for that time."""
    crd = await user.get(CRDS, "ippools.berth.dev")
    assert crd is not None
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    _drop_rules(schema)
    await user.client.merge_patch(CRDS, "ippools.berth.dev", {"spec": {"versions": crd["spec"]["versions"]}})
    await user.pool("bad", "192.0.2.20-192.0.2.10", "nonsense", "198.51.100.1-2001:db8::1")
    await user.pool("shy", "203.0.113.0/24", exclude=["nonsense"])
    await user.pool("good", EDGE)
    async with allocating(user.server):
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        message = (await until_pool(user, "bad", "Ready", "InvalidAddresses"))["message"]
        assert "write 192.0.2.10-192.0.2.20" in message
        assert "one range for each" in message
        assert "gives out no new address" in (await until_pool(user, "shy", "Ready", "InvalidAddresses"))["message"]


async def test_an_empty_pool_says_so_and_its_services_wait(user: User) -> None:
    await user.pool("edge", EDGE, exclude=["192.0.2.0/24"])
    async with allocating(user.server):
        await user.service("web")
        await user.until_reason("web", "FamilyUnavailable")
        await until_pool(user, "edge", "Ready", "EmptyPool")
        await user.client.merge_patch(IPPOOLS, "edge", {"spec": {"exclude": None}})
        await user.until_addresses("web", "192.0.2.10")


async def test_a_full_pool_makes_wait_and_the_oldest_gets_what_frees(user: User) -> None:
    async with settled(user, "node-a", addresses="192.0.2.10"):
        await user.service("next")
        await user.until_reason("next", "PoolExhausted")
        await user.delete("web")
        await user.until_addresses("next", "192.0.2.10")
        await user.until_event("next", "Allocated")
        assert set(await user.events("next")) == {"PoolExhausted", "Allocated"}


async def test_unknown_fields_break_nothing(user: User) -> None:
    await user.client.create(
        IPPOOLS, {"metadata": {"name": "edge"}, "spec": {"addresses": [EDGE], "colour": "blue"}, "shape": "round"}
    )
    async with allocating(user.server):
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
