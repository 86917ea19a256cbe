"""A whole allocator against the API server: what Nodes, Speakers, EndpointSlices and ServiceCIDRs keep out of pools."""

from typing import Any

import pytest

from kube.resource import ENDPOINTSLICES, IPPOOLS, NODES, SERVICECIDRS, SERVICES, SPEAKERS
from tests.allocator.cluster import User, allocating

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


async def node(user: User, name: str, *addresses: str) -> None:
    await user.client.create(NODES, {"metadata": {"name": name}})
    await list_addresses(user, name, *addresses)


async def list_addresses(user: User, name: str, *addresses: str) -> None:
    listed = [{"type": "InternalIP", "address": one} for one in addresses]
    await user.client.merge_patch(NODES, name, {"status": {"addresses": listed}}, subresource="status")


async def kept_out(user: User, name: str = "edge") -> dict[str, list[str]]:
    body = await user.get(IPPOOLS, name)
    assert body is not None
    return {one["reason"]: one["addresses"] for one in body.get("status", {}).get("keptOut", [])}


async def until_kept_out(user: User, **expected: list[str]) -> None:
    async def is_so() -> bool:
        return await kept_out(user) == expected

    await user.until(is_so, f"{expected} is kept out, it is {await kept_out(user)}")


async def condition(user: User, pool: str, type: str) -> dict[str, Any]:
    body = await user.get(IPPOOLS, pool)
    assert body is not None
    return next((one for one in body.get("status", {}).get("conditions", []) if one["type"] == type), {})


async def test_an_allocator_that_starts_has_read_all_that_keeps_addresses_out_before_it_gives_out_any(
    user: User,
) -> None:
    await node(user, "node1", "192.0.2.2")
    await user.client.create(SPEAKERS, {"metadata": {"name": "node1"}, "spec": {}})
    eth0 = {"name": "eth0", "usable": True, "networks": ["192.0.2.2/28"], "gateways": ["192.0.2.1"]}
    await user.client.merge_patch(
        SPEAKERS, "node1", {"status": {"incarnation": "a", "interfaces": [eth0]}}, subresource="status"
    )
    user.server.core.publish("192.0.2.3", 6443)
    await user.client.create(SERVICECIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["192.0.2.4/31"]}})
    await user.pool("edge", "192.0.2.0/28")
    for name in ("a", "b"):
        await user.service(name)
    for slow in (NODES, SPEAKERS, ENDPOINTSLICES, SERVICECIDRS):
        user.server.faults.add(method="list", resource=slow.plural, latency_seconds=0.3)
    async with allocating(user.server):
        await user.until_addresses("a", "192.0.2.6")
        await user.until_addresses("b", "192.0.2.7")
        await until_kept_out(
            user,
            NodeAddress=["192.0.2.2 (node1)"],
            APIServer=["192.0.2.3 (Service default/kubernetes)"],
            ClusterIP=["192.0.2.4-192.0.2.5"],
            Gateway=["192.0.2.1 (192.0.2.0/28)"],
            NetworkEnd=["192.0.2.0 (192.0.2.0/28)", "192.0.2.15 (192.0.2.0/28)"],
        )


async def test_the_external_ips_of_services_of_any_type_are_given_to_no_other(user: User) -> None:
    await user.pool("edge", "192.0.2.10-192.0.2.12")
    named = {"type": "ClusterIP", "ports": [{"port": 80}], "externalIPs": ["192.0.2.10", "192.0.2.11"]}
    await user.client.create(SERVICES, {"metadata": {"name": "named"}, "spec": named}, namespace="default")
    async with allocating(user.server):
        await user.service("web")
        await user.until_addresses("web", "192.0.2.12")
        external = [f"192.0.2.{number} (default/named)" for number in (10, 11)]
        await until_kept_out(user, ExternalIP=external)
        await user.service("other")
        await user.client.merge_patch(SERVICES, "named", {"spec": {"externalIPs": ["192.0.2.11"]}}, namespace="default")
        await user.until_addresses("other", "192.0.2.10")
        await user.client.delete(SERVICES, "named", namespace="default")
        await until_kept_out(user)


