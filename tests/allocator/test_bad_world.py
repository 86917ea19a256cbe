"""The whole allocator against the API server stand-in: bad input, hands in the works, and an API server that fails."""

import asyncio
import json
import time
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from allocator.io import reporter
from crds.fencing import SETTLE_SECONDS
from crds.names import FINALIZER
from kube.errors import Invalid
from kube.resource import (
    BGPADVERTISEMENTS,
    BGPPEERS,
    IPALLOCATIONS,
    IPPOOLS,
    L2ADVERTISEMENTS,
    NODES,
    SERVICES,
    SPEAKERS,
    Resource,
)
from tests.allocator.cluster import CRDS, Body, Desk, allocating, speaking

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

EDGE = "192.0.2.10-192.0.2.13"


async def condition_of(desk: Desk, pool: str, type: str) -> Body:
    body = await desk.get(IPPOOLS, pool)
    assert body is not None
    conditions = body.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == type), {})


async def until_pool(desk: Desk, pool: str, type: str, reason: str) -> Body:
    async def is_so() -> bool:
        return (await condition_of(desk, pool, type)).get("reason") == reason

    await desk.until(is_so, f"pool {pool} says {reason}")
    return await condition_of(desk, pool, type)


async def test_a_pool_says_how_full_it_is_and_what_is_wrong_with_it(desk: Desk) -> None:
    await desk.pool("edge", "192.0.2.10", "2001:db8::/64")
    await desk.pool("late", "192.0.2.8/29")
    async with allocating(desk.server):
        await desk.service("web")
        await until_pool(desk, "edge", "Exhausted", "NoAddressesLeft")
        body = await desk.get(IPPOOLS, "edge")
        assert body is not None
        assert body["status"]["ipv4"] == {"capacity": "1", "allocated": 1, "free": "0"}
        assert body["status"]["ipv6"]["capacity"] == str(2**64)
        assert (await condition_of(desk, "edge", "Ready"))["status"] == "True"
        lost = await until_pool(desk, "late", "Overlapping", "PoolsOverlap")
        assert "192.0.2.10 with edge" in lost["message"]
        await desk.delete("web")
        await until_pool(desk, "edge", "Exhausted", "NotExhausted")


@pytest.mark.parametrize(
    "addresses",
    [["192.0.2.300"], ["192.0.2.20-192.0.2.10"], ["192.0.2.1-2001:db8::1"], ["192.0.2.1/24"], [], ["nonsense"]],
)
async def test_a_pool_that_cannot_be_is_refused_by_the_api_server(desk: Desk, addresses: list[str]) -> None:
    with pytest.raises(Invalid):
        await desk.pool("edge", *addresses)


async def test_a_pool_that_slipped_past_the_rules_harms_nobody(desk: Desk) -> None:
    """Objects may be older than a rule: a schema without rules stands for that time."""
    crd = await desk.get(CRDS, "ippools.berth.dev")
    assert crd is not None
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    _drop_rules(schema)
    await desk.client.merge_patch(CRDS, "ippools.berth.dev", {"spec": {"versions": crd["spec"]["versions"]}})
    await desk.pool("bad", "192.0.2.20-192.0.2.10", "nonsense", "198.51.100.1-2001:db8::1")
    await desk.pool("shy", "203.0.113.0/24", exclude=["nonsense"])
    await desk.pool("good", EDGE)
    async with allocating(desk.server):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        message = (await until_pool(desk, "bad", "Ready", "InvalidAddresses"))["message"]
        assert "write 192.0.2.10-192.0.2.20" in message
        assert "one range for each" in message
        assert "gives out no new address" in (await until_pool(desk, "shy", "Ready", "InvalidAddresses"))["message"]


async def test_an_empty_pool_says_so_and_its_services_wait(desk: Desk) -> None:
    await desk.pool("edge", EDGE, exclude=["192.0.2.0/24"])
    async with allocating(desk.server):
        await desk.service("web")
        await desk.until_reason("web", "FamilyUnavailable")
        await until_pool(desk, "edge", "Ready", "EmptyPool")
        await desk.client.merge_patch(IPPOOLS, "edge", {"spec": {"exclude": None}})
        await desk.until_addresses("web", "192.0.2.10")


