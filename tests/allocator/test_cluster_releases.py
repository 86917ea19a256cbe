"""The whole allocator against the API server stand-in: which speakers a release waits for, and for how long."""

import asyncio
import contextlib
import json

import pytest

from crds.fencing import SETTLE_SECONDS
from kube.resource import (
    DEPARTEDSPEAKERS,
    NODES,
    SERVICES,
    SPEAKERS,
)
from tests.allocator.cluster import EDGE, User, allocating, settled, speaking

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


async def test_a_release_that_waits_names_the_node_on_the_record_and_in_an_event(user: User) -> None:
    async with settled(user, "node-a", "node-b") as (_, frozen):
        frozen.frozen = True
        await user.delete("web")

        async def says_so() -> bool:
            stored = (await user.allocations())["v4-192-0-2-10"]
            withdrawn = [one for one in stored.get("status", {}).get("conditions", []) if one["type"] == "Withdrawn"]
            return (
                bool(withdrawn)
                and withdrawn[0]["reason"] == "WaitingForSpeakers"
                and "node-b" in withdrawn[0]["message"]
            )

        await user.until(says_so, "the record names node-b")
        stored = (await user.allocations())["v4-192-0-2-10"]
        withdrawn = next(one for one in stored["status"]["conditions"] if one["type"] == "Withdrawn")
        assert "node-a" not in withdrawn["message"]
        assert "kubectl delete speaker.berth.dev" not in withdrawn["message"], "the fence time is not over"
        await user.until_event("web", "WaitingForSpeakers")
        frozen.frozen = False
        await user.until_gone("web")


@pytest.mark.parametrize("word", ["goodbye", "speaker deleted", "node deleted"])
async def test_who_cannot_announce_any_more_is_not_waited_for(user: User, word: str) -> None:
    async with settled(user, "node-a", "node-b") as (_, gone):
        gone.frozen = True
        await asyncio.sleep(0.1)
        await user.delete("web")
        await user.until(lambda: user.is_releasing("v4-192-0-2-10"), "it is being released")
        await asyncio.sleep(0.2)
        assert await user.get(SERVICES, "web", "default") is not None
        match word:
            case "goodbye":
                await gone.patch({"goodbye": True})
            case "speaker deleted":
                await user.client.delete(SPEAKERS, "node-b")
            case "node deleted":
                await user.client.delete(NODES, "node-b")
        await user.until_gone("web")


@pytest.mark.parametrize("word", ["speaker deleted", "node deleted, and then its speaker"])
async def test_who_may_have_left_routes_with_routers_is_waited_for_though_its_object_is_gone(
    user: User, word: str
) -> None:
    """Deleted before the release is marked, so that nobody but the allocator remembers; and after."""
    async with settled(user, "node-a", "node-b", "node-c") as (_, before, after):
        for speaker in (before, after):
            speaker.frozen = True
            await speaker.patch({"routers": [{"address": "192.0.2.1", "outlivesSeconds": 4}]})
        await asyncio.sleep(0.1)
        if word.startswith("node"):
            await user.client.delete(NODES, "node-b")
        await user.client.delete(SPEAKERS, "node-b")
        deleted = asyncio.get_running_loop().time()
        await user.delete("web")
        await user.until(lambda: user.is_releasing("v4-192-0-2-10"), "it is being released")
        await user.client.delete(SPEAKERS, "node-c")
        await user.until_event("web", "WaitingForSpeakers")

        async def says_so() -> bool:
            stored = (await user.allocations())["v4-192-0-2-10"]
            said = json.dumps(stored.get("status"))
            return all(
                f"{node}: its Speaker is gone, but routers 192.0.2.1 may keep its routes" in said
                for node in ("node-b", "node-c")
            )

        await user.until(says_so, "the record names both")
        await user.until_gone("web")
        assert asyncio.get_running_loop().time() - deleted >= 4


async def test_who_registers_again_after_its_object_was_deleted_confirms_for_itself(user: User) -> None:
    async with settled(user, "node-a", "node-b") as (_, again):
        again.frozen = True
        await again.patch(LONG)
        await asyncio.sleep(0.1)
        await user.client.delete(SPEAKERS, "node-b")
        await again.register()
        await again.patch(LONG)
        again.frozen = False
        await user.delete("web")
        await user.until_gone("web")
        await until_departed(user)


LONG = {"routers": [{"address": "192.0.2.1", "outlivesSeconds": 3600}]}


async def departed(user: User) -> dict[str, str]:
    """The DepartedSpeakers: their names by node."""
    raws, _ = await user.client.list(DEPARTEDSPEAKERS)
    return {one["spec"]["node"]: one["metadata"]["name"] for one in map(json.loads, raws)}


async def until_departed(user: User, *nodes: str) -> None:
    async def is_so() -> bool:
        return sorted(await departed(user)) == sorted(nodes)

    await user.until(is_so, f"there are DepartedSpeakers of {nodes}")


async def until_says(user: User, *words: str) -> None:
    async def is_so() -> bool:
        stored = (await user.allocations())["v4-192-0-2-10"]
        return all(word in json.dumps(stored.get("status")) for word in words)

    await user.until(is_so, f"the record says {words}")


