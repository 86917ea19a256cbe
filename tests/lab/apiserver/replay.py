"""Replays recordings of a real kube-apiserver against the stand-in and says where the answers differ.

A recorded value that changes from run to run (uid, time, resourceVersion, address, port) is compared by its form and by
identity: one recorded value is always the same value here. resourceVersions must keep their order too.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

Json = dict[str, Any]
TRANSCRIPTS = Path(__file__).parent / "transcripts"
ORDER = (
    "service-lifecycle",
    "service-type-change",
    "service-policies",
    "optimistic-concurrency",
    "custom-resources",
    "watch",
    "leases",
    "server-side-apply",
    "endpoints-nodes-events",
    "access-control",
    "discovery",
)
QUIET_SECONDS = 0.15  # how long a watch must stay silent after its last event
PATIENCE_SECONDS = 3.0

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FORMS: dict[str, re.Pattern[str]] = {
    "uid": _UUID,
    "creationTimestamp": _TIME,
    "deletionTimestamp": _TIME,
    "time": _TIME,
    "lastTransitionTime": _TIME,
    "nodePort": re.compile(r"3[0-2]\d{3}"),
    "healthCheckNodePort": re.compile(r"3[0-2]\d{3}"),
    "clusterIP": re.compile(r"10\.96\.\d+\.\d+"),
    "clusterIPs": re.compile(r"10\.96\.\d+\.\d+|fd00:10:96::[0-9a-f:]*"),
    "serverAddress": re.compile(r".+:\d+"),
    "continue": re.compile(r"[-_A-Za-z0-9]+|"),
}
_TIMES = {"creationTimestamp", "deletionTimestamp", "time", "lastTransitionTime"}
_RECORDED_IN_2026_01 = re.compile(r"2026-01-01T.*")  # times that the client sent, not the server


@dataclass
class Comparison:
    """What has been learned of how recorded values map to ours, and the differences found in one step."""

    versions: dict[int, int] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    is_collection: bool = False

    def check(self, recorded: Any, actual: Any, path: str = "", key: str = "") -> None:
        match recorded:
            case dict() if isinstance(actual, dict):
                for name in sorted({*recorded, *actual}):
                    if name not in actual:
                        self.differ(f"{path}.{name}", recorded[name], "(missing)")
                    elif name not in recorded:
                        self.differ(f"{path}.{name}", "(absent)", actual[name])
                    else:
                        self.check(recorded[name], actual[name], f"{path}.{name}", name)
            case list() if isinstance(actual, list):
                if key == "managedFields":
                    recorded, actual = _comparable_managers(recorded, actual)
                if len(recorded) != len(actual):
                    self.differ(f"{path}(length)", recorded, actual)
                for index, (one, other) in enumerate(zip(recorded, actual, strict=False)):
                    self.check(one, other, f"{path}[{index}]", key)
            case _:
                self._check_value(recorded, actual, path, key)

    def _check_value(self, recorded: Any, actual: Any, path: str, key: str) -> None:
        if key == "resourceVersion":
            self._check_version(recorded, actual, path)
        elif key in _TIMES and isinstance(recorded, str) and _RECORDED_IN_2026_01.fullmatch(recorded):
            if recorded != actual:
                self.differ(path, recorded, actual)
        elif key in _FORMS and recorded is not None:
            self._check_form(recorded, actual, path, key)
        elif key == "message" and isinstance(actual, str):
            self._check_message(recorded, actual, path)
        elif key == "name" and re.fullmatch(r"web\.[a-z0-9]{5}", str(recorded)):
            if not re.fullmatch(r"web\.[a-z0-9]{5}", str(actual)):
                self.differ(path, recorded, actual)
        elif key == "cells" and re.fullmatch(r"\d+s", str(recorded)):
            if not re.fullmatch(r"\d+s", str(actual)):
                self.differ(path, recorded, actual)
        elif recorded != actual or type(recorded) is not type(actual):
            self.differ(path, recorded, actual)

    def _check_version(self, recorded: Any, actual: Any, path: str) -> None:
        if not isinstance(actual, str) or not actual.isdigit():
            self.differ(path, recorded, actual)
            return
        theirs, ours = int(recorded), int(actual)
        if ".BOOKMARK" in path or (self.is_collection and path == ".metadata.resourceVersion"):
            return  # the real server counts writes of its own between ours
        for other_theirs, other_ours in self.versions.items():
            if (theirs > other_theirs) != (ours > other_ours) or (theirs == other_theirs) != (ours == other_ours):
                self.differ(f"{path} (order: {other_theirs} was {other_ours})", recorded, actual)
        self.versions[theirs] = ours

    def _check_form(self, recorded: Any, actual: Any, path: str, key: str) -> None:
        if not _FORMS[key].fullmatch(str(actual)) or type(recorded) is not type(actual):
            if recorded != actual:
                self.differ(path, recorded, actual)
            return
        if key == "uid" and self.values.setdefault(recorded, actual) != actual:
            self.differ(f"{path} (same object)", self.values[recorded], actual)
        if key in ("nodePort", "clusterIP") and self.values.setdefault(f"{path}{recorded}", str(actual)) != str(actual):
            self.differ(f"{path} (stays)", self.values[f"{path}{recorded}"], actual)

    def _check_message(self, recorded: str, actual: str, path: str) -> None:
        if re.search(r"managedFields", recorded):  # carries the whole object: compare how it begins and ends
            head, tail = recorded[:60], recorded[-100:]
            if not (actual.startswith(head) and actual.endswith(tail)):
                self.differ(path, f"{head} … {tail}", actual)
            return
        expected = _UUID.sub(lambda found: self.values.get(found[0], found[0]), recorded)
        expected = re.sub(r"\((\d+)\)", lambda found: f"({self.versions.get(int(found[1]), found[1])})", expected)
        pattern = re.sub(r"current: \d+", "current: [0-9]+", re.escape(expected).replace(r"current:\ ", "current: "))
        if not re.fullmatch(pattern, actual):
            self.differ(path, expected, actual)

    def differ(self, path: str, recorded: Any, actual: Any) -> None:
        self.differences.append(f"{path}: recorded {json.dumps(recorded)[:400]}, got {json.dumps(actual)[:400]}")


def _comparable_managers(recorded: list[Any], actual: list[Any]) -> tuple[list[Any], list[Any]]:
    """Entries stand in the order of their times. Where a second passed in one of the two only, by name instead."""
    if len({one["time"] for one in recorded}) == len({one["time"] for one in actual}):
        return recorded, actual
    by_name = lambda one: (one["manager"], one["operation"], one.get("subresource", ""))  # noqa: E731
    return sorted(recorded, key=by_name), sorted(actual, key=by_name)


def steps_of(scenario: str) -> list[Json]:
    """The requests and answers of one recording, in order; read anew, so that the caller may change them."""
    steps: list[Json] = json.loads((TRANSCRIPTS / f"{scenario}.json").read_text())["steps"]
    return steps


class Replay:
    """One run through all files, in order, as they build on each other."""

    def __init__(self, url: str, token: str, ca_path: Path) -> None:
        self._url = url
        self._token = token
        self._tls = ssl.create_default_context(cafile=str(ca_path))
        self._comparison = Comparison()
        self._names: dict[str, str] = {}

    async def run(self) -> dict[str, list[str]]:
        """Differences by file."""
        found: dict[str, list[str]] = {}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls)) as session:
            for scenario in ORDER:
                found[scenario] = []
                for number, step in enumerate(steps_of(scenario)):
                    found[scenario] += await self._step(session, scenario, number, step)
        return found

    async def _step(
        self, session: aiohttp.ClientSession, scenario: str, number: int, step: dict[str, Any]
    ) -> list[str]:
        request, response = step["request"], step["response"]
        self._comparison.differences = []
        if "watchEvents" in response:
            actual: Any = await self._watch(session, request, len(response["watchEvents"]))
            code, recorded = 200, _by_type(response["watchEvents"])
            actual = _by_type(actual)
        else:
            code, actual = await self._call(session, request)
            recorded = response["body"]
            if "APIGroupDiscoveryList" in request.get("headers", {}).get("Accept", ""):
                recorded, actual = _served_by_both(recorded, actual)
        self._comparison.is_collection = isinstance(recorded, dict) and bool({"items", "rows"} & set(recorded))
        if code != response["code"]:
            self._comparison.differ("code", response["code"], [code, actual])
        self._comparison.check(recorded, actual)
        for name, path in step.get("capture", {}).items():
            value = actual
            for part in path.split("."):
                value = value.get(part, {}) if isinstance(value, dict) else {}
            self._names[name] = value
        where = f"{scenario} step {number} ({request['method']} {request['path']}: {step['note']})"
        return [f"{where} {difference}" for difference in self._comparison.differences]

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda found: str(self._names[found[1]]), text)

    def _prepared(self, request: dict[str, Any]) -> dict[str, Any]:
        token = "unknown" if request.get("user") else self._token
        headers = {"Authorization": f"Bearer {token}", **request.get("headers", {})}
        body = None
        if "body" in request:
            headers["Content-Type"] = request["contentType"]
            body = self._filled(json.dumps(request["body"])).encode()
        return {"url": URL(self._url + self._filled(request["path"]), encoded=True), "headers": headers, "data": body}

    async def _call(self, session: aiohttp.ClientSession, request: dict[str, Any]) -> tuple[int, Any]:
        async with session.request(request["method"], **self._prepared(request)) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type.endswith("json") else text

    async def _watch(self, session: aiohttp.ClientSession, request: dict[str, Any], expected: int) -> list[Any]:
        """Events until as many as recorded are there, and for a moment longer."""
        events: list[Any] = []
        async with session.get(**self._prepared(request)) as response:
            if response.status != 200:
                return [await response.text()]
            while True:
                patience = PATIENCE_SECONDS if len(events) < expected else QUIET_SECONDS
                if "timeoutSeconds" in request["path"]:
                    patience = PATIENCE_SECONDS  # it must end by itself
                try:
                    async with asyncio.timeout(patience):
                        line = await response.content.readline()
                except TimeoutError:
                    if "timeoutSeconds" in request["path"]:
                        events.append("the stream did not end")
                    return events
                if not line:
                    return events
                events.append(json.loads(line))


def _by_type(events: list[Any]) -> list[Any]:
    """The type as a key of its own, so that paths of differences show it."""
    return [{event["type"]: event["object"]} if isinstance(event, dict) else event for event in events]


def _served_by_both(recorded: dict[str, Any], actual: dict[str, Any]) -> tuple[Any, Any]:
    """Aggregated discovery, cut down to the resources that the stand-in serves: a real server has many more."""
    ours = {
        (group["metadata"].get("name"), version["version"], one["resource"]): one
        for group in actual["items"]
        for version in group["versions"]
        for one in version["resources"]
    }
    theirs = {
        (group["metadata"].get("name"), version["version"], one["resource"]): one
        for group in recorded["items"]
        for version in group["versions"]
        for one in version["resources"]
    }
    common = {str(key): one for key, one in theirs.items() if key in ours}
    return common | {"kind": recorded["kind"]}, {str(key): one for key, one in ours.items()} | {"kind": actual["kind"]}