async def test_a_full_pool_makes_wait_and_the_oldest_gets_what_frees(desk: Desk) -> None:
    await desk.pool("edge", "192.0.2.10")
    async with allocating(desk.server), speaking(desk, "node-a"):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        await desk.service("next")
        await desk.until_reason("next", "PoolExhausted")
        await desk.delete("web")
        await desk.until_addresses("next", "192.0.2.10")
        await desk.until_event("next", "Allocated")
        assert set(await desk.events("next")) == {"PoolExhausted", "Allocated"}


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
    desk: Desk, annotations: dict[str, str], spec: Body, reason: str
) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        await desk.service("wish", annotations=annotations, **spec)
        await desk.until_reason("wish", reason)
        assert await desk.addresses("wish") == []
        await desk.until_event("wish", reason)
    assert await desk.events("wish") == [reason]


async def test_a_foreign_class_is_never_touched(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server):
        created = await desk.service("theirs", loadBalancerClass="example.org/theirs")
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        body = await desk.get(SERVICES, "theirs", "default")
        assert body is not None
        assert body["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


async def test_a_type_change_frees_the_address_after_the_barrier(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a") as (speaker,):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        speaker.frozen = True
        await desk.edit("web", {"spec": {"type": "ClusterIP"}})
        await desk.service("wish", annotations={"berth.dev/ips": "192.0.2.10"})
        await desk.until_reason("wish", "AddressInUse")
        await asyncio.sleep(0.3)
        assert await desk.addresses("wish") == []
        body = await desk.get(SERVICES, "web", "default")
        assert body is not None
        assert body["metadata"]["finalizers"] == [FINALIZER]
        speaker.frozen = False
        await desk.until_addresses("wish", "192.0.2.10")
        body = await desk.get(SERVICES, "web", "default")
        assert body is not None
        assert "finalizers" not in body["metadata"]
        assert await desk.reason("web") is None


async def test_a_move_waits_for_nobody_and_the_old_address_for_everybody(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a") as (speaker,):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        speaker.frozen = True
        await desk.edit("web", {"metadata": {"annotations": {"berth.dev/ips": "192.0.2.12"}}})
        await desk.until_addresses("web", "192.0.2.12")
        await desk.until(lambda: _is_releasing(desk, "v4-192-0-2-10"), "the old address is being released")
        speaker.frozen = False

        async def is_alone() -> bool:
            return list(await desk.allocations()) == ["v4-192-0-2-12"]

        await desk.until(is_alone, "the old address is free")


async def test_a_release_that_waits_names_the_node_on_the_record_and_in_an_event(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a", "node-b") as (_, frozen):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        frozen.frozen = True
        await desk.delete("web")

        async def says_so() -> bool:
            stored = (await desk.allocations())["v4-192-0-2-10"]
            withdrawn = [one for one in stored.get("status", {}).get("conditions", []) if one["type"] == "Withdrawn"]
            return (
                bool(withdrawn)
                and withdrawn[0]["reason"] == "WaitingForSpeakers"
                and "node-b" in withdrawn[0]["message"]
            )

        await desk.until(says_so, "the record names node-b")
        stored = (await desk.allocations())["v4-192-0-2-10"]
        withdrawn = next(one for one in stored["status"]["conditions"] if one["type"] == "Withdrawn")
        assert "node-a" not in withdrawn["message"]
        assert "kubectl delete speaker node-b" in withdrawn["message"]
        await desk.until_event("web", "WaitingForSpeakers")
        frozen.frozen = False
        await desk.until_gone("web")


@pytest.mark.parametrize("word", ["goodbye", "speaker deleted", "node deleted"])
async def test_who_cannot_announce_any_more_is_not_waited_for(desk: Desk, word: str) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a", "node-b") as (_, gone):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        gone.frozen = True
        await asyncio.sleep(0.1)
        await desk.delete("web")
        await desk.until(lambda: _is_releasing(desk, "v4-192-0-2-10"), "it is being released")
        await asyncio.sleep(0.2)
        assert await desk.get(SERVICES, "web", "default") is not None
        match word:
            case "goodbye":
                await gone.patch({"goodbye": True})
            case "speaker deleted":
                await desk.client.delete(SPEAKERS, "node-b")
            case "node deleted":
                await desk.client.delete(NODES, "node-b")
        await desk.until_gone("web")


@pytest.mark.parametrize("word", ["speaker deleted", "node deleted, and then its speaker"])
async def test_who_may_have_left_routes_with_routers_is_waited_for_though_its_object_is_gone(
    desk: Desk, word: str
) -> None:
    """Deleted before the release is marked, so that nobody but the allocator remembers; and after."""
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a", "node-b", "node-c") as (_, before, after):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        for speaker in (before, after):
            speaker.frozen = True
            await speaker.patch({"outlivesSeconds": 4, "incarnation": "one"})
        await asyncio.sleep(0.1)
        if word.startswith("node"):
            await desk.client.delete(NODES, "node-b")
        await desk.client.delete(SPEAKERS, "node-b")
        deleted = asyncio.get_running_loop().time()
        await desk.delete("web")
        await desk.until(lambda: _is_releasing(desk, "v4-192-0-2-10"), "it is being released")
        await desk.client.delete(SPEAKERS, "node-c")
        await desk.until_event("web", "WaitingForSpeakers")

        async def says_so() -> bool:
            stored = (await desk.allocations())["v4-192-0-2-10"]
            said = json.dumps(stored.get("status"))
            return all(
                f"{node}: its Speaker is gone, but routers may keep its routes" in said for node in ("node-b", "node-c")
            )

        await desk.until(says_so, "the record names both")
        await desk.until_gone("web")
        assert asyncio.get_running_loop().time() - deleted >= 4


async def test_who_registers_again_after_its_object_was_deleted_confirms_for_itself(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a", "node-b") as (_, again):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        again.frozen = True
        await again.patch({"outlivesSeconds": 3600, "incarnation": "one"})
        await asyncio.sleep(0.1)
        await desk.client.delete(SPEAKERS, "node-b")
        await again.register()
        await again.patch({"outlivesSeconds": 3600, "incarnation": "one"})
        again.frozen = False
        await desk.delete("web")
        await desk.until_gone("web")


@pytest.mark.slow
async def test_a_dead_speaker_that_promised_is_fenced_by_the_majority(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    promise = {"promised": True, "fenceAfterSeconds": 2, "witnesses": ["a", "b", "c"]}
    async with allocating(desk.server, fence_after_seconds=2.0), speaking(desk, "a", "b", "c") as (_, _, dead):
        await dead.patch({"fencing": promise})
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        dead.frozen = True
        began = asyncio.get_running_loop().time()
        await desk.delete("web")
        await desk.until_gone("web", SETTLE_SECONDS + 20)
        assert asyncio.get_running_loop().time() - began > SETTLE_SECONDS


async def test_without_any_speaker_a_release_waits_for_nobody(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        await desk.delete("web")
        await desk.until_gone("web")


async def test_a_service_recreated_at_once_waits_for_its_own_old_address(desk: Desk) -> None:
    await desk.pool("edge", "192.0.2.10")
    async with allocating(desk.server), speaking(desk, "node-a") as (speaker,):
        first = await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        speaker.frozen = True
        await desk.delete("web")
        await desk.edit("web", {"metadata": {"finalizers": None}})
        second = await desk.service("web")
        await desk.until_reason("web", "PoolExhausted")
        await desk.until_event("web", "FinalizerRemoved")
        record = (await desk.allocations())["v4-192-0-2-10"]
        assert record["spec"]["holders"][0]["uid"] == first["metadata"]["uid"]
        speaker.frozen = False
        await desk.until_addresses("web", "192.0.2.10")
        record = (await desk.allocations())["v4-192-0-2-10"]
        assert record["spec"]["holders"][0]["uid"] == second["metadata"]["uid"]


async def test_hands_in_the_works_are_put_right_and_reported(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a"):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")

        await desk.client.merge_patch(IPALLOCATIONS, "v4-192-0-2-10", {"spec": {"trafficPolicy": "Local"}})

        async def is_right() -> bool:
            return bool((await desk.allocations())["v4-192-0-2-10"]["spec"]["trafficPolicy"] == "Cluster")

        await desk.until(is_right, "the record is put right")

        before = (await desk.allocations())["v4-192-0-2-10"]["metadata"]["uid"]
        await desk.client.delete(IPALLOCATIONS, "v4-192-0-2-10")

        async def is_back() -> bool:
            record = (await desk.allocations()).get("v4-192-0-2-10")
            return record is not None and record["metadata"]["uid"] != before

        await desk.until(is_back, "the record is written again")

        await desk.edit("web", {"metadata": {"finalizers": None}})

        async def has_finalizer() -> bool:
            body = await desk.get(SERVICES, "web", "default")
            return body is not None and body["metadata"].get("finalizers") == [FINALIZER]

        await desk.until(has_finalizer, "the finalizer is back")
        assert await desk.addresses("web") == ["192.0.2.10"]
        for reason in ("AllocationLost", "FinalizerRemoved"):
            await desk.until_event("web", reason)


async def test_a_standby_takes_over_and_changes_nothing(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server, identity="standby", lease_duration_seconds=2.0) as standby:
        # Whoever is first leads; the other one stands by.
        async with allocating(desk.server, identity="other", lease_duration_seconds=2.0):
            await desk.service("web")
            await desk.until_addresses("web", "192.0.2.10")
            assert standby.is_ready
        body = await desk.get(SERVICES, "web", "default")
        await desk.service("next")
        await desk.until_addresses("next", "192.0.2.11")
        assert standby.assigner is not None
        assert await desk.get(SERVICES, "web", "default") == body


async def test_the_world_misbehaves_and_every_service_gets_one_address(desk: Desk) -> None:
    await desk.pool("edge", "192.0.2.0/24")
    async with allocating(desk.server), speaking(desk, "node-a"):
        for number in range(6):
            await desk.service(f"before{number}")
        desk.server.drop_watches()
        desk.server.forget_history()
        for number in range(6):
            await desk.service(f"during{number}")
        await desk.server.restart(0.2)
        for number in range(6):
            await desk.service(f"after{number}")
        desk.server.end_watches()
        names = [f"{when}{number}" for when in ("before", "during", "after") for number in range(6)]
        for name in names:
            await desk.until_reason(name, "Allocated")
        found = [tuple(await desk.addresses(name)) for name in names]
        assert len(set(found)) == len(names)
        assert len(await desk.allocations()) == len(names)


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
async def test_a_refused_or_lost_write_is_made_good(desk: Desk, fault: Body) -> None:
    await desk.pool("edge", "192.0.2.10")
    async with allocating(desk.server), speaking(desk, "node-a"):
        desk.server.faults.add(count=2, **fault)
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        await desk.delete("web")
        await desk.until_gone("web")
        assert await desk.allocations() == {}
        await desk.service("next")
        await desk.until_addresses("next", "192.0.2.10")


async def test_a_conflict_is_answered_from_the_fresher_object(desk: Desk) -> None:
    """Somebody adds a finalizer of his own between our reading and our writing: both stay."""
    await desk.pool("edge", EDGE)
    async with allocating(desk.server):
        held_up = desk.server.faults.add(method="create", resource="ipallocations.berth.dev", latency_seconds=0.3)
        await desk.service("web")
        await desk.edit("web", {"metadata": {"finalizers": ["example.org/theirs"], "labels": {"tier": "front"}}})
        await desk.until_addresses("web", "192.0.2.10")
        desk.server.faults.remove(held_up)
        body = await desk.get(SERVICES, "web", "default")
        assert body is not None
        assert body["metadata"]["finalizers"] == ["example.org/theirs", FINALIZER]

        async def has_labels() -> bool:
            record = (await desk.allocations())["v4-192-0-2-10"]
            return bool(record["spec"]["holders"][0].get("labels") == {"tier": "front"})

        await desk.until(has_labels, "the record has the new labels")


async def test_an_advertisement_that_names_a_pool_in_vain_says_so(desk: Desk) -> None:
    await desk.client.create(L2ADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {"ipPools": ["edge"]}})

    async def reason() -> str | None:
        body = await desk.get(L2ADVERTISEMENTS, "ad")
        conditions = body.get("status", {}).get("conditions", []) if body is not None else []
        return next((one["reason"] for one in conditions), None)

    async with allocating(desk.server):

        async def is_unknown() -> bool:
            return await reason() == "UnknownPool"

        async def is_valid() -> bool:
            return await reason() == "Valid"

        await desk.until(is_unknown, "the pool is unknown")
        await desk.pool("edge", EDGE)
        await desk.until(is_valid, "the pool is known")


async def test_the_record_says_who_announces(desk: Desk) -> None:
    await desk.pool("edge", EDGE)
    async with allocating(desk.server), speaking(desk, "node-a", "node-b") as (speaker, _):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        await speaker.patch({"announcements": {"192.0.2.10": {"protocols": ["Layer2"], "interfaces": ["eth0"]}}})

        async def is_told(nodes: list[str]) -> bool:
            status = (await desk.allocations())["v4-192-0-2-10"].get("status", {})
            return bool(status.get("announcedBy") == nodes)

        await desk.until(lambda: is_told(["node-a"]), "node-a announces")
        status = (await desk.allocations())["v4-192-0-2-10"]["status"]
        assert status["conditions"][0]["message"] == "Announced by node-a (Layer2 on eth0)"
        await speaker.patch({"announcements": {"192.0.2.10": None}})
        await desk.until(lambda: is_told([]), "nobody announces")
        reason = (await desk.allocations())["v4-192-0-2-10"]["status"]["conditions"][0]["reason"]
        assert reason == "NoAdvertisement"


async def ready_of(desk: Desk, resource: Resource, name: str) -> Body:
    body = await desk.get(resource, name)
    conditions = body.get("status", {}).get("conditions", []) if body is not None else []
    return next((one for one in conditions if one["type"] == "Ready"), {})


async def until_ready(desk: Desk, resource: Resource, name: str, reason: str) -> Body:
    async def is_so() -> bool:
        return (await ready_of(desk, resource, name)).get("reason") == reason

    await desk.until(is_so, f"{resource.kind} {name} says {reason}", 20.0)
    return await ready_of(desk, resource, name)


async def test_bgp_peers_and_advertisements_say_what_speakers_report(desk: Desk) -> None:
    spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    await desk.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
    await desk.client.create(BGPADVERTISEMENTS, {"metadata": {"name": "ad"}, "spec": {"peers": ["tor1", "tor2"]}})
    down = {"peer": "tor1", "address": "192.0.2.1", "state": "Active", "lastError": "hold timer expired"}
    up = {**down, "state": "Established"}
    async with allocating(desk.server), speaking(desk, "node-a", "node-b") as (one, other):
        assert "tor2" in (await until_ready(desk, BGPADVERTISEMENTS, "ad", "UnknownPeer"))["message"]
        await until_ready(desk, BGPPEERS, "tor1", "NoSessions")
        fault = {"object": "BGPAdvertisement/ad", "reason": "UnknownCommunity", "message": "no Community defines blue"}
        await one.patch({"bgpSessions": [up], "faults": [fault]})
        await other.patch({"bgpSessions": [down]})
        message = (await until_ready(desk, BGPPEERS, "tor1", "SomeSessionsDown"))["message"]
        assert message == "1 of 2 sessions are up. node-b: hold timer expired"
        body = await desk.get(BGPPEERS, "tor1")
        assert body is not None
        assert body["status"]["sessions"] == {"wanted": 2, "established": 1, "summary": "1/2"}
        await desk.client.create(BGPPEERS, {"metadata": {"name": "tor2"}, "spec": {**spec, "peerAddress": "192.0.2.2"}})
        assert "blue" in (await until_ready(desk, BGPADVERTISEMENTS, "ad", "UnknownCommunity"))["message"]
        await one.patch({"faults": []})
        await until_ready(desk, BGPADVERTISEMENTS, "ad", "Valid")
        await other.patch({"bgpSessions": [up]})
        await until_ready(desk, BGPPEERS, "tor1", "SessionsUp")


async def test_a_session_that_flaps_is_no_storm_of_writes(desk: Desk) -> None:
    spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}
    await desk.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
    async with allocating(desk.server), speaking(desk, "node-a") as (one,):
        await until_ready(desk, BGPPEERS, "tor1", "NoSessions")
        states, versions, until = ("Established", "Idle"), set(), time.monotonic() + 4.0
        while time.monotonic() < until:
            states = states[::-1]
            await one.patch({"bgpSessions": [{"peer": "tor1", "state": states[0]}]})
            body = await desk.get(BGPPEERS, "tor1")
            assert body is not None
            versions.add(body["metadata"]["resourceVersion"])
            await asyncio.sleep(0.2)
        assert len(versions) <= 4  # the one at the start, the rest of the 3 at once, one that came due


async def test_unknown_fields_break_nothing(desk: Desk) -> None:
    await desk.client.create(
        IPPOOLS, {"metadata": {"name": "edge"}, "spec": {"addresses": [EDGE], "colour": "blue"}, "shape": "round"}
    )
    async with allocating(desk.server):
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")


async def _is_releasing(desk: Desk, name: str) -> bool:
    record = (await desk.allocations()).get(name)
    return record is not None and bool(record["spec"].get("releasing"))


def _drop_rules(schema: Body) -> None:
    for value in list(schema.values()):
        if isinstance(value, dict):
            _drop_rules(value)
    schema.pop("x-kubernetes-validations", None)


async def test_a_record_that_no_watch_ever_showed_is_missed_in_the_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "AUDIT_SECONDS", 0.2)
    await desk.pool("edge", EDGE)
    async with allocating(desk.server) as controller:
        await desk.service("web")
        await desk.until_addresses("web", "192.0.2.10")
        await desk.until_event("web", "Allocated")
        assert controller.assigner is not None
        entry = controller.assigner.ledger.get(IPv4Address("192.0.2.10"))
        assert entry is not None
        assert entry.recorded is not None
        # As if this record had been written and deleted between two watches: no event will ever speak of it.
        entry.recorded = replace(entry.recorded, uid="unseen")
        await desk.client.delete(IPALLOCATIONS, "v4-192-0-2-10")

        async def is_back() -> bool:
            return "v4-192-0-2-10" in await desk.allocations()

        await desk.until(is_back, "the record is back")
        await desk.until_addresses("web", "192.0.2.10")
