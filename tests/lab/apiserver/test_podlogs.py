"""Logs of pods, as `kubectl logs` asks for them: which container, which lines, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession, TCPConnector

from lab.apiserver.core import Settings
from lab.apiserver.podlogs import Lines, wanted
from lab.apiserver.server import ApiServer
from lab.apiserver.status import StatusError
from tests.lab.apiserver.test_kubectl import Kubectl

NOW = datetime(2026, 1, 2, 3, 4, 30, tzinfo=UTC)
WRITTEN = [
    b"no time of its own\n",
    b"2026-01-02T03:04:05.123456Z [info     ] one\n",
    b"2026-01-02 03:04:15 [info     ] two\n",
    b"  more of two\n",
    b"2026-01-02T03:04:25Z [info     ] three\n",
]


def pod(*containers: str) -> dict[str, Any]:
    return {"metadata": {"name": "web", "uid": "u"}, "spec": {"containers": [{"name": one} for one in containers]}}


def chosen(**query: str) -> list[str]:
    lines = Lines(wanted(pod("app"), query, NOW), NOW)
    return lines.first(WRITTEN).decode().splitlines()


def test_all_lines_are_given_or_the_last_ones_or_the_late_ones() -> None:
    assert len(chosen()) == 5
    assert chosen(tailLines="1") == ["2026-01-02T03:04:25Z [info     ] three"]
    assert chosen(tailLines="0") == []
    assert len(chosen(tailLines="9")) == 5
    assert [one[-5:] for one in chosen(sinceSeconds="20")] == ["s own", "] two", "f two", "three"]
    assert [one[-5:] for one in chosen(sinceTime="2026-01-02T03:04:20+00:00")] == ["s own", "three"]
    assert chosen(limitBytes="7") == ["no time"]


def test_each_line_has_a_time_when_it_is_asked_for() -> None:
    stamps = [one.split(" ", 1)[0] for one in chosen(timestamps="true")]
    assert stamps[0] == "2026-01-02T03:04:30Z"
    assert stamps[1:] == ["2026-01-02T03:04:05.123456Z", *["2026-01-02T03:04:15Z"] * 2, "2026-01-02T03:04:25Z"]


@pytest.mark.parametrize(
    ("containers", "query", "code", "said"),
    [
        (("a", "b"), {}, 400, "a container name must be specified for pod web, choose one of: [a b]"),
        (("a",), {"container": "c"}, 400, "container c is not valid for pod web"),
        (("a",), {"previous": "true"}, 400, 'previous terminated container "a" in pod "web" not found'),
        (("a",), {"tailLines": "-1"}, 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        (("a",), {"limitBytes": "0"}, 422, "must be greater than 0"),
        (("a",), {"tailLines": "x"}, 400, "invalid syntax"),
        (("a",), {"sinceTime": "yesterday"}, 400, "parsing time"),
        (("a",), {"sinceSeconds": "1", "sinceTime": "2026-01-02T03:04:20Z"}, 422, "at most one of"),
    ],
)
def test_what_can_not_be_answered_is_refused(
    containers: tuple[str, ...], query: dict[str, str], code: int, said: str
) -> None:
    with pytest.raises(StatusError, match=r".") as refused:
        wanted(pod(*containers), query, NOW)
    assert refused.value.code == code
    assert said in refused.value.message


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    logs = tmp_path / "logs"
    logs.mkdir()
    async with ApiServer(tmp_path / "server", settings=Settings(pod_logs=logs)) as server:
        yield server


async def make_pod(server: ApiServer, session: ClientSession) -> str:
    body = {"metadata": {"name": "web"}, "spec": {"nodeName": "node1", "containers": [{"name": "app", "image": "x"}]}}
    base = f"{server.url}/api/v1/namespaces/default/pods"
    assert (await session.post(base, json={"apiVersion": "v1", "kind": "Pod", **body})).status == 201
    return f"{base}/web"


def session_of(server: ApiServer) -> ClientSession:
    headers = {"Authorization": f"Bearer {server.admin_token}"}
    return ClientSession(connector=TCPConnector(ssl=False), headers=headers)


@pytest.mark.asyncio
async def test_a_log_is_followed_line_by_line_until_the_pod_is_gone(server: ApiServer, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "web_default_app.log"
    async with session_of(server) as session, asyncio.timeout(20):
        place = await make_pod(server, session)
        refused = await session.get(f"{place}/log")
        assert refused.status == 400
        assert "is waiting to start" in (await refused.json())["message"]
        log.write_bytes(b"one\ntwo\nhalf a ")
        assert await (await session.get(f"{place}/log")).text() == "one\ntwo\nhalf a "
        async with session.get(f"{place}/log", params={"follow": "true", "tailLines": "1"}) as answer:
            assert await answer.content.readline() == b"two\n"
            with log.open("ab") as more:
                more.write(b"line\nlast\n")
            assert await answer.content.readline() == b"half a line\n"
            assert await answer.content.readline() == b"last\n"
            await session.delete(place, json={"gracePeriodSeconds": 0})
            assert await answer.content.read() == b""
        assert (await session.get(f"{place}/log")).status == 404


@pytest.mark.lab
@pytest.mark.asyncio
async def test_kubectl_shows_logs_and_says_why_it_can_not_enter(server: ApiServer, tmp_path: Path) -> None:
    kubectl = Kubectl(server, tmp_path)
    (tmp_path / "logs" / "web_default_app.log").write_bytes(b"".join(WRITTEN))
    async with session_of(server) as session:
        await make_pod(server, session)
    assert (await kubectl("logs", "web")).out == b"".join(WRITTEN).decode()
    assert (await kubectl("logs", "web", "-c", "app", "--tail=1")).rows[0][-1] == "three"
    assert "previous terminated container" in (await kubectl.run("logs", "web", "--previous")).err
    await kubectl("patch", "pod", "web", "--subresource=status", "--type=merge", '-p={"status": {"phase": "Running"}}')
    for arguments in (("exec", "web", "--", "ls"), ("port-forward", "web", ":80"), ("attach", "web")):
        refused = await kubectl.run(*arguments)
        assert refused.code == 1
        assert "berth lab exec HOST -- COMMAND" in refused.err
