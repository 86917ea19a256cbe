import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Awaitable
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Gone,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from kube.framing import WatchEvent
from kube.io import transport
from kube.io.client import Client
from kube.io.transport import Request
from kube.metrics import Uncounted
from kube.resource import IPPOOLS, LEASES, SERVICES
from tests.kube.conftest import Connected
from tests.kube.server import after, an_object, event, page, reply, status, stream
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio


async def events(client: Client, **options: float) -> list[WatchEvent]:
    async with aclosing(client.watch(SERVICES, resource_version="5", **options)) as watch:  # type: ignore[arg-type]
        return [one async for one in watch]


async def test_a_get_gives_the_bytes_as_they_came(connected: Connected) -> None:
    async with connected(reply(b'{"metadata": {"name":"a"}, "other":[1, 2]}')) as (client, script):
        assert await client.get(SERVICES, "a", "web") == b'{"metadata": {"name":"a"}, "other":[1, 2]}'
    method, path, headers, _ = script.requests[0]
    assert (method, path) == ("GET", "/api/v1/namespaces/web/services/a")
    assert headers["Authorization"] == "Bearer t0"
    assert headers["User-Agent"] == "berth-test"


async def test_writes_say_their_verb_and_content_type(connected: Connected) -> None:
    async with connected(reply({})) as (client, script):
        await client.create(IPPOOLS, {"metadata": {"name": "edge"}})
        await client.merge_patch(SERVICES, "a", {"metadata": {"uid": "u"}}, namespace="web", subresource="status")
        await client.delete(IPPOOLS, "edge", uid="u", resource_version="7")
        await client.delete(IPPOOLS, "edge")
    got = [(m, p, h["Content-Type"].split(";")[0], json.loads(b or b"null")) for m, p, h, b in script.requests]
    pool = "/apis/berth.dev/v1beta1/ippools"
    assert got == [
        (
            "POST",
            pool,
            "application/json",
            {"apiVersion": "berth.dev/v1beta1", "kind": "IPPool", "metadata": {"name": "edge"}},
        ),
        (
            "PATCH",
            "/api/v1/namespaces/web/services/a/status",
            "application/merge-patch+json",
            {"metadata": {"uid": "u"}},
        ),
        (
            "DELETE",
            f"{pool}/edge",
            "application/json",
            {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "u", "resourceVersion": "7"}},
        ),
        ("DELETE", f"{pool}/edge", "application/json", None),
    ]


async def test_selectors_and_tokens_arrive_as_they_were_meant(connected: Connected) -> None:
    async with connected(page(rv="9")) as (client, script):
        await client.list_page(
            SERVICES, label_selector="a/b=c,d in (e,f)", field_selector="x!=y", continue_token="e+/=%26"
        )
    assert parse_qs(urlsplit(script.requests[0][1]).query) == {
        "labelSelector": ["a/b=c,d in (e,f)"],
        "fieldSelector": ["x!=y"],
        "limit": ["500"],
        "continue": ["e+/=%26"],
    }


async def test_a_list_reads_all_pages_of_one_snapshot(connected: Connected) -> None:
    pages = [page(an_object("a", "1"), rv="9", more="t1"), page(an_object("b", "2"), rv="9", more="t2"), page(rv="9")]
    async with connected(*pages) as (client, script):
        items, resource_version = await client.list(SERVICES, page_size=1)
    assert [json.loads(item)["metadata"]["name"] for item in items] == ["a", "b"]
    assert resource_version == "9"
    assert [path.partition("?")[2] for _, path, _, _ in script.requests] == [
        "limit=1",
        "limit=1&continue=t1",
        "limit=1&continue=t2",
    ]


async def test_a_list_whose_snapshot_expired_starts_over(connected: Connected) -> None:
    answers = [
        page(an_object("old", "1"), rv="9", more="t1"),
        status(410, "Expired"),
        page(an_object("a", "3"), rv="12"),
    ]
    async with connected(*answers) as (client, _):
        items, resource_version = await client.list(SERVICES)
    assert [json.loads(item)["metadata"]["name"] for item in items] == ["a"]
    assert resource_version == "12"


