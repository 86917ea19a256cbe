"""What a record can't hold is refused at its Service, and at the API server; whoever shares the address goes on."""

from typing import Any

import pytest

from crds.ipallocation import MOST_KEY_CHARACTERS, MOST_LABELS, MOST_PORTS
from kube.errors import Invalid
from kube.resource import IPALLOCATIONS, SERVICES
from tests.allocator.cluster import User, settled

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

KEY = {"berth.dev/sharing-key": "k"}


def ports(count: int) -> list[dict[str, Any]]:
    return [{"name": f"p{number}", "port": 20000 + number, "targetPort": 80} for number in range(count)]


def labels(count: int) -> dict[str, str]:
    return {f"label-{number}": "x" for number in range(count)}


async def relabel(user: User, name: str, count: int) -> None:
    await user.client.merge_patch(SERVICES, name, {"metadata": {"labels": labels(count)}}, namespace="default")


async def test_the_most_that_a_record_holds_is_recorded_and_one_more_is_refused_at_the_service(user: User) -> None:
    async with settled(user, "node-a"):
        for name, count in (("most", MOST_PORTS), ("more", MOST_PORTS + 1)):
            await user.service(name, ports=ports(count), allocateLoadBalancerNodePorts=False)
        await user.until_addresses("most", "192.0.2.11")
        await user.until_reason("more", "TooLarge")
        await user.until_event("more", "TooLarge")
        await relabel(user, "most", MOST_LABELS)
        await user.service("last", selector=labels(MOST_LABELS), externalTrafficPolicy="Local")
        await user.until_addresses("last", "192.0.2.12")
        await user.edit("last", {"spec": {"selector": labels(MOST_LABELS + 1)}})
        await user.until_reason("last", "TooLarge")
        record = (await user.allocations())["v4-192-0-2-11"]
        assert len(record["spec"]["holders"][0]["ports"]) == MOST_PORTS
        await relabel(user, "most", MOST_LABELS + 1)
        await user.until_reason("most", "TooLarge")
        assert await user.addresses("most") == ["192.0.2.11"]


async def test_the_api_server_holds_records_to_the_same_bounds(user: User) -> None:
    async with settled(user):
        (record,) = (await user.allocations()).values()
        (holder,) = record["spec"]["holders"]
        numbered = [{"port": number} for number in range(1, MOST_PORTS + 2)]
        for field, most, too_much in (
            ("holders", {"ports": numbered[:-1], "labels": labels(MOST_LABELS)}, {"ports": numbered}),
            ("holders", {}, {"labels": labels(MOST_LABELS + 1)}),
            ("selector", labels(MOST_LABELS), labels(MOST_LABELS + 1)),
            ("sharingKey", "k" * MOST_KEY_CHARACTERS, "k" * (MOST_KEY_CHARACTERS + 1)),
        ):
            wrapped = [most, too_much] if field != "holders" else [[{**holder, **most}], [{**holder, **too_much}]]
            client, name = user.client, record["metadata"]["name"]
            await client.merge_patch(IPALLOCATIONS, name, {"spec": {field: wrapped[0]}})
            try:
                await client.merge_patch(IPALLOCATIONS, name, {"spec": {field: wrapped[1]}})
            except Invalid:
                continue
            raise AssertionError(f"more of {field} was taken")


async def test_who_does_not_fit_holds_up_nobody_that_shares_the_address(user: User) -> None:
    """Neither joining, nor leaving, nor the release of the address."""
    async with settled(user, "node-a"):
        await user.service("victim", annotations=KEY)
        await user.until_addresses("victim", "192.0.2.11")
        await user.service("poison", annotations=KEY, ports=ports(MOST_PORTS + 1), allocateLoadBalancerNodePorts=False)
        await user.service("friend", annotations=KEY, ports=[{"port": 9999}])
        await user.until_addresses("friend", "192.0.2.11")
        await user.until_reason("poison", "TooLarge")
        for name in ("victim", "friend", "poison"):
            await user.delete(name)
        for name in ("victim", "friend", "poison"):
            await user.until_gone(name)
        assert list(await user.allocations()) == ["v4-192-0-2-10"]
