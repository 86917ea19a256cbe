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
import json
import re
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from crds.schema import custom_resource_definition
from crds.types import KINDS
from kube.errors import AlreadyExists, ApiError
from kube.io.client import Client
from kube.objects import decode_service
from kube.resource import IPPOOLS, NAMESPACES, SERVICES, Resource
from lab.apiserver import real

ROOT = Path(__file__).resolve().parent.parent
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
CONCURRENCY = 32
START_SECONDS = 60.0
SETTLE_SECONDS = 6.0
POOL = "10.128.0.0/16"
Writes = Counter[str]


@dataclass(frozen=True)
class Server:
    kind: str
    url: str
    token: str
    ca: Path
    kubeconfig: Path

    def fetch(self, path: str) -> bytes:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def writes(self) -> Writes:
        """Requests that wrote so far, by what they wrote."""
        if self.kind == "stand-in":
            rows = json.loads(self.fetch("/lab/counters"))["counters"]
            return _counted((row["verb"], row["resource"], row["count"]) for row in rows if row["code"] < 300)
        found: list[tuple[str, str, int]] = []
        for line in self.fetch("/metrics").decode().splitlines():
            if line.startswith("apiserver_request_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                name = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
                if labels["code"].startswith("2"):
                    found.append((labels["verb"].lower(), name, int(float(line.rsplit(" ", 1)[1]))))
        return _counted(found)


def _counted(rows: Any) -> Writes:
    counts: Writes = Counter()
    for verb, resource, number in rows:
        plain = resource.replace(".berth.dev", "").replace(".coordination.k8s.io", "")
        if verb in ("create", "post", "patch", "update", "put", "delete"):
            short = {"post": "create", "put": "update", "apply": "patch"}.get(verb, verb)
            counts[f"{short} {plain}"] += number
    return counts


@contextlib.contextmanager
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield running
    finally:
        for one in reversed(running):
            one.terminate()
        for one in reversed(running):
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()


def start_server(directory: Path, running: list[subprocess.Popen[bytes]]) -> Server:
    binaries = real.assets()
    if binaries is None:
        command = [
            sys.executable,
            "-m",
            "lab.apiserver",
            "--dir",
            str(directory),
            "--port-file",
            str(directory / "port"),
        ]
        running.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))
        _wait(lambda: (directory / "port").exists() and (directory / "admin.kubeconfig").exists())
        config = yaml.safe_load((directory / "admin.kubeconfig").read_text())
        url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
        return Server("stand-in", url, token, directory / "ca.crt", directory / "admin.kubeconfig")
    plan = real.prepare(binaries, directory / "apiserver", "127.0.0.1", 16443)
    for command in (plan.etcd, plan.apiserver):
        log = (directory / f"{Path(command[0]).name}.log").open("wb")
        running.append(subprocess.Popen(command, stdout=log, stderr=log))
    server = Server(
        "kube-apiserver",
        "https://127.0.0.1:16443",
        plan.admin_token,
        plan.certificate_authority,
        directory / "admin.kubeconfig",
    )
    cluster = {"server": server.url, "certificate-authority": str(server.ca)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"token": server.token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    server.kubeconfig.write_text(yaml.safe_dump(config))
    _wait(lambda: _answers(server, "/readyz"))
    return server


def _answers(server: Server, path: str) -> bool:
    with contextlib.suppress(OSError):
        server.fetch(path)
        return True
    return False


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the API server does not start")
        time.sleep(0.05)


def usage(pid: int) -> tuple[float, float, float]:
    """CPU seconds, resident MB, and the most it ever had, of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    resident, peak = (int(status[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return (int(fields[11]) + int(fields[12])) / 100, resident, peak


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
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


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
            print(
                json.dumps(
                    {
                        "bench": "allocator_burst",
                        "what": f"burst, {CONCURRENCY} creates at a time" + (f", {pace:.0f} a second" if pace else ""),
                        "server": server.kind,
                        "services": given.services,
                        "creates_seconds": round(created, 1),
                        "all_addresses_seconds": round(done, 1),
                        "create_to_address_p50_ms": milliseconds(taken, 0.5),
                        "create_to_address_p99_ms": milliseconds(taken, 0.99),
                        "allocator_cpu_seconds": round(cpu_after - cpu, 1),
                        "allocator_rss_mb": round(resident),
                        "allocator_rss_peak_mb": round(peak),
                        "allocator_rss_before_mb": round(idle),
                        "writes_per_service": round(sum(writes.values()) / given.services, 2),
                        "writes": dict(sorted(writes.items())),
                    }
                ),
                flush=True,
            )
            single = await one_at_a_time(client, watcher, given.single)
            line = {"bench": "allocator_burst", "what": "one at a time", "server": server.kind}
            figures = {
                "services_present": given.services,
                "services": given.single,
                "create_to_address_p50_ms": milliseconds(single, 0.5),
                "create_to_address_p99_ms": milliseconds(single, 0.99),
                "allocator_cpu_seconds_in_all": round(usage(allocator.pid)[0], 1),
                "allocator_rss_peak_mb": round(usage(allocator.pid)[2]),
            }
            print(json.dumps({**line, **figures}), flush=True)


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
