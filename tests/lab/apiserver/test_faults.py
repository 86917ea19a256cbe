"""The server fails as it is told to, and only where it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import aiohttp
import pytest

from lab.apiserver.faults import Cut, Fault, Faults, Request
from tests.lab.apiserver.conftest import SERVICES, Client, service

STATUS = Request("PATCH", "patch", "", "services", "status", "default", "a", "allocator")


@pytest.mark.parametrize(
    ("criteria", "strikes"),
    [
        ({}, True),
        ({"method": "PATCH"}, True),
        ({"method": "patch"}, True),
        ({"method": "get"}, False),
        ({"resource": "services/status"}, True),
        ({"resource": "services"}, False),
        ({"user": "allocator"}, True),
        ({"user": "speaker"}, False),
        ({"namespace": "default", "name": "a"}, True),
        ({"namespace": "default", "name": "b"}, False),
    ],
)
def test_a_fault_strikes_what_matches_every_criterion(criteria: dict[str, Any], strikes: bool) -> None:
    faults = Faults(random.Random(1))
    faults.add(code=500, **criteria)
    assert bool(faults.matching(STATUS)) is strikes


def test_resources_of_a_group_match_with_and_without_it() -> None:
    request = Request("GET", "list", "berth.dev", "ippools")
    for name in ("ippools", "ippools.berth.dev"):
        faults = Faults(random.Random(1))
        faults.add(resource=name, code=500)
        assert faults.matching(request)


def test_a_counted_fault_ends_by_itself() -> None:
    faults = Faults(random.Random(1))
    faults.add(code=409, count=2)
    struck = [len(faults.matching(STATUS)) for _ in range(4)]
    assert struck == [1, 1, 0, 0]
    assert faults.all() == []


def test_a_probable_fault_strikes_about_as_often_as_it_says() -> None:
    faults = Faults(random.Random(1))
    faults.add(code=500, probability=0.3)
    struck = sum(len(faults.matching(STATUS)) for _ in range(1000))
    assert 250 < struck < 350


@pytest.mark.asyncio
async def test_an_error_answer_carries_its_reason_and_when_to_try_again(api: Client) -> None:
    api.server.faults.add(Fault(method="post", code=429, retry_after_seconds=7, count=1))
    code, answer = await api.post(SERVICES, service("a"))
    assert (code, answer["reason"], answer["details"]) == (429, "TooManyRequests", {"retryAfterSeconds": 7})
    assert api.headers["Retry-After"] == "7"
    assert (await api.post(SERVICES, service("a")))[0] == 201


@pytest.mark.asyncio
async def test_a_fault_can_come_after_the_write(api: Client) -> None:
    api.server.faults.add(Fault(method="create", code=500, after_commit=True, count=1))
    assert (await api.post(SERVICES, service("a")))[0] == 500
    assert (await api.get(f"{SERVICES}/a"))[0] == 200


@pytest.mark.asyncio
async def test_latency_delays_and_nothing_else(api: Client) -> None:
    api.server.faults.add(latency_seconds=0.2, resource="services")
    start = time.monotonic()
    assert (await api.get(SERVICES))[0] == 200
    assert time.monotonic() - start >= 0.2
    start = time.monotonic()
    await api.get("/api/v1/nodes")
    assert time.monotonic() - start < 0.2


@pytest.mark.asyncio
async def test_a_user_cut_off_hangs_until_it_is_mended_and_others_go_on(api: Client) -> None:
    token = api.server.core.add_user("bob", ("system:masters",))
    bob = Client(api.server, api.session, token)
    _, answer = await api.get(SERVICES)
    version = answer["metadata"]["resourceVersion"]
    async with bob.watch(f"{SERVICES}?resourceVersion={version}") as stream:
        api.server.faults.cut("bob")
        await api.post(SERVICES, service("a"))
        assert await stream.is_silent(0.3)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(bob.get(SERVICES))
            await asyncio.sleep(0.3)
            assert not asked.done()
            assert (await api.get(SERVICES))[0] == 200
            api.server.faults.mend("bob")
        assert asked.result()[0] == 200
        assert await stream.names(1) == [("ADDED", "a")]


@pytest.mark.asyncio
async def test_a_user_cut_off_by_reset_is_disconnected(api: Client) -> None:
    bob = Client(api.server, api.session, api.server.core.add_user("bob", ("system:masters",)))
    api.server.faults.cut("bob", Cut.RESET)
    with pytest.raises(aiohttp.ClientError):
        await bob.get(SERVICES)
    assert (await api.get(SERVICES))[0] == 200


@pytest.mark.asyncio
async def test_an_address_can_be_cut_off(api: Client) -> None:
    api.server.faults.cut("127.0.0.1", Cut.RESET)
    with pytest.raises(aiohttp.ClientError):
        await api.get(SERVICES)
    api.server.faults.clear()
    assert (await api.get(SERVICES))[0] == 200


@pytest.mark.asyncio
async def test_a_restart_breaks_connections_and_keeps_objects_and_versions(api: Client) -> None:
    await api.post(SERVICES, service("a"))
    _, before = await api.get(SERVICES)
    url = api.server.url
    path = f"{SERVICES}?resourceVersion={before['metadata']['resourceVersion']}"
    async with api.watch(path) as stream, asyncio.TaskGroup() as group:
        group.create_task(api.server.restart(down_seconds=0.2))
        await asyncio.sleep(0.1)
        with pytest.raises(aiohttp.ClientError):
            await stream.event()
        with pytest.raises(aiohttp.ClientError):
            await api.get(SERVICES)
    assert api.server.url == url
    assert (await api.get(SERVICES))[1] == before


@pytest.mark.asyncio
async def test_a_frozen_server_answers_nobody_until_it_thaws(api: Client) -> None:
    api.server.freeze()
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(api.get(SERVICES))
        await asyncio.sleep(0.2)
        assert not asked.done()
        api.server.thaw()
    assert asked.result()[0] == 200


@pytest.mark.asyncio
async def test_requests_are_counted_by_verb_resource_user_and_code(api: Client) -> None:
    bob = Client(api.server, api.session, api.server.core.add_user("bob"))
    api.server.counters.reset()
    await api.post(SERVICES, service("a"))
    await api.patch(f"{SERVICES}/a/status", {"status": {}})
    await bob.get(SERVICES)
    counters = api.server.counters
    assert counters.total(verb="patch", resource="services/status") == 1
    assert counters.total(user="kubernetes-admin") == 2
    assert counters.total(user="bob", code=403) == 1
    assert counters.total(verb="create", code=201) == 1


@pytest.mark.asyncio
async def test_bytes_are_counted_by_what_and_by_whom(api: Client) -> None:
    api.server.counters.reset()
    async with api.watch(SERVICES) as stream:
        await api.post(SERVICES, service("a"))
        await api.post(SERVICES, service("longer"))
        assert await stream.names(3) == [("ADDED", "kubernetes"), ("ADDED", "a"), ("ADDED", "longer")]
        traffic = (await api.get("/lab/counters"))[1]["traffic"]
    (created,) = [one for one in traffic["requests"] if one["verb"] == "create"]
    assert created["resource"] == "services"
    assert (created["count"], created["bytes"]) == (2, created["largest"] * 2 - len("longer") + len("a"))
    assert "aiohttp" in created["agent"]
    (watched,) = traffic["watches"]
    assert (watched["resource"], watched["agent"]) == ("services", created["agent"])
    assert watched["bytes"] > created["bytes"]  # whole objects, with what the server adds
    api.server.counters.reset()
    assert api.server.counters.traffic() == {"requests": [], "watches": []}


@pytest.mark.asyncio
async def test_times_are_kept_of_requests_and_of_what_goes_to_watches(api: Client) -> None:
    """An event is written when its request has come; the answer may be later."""
    async with api.watch(SERVICES) as stream:
        await stream.names(1)
        await api.delete("/lab/timeline")
        began = time.time()
        await api.post(SERVICES, service("a"))
        assert await stream.names(1) == [("ADDED", "a")]
        rows = (await api.get("/lab/timeline"))[1]["timeline"]
    (created,) = [one for one in rows if one["verb"] == "create"]
    (event,) = [one for one in rows if one["verb"] == "event"]
    assert (created["resource"], event["resource"]) == ("services", "services")
    assert (created["who"], created["agent"]) == (event["who"], event["agent"])
    assert began <= created["at"] <= min(created["until"], event["at"])
    assert event["until"] == event["at"] <= time.time()
    assert (await api.get(f"{SERVICES}/a"))[0] == 200
    assert ("get", "a") in [(one["verb"], one["name"]) for one in api.server.timeline.rows()]


@pytest.mark.asyncio
async def test_the_lab_breaks_and_counts_over_http(api: Client) -> None:
    code, fault = await api.post("/lab/faults", {"resource": "services", "code": 503, "count": 1})
    assert (code, fault["id"]) == (200, 1)
    assert (await api.get(SERVICES))[0] == 503
    assert (await api.get("/lab/faults"))[1]["faults"] == []
    await api.post("/lab/faults", {"resource": "services", "code": 503})
    await api.delete("/lab/faults")
    assert (await api.get(SERVICES))[0] == 200
    await api.post("/lab/cut", {"who": "bob", "how": "reset"})
    assert (await api.get("/lab/faults"))[1]["cut"] == {"bob": "reset"}
    await api.post("/lab/mend", {"who": "bob"})
    _, answer = await api.get("/lab/counters")
    assert {"verb": "list", "resource": "services", "user": "kubernetes-admin", "code": 503, "count": 1} in (
        answer["counters"]
    )
    for command in ("drop-watches", "forget-history"):
        assert (await api.post(f"/lab/{command}", None))[1] == {"done": command}
    assert (await api.post("/lab/nonsense", None))[0] == 404
    assert (await api.post("/lab/faults", {"colour": "red"}))[0] == 400


@pytest.mark.asyncio
async def test_only_the_admin_may_break_things(api: Client) -> None:
    bob = Client(api.server, api.session, api.server.core.add_user("bob"))
    assert (await bob.post("/lab/faults", {"code": 500}))[0] == 403


@pytest.mark.asyncio
async def test_a_server_with_faults_can_be_restarted_over_http(api: Client) -> None:
    _, before = await api.get(SERVICES)
    with contextlib.suppress(aiohttp.ClientError):  # the answer may be lost with the connection
        await api.post("/lab/restart?seconds=0.1", None)
    await asyncio.sleep(0.5)
    assert (await api.get(SERVICES))[1] == before
