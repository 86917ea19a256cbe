"""What our own watches see: when records and Services came, changed and went, in monotonic seconds.

A watch tells late, never early. Each of the two has a thread of its own; what they found is read from the main one.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.soak.verdict import Holding, Holdings, Life, Lives
from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import IPALLOCATIONS, SERVICES, Resource

RETRY_SECONDS = 0.05
Json = dict[str, Any]


@dataclass(frozen=True)
class Release:
    """Of one record: when its mark was seen, and when it was seen to be gone."""

    address: str
    marked: float
    gone: float


@dataclass(frozen=True)
class Shown:
    """What a Service's status showed from that time on. `addresses` empty: none, or there is no such Service."""

    at: float
    service: str
    addresses: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    policy: str = "Cluster"


class Records:
    """Of the IPAllocations. Guarded by a lock: the watch writes, others read."""

    def __init__(self) -> None:
        self._lives, self._holdings = Lives(), Holdings()
        self._marked: dict[str, float] = {}
        self._releases: list[Release] = []
        self._lock = threading.Lock()

    @property
    def lives(self) -> list[Life]:
        with self._lock:
            return self._lives.all()

    @property
    def holdings(self) -> list[Holding]:
        with self._lock:
            return self._holdings.all()

    @property
    def releases(self) -> list[Release]:
        with self._lock:
            return list(self._releases)

    def listed(self, items: list[Json], at: float) -> None:
        with self._lock:
            self._lives.listed({one["metadata"]["uid"]: _address(one) for one in items}, at)
            self._holdings.listed({_address(one): _holders(one) for one in items}, at)

    def changed(self, item: Json, at: float) -> None:
        with self._lock:
            uid = item["metadata"]["uid"]
            self._lives.seen(_address(item), uid, at)
            self._holdings.seen(_address(item), _holders(item), at)
            if item["spec"].get("releasing"):
                self._marked.setdefault(uid, at)

    def gone(self, item: Json, at: float) -> None:
        with self._lock:
            uid = item["metadata"]["uid"]
            self._lives.gone(uid, at)
            self._holdings.seen(_address(item), frozenset(), at)
            if uid in self._marked:
                self._releases.append(Release(_address(item), self._marked.pop(uid), at))


class Statuses:
    """Of the Services in the namespace `default`."""

    def __init__(self) -> None:
        self._now: dict[str, Shown] = {}
        self._past: list[Shown] = []
        self._lock = threading.Lock()

    @property
    def now(self) -> list[Shown]:
        with self._lock:
            return list(self._now.values())

    @property
    def history(self) -> list[Shown]:
        """Each change, in order."""
        with self._lock:
            return list(self._past)

    def listed(self, items: list[Json], at: float) -> None:
        names = {one["metadata"]["name"] for one in items}
        for one in items:
            self.changed(one, at)
        for name in [shown.service for shown in self.now if shown.service not in names]:
            self._note(Shown(at, name))

    def changed(self, item: Json, at: float) -> None:
        ingress = item.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        ports = tuple(port["port"] for port in item["spec"].get("ports", ()))
        addresses = tuple(sorted(one["ip"] for one in ingress))
        policy = item["spec"].get("externalTrafficPolicy", "Cluster")
        self._note(Shown(at, item["metadata"]["name"], addresses, ports, policy))

    def gone(self, item: Json, at: float) -> None:
        self._note(Shown(at, item["metadata"]["name"]))

    def _note(self, shown: Shown) -> None:
        with self._lock:
            before = self._now.get(shown.service)
            if before is None or (before.addresses, before.ports) != (shown.addresses, shown.ports):
                self._past.append(shown)
                self._now[shown.service] = shown


class Watcher:
    """Both watches, from `start` to the end of this process."""

    def __init__(self, kubeconfig: Path) -> None:
        self.records, self.statuses = Records(), Statuses()
        self._kubeconfig = kubeconfig

    def start(self) -> None:
        for resource, book in ((IPALLOCATIONS, self.records), (SERVICES, self.statuses)):
            run = _follower(self._kubeconfig, resource, book)
            threading.Thread(target=run, daemon=True).start()


def _follower(kubeconfig: Path, resource: Resource, book: Records | Statuses) -> Callable[[], None]:
    async def run() -> None:
        async with await Client.connect(str(kubeconfig), user_agent="soak") as client:
            while True:
                with suppress(ApiError):
                    await _follow(client, resource, book)
                await asyncio.sleep(RETRY_SECONDS)

    return lambda: asyncio.run(run())


async def _follow(client: Client, resource: Resource, book: Records | Statuses) -> None:
    items, version = await client.list(resource)
    book.listed([json.loads(item) for item in items], time.monotonic())
    async for event in client.watch(resource, resource_version=version):
        at = time.monotonic()
        if event.type in ("ADDED", "MODIFIED"):
            book.changed(json.loads(event.raw_object), at)
        elif event.type == "DELETED":
            book.gone(json.loads(event.raw_object), at)


def _address(record: Mapping[str, Any]) -> str:
    address: str = record["spec"]["address"]
    return address


def _holders(record: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(one["name"] for one in record["spec"]["holders"])
