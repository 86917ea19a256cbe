"""Takes a capture: lists, logs and metrics, one after the other into an archive that has a bound."""

import asyncio
import io
import json
import tarfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cli.capture import choose
from cli.capture.clean import cleaned, scrubbed
from cli.check.read import check_cluster
from cli.printing import structured
from cli.reading import read_cluster
from cli.seen import World
from cli.status.state import state_of
from cli.version import version
from kube.errors import ApiError, Forbidden, Gone, NotFound
from kube.io.client import Client
from kube.resource import ENDPOINTSLICES, EVENTS, LEASES, SERVICES, Resource

MOST_OBJECTS = 20_000
"""Of one kind."""
MOST_KIND_BYTES = 48 << 20
"""Of one kind, as JSON."""
MOST_BYTES = 400 << 20
"""Of all, before it is packed."""
MOST_PODS = 60
"""Whose logs and metrics are taken."""
METRICS_BYTES = 4 << 20
LOG_SECONDS = 15.0
"""Without a byte: the API server asks a kubelet, which may be dead."""
AT_A_TIME = 8

Body = dict[str, Any]


@dataclass
class Capture:
    """What was taken, and what not. `took`: file and how much; `missing`: what and why; `refused`: for want of a
    right."""

    client: Client
    berth: str
    archive: tarfile.TarFile
    top: str
    took: list[tuple[str, str]] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    size: int = 0

    def put(self, name: str, content: bytes, how_much: str = "") -> None:
        """One file, unless there is no room for it any more."""
        if self.size + len(content) > MOST_BYTES:
            self.missing.append((name, f"the capture would be larger than {MOST_BYTES >> 20} MB"))
            return
        self.size += len(content)
        entry = tarfile.TarInfo(f"{self.top}/{name}")
        entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
        self.archive.addfile(entry, io.BytesIO(content))
        self.took.append((name, how_much or f"{len(content)} bytes"))

    async def tried(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """What is refused, or not there, is told; the rest goes on. An API server that is away ends it all."""
        try:
            await work()
        except Forbidden as error:
            self.refused.append((name, _refusal(error)))
        except NotFound as error:
            self.missing.append((name, "the API server does not know it" if error.is_unknown_resource else str(error)))
        except ApiError as error:
            self.missing.append((name, str(error)))
        except TimeoutError:
            self.missing.append((name, "it took too long"))

    async def list(self, res: Resource, keep: Callable[[Body], bool] = lambda _: True, **where: Any) -> list[Body]:
        """Those that are kept, as they are in the cluster; cleaned, they are written into a file."""
        kept = Kept(keep)

        async def work() -> None:
            await kept.read(self.client, res, where)
            self.put(f"objects/{res.plural}.json", kept.content, f"{len(kept.objects)} objects")
            if kept.cut:
                self.missing.append((res.plural, f"{kept.cut}: the first {len(kept.objects)} are there"))

        await self.tried(res.plural, work)
        return kept.objects


def _refusal(error: Forbidden) -> str:
    return f"you may not: {error.message}"


@dataclass
class Kept:
    """The objects of one kind that are kept. `cut`: why there are not all; empty where there are."""

    keep: Callable[[Body], bool]
    objects: list[Body] = field(default_factory=list)
    cut: str = ""
    _lines: list[bytes] = field(default_factory=list)
    _size: int = 0

    @property
    def content(self) -> bytes:
        """As kubectl writes a list, one object a line."""
        return b'{"kind": "List", "apiVersion": "v1", "items": [\n' + b",\n".join(self._lines) + b"\n]}\n"

    async def read(self, client: Client, res: Resource, where: dict[str, Any]) -> None:
        """Page by page, until there is no more, or enough. Raises ApiError."""
        token = ""
        while not self.cut:
            try:
                page = await client.list_page(res, continue_token=token, **where)
            except Gone:
                self.cut = "the list changed faster than it could be read"
                return
            for raw in page.items:
                self._add(json.loads(raw))
            token = page.continue_token
            if not token:
                return

    def _add(self, one: Body) -> None:
        if self.cut or not self.keep(one):
            return
        line = json.dumps(cleaned(one), ensure_ascii=False).encode()
        if len(self.objects) >= MOST_OBJECTS or self._size + len(line) > MOST_KIND_BYTES:
            self.cut = f"more than {MOST_OBJECTS} objects, or {MOST_KIND_BYTES >> 20} MB"
            return
        self._size += len(line)
        self.objects.append(one)
        self._lines.append(line)


async def take(one: Capture, *, with_logs: bool, nodes: frozenset[str]) -> None:
    """All of it. `nodes`: whose speakers' logs are taken; empty = of all. Raises ApiError where
    nothing can be read at all."""
    try:
        one.put("version-server.json", await one.client.fetch("/version", most=64 << 10))
    except Forbidden as error:
        one.refused.append(("version-server.json", _refusal(error)))
    await told_by_berth(one)
    for res in choose.WHOLE:
        await one.list(res)
    services = {choose.key(each) for each in await one.list(SERVICES, choose.concerns_service)}
    await one.list(ENDPOINTSLICES, lambda each: choose.concerns_slice(each, services))
    await one.list(EVENTS, lambda each: choose.concerns_event(each, one.berth, services))
    await one.list(LEASES, namespace=one.berth)
    for res in choose.WORKLOADS:
        await one.list(res, namespace=one.berth, label_selector=choose.COMPONENTS)
    pods = await one.list(choose.PODS, namespace=one.berth, label_selector=choose.COMPONENTS)
    running = [each for each in choose.containers(pods) if _is_wanted(each, nodes)]
    for each in running[MOST_PODS:]:
        one.missing.append((f"logs/{each.pod}", f"more than {MOST_PODS} pods: name the nodes by --node"))
    turn = asyncio.Semaphore(AT_A_TIME)
    await asyncio.gather(*(_of_pod(one, each, turn, with_logs=with_logs) for each in running[:MOST_PODS]))


def _is_wanted(one: choose.Running, nodes: frozenset[str]) -> bool:
    return one.name != "speaker" or not nodes or one.node in nodes


async def _of_pod(one: Capture, of: choose.Running, turn: asyncio.Semaphore, *, with_logs: bool) -> None:
    async with turn:
        for previous in ([False, True] if of.restarted else [False]) if with_logs else []:
            await _log(one, of, previous=previous)
        if of.port:
            await _metrics(one, of)


async def _log(one: Capture, of: choose.Running, *, previous: bool) -> None:
    name = f"logs/{of.pod}/{of.name}{'-before' if previous else ''}.log"

    async def work() -> None:
        path = choose.log_path(one.berth, of, previous=previous)
        found = await one.client.fetch(path, most=choose.LOG_BYTES, idle_seconds=LOG_SECONDS)
        one.put(name, scrubbed(found.decode(errors="replace")).encode())
        if len(found) >= choose.LOG_BYTES:
            one.missing.append((name, f"the end: it is longer than {choose.LOG_BYTES >> 20} MB"))

    await one.tried(name, work)


async def _metrics(one: Capture, of: choose.Running) -> None:
    name = f"metrics/{of.pod}.txt"

    async def work() -> None:
        try:
            found = await _scraped(one, of, "")
        except (Forbidden, NotFound):
            raise
        except ApiError:
            found = await _scraped(one, of, "https:")
        one.put(name, found)

    await one.tried(name, work)


async def _scraped(one: Capture, of: choose.Running, scheme: str) -> bytes:
    path = choose.metrics_path(one.berth, of, scheme)
    return await one.client.fetch(path, most=METRICS_BYTES, idle_seconds=LOG_SECONDS)


async def told_by_berth(one: Capture) -> None:
    """What `berth status` and `berth check` say, and of which version they are."""
    one.put("version-berth.txt", f"berth {version()}\n".encode())

    async def status() -> None:
        state = state_of(World(await read_cluster(one.client, one.berth)))
        one.put("status.json", scrubbed(structured(state.to_wire(), "json")).encode())

    async def check() -> None:
        found = await check_cluster(one.client, one.berth, is_before=False)
        lines = (f"{each.code.number} {each.about}: {each.message}\n" for each in found)
        one.put("check.txt", scrubbed("".join(lines)).encode())

    await one.tried("status.json", status)
    await one.tried("check.txt", check)