async def test_a_list_that_expires_each_time_is_given_up(connected: Connected) -> None:
    async with connected(status(410, "Expired")) as (client, script):
        with pytest.raises(Gone):
            await client.list(SERVICES)
    assert len(script.requests) == 3


async def test_refusals_are_raised_by_kind_and_sent_once(connected: Connected) -> None:
    answers = [
        status(409, "Conflict"),
        status(409, "AlreadyExists"),
        status(404, "NotFound"),
        status(500, "InternalError"),
    ]
    async with connected(*answers) as (client, script):
        with pytest.raises(Conflict):
            await client.merge_patch(LEASES, "l", {}, namespace="n")
        with pytest.raises(AlreadyExists):
            await client.create(IPPOOLS, {})
        with pytest.raises(NotFound):
            await client.get(IPPOOLS, "x")
        with pytest.raises(ServerError):
            await client.get(IPPOOLS, "x")
    assert len(script.requests) == 4


async def test_429_is_waited_out_for_as_long_as_the_server_asks(connected: Connected) -> None:
    busy = status(429, "TooManyRequests", headers={"Retry-After": "1"})
    async with connected(busy, reply({})) as (client, script):
        began = time.monotonic()
        await client.merge_patch(IPPOOLS, "a", {})
        assert 1.0 <= time.monotonic() - began < 2.0
    assert len(script.requests) == 2


