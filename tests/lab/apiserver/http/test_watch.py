"""Watches as clients live with them: resumed, selected, bookmarked, broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest

from tests.lab.apiserver.conftest import DEFINITIONS, GADGETS, SERVICES, Client, definition, service

pytestmark = pytest.mark.asyncio
Serve = Callable[..., AbstractAsyncContextManager[Client]]


async def version(api: Client) -> str:
    _, answer = await api.get(SERVICES)
    return str(answer["metadata"]["resourceVersion"])


async def test_changes_arrive_as_they_happen(api: Client) -> None:
    async with api.watch(f"{SERVICES}?resourceVersion={await version(api)}") as stream:
        assert await stream.is_silent()
        await api.post(SERVICES, service("a"))
        await api.patch(f"{SERVICES}/a", {"metadata": {"labels": {"x": "y"}}})
        await api.patch(f"{SERVICES}/a", {"metadata": {"labels": {"x": "y"}}})
        await api.delete(f"{SERVICES}/a")
        assert await stream.names(3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
        assert await stream.is_silent()


async def test_another_namespace_is_not_heard(api: Client) -> None:
    async with api.watch(f"{SERVICES}?resourceVersion={await version(api)}") as stream:
        await api.post("/api/v1/namespaces/kube-system/services", service("elsewhere"))
        await api.post(SERVICES, service("here"))
        assert await stream.names(1) == [("ADDED", "here")]


async def test_one_object_can_be_watched_by_name(api: Client) -> None:
    path = f"{SERVICES}?resourceVersion={await version(api)}&fieldSelector=metadata.name%3Db"
    async with api.watch(path) as stream:
        await api.post(SERVICES, service("a"))
        await api.post(SERVICES, service("b"))
        assert await stream.names(1) == [("ADDED", "b")]


async def test_an_object_enters_and_leaves_a_selector_of_fields(api: Client) -> None:
    path = f"{SERVICES}?resourceVersion={await version(api)}&fieldSelector=spec.type%3DLoadBalancer"
    async with api.watch(path) as stream:
        await api.post(SERVICES, service("a", type="ClusterIP"))
        await api.patch(f"{SERVICES}/a", {"spec": {"type": "LoadBalancer"}})
        await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}})
        first, last = await stream.event(), await stream.event()
    assert first is not None
    assert last is not None
    assert [first["type"], last["type"]] == ["ADDED", "DELETED"]
    assert last["object"]["spec"]["type"] == "LoadBalancer"
    assert int(last["object"]["metadata"]["resourceVersion"]) > int(first["object"]["metadata"]["resourceVersion"])


async def test_a_watch_resumes_where_the_last_one_ended(api: Client) -> None:
    start = await version(api)
    await api.post(SERVICES, service("a"))
    async with api.watch(f"{SERVICES}?resourceVersion={start}") as stream:
        event = await stream.event()
    assert event is not None
    await api.post(SERVICES, service("b"))
    resumed = event["object"]["metadata"]["resourceVersion"]
    async with api.watch(f"{SERVICES}?resourceVersion={resumed}") as stream:
        assert await stream.names(1) == [("ADDED", "b")]


async def test_forgotten_history_is_an_error_event_with_410(api: Client) -> None:
    start = await version(api)
    await api.post(SERVICES, service("a"))
    api.server.forget_history()
    async with api.watch(f"{SERVICES}?resourceVersion={start}") as stream:
        event = await stream.event()
        assert event is not None
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert await stream.event() is None


async def test_history_ends_where_the_setting_says(serve: Serve) -> None:
    async with serve(history_events=5) as api:
        start = await version(api)
        for number in range(40):
            await api.post(SERVICES, service(f"s{number}", allocateLoadBalancerNodePorts=False))
        async with api.watch(f"{SERVICES}?resourceVersion={start}") as stream:
            event = await stream.event()
            assert event is not None
            assert event["object"]["code"] == 410


async def test_bookmarks_come_while_nothing_happens(serve: Serve) -> None:
    async with serve(bookmark_seconds=0.1) as api:
        start = await version(api)
        async with api.watch(f"{SERVICES}?resourceVersion={start}&allowWatchBookmarks=true") as stream:
            await api.post("/api/v1/namespaces", {"metadata": {"name": "other"}})
            event = await stream.event()
        assert event is not None
        assert (event["type"], event["object"]["kind"]) == ("BOOKMARK", "Service")
        assert int(event["object"]["metadata"]["resourceVersion"]) > int(start)
        async with api.watch(f"{SERVICES}?resourceVersion={start}") as stream:
            assert await stream.is_silent(0.25)


async def test_a_watch_ends_in_time_with_a_last_bookmark(api: Client) -> None:
    path = f"{SERVICES}?resourceVersion={await version(api)}&allowWatchBookmarks=true&timeoutSeconds=1"
    async with api.watch(path) as stream:
        event = await stream.event()
        assert event is not None
        assert event["type"] == "BOOKMARK"
        assert await stream.event() is None


async def test_initial_events_need_the_right_match(api: Client) -> None:
    code, answer = await api.get(f"{SERVICES}?watch=1&sendInitialEvents=true")
    assert (code, answer["reason"]) == (422, "Invalid")


async def test_a_table_watch_tells_its_columns_once(api: Client) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    async with api.watch(f"{SERVICES}?resourceVersion={await version(api)}", Accept=accept) as stream:
        await api.post(SERVICES, service("a"))
        await api.delete(f"{SERVICES}/a")
        first, second = await stream.event(), await stream.event()
    assert first is not None
    assert second is not None
    assert first["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"]
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "a"


async def test_dropped_watches_break_off_and_ended_ones_end(api: Client) -> None:
    path = f"{SERVICES}?resourceVersion={await version(api)}"
    async with api.watch(path) as stream:
        api.server.end_watches()
        assert await stream.event() is None
    async with api.watch(path) as stream:
        api.server.drop_watches()
        with pytest.raises(aiohttp.ClientError):
            await stream.event()


async def test_a_watch_of_a_deleted_definition_shows_its_objects_go_and_ends(api: Client) -> None:
    await api.post(DEFINITIONS, definition())
    await api.post(GADGETS, {"metadata": {"name": "a"}, "spec": {"size": 1}})
    async with api.watch(f"{GADGETS}?sendInitialEvents=true&resourceVersionMatch=NotOlderThan") as stream:
        assert await stream.names(1) == [("ADDED", "a")]
        await api.delete(f"{DEFINITIONS}/gadgets.example.dev")
        assert await stream.names(1) == [("DELETED", "a")]
        assert await stream.event() is None
    assert (await api.get(GADGETS))[0] == 404


async def test_a_client_that_leaves_leaves_nothing_behind(api: Client) -> None:
    async with api.watch(f"{SERVICES}?resourceVersion={await version(api)}"):
        assert api.server.watch_count == 1
    for _ in range(100):
        if api.server.watch_count == 0:
            break
        await asyncio.sleep(0.02)
    assert api.server.watch_count == 0
    assert len(api.server.core.store.table("services").listeners) == 1  # the ranges of Services listen too


async def test_all_of_many_watchers_get_the_same_events_in_order(api: Client) -> None:
    start = await version(api)

    async def follow() -> list[tuple[str, str]]:
        async with api.watch(f"{SERVICES}?resourceVersion={start}") as stream:
            return await stream.names(30)

    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(10)]
        for number in range(30):
            await api.post(SERVICES, service(f"s{number:02}"))
    expected = [("ADDED", f"s{number:02}") for number in range(30)]
    assert all(follower.result() == expected for follower in followers)


async def test_a_watch_from_a_version_that_is_not_there_yet_begins_after_it(api: Client) -> None:
    ahead = int(await version(api)) + 2
    async with api.watch(f"{SERVICES}?resourceVersion={ahead}") as stream:
        for name in ("a", "b", "c"):
            await api.post(SERVICES, service(name))
        assert await stream.names(1) == [("ADDED", "c")]
