"""A burst of Services against the whole allocator, then one at a time: how long until each has its address.

`python -m bench.allocator_burst [--services N]`: JSON lines. The API server is the lab's stand-in in a process of its
own, or the real one when KUBEBUILDER_ASSETS names its folder; the allocator is a process too, and this one creates and
watches. All three share the machine. An address counts as there when a client that watches Services sees it.

Two bursts, each on a fresh server. The first creates as fast as the server takes it: the stand-in takes creates so
fast that all cores are busy, and a queue builds up, whoever serves it. The second creates no faster than --pace allows,
by default three times what a real API server took in the same place (60 to 80 s for 5,000 creates).
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import cpu_seconds, memory_kib, percentile, tell
from bench.server import ROOT, START_SECONDS, Server, processes, start_server
from crds.schema import custom_resource_definition
from crds.types import KINDS
from kube.errors import AlreadyExists, ApiError
from kube.io.client import Client
from kube.objects import decode_service
from kube.resource import IPPOOLS, NAMESPACES, SERVICES, Resource

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
CONCURRENCY = 32
SETTLE_SECONDS = 6.0
POOL = "10.128.0.0/16"


def usage(pid: int) -> tuple[float, float, float]:
    """CPU seconds, resident MB, and the most it ever had, of a process."""
    resident, peak = (memory_kib(pid, name) / 1000 for name in ("VmRSS", "VmHWM"))
    return cpu_seconds(pid), resident, peak


@dataclass
class Watcher:
    """When each Service was first seen with an address, and which one."""

    client: Client
    seen: dict[str, float] = field(default_factory=dict)
    ips: dict[str, str] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, version: str) -> None:
        while True:
            with contextlib.suppress(ApiError):
                async for event in self.client.watch(SERVICES, resource_version=version):
                    version = event.resource_version
                    if event.type in ("ADDED", "MODIFIED"):
                        self._take_in(event.raw_object)

    def _take_in(self, raw: bytes) -> None:
        service = decode_service(raw)
        ingress = service.status.load_balancer.ingress
        if ingress and service.metadata.name not in self.seen:
            self.seen[service.metadata.name] = time.monotonic()
            self.ips[service.metadata.name] = ingress[0].ip
            self.news.set()

    async def until(self, count: int, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while len(self.seen) < count:
                self.news.clear()
                await self.news.wait()


def service_body(name: str) -> dict[str, Any]:
    spec = {
        "type": "LoadBalancer",
        "allocateLoadBalancerNodePorts": False,  # there are not node ports enough for a burst of this size
        "selector": {"app": name},
        "ports": [{"port": 8765, "targetPort": 9376}],
    }
    return {"metadata": {"name": name}, "spec": spec}


async def prepare(client: Client) -> None:
    for kind in KINDS:
        await client.create(CRDS, custom_resource_definition(kind))
    with contextlib.suppress(AlreadyExists):
        await client.create(NAMESPACES, {"metadata": {"name": "berth-system"}})
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            await client.create(IPPOOLS, {"metadata": {"name": "edge"}, "spec": {"addresses": [POOL]}})
            return
        except ApiError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


def milliseconds(values: list[float], share: float) -> float:
    return round(1000 * percentile(sorted(values), share), 1)


@contextlib.asynccontextmanager
async def watching(client: Client) -> AsyncIterator[Watcher]:
    _, version = await client.list(SERVICES)
    watcher = Watcher(client)
    task = asyncio.create_task(watcher.run(version))
    try:
        yield watcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def burst(client: Client, watcher: Watcher, count: int, pace: float) -> tuple[list[float], float, float]:
    """Create them some at a time; create-to-address of each, and the seconds for all creates, and for all addresses."""
    began, sent, numbers = time.monotonic(), dict[str, float](), iter(range(count))

    async def create() -> None:
        for number in numbers:
            name = f"s{number}"
            if pace:
                await asyncio.sleep(began + number / pace - time.monotonic())
            sent[name] = time.monotonic()
            await client.create(SERVICES, service_body(name), "default")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONCURRENCY):
            tasks.create_task(create())
    created = time.monotonic() - began
    await watcher.until(count, 300)
    assert len(set(watcher.ips.values())) == count, "two Services got the same address"
    return [watcher.seen[name] - at for name, at in sent.items()], created, max(watcher.seen.values()) - began


async def one_at_a_time(client: Client, watcher: Watcher, count: int) -> list[float]:
    taken = []
    for number in range(count):
        name = f"one{number}"
        before = len(watcher.seen)
        began = time.monotonic()
        await client.create(SERVICES, service_body(name), "default")
        await watcher.until(before + 1, 30)
        taken.append(watcher.seen[name] - began)
        await asyncio.sleep(0.02)
    return taken


async def measure(
    server: Server, given: argparse.Namespace, running: list[subprocess.Popen[bytes]], pace: float
) -> None:
    async with await Client.connect(str(server.kubeconfig), user_agent="bench") as client:
        await prepare(client)
        command = [sys.executable, *given.python, "-m", "allocator", "--kubeconfig", str(server.kubeconfig)]
        command += ["--metrics-listen=", "--log-level=warning"]
        allocator = subprocess.Popen(command, cwd=ROOT)
        running.append(allocator)
        async with watching(client) as watcher:
            await client.create(SERVICES, service_body("first"), "default")
            await watcher.until(1, START_SECONDS)
            watcher.seen.clear()
            watcher.ips.clear()
            await asyncio.sleep(1)
            cpu, idle, _ = usage(allocator.pid)
            before = server.writes()
            taken, created, done = await burst(client, watcher, given.services, pace)
            await asyncio.sleep(SETTLE_SECONDS)
            writes = server.writes() - before
            cpu_after, resident, peak = usage(allocator.pid)
            writes.pop("create services", None)
            tell(
                "allocator_burst",
                what=f"burst, {CONCURRENCY} creates at a time" + (f", {pace:.0f} a second" if pace else ""),
                server=server.kind,
                services=given.services,
                creates_seconds=round(created, 1),
                all_addresses_seconds=round(done, 1),
                create_to_address_p50_ms=milliseconds(taken, 0.5),
                create_to_address_p99_ms=milliseconds(taken, 0.99),
                allocator_cpu_seconds=round(cpu_after - cpu, 1),
                allocator_rss_mb=round(resident),
                allocator_rss_peak_mb=round(peak),
                allocator_rss_before_mb=round(idle),
                writes_per_service=round(sum(writes.values()) / given.services, 2),
                writes=dict(sorted(writes.items())),
            )
            single = await one_at_a_time(client, watcher, given.single)
            tell(
                "allocator_burst",
                what="one at a time",
                server=server.kind,
                services_present=given.services,
                services=given.single,
                create_to_address_p50_ms=milliseconds(single, 0.5),
                create_to_address_p99_ms=milliseconds(single, 0.99),
                allocator_cpu_seconds_in_all=round(usage(allocator.pid)[0], 1),
                allocator_rss_peak_mb=round(usage(allocator.pid)[2]),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--single", type=int, default=100)
    parser.add_argument("--pace", type=float, default=200.0, help="creates a second in the second burst; 0: none")
    parser.add_argument("--python", action="append", default=[], help="an argument for the allocator's interpreter")
    given = parser.parse_args()
    for pace in (0.0, given.pace) if given.pace else (0.0,):
        with tempfile.TemporaryDirectory() as directory, processes() as running:
            server = start_server(Path(directory), running)
            asyncio.run(measure(server, given, running, pace))


if __name__ == "__main__":
    main()