async def test_what_routers_keep_of_a_deleted_speaker_survives_all_allocators(user: User) -> None:
    """The next one has never seen that Speaker. An operator's word ends it."""
    await user.pool("edge", EDGE)
    async with speaking(user, "node-a", "node-b") as (_, gone):
        async with allocating(user.server):
            await user.service("web")
            await user.until_addresses("web", "192.0.2.10")
            gone.frozen = True
            await gone.patch(LONG)
            await asyncio.sleep(0.1)
            await user.client.delete(SPEAKERS, "node-b")
            await until_departed(user, "node-b")
        async with allocating(user.server, identity="two"):
            await user.delete("web")
            name = (await departed(user))["node-b"]
            await until_says(
                user, "routers 192.0.2.1 may keep its routes", f"kubectl delete departedspeaker.berth.dev {name}"
            )
            await user.client.delete(DEPARTEDSPEAKERS, name)
            await user.until_gone("web")
            assert await departed(user) == {}


async def test_what_routers_kept_is_deleted_when_its_time_is_over(user: User) -> None:
    async with settled(user, "node-a", "node-b") as (_, gone):
        gone.frozen = True
        await gone.patch({"routers": [{"address": "192.0.2.1", "outlivesSeconds": 3}]})
        await asyncio.sleep(0.1)
        await user.client.delete(SPEAKERS, "node-b")
        await until_departed(user, "node-b")
        await until_departed(user)


async def test_the_next_leader_writes_down_what_the_last_one_could_not(user: User) -> None:
    await user.pool("edge", EDGE)
    async with speaking(user, "node-a") as (gone,), contextlib.AsyncExitStack() as first:
        await first.enter_async_context(allocating(user.server, lease_duration_seconds=2.0))
        async with allocating(user.server, identity="two", lease_duration_seconds=2.0):
            await user.service("web")
            await user.until_addresses("web", "192.0.2.10")
            await gone.patch(LONG)
            gone.frozen = True
            await asyncio.sleep(0.3)
            user.server.faults.add(method="create", resource="departedspeakers.berth.dev", code=503)
            await user.client.delete(SPEAKERS, "node-a")
            await asyncio.sleep(0.5)
            assert await departed(user) == {}
            await first.aclose()
            user.server.faults.clear()
            await until_departed(user, "node-a")


async def test_routers_of_a_dead_node_are_dropped_by_an_operators_word(user: User) -> None:
    async with settled(user, "node-a", "node-b") as (_, gone):
        gone.frozen = True
        await gone.patch({"routers": [{"address": "192.0.2.1", "outlivesSeconds": 2**31 - 1}]})
        await user.client.delete(NODES, "node-b")
        await user.delete("web")
        await until_says(
            user,
            "kubectl annotate --overwrite speaker.berth.dev node-b "
            f"berth.dev/dropped-routers={gone.incarnation}/192.0.2.1",
        )
        annotations = {"berth.dev/dropped-routers": f"{gone.incarnation}/192.0.2.1"}
        await user.client.merge_patch(SPEAKERS, "node-b", {"metadata": {"annotations": annotations}})
        await user.until_gone("web")


async def test_a_speaker_that_never_registered_holds_nothing_back(user: User) -> None:
    async with settled(user, "node-a"):
        await user.client.create(NODES, {"metadata": {"name": "node-b"}})
        await user.client.create(SPEAKERS, {"metadata": {"name": "node-b"}, "spec": {}})
        await user.delete("web")
        await user.until_gone("web")


@pytest.mark.slow
async def test_a_dead_speaker_that_promised_is_fenced_by_the_majority(user: User) -> None:
    await user.pool("edge", EDGE)
    promise = {"promised": True, "fenceAfterSeconds": 2, "witnesses": ["a", "b", "c"]}
    async with allocating(user.server, fence_after_seconds=2.0), speaking(user, "a", "b", "c") as (_, _, dead):
        await dead.patch({"fencing": promise})
        await user.service("web")
        await user.until_addresses("web", "192.0.2.10")
        dead.frozen = True
        began = asyncio.get_running_loop().time()
        await user.delete("web")
        await user.until_gone("web", SETTLE_SECONDS + 20)
        assert asyncio.get_running_loop().time() - began > SETTLE_SECONDS


async def test_a_living_speaker_whose_lease_loses_its_label_is_not_passed_over(user: User) -> None:
    """It renews all the time, and has not confirmed. Somebody's policy takes off the label at each renewal."""
    promise = {"promised": True, "fenceAfterSeconds": 2, "witnesses": ["a", "b", "c"]}
    async with settled(user, "a", "b", "c", fence_after_seconds=2.0) as (_, _, slow):
        await slow.patch({"fencing": promise})
        slow.confirms = False
        await user.delete("web")
        await user.until(lambda: user.is_releasing("v4-192-0-2-10"), "it is being released")
        await asyncio.sleep(1.0)  # its Lease has been read, with the label
        slow.labels_lease = False
        await asyncio.sleep(SETTLE_SECONDS + 8)
        assert await user.is_releasing("v4-192-0-2-10"), "it was given out"
        slow.confirms = True
        await user.until_gone("web")


async def test_without_any_speaker_a_release_waits_for_nobody(user: User) -> None:
    async with settled(user):
        await user.delete("web")
        await user.until_gone("web")
