import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from kube.backoff import Backoff
from kube.events.io import recorder as events
from kube.events.io.recorder import EventRecorder, ObjectRef
from kube.io.client import Client
from kube.metrics import Uncounted
from tests.kube.conftest import Connected
from tests.kube.server import after, reply, status
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

SERVICE = ObjectRef("v1", "Service", "web", "shop", "uid-web", "7")
POOL = ObjectRef("berth.dev/v1beta1", "IPPool", "edge", uid="uid-edge")


class Outcomes(Uncounted):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def event_outcome(self, outcome: str) -> None:
        self.seen.append(outcome)


@contextlib.asynccontextmanager
async def recording(client: Client, outcomes: Outcomes, capacity: int = 100) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(client, "berth-allocator", "pod-0", capacity=capacity, metrics=outcomes)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(recorder.run())
        try:
            yield recorder
        finally:
            task.cancel()


async def until(outcomes: Outcomes, *expected: str) -> None:
    async with asyncio.timeout(3):
        while sorted(outcomes.seen) != sorted(expected):
            await asyncio.sleep(0.005)


async def test_an_event_is_one_that_kubectl_describe_finds(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(reply({}, 201)) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(SERVICE, "Normal", "Allocated", "192.0.2.10 of pool edge")
        await until(outcomes, "Sent")
    method, path, _, raw = script.requests[0]
    body = json.loads(raw)
    assert (method, path) == ("POST", "/api/v1/namespaces/shop/events")
    assert body["metadata"]["name"].startswith("web.")
    assert body["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Service",
        "name": "web",
        "namespace": "shop",
        "uid": "uid-web",
        "resourceVersion": "7",
    }
    assert (body["type"], body["reason"], body["message"]) == ("Normal", "Allocated", "192.0.2.10 of pool edge")
    assert body["count"] == 1
    assert body["firstTimestamp"] == body["lastTimestamp"]
    assert body["source"] == {"component": "berth-allocator"}
    assert (body["reportingComponent"], body["reportingInstance"]) == ("berth-allocator", "pod-0")


async def test_an_event_about_a_cluster_scoped_object_goes_to_namespace_default(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(reply({}, 201)) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(POOL, "Warning", "PoolExhausted", "no address is free")
        await until(outcomes, "Sent")
    assert script.requests[0][1] == "/api/v1/namespaces/default/events"
    assert "namespace" not in json.loads(script.requests[0][3])["involvedObject"]


async def test_a_repeated_event_is_counted_up_where_it_is_stored(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(reply({}, 201)) as (client, script), recording(client, outcomes) as recorder:
        for number in range(1, 3):
            recorder.record(SERVICE, "Warning", "PoolExhausted", "no address is free")
            await until(outcomes, *["Sent"] * number)
    (_, _, _, created), (method, path, _, patched) = script.requests
    assert method == "PATCH"
    assert path == f"/api/v1/namespaces/shop/events/{json.loads(created)['metadata']['name']}"
    assert json.loads(patched).keys() == {"count", "lastTimestamp"}
    assert json.loads(patched)["count"] == 2


async def test_a_stored_event_that_has_expired_is_written_anew_with_its_count(connected: Connected) -> None:
    outcomes = Outcomes()
    answers = [reply({}, 201), status(404, "NotFound"), reply({}, 201)]
    async with connected(*answers) as (client, script), recording(client, outcomes) as recorder:
        for number in range(1, 3):
            recorder.record(SERVICE, "Warning", "PoolExhausted", "no address is free")
            await until(outcomes, *["Sent"] * number)
    assert [request[0] for request in script.requests] == ["POST", "PATCH", "POST"]
    assert json.loads(script.requests[2][3])["count"] == 2


async def test_recording_never_waits_for_the_server(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(after(5.0, reply({}))) as (client, _), recording(client, outcomes, capacity=10) as recorder:
        for number in range(50):
            recorder.record(ObjectRef("v1", "Service", f"s{number}", "shop"), "Normal", "Allocated", "m")
        await asyncio.sleep(0.05)
        assert outcomes.seen == ["Dropped"] * 40


async def test_what_the_server_refuses_is_counted_and_not_tried_again(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(status(403, "Forbidden")) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(SERVICE, "Normal", "Allocated", "m")
        await until(outcomes, "Failed")
    assert len(script.requests) == 1


async def test_trouble_that_passes_loses_no_event(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay_seconds", lambda self, attempt, randomness: 0.01)
    outcomes = Outcomes()
    answers = [status(500, "InternalError")] * 3 + [reply({}, 201)]
    async with connected(*answers) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(SERVICE, "Normal", "Allocated", "m")
        await until(outcomes, "Sent")
    assert len(script.requests) == 4


async def test_trouble_that_stays_is_given_up(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "delay_seconds", lambda self, attempt, randomness: 0.01)
    outcomes = Outcomes()
    async with connected(status(500, "InternalError")) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(SERVICE, "Normal", "Allocated", "m")
        await until(outcomes, "Failed")
    assert len(script.requests) == events.ATTEMPTS


async def test_a_clean_stop_writes_what_was_waiting_and_what_was_under_way(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(after(0.3, reply({})), reply({}), reply({}), reply({})) as (client, script):
        async with recording(client, outcomes) as recorder:
            for name in ("a", "b", "c"):
                recorder.record(ObjectRef("v1", "Service", name, "shop"), "Normal", "Allocated", "m")
            await asyncio.sleep(0.02)
        await recorder.drain(2.0)
    written = {json.loads(request[3])["involvedObject"]["name"] for request in script.requests}
    assert written == {"a", "b", "c"}
    assert outcomes.seen.count("Sent") == 3


async def test_an_attempt_without_an_answer_makes_no_second_event(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "delay_seconds", lambda self, attempt, randomness: 0.01)
    outcomes = Outcomes()
    answers = [status(500, "InternalError"), status(409, "AlreadyExists"), reply({}), reply({})]
    async with connected(*answers) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(SERVICE, "Normal", "Allocated", "m")
        await until(outcomes, "Sent")
        recorder.record(SERVICE, "Normal", "Allocated", "m")
        await until(outcomes, "Sent", "Sent")
    first, second, *counted = script.requests
    name = json.loads(first[3])["metadata"]["name"]
    assert json.loads(second[3])["metadata"]["name"] == name
    # The one that is there may be of the first attempt, since when it may have happened again.
    assert [one[0] for one in counted] == ["PATCH", "PATCH"]
    assert all(name in one[1] for one in counted)
    assert [json.loads(one[3])["count"] for one in counted] == [1, 2]


async def test_a_clean_stop_does_not_wait_long(connected: Connected) -> None:
    async with connected(after(5.0, reply({}))) as (client, _):
        recorder = EventRecorder(client, "c", "i")
        recorder.record(SERVICE, "Normal", "Allocated", "m")
        async with asyncio.timeout(1):
            await recorder.drain(0.1)


async def test_long_messages_are_cut_to_what_the_server_takes(connected: Connected) -> None:
    outcomes = Outcomes()
    async with connected(reply({}, 201)) as (client, script), recording(client, outcomes) as recorder:
        recorder.record(SERVICE, "Normal", "Allocated", "ü" * 2000)
        await until(outcomes, "Sent")
    message = json.loads(script.requests[0][3])["message"]
    assert len(message.encode()) <= 1024
    assert message.endswith("...")
