"""The whole allocator against the API server stand-in: others write, leaders change, the API server fails."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from allocator.io import reporter
from crds.names import FINALIZER
from crds.schema import custom_resource_definition
from crds.types import Community, IPPool, L2Advertisement
from kube import refusals
from kube.io.client import Client
from kube.resource import (
    IPALLOCATIONS,
    SERVICES,
)
from tests.allocator.cluster import CRDS, EDGE, Body, User, allocating, settled, speaking

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


async def test_hands_in_the_works_are_put_right_and_reported(user: User) -> None:
    async with settled(user, "node-a"):
        await user.client.merge_patch(IPALLOCATIONS, "v4-192-0-2-10", {"spec": {"trafficPolicy": "Local"}})

        async def is_right() -> bool:
            return bool((await user.allocations())["v4-192-0-2-10"]["spec"]["trafficPolicy"] == "Cluster")

        await user.until(is_right, "the record is put right")

        before = (await user.allocations())["v4-192-0-2-10"]["metadata"]["uid"]
        await user.client.delete(IPALLOCATIONS, "v4-192-0-2-10")

        async def is_back() -> bool:
            record = (await user.allocations()).get("v4-192-0-2-10")
            return record is not None and record["metadata"]["uid"] != before

        await user.until(is_back, "the record is written again")

        await user.edit("web", {"metadata": {"finalizers": None}})

        async def has_finalizer() -> bool:
            body = await user.get(SERVICES, "web", "default")
            return body is not None and body["metadata"].get("finalizers") == [FINALIZER]

        await user.until(has_finalizer, "the finalizer is back")
        assert await user.addresses("web") == ["192.0.2.10"]
        for reason in ("AllocationLost", "FinalizerRemoved"):
            await user.until_event("web", reason)


async def test_a_standby_takes_over_and_changes_nothing(user: User) -> None:
    await user.pool("edge", EDGE)
    async with allocating(user.server, identity="standby", lease_duration_seconds=2.0) as standby:
        # Whoever is first leads; the other one stands by.
        async with allocating(user.server, identity="other", lease_duration_seconds=2.0):
            await user.service("web")
            await user.until_addresses("web", "192.0.2.10")
            assert not standby.why_not_ready()
        body = await user.get(SERVICES, "web", "default")
        await user.service("next")
        await user.until_addresses("next", "192.0.2.11")
        assert standby.assigner is not None
        assert await user.get(SERVICES, "web", "default") == body


async def test_while_a_definition_is_missing_it_is_not_ready_and_says_which(user: User) -> None:
    async with allocating(user.server) as allocator:

        async def is_ready() -> bool:
            return not allocator.why_not_ready()

        async def is_missed() -> bool:
            return "no communities.berth.dev" in allocator.why_not_ready()

        await user.until(is_ready, "all is read")
        await user.client.delete(CRDS, "communities.berth.dev")
        await user.until(is_missed, "it says that it is gone")
        await user.client.create(CRDS, custom_resource_definition(Community))
        await user.until(is_ready, "it is back", 20.0)


async def test_definitions_that_are_deleted_and_applied_again_change_no_address(user: User) -> None:
    async with settled(user, "node-a"):
        before = (await user.allocations())["v4-192-0-2-10"]
        for definition in ("ippools.berth.dev", "l2advertisements.berth.dev"):
            await user.client.delete(CRDS, definition)
        await user.until_reason("web", "OutsidePool")
        assert await user.addresses("web") == ["192.0.2.10"]
        for kind in (IPPool, L2Advertisement):
            await user.client.create(CRDS, custom_resource_definition(kind))
        await user.pool("edge", EDGE)
        await user.until_reason("web", "Allocated")
        await user.service("next")
        await user.until_addresses("next", "192.0.2.11")
        after = (await user.allocations())["v4-192-0-2-10"]
        assert await user.addresses("web") == ["192.0.2.10"]
        assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])


async def test_while_all_its_writes_are_refused_it_is_not_ready_and_says_which(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "LASTS_SECONDS", 0.1)
    await user.pool("edge", EDGE)
    async with allocating(user.server) as allocator:
        fault = user.server.faults.add(method="patch", resource="services/status", code=403)
        for number in range(refusals.OBJECTS):
            await user.service(f"web{number}")

        async def says_so() -> bool:
            return "refuses to patch services/status" in allocator.why_not_ready()

        async def is_ready() -> bool:
            return not allocator.why_not_ready()

        await user.until(says_so, "it says what is refused")
        user.server.faults.remove(fault)
        await user.until(is_ready, "it is ready again", 60.0)


async def test_the_world_misbehaves_and_every_service_gets_one_address(user: User) -> None:
    await user.pool("edge", "192.0.2.0/24")
    async with allocating(user.server), speaking(user, "node-a"):
        for number in range(6):
            await user.service(f"before{number}")
        user.server.drop_watches()
        user.server.forget_history()
        for number in range(6):
            await user.service(f"during{number}")
        await user.server.restart(0.2)
        for number in range(6):
            await user.service(f"after{number}")
        user.server.end_watches()
        names = [f"{when}{number}" for when in ("before", "during", "after") for number in range(6)]
        for name in names:
            await user.until_reason(name, "Allocated")
        found = [tuple(await user.addresses(name)) for name in names]
        assert len(set(found)) == len(names)
        assert len(await user.allocations()) == len(names)


FAULTS = [
    {"method": "create", "resource": "ipallocations.berth.dev", "code": 500},
    {"method": "create", "resource": "ipallocations.berth.dev", "code": 500, "after_commit": True},
    {"method": "create", "resource": "ipallocations.berth.dev", "code": 429, "retry_after_seconds": 0},
    {"method": "create", "resource": "ipallocations.berth.dev", "code": 409},
    {"method": "patch", "resource": "services/status", "code": 409},
    {"method": "patch", "resource": "services/status", "code": 500},
    {"method": "patch", "resource": "services/status", "code": 504, "after_commit": True},
    {"method": "patch", "resource": "ipallocations.berth.dev", "code": 409},
    {"method": "patch", "resource": "ipallocations.berth.dev", "code": 503, "after_commit": True},
    {"method": "delete", "resource": "ipallocations.berth.dev", "code": 500},
    {"method": "delete", "resource": "ipallocations.berth.dev", "code": 500, "after_commit": True},
    {"method": "list", "resource": "speakers.berth.dev", "code": 503},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(str(value) for value in fault.values()))
async def test_a_refused_or_lost_write_is_made_good(user: User, fault: Body) -> None:
    await user.pool("edge", "192.0.2.10")
    async with allocating(user.server), speaking(user, "node-a"):
        user.server.faults.add(count=2, **fault)
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        await user.delete("web")
        await user.until_gone("web")
        assert await user.allocations() == {}
        await user.service("next")
        await user.until_addresses("next", "192.0.2.10")


async def test_a_conflict_is_answered_from_the_fresher_object(user: User) -> None:
    """Somebody adds a finalizer of his own between our reading and our writing: both stay."""
    await user.pool("edge", EDGE)
    async with allocating(user.server):
        held_up = user.server.faults.add(method="create", resource="ipallocations.berth.dev", latency_seconds=0.3)
        await user.service("web")
        await user.edit("web", {"metadata": {"finalizers": ["example.org/theirs"], "labels": {"tier": "front"}}})
        await user.until_addresses("web", "192.0.2.10")
        user.server.faults.remove(held_up)
        body = await user.get(SERVICES, "web", "default")
        assert body is not None
        assert body["metadata"]["finalizers"] == ["example.org/theirs", FINALIZER]

        async def has_labels() -> bool:
            record = (await user.allocations())["v4-192-0-2-10"]
            return bool(record["spec"]["holders"][0].get("labels") == {"tier": "front"})

        await user.until(has_labels, "the record has the new labels")


async def test_a_record_that_no_watch_ever_showed_is_missed_in_the_end(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "AUDIT_SECONDS", 0.2)
    await user.pool("edge", EDGE)
    async with allocating(user.server) as controller:
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        await user.until_event("web", "Allocated")
        assert controller.assigner is not None
        entry = controller.assigner.ledger.get(IPv4Address("192.0.2.10"))
        assert entry is not None
        assert entry.recorded is not None
        # As if this record had been written and deleted between two watches: no event will ever speak of it.
        entry.recorded = replace(entry.recorded, uid="unseen")
        await user.client.delete(IPALLOCATIONS, "v4-192-0-2-10")

        async def is_back() -> bool:
            return "v4-192-0-2-10" in await user.allocations()

        await user.until(is_back, "the record is back")
        await user.until_addresses("web", "192.0.2.10")


async def test_another_load_balancer_that_writes_the_same_status_is_named(user: User) -> None:
    await user.pool("edge", EDGE)
    theirs = {"status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.7"}]}}}
    path = str(user.server.kubeconfig_path)
    async with allocating(user.server), await Client.connect(path, user_agent="k3s/v1.36") as other:
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")

        async def is_named() -> bool:
            if await user.addresses("web") == ["192.0.2.10"]:
                await other.merge_patch(SERVICES, "web", theirs, namespace="default", subresource="status")
            return await user.reason("web") == "StatusOverwritten"

        await user.until(is_named, "the other one is noticed")
        await user.until_event("web", "StatusOverwritten")
        body = await user.get(SERVICES, "web", "default")
        assert body is not None
        (condition,) = body["status"]["conditions"]
        assert "k3s, as managedFields call it, writes the status" in condition["message"]