async def test_what_a_service_of_any_type_names_is_recorded_where_the_pool_announces_external_ips(user: User) -> None:
    await user.pool("edge", "192.0.2.10-192.0.2.12", externalIPs="Announce")
    named = {"type": "ClusterIP", "ports": [{"port": 80}], "externalIPs": ["192.0.2.10"]}
    async with allocating(user.server):
        await user.client.create(SERVICES, {"metadata": {"name": "named"}, "spec": named}, namespace="default")

        async def is_recorded() -> bool:
            record = (await user.allocations()).get("v4-192-0-2-10")
            return record is not None and record["spec"].get("external") is True

        await user.until(is_recorded, "it is recorded")
        await user.client.create(SERVICES, {"metadata": {"name": "late"}, "spec": named}, namespace="default")
        await user.until_event("late", "ExternalIPRefused")
        await user.service("web")
        await user.until_addresses("web", "192.0.2.11")
        await until_kept_out(user)
        await user.client.delete(SERVICES, "late", namespace="default")
        await user.client.merge_patch(SERVICES, "named", {"spec": {"externalIPs": None}}, namespace="default")
        await user.edit("web", {"metadata": {"annotations": {"berth.dev/ips": "192.0.2.10"}}})
        await user.until_addresses("web", "192.0.2.10")
        assert "external" not in (await user.allocations())["v4-192-0-2-10"]["spec"]


async def test_a_reserved_address_waits_for_its_service_which_gets_it_again_and_again(user: User) -> None:
    kept = {"address": "192.0.2.10", "namespace": "default", "name": "later"}
    await user.pool("edge", "192.0.2.10-192.0.2.12", reservations=[kept], reuseAfterSeconds=60)
    async with allocating(user.server):
        await user.service("web")
        await user.until_addresses("web", "192.0.2.11")
        await until_kept_out(user, Reserved=["192.0.2.10 (default/later)"])
        for _ in range(2):
            await user.service("later")
            await user.until_addresses("later", "192.0.2.10")
            await until_kept_out(user)
            await user.client.delete(SERVICES, "later", namespace="default")
            await until_kept_out(user, Reserved=["192.0.2.10 (default/later)"])


async def test_a_node_that_joins_with_an_address_in_use_is_told_on_the_service_and_the_pool(user: User) -> None:
    await user.pool("edge", "192.0.2.10-192.0.2.12")
    async with allocating(user.server):
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        await node(user, "late", "192.0.2.10", "192.0.2.11")
        await user.until_reason("web", "AddressTaken")
        await user.until_event("web", "AddressTaken")

        async def is_told() -> bool:
            return (await condition(user, "edge", "Conflicted")).get("reason") == "AddressTaken"

        await user.until(is_told, "the pool tells it")
        await user.service("other")
        await user.until_addresses("other", "192.0.2.12")
        assert await user.addresses("web") == ["192.0.2.10"]
        await list_addresses(user, "late", "198.51.100.1")
        await user.until_reason("web", "Allocated")
        await until_kept_out(user)


async def test_addresses_of_a_node_are_free_when_it_is_gone_and_so_is_what_its_speaker_saw(user: User) -> None:
    await node(user, "node1", "192.0.2.10")
    await user.client.create(SPEAKERS, {"metadata": {"name": "node1"}, "spec": {}})
    eth0 = {"name": "eth0", "networks": ["192.0.2.10/24"], "gateways": ["192.0.2.11"]}
    await user.client.merge_patch(SPEAKERS, "node1", {"status": {"interfaces": [eth0]}}, subresource="status")
    await user.pool("edge", "192.0.2.10-192.0.2.11")
    async with allocating(user.server):
        await until_kept_out(user, NodeAddress=["192.0.2.10 (node1)"], Gateway=["192.0.2.11 (192.0.2.0/24)"])
        await user.client.delete(NODES, "node1")
        await until_kept_out(user)
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")


async def test_where_the_api_server_knows_no_servicecidrs_the_cluster_ips_of_services_are_kept_out(user: User) -> None:
    user.server.core.registry.remove("networking.k8s.io", "servicecidrs")
    await user.pool("edge", "192.0.2.10-192.0.2.12")
    await user.pool("cluster-ips", "10.96.0.0/16", autoAssign=False)
    early = await user.service("early")
    async with allocating(user.server):
        await user.until_addresses("early", "192.0.2.10")
        late = await user.service("late")
        await user.until_addresses("late", "192.0.2.11")
        for one in (early, late):
            await user.edit("late", {"metadata": {"annotations": {"berth.dev/ips": one["spec"]["clusterIP"]}}})
            await user.until_reason("late", "AddressExcluded")
            await user.edit("late", {"metadata": {"annotations": {"berth.dev/ips": None}}})
            await user.until_reason("late", "Allocated")