async def test_a_server_that_stays_busy_is_reported_busy(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BUSY_WAIT_SECONDS", 0.01)
    async with connected(status(429, "TooManyRequests")) as (client, script):
        with pytest.raises(TooManyRequests):
            await client.get(IPPOOLS, "a")
    assert len(script.requests) == transport.BUSY_ATTEMPTS


async def test_a_slow_answer_is_unreachable_in_time(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube.io.client.LIST_TIMEOUT_SECONDS", 0.2)
    async with connected(stream(b'{"metadata":', 5.0)) as (client, _):
        began = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            await client.list(SERVICES)
        assert caught.value.reason == "Timeout"
        assert time.monotonic() - began < 1.0


async def test_a_connection_that_breaks_within_the_answer_is_unreachable(connected: Connected) -> None:
    async with connected(stream(b'{"metadata":', cut=True)) as (client, _):
        with pytest.raises(Unreachable) as caught:
            await client.get(SERVICES, "a", "b")
    assert caught.value.reason == "Broken"


async def test_a_refused_connection_is_unreachable(connected: Connected) -> None:
    async with connected(reply({})) as (client, _):
        client._transport._credentials.configuration.host = "http://127.0.0.1:1"
        with pytest.raises(Unreachable) as caught:
            await client.get(SERVICES, "a", "b")
    assert caught.value.reason == "ConnectFailed"


async def test_a_burst_uses_no_more_connections_than_allowed_and_leases_pass_it(connected: Connected) -> None:
    async with (
        connected(after(0.2, reply({})), max_connections=2) as (client, script),
        asyncio.TaskGroup() as group,
    ):
        for number in range(4):
            group.create_task(client.get(IPPOOLS, f"p{number}"))
        await asyncio.sleep(0.1)
        assert len(script.requests) == 2
        began = time.monotonic()
        await client.get(LEASES, "l", "n")
        assert time.monotonic() - began < 0.35


async def test_waiting_for_a_free_connection_does_not_count_as_waiting_for_the_server(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(after(0.1, reply({})), max_connections=1) as (client, _):
        request = Request("get", "x", "GET", "/x", timeout_seconds=0.25)
        answers = await asyncio.gather(*(client._transport.send(request) for _ in range(4)))
        assert answers == [b"{}"] * 4


async def test_401_makes_one_more_attempt_with_credentials_read_again(connected: Connected) -> None:
    async with connected(status(401, "Unauthorized")) as (client, script):
        with pytest.raises(Unauthorized):
            await client.get(IPPOOLS, "a")
        assert len(script.requests) == 2
        with pytest.raises(Unauthorized):  # the same credentials were refused a moment ago: no use in trying twice
            await client.get(IPPOOLS, "a")
        assert len(script.requests) == 3


async def test_a_watch_gives_events_until_the_server_ends_it(connected: Connected) -> None:
    body = event("ADDED", an_object("a", "6")) + event("BOOKMARK", {"metadata": {"resourceVersion": "8"}})
    async with connected(stream(body[:20], 0.02, body[20:])) as (client, script):
        got = await events(client)
    assert [(one.type, one.resource_version) for one in got] == [("ADDED", "6"), ("BOOKMARK", "8")]
    query = script.requests[0][1].partition("?")[2]
    assert query.startswith("watch=1&resourceVersion=5&allowWatchBookmarks=true&timeoutSeconds=")
    assert 300 <= int(query.rpartition("=")[2]) <= 600


async def test_a_paced_watch_takes_together_what_comes_in_between_and_loses_nothing(connected: Connected) -> None:
    lines = [event("ADDED", an_object(f"o{number}", str(number))) for number in range(6, 26)]
    trickle = [part for line in lines for part in (line, 0.02)]
    async with connected(stream(*trickle)) as (client, _):
        took = [
            (one.resource_version, time.monotonic())
            async for one in client.watch(SERVICES, resource_version="5", pace_seconds=0.15)
        ]
    assert [version for version, _ in took] == [str(number) for number in range(6, 26)]
    turns = [at for (_, before), (_, at) in itertools.pairwise(took) if at - before > 0.1]
    assert 1 <= len(turns) <= 6


async def test_a_partial_last_line_is_dropped_and_whole_ones_before_it_are_not(connected: Connected) -> None:
    whole, partial = event("ADDED", an_object("a", "6")), event("ADDED", an_object("b", "7"))[:30]
    async with connected(stream(whole, partial, 0.05, cut=True)) as (client, _):
        watch = client.watch(SERVICES, resource_version="5")
        assert (await anext(watch)).resource_version == "6"
        with pytest.raises(Unreachable):
            await anext(watch)


async def test_objects_of_megabytes_pass(connected: Connected) -> None:
    huge = event("ADDED", an_object("huge", "6", spec={"text": "x" * 3_000_000}))
    async with connected(stream(huge + event("ADDED", an_object("small", "7")))) as (client, _):
        got = await events(client)
    assert [(one.resource_version, len(one.raw_object) > 3_000_000) for one in got] == [("6", True), ("7", False)]


async def test_a_silent_watch_is_ended(connected: Connected) -> None:
    async with connected(stream(event("ADDED", an_object("a", "6")), 5.0)) as (client, _):
        began = time.monotonic()
        with pytest.raises(Unreachable) as caught:
            await events(client, idle_seconds=0.3)
        assert caught.value.reason == "Idle"
        assert 0.2 < time.monotonic() - began < 2.0


async def watched_while(client: Client, other: Awaitable[Any]) -> str:
    """Why a watch ended on which nothing came, while that was done; "" = it did not."""
    watching = asyncio.create_task(events(client))
    await asyncio.sleep(0.1)
    with contextlib.suppress(ApiError, TimeoutError):
        await other
    done, _ = await asyncio.wait([watching], timeout=0.3)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching if not done else None
    error = watching.exception() if done else None
    assert error is None or isinstance(error, Unreachable)
    return "" if error is None else error.reason


async def test_a_silent_watch_is_doubted_when_a_request_breaks(connected: Connected) -> None:
    async with connected(stream(5.0), stream(cut=True)) as (client, _):
        assert await watched_while(client, client.get(IPPOOLS, "a")) == "Doubted"


async def test_a_silent_watch_is_doubted_when_a_request_is_given_up(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the renewal of a Lease is after two seconds."""
    monkeypatch.setattr(transport, "GIVEN_UP_SECONDS", 0.1)
    async with connected(stream(5.0), after(5.0, reply({}))) as (client, _):
        assert await watched_while(client, asyncio.wait_for(client.get(IPPOOLS, "a"), 0.15)) == "Doubted"
    async with connected(stream(5.0), after(5.0, reply({}))) as (client, _):
        assert await watched_while(client, asyncio.wait_for(client.get(IPPOOLS, "a"), 0.05)) == ""


async def test_a_watch_on_which_something_came_meanwhile_is_not_doubted(connected: Connected) -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "6"}})
    async with connected(stream(0.2, bookmark, 5.0), after(0.2, stream(cut=True))) as (client, _):
        assert await watched_while(client, client.get(IPPOOLS, "a")) == ""


async def test_a_refusal_is_an_answer_and_no_reason_for_doubt(connected: Connected) -> None:
    async with connected(stream(5.0), status(500, "InternalError")) as (client, _):
        assert await watched_while(client, client.get(IPPOOLS, "a")) == ""


async def test_a_second_doubt_waits_for_its_time(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube.streams.REST_SECONDS", 0.2)
    broken = stream(cut=True)
    async with connected(stream(5.0), broken, stream(5.0), broken, reply({})) as (client, _):
        assert await watched_while(client, client.get(IPPOOLS, "a")) == "Doubted"
        assert await watched_while(client, client.get(IPPOOLS, "a")) == "Doubted"


async def test_a_watch_from_a_forgotten_version_is_gone(connected: Connected) -> None:
    expired = {"kind": "Status", "reason": "Expired", "code": 410, "message": "too old resource version: 5 (274)"}
    async with connected(stream(event("ERROR", expired))) as (client, _):
        with pytest.raises(Gone):
            await events(client)
    async with connected(status(410, "Gone")) as (client, _):
        with pytest.raises(Gone):
            await events(client)


async def test_leaving_a_watch_early_closes_its_connection(connected: Connected) -> None:
    left = asyncio.Event()

    async def endless(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        response = aiohttp.web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(event("BOOKMARK", {"metadata": {"resourceVersion": "6"}}))
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    async with connected(endless) as (client, _):
        async with aclosing(client.watch(SERVICES, resource_version="5")) as watch:
            async for _ in watch:
                break
        await asyncio.wait_for(left.wait(), 2)


async def test_what_is_no_object_is_fetched_up_to_a_bound(connected: Connected) -> None:
    async with connected(stream(b"one\n", b"two\n"), stream(b"x" * 5000, 3600.0)) as (client, script):
        assert await client.fetch("/api/v1/namespaces/a/pods/b/log?container=c", most=100) == b"one\ntwo\n"
        assert await client.fetch("/version", most=1000) == b"x" * 1000
    assert [path for _, path, *_ in script.requests] == ["/api/v1/namespaces/a/pods/b/log?container=c", "/version"]


async def test_what_nothing_comes_of_is_given_up(connected: Connected) -> None:
    async with connected(stream(b"one\n", 3600.0)) as (client, _):
        with pytest.raises(Unreachable):
            await client.fetch("/version", most=100, idle_seconds=5.0)


async def test_a_long_history_lets_others_have_their_turn(connected: Connected) -> None:
    history = b"".join(event("ADDED", an_object(f"s{n}", str(n), pad="x" * 1000)) for n in range(6, 4000))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with connected(stream(history)) as (client, _), asyncio.TaskGroup() as group:
        task = group.create_task(others())
        assert len(await events(client)) == 3994
        task.cancel()
    assert turns > 30


class Counted(Uncounted):
    def __init__(self) -> None:
        self.requests: list[tuple[str, str, int]] = []
        self.retries: list[str] = []

    def api_request(self, verb: str, resource: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        self.requests.append((verb, resource, code))

    def api_retry(self, resource: str, reason: str) -> None:
        self.retries.append(reason)


async def test_each_attempt_is_counted(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BUSY_WAIT_SECONDS", 0.01)
    metrics = Counted()
    async with connected(status(429, "Busy"), reply({}), stream(cut=True), metrics=metrics) as (client, _):
        await client.merge_patch(IPPOOLS, "a", {})
        with pytest.raises(Unreachable):
            await client.get(SERVICES, "a", "b")
    assert metrics.requests == [("patch", "ippools", 429), ("patch", "ippools", 200), ("get", "services", 200)]
    assert metrics.retries == ["TooManyRequests"]
