"""The informer against a scripted server: what it lists, watches, resumes and gives up, and what `on_change` gets."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from kube.errors import ApiError
from kube.informer.io.informer import Change, Informer, ObjectKey
from kube.informer.pacing import Pacing
from kube.informer.store import ChangeKind
from kube.io.client import Client
from kube.metrics import Uncounted
from kube.resource import SERVICES
from tests.kube.conftest import Connected
from tests.kube.server import Script, after, an_object, event, page, status, stream
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube.backoff.Backoff.delay_seconds", lambda self, attempt, randomness: 0.01)


def decode(raw: bytes) -> str:
    document: dict[str, Any] = json.loads(raw)
    if "bad" in document:
        raise ValueError("bad")
    metadata = document["metadata"]
    return f"{metadata['name']}@{metadata['resourceVersion']}"


class Watched(Uncounted):
    """A running informer of Services, and the changes that it handed on."""

    def __init__(self, client: Client, **options: Any) -> None:
        self.changes: list[str] = []
        self.bad: list[str] = []
        self.restarts: list[str] = []
        self.informer = Informer(
            client,
            SERVICES,
            decode,
            on_change=self.change,
            metrics=self,
            **options,
        )

    def change(self, change: Change[str]) -> None:
        match change.kind:
            case ChangeKind.DELETED:
                assert change.key not in self.informer.items or self.informer.items[change.key] != change.old
            case _:
                assert self.informer.items[change.key] == change.new
        self.changes.append(f"{change.kind.value} {change.new or change.old}")

    def undecodable(self, resource: str) -> None:
        self.bad.append(resource)

    def watch_restart(self, resource: str, reason: str) -> None:
        self.restarts.append(reason)

    async def until_told(self, *expected: str) -> None:
        try:
            async with asyncio.timeout(3):
                while self.changes != list(expected):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            assert self.changes == list(expected)

    async def until(self, script: Script, requests: int) -> None:
        async with asyncio.timeout(3):
            while len(script.requests) < requests:
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def watching(client: Client, **options: Any) -> AsyncIterator[Watched]:
    watched = Watched(client, **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(watched.informer.run())
        try:
            yield watched
        finally:
            task.cancel()


def asked(script: Script) -> list[str]:
    """What each request was, in short: "list", "list t1", "watch 7"."""
    from urllib.parse import parse_qs, urlsplit

    short = []
    for _, path, _, _ in script.requests:
        query = parse_qs(urlsplit(path).query)
        short.append(
            f"watch {query['resourceVersion'][0]}"
            if "watch" in query
            else " ".join(["list", *query.get("continue", [])])
        )
    return short


async def test_the_list_comes_first_and_then_the_watch_goes_on_from_it(connected: Connected) -> None:
    answers = [
        page(an_object("a", "3"), rv="7", more="t1"),
        page(an_object("b", "5"), rv="7"),
        stream(event("MODIFIED", an_object("a", "8")), event("DELETED", an_object("b", "9")), 5.0),
    ]
    async with connected(*answers) as (client, script), watching(client) as watched:
        assert not watched.informer.synced
        async with asyncio.timeout(3):
            await watched.informer.wait_synced()
        assert watched.informer.synced
        await watched.until_told("ADDED a@3", "ADDED b@5", "MODIFIED a@8", "DELETED b@5")
        assert dict(watched.informer.items) == {ObjectKey("default", "a"): "a@8"}
        assert asked(script) == ["list", "list t1", "watch 7"]


async def test_nothing_is_told_before_the_last_page_is_in(connected: Connected) -> None:
    answers = [page(an_object("a", "3"), rv="7", more="t1"), after(0.3, page(rv="7")), stream(5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until(script, 2)
        await asyncio.sleep(0.1)
        assert watched.changes == []
        assert not watched.informer.synced
        await watched.until_told("ADDED a@3")


async def test_a_broken_stream_goes_on_after_the_last_event_or_bookmark(connected: Connected) -> None:
    partial = event("MODIFIED", an_object("a", "9"))[:40]
    bookmark = event("BOOKMARK", {"kind": "Service", "metadata": {"resourceVersion": "40"}})
    answers = [
        page(an_object("a", "3"), rv="7"),
        stream(event("MODIFIED", an_object("a", "8")), partial, 0.05, cut=True),
        stream(bookmark, 0.05, cut=True),
        stream(event("MODIFIED", an_object("a", "41")), 5.0),
    ]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until_told("ADDED a@3", "MODIFIED a@8", "MODIFIED a@41")
        assert asked(script) == ["list", "watch 7", "watch 8", "watch 40"]
        assert watched.restarts == ["Broken", "Broken"]


async def test_a_watch_that_ends_as_agreed_is_opened_again_at_once(connected: Connected) -> None:
    answers = [page(rv="7"), stream(event("ADDED", an_object("a", "8"))), stream(5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until(script, 3)
        assert asked(script) == ["list", "watch 7", "watch 8"]
        assert watched.restarts == ["Closed"]


async def test_lost_history_is_read_again_by_list_and_told_as_differences(connected: Connected) -> None:
    expired = {"kind": "Status", "reason": "Expired", "code": 410, "message": "too old resource version"}
    answers = [
        page(an_object("a", "3"), an_object("b", "4"), an_object("c", "5", uid="c1"), rv="7"),
        stream(event("ERROR", expired)),
        page(an_object("a", "3"), an_object("c", "9", uid="c2"), an_object("d", "10"), rv="12"),
        stream(5.0),
    ]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until_told(
            "ADDED a@3", "ADDED b@4", "ADDED c@5", "DELETED b@4", "DELETED c@5", "ADDED c@9", "ADDED d@10"
        )
        await watched.until(script, 4)
        assert asked(script) == ["list", "watch 7", "list", "watch 12"]
        assert watched.restarts == ["Gone"]


async def test_a_list_whose_pages_expire_begins_anew_and_mixes_nothing(connected: Connected) -> None:
    answers = [
        page(an_object("old", "3"), rv="7", more="t1"),
        status(410, "Expired"),
        page(an_object("a", "9"), rv="12"),
        stream(5.0),
    ]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until_told("ADDED a@9")
        await watched.until(script, 4)
        assert asked(script) == ["list", "list t1", "list", "watch 12"]


@pytest.mark.parametrize("trouble", [status(500, "InternalError"), status(403, "Forbidden"), stream(b"{", cut=True)])
async def test_trouble_with_the_list_is_waited_out(connected: Connected, trouble: Any) -> None:
    answers = [trouble, trouble, page(an_object("a", "3"), rv="7"), stream(5.0)]
    async with connected(*answers) as (client, _), watching(client) as watched:
        await watched.until_told("ADDED a@3")


async def unknown(_: web.Request) -> web.Response:
    """As an API server answers for a path that it does not serve."""
    return web.Response(status=404, text="404 page not found\n")


async def test_a_resource_that_may_be_unknown_has_no_objects_until_the_server_serves_it(connected: Connected) -> None:
    answers = [unknown, unknown, page(an_object("a", "3"), rv="7"), stream(5.0)]
    async with connected(*answers) as (client, _), watching(client, may_be_unknown=True) as watched:
        async with asyncio.timeout(2):
            await watched.informer.wait_synced()
        assert watched.changes == []
        await watched.until_told("ADDED a@3")


async def test_what_was_known_stays_while_another_server_does_not_serve_the_resource(connected: Connected) -> None:
    answers = [page(an_object("a", "3"), rv="7"), stream(5.0), unknown, unknown, unknown]
    async with connected(*answers) as (client, script), watching(client, may_be_unknown=True) as watched:
        await watched.until_told("ADDED a@3")
        await watched.until(script, 2)
        async with asyncio.timeout(2):
            await watched.informer.relisted()
        assert len(watched.informer.items) == 1
        assert watched.changes == ["ADDED a@3"]


async def test_an_unknown_resource_is_waited_for_where_it_must_be_served(connected: Connected) -> None:
    answers = [unknown, unknown, page(an_object("a", "3"), rv="7"), stream(5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until(script, 1)
        assert not watched.informer.synced
        assert watched.informer.is_unknown
        await watched.until_told("ADDED a@3")
        assert not watched.informer.is_unknown


async def test_an_outage_while_watching_changes_nothing_and_is_resumed(connected: Connected) -> None:
    down = status(503, "ServiceUnavailable")
    answers = [
        page(an_object("a", "3"), rv="7"),
        stream(event("ADDED", an_object("b", "8")), cut=True),
        down,
        down,
        down,
        stream(event("DELETED", an_object("a", "9")), 5.0),
    ]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until_told("ADDED a@3", "ADDED b@8", "DELETED a@3")
        assert asked(script)[2:] == ["watch 8"] * 4


async def test_a_refused_watch_is_followed_by_a_list(connected: Connected) -> None:
    answers = [page(rv="7"), status(400, "BadRequest"), page(an_object("a", "8"), rv="8"), stream(5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until_told("ADDED a@8")
        await watched.until(script, 4)
        assert asked(script) == ["list", "watch 7", "list", "watch 8"]


async def test_a_silent_watch_is_opened_again_and_then_distrusted(connected: Connected) -> None:
    answers = [page(rv="7"), stream(5.0), stream(5.0), page(an_object("a", "8"), rv="8"), stream(5.0)]
    async with connected(*answers) as (client, script), watching(client, idle_seconds=0.2) as watched:
        await watched.until_told("ADDED a@8")
        assert asked(script)[:4] == ["list", "watch 7", "watch 7", "list"]
        assert watched.restarts[:2] == ["Idle", "Idle"]


async def test_a_doubted_watch_goes_on_where_it_was_at_once(connected: Connected) -> None:
    answers = [page(rv="7"), stream(60.0), stream(cut=True), stream(event("ADDED", an_object("a", "8")), 5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until(script, 2)
        with contextlib.suppress(ApiError):
            await client.get(SERVICES, "web", "default")
        await watched.until_told("ADDED a@8")
        assert [one for one in asked(script) if one.startswith("watch")] == ["watch 7", "watch 7"]
        assert watched.restarts == ["Doubted"]


async def test_an_undecodable_object_is_reported_and_others_go_on(connected: Connected) -> None:
    answers = [
        page(an_object("a", "3", bad=1), an_object("b", "4"), rv="7"),
        stream(
            event("MODIFIED", an_object("b", "8", bad=1)),
            event("ADDED", an_object("c", "9")),
            event("MODIFIED", an_object("a", "10")),
            5.0,
        ),
    ]
    async with connected(*answers) as (client, _), watching(client) as watched:
        await watched.until_told("ADDED b@4", "ADDED c@9", "ADDED a@10")
        assert watched.bad == ["services", "services"]
        assert watched.informer.items[ObjectKey("default", "b")] == "b@4"


async def test_a_relist_ends_the_watch_and_waits_for_no_backoff(
    connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kube.backoff.Backoff.delay_seconds", lambda self, attempt, randomness: 60.0)
    answers = [
        page(rv="7"),
        stream(5.0),
        page(an_object("a", "8"), rv="8"),
        stream(cut=True),
        page(an_object("a", "9"), rv="9"),
        stream(5.0),
    ]
    async with connected(*answers) as (client, script), watching(client) as watched:
        for requests in (2, 4):
            await watched.until(script, requests)
            await asyncio.sleep(0.05)
            async with asyncio.timeout(2):
                await watched.informer.relisted()
        await watched.until(script, 6)
        assert asked(script) == ["list", "watch 7", "list", "watch 8", "list", "watch 9"]


@pytest.mark.parametrize("turns", [1, 2])
async def test_a_relist_that_is_asked_for_just_as_a_pause_ends_is_not_forgotten(
    connected: Connected, monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    answers = [page(rv="7"), stream(cut=True), page(an_object("a", "8"), rv="8"), stream(5.0)]
    async with connected(*answers) as (client, script):
        watched: list[Watched] = []

        def relist_after(turns: int) -> None:
            if turns:
                asyncio.get_running_loop().call_soon(relist_after, turns - 1)
            else:
                watched[0].informer.relist()

        def no_time(self: object, attempt: int, randomness: float) -> float:
            relist_after(turns)
            return 1e-9  # the loop ends such a pause in its next turn, and its waiter goes on in the one after

        monkeypatch.setattr("kube.backoff.Backoff.delay_seconds", no_time)
        async with watching(client) as one:
            watched.append(one)
            await one.until(script, 4)
            assert asked(script) == ["list", "watch 7", "list", "watch 8"]


async def test_a_list_under_way_does_not_pass_for_one_asked_for_later(connected: Connected) -> None:
    answers = [after(0.2, page(rv="7")), page(an_object("a", "8"), rv="8"), stream(5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until(script, 1)
        async with asyncio.timeout(2):
            await watched.informer.relisted()
        assert watched.changes == ["ADDED a@8"]
        await watched.until(script, 3)
        assert asked(script) == ["list", "list", "watch 8"]


async def test_asking_twice_at_once_is_harmless(connected: Connected) -> None:
    later = page(an_object("a", "8"), rv="8")
    answers = [page(rv="7"), stream(5.0), later, stream(5.0), later, stream(5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until(script, 2)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(2):
            await asyncio.gather(*(watched.informer.relisted() for _ in range(3)))
        await watched.until(script, 4)
        await asyncio.sleep(0.05)
        watched.informer.relist()
        watched.informer.relist()
        await asyncio.sleep(0)
        watched.informer.relist()  # while the watch is being ended for the first two
        await watched.until(script, 6)
        await watched.until_told("ADDED a@8")


async def test_a_list_from_the_past_is_believed_only_when_the_server_insists(connected: Connected) -> None:
    answers = [
        page(an_object("a", "300"), rv="300"),
        status(400, "BadRequest"),
        page(rv="7"),
        page(rv="8"),
        page(rv="9"),
    ]
    answers += [page(an_object("b", "9"), rv="10"), stream(event("ADDED", an_object("c", "11")), 5.0)]
    async with connected(*answers) as (client, script), watching(client) as watched:
        await watched.until_told("ADDED a@300", "DELETED a@300", "ADDED b@9", "ADDED c@11")
        assert asked(script) == ["list", "watch 300", "list", "list", "list", "list", "watch 10"]


async def test_activity_is_when_the_server_last_said_anything(connected: Connected) -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    async with connected(page(rv="7"), stream(0.2, bookmark, 5.0)) as (client, _), watching(client) as watched:
        await watched.informer.wait_synced()
        listed = watched.informer.last_activity
        assert time.monotonic() - listed < 0.2
        async with asyncio.timeout(2):
            while watched.informer.last_activity == listed:
                await asyncio.sleep(0.01)
        assert watched.informer._store.resource_version == "9"
        assert watched.informer.last_activity - listed > 0.1


async def test_a_bug_in_on_change_is_not_hidden(connected: Connected) -> None:
    def broken(change: Change[str]) -> None:
        raise LookupError("a bug")

    async with connected(page(an_object("a", "3"), rv="7"), stream(5.0)) as (client, _):
        informer = Informer(client, SERVICES, decode, on_change=broken)
        with pytest.raises(LookupError):
            await asyncio.wait_for(informer.run(), 2)


async def test_the_pause_between_attempts_is_kept(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pacing, "pause_seconds", lambda self, randomness: 0.05 if self.failures else 0.0)
    async with connected(status(500, "InternalError")) as (client, script), watching(client):
        await asyncio.sleep(0.27)
        assert 3 <= len(script.requests) <= 7
