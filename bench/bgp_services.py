"""How long until a router has the routes of a Service, and has lost them, through the whole of Berth.

`python -m bench.bgp_services [--rounds 20] [--services 500]`: one JSON object a line. A lab cluster of three nodes with
everything at its defaults, and BIRD as the router of all three, whose log says in microseconds when each route came and
went. Needs root, or a kernel that lets users make namespaces, and Debian's bird2.

    single   one Service after the other: from the moment when the request to create (or delete) it is sent until BIRD
             has its route from all three nodes (or from none)
    burst    many Services at once: until all routes of all nodes are there; then all deleted, until none is
    restart  with these routes: BIRD is killed and started, and a speaker is killed and started: until all are back

EndpointSlices are there before their Services, and nobody writes rules for them meanwhile: what a cluster's controllers
need for that is not what is measured. All processes share the machine, the API server's stand-in included.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import cpu_seconds, main_thread_seconds, progress, resident_megabytes, tell
from bench.server import server_of
from bench.speaker_rest import wire_of
from bench.traffic import read
from kube.framing import WatchEvent
from kube.io.client import Client
from kube.objects import decode_service
from kube.resource import ENDPOINTSLICES, SERVICES
from lab.client import LabClient
from lab.cluster import Cluster, Settings
from lab.routers.base import RouterSettings
from lab.routers.bird import Bird, route_event_of

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.002
PAUSE_SECONDS = 0.3
REST_SECONDS = 15.0
CONCURRENCY = 16
POOL = "10.77.0.0/16"
NAMESPACE = "default"
AGENT = "berth-bench"
SETTLE_SECONDS = 5.0


@dataclass
class Table:
    """What the router has, as its log tells it. `came`, `went`: Unix time of the last such line, by prefix and node."""

    path: Path
    came: dict[tuple[str, str], float] = field(default_factory=dict)
    went: dict[tuple[str, str], float] = field(default_factory=dict)
    has: set[tuple[str, str]] = field(default_factory=set)
    _at: int = 0
    _rest: str = ""

    def read(self) -> None:
        with self.path.open() as log:
            log.seek(self._at)
            text = self._rest + log.read()
            self._at = log.tell()
        *lines, self._rest = text.split("\n")
        for line in lines:
            event = route_event_of(line)
            if event is None:
                continue
            key = (event.prefix, event.node)
            if event.removed:
                self.went[key] = event.at
                self.has.discard(key)
            else:
                self.came[key] = event.at
                self.has.add(key)

    async def until(self, is_so: Callable[[set[tuple[str, str]]], bool], poll_seconds: float = POLL_SECONDS) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self.read()
                if is_so(self.has):
                    return
                await asyncio.sleep(poll_seconds)


class Bench:
    """A cluster, a router that has sessions with all nodes, and a client of the API server."""

    def __init__(self, cluster: Cluster, router: Bird, client: Client) -> None:
        self.cluster, self.router, self.client = cluster, router, client
        self.nodes = [node.name for node in cluster.topology.nodes]
        self.table = Table(router.log_path)
        self.server = server_of(cluster)

    async def prepare(self, names: Iterable[str]) -> None:
        """Their endpoints, one ready on each node."""
        await each(names, lambda name: self.client.create(ENDPOINTSLICES, self._slice(name), NAMESPACE))

    async def create(self, name: str) -> None:
        spec = {
            "type": "LoadBalancer",
            "ports": [{"port": 80, "targetPort": 9376}],
            "allocateLoadBalancerNodePorts": False,  # there are 2,768 of them
        }
        await self.client.create(SERVICES, {"metadata": {"name": name}, "spec": spec}, NAMESPACE)

    async def delete(self, name: str) -> None:
        await self.client.delete(SERVICES, name, namespace=NAMESPACE)

    async def address(self, name: str) -> str:
        service = decode_service(await self.client.get(SERVICES, name, NAMESPACE))
        return str(service.status.load_balancer.ingress[0].ip)

    async def gone(self) -> None:
        """Until no Service of ours is left: their finalizers are off."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                items, _ = await self.client.list(SERVICES, namespace=NAMESPACE)
                if len(items) <= 1:
                    return
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def released(self, name: str) -> AsyncIterator[Callable[[], Awaitable[float]]]:
        """Yields what returns the Unix time at which the Service was gone: all confirmations were there, its record was
        gone, and its finalizer off. Delete it within the block. It is watched, and not asked for again and again: that
        would take CPU from those who are measured."""
        _, version = await self.client.list(SERVICES, namespace=NAMESPACE)
        watch = self.client.watch(
            SERVICES, resource_version=version, namespace=NAMESPACE, field_selector=f"metadata.name={name}"
        )
        async with aclosing(watch) as events, asyncio.TaskGroup() as group:
            gone = group.create_task(_end_of(events))
            await asyncio.sleep(PAUSE_SECONDS)

            async def time_gone() -> float:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    return await gone

            yield time_gone

    def pids(self, node: str) -> list[int]:
        agent = self.cluster.speaker(node).pid
        return [agent, wire_of(agent), *self.cluster.engines(node)]

    def allocators(self) -> float:
        """CPU seconds of all allocators."""
        pids = [process.pid for name, process in self.cluster.processes.items() if name.startswith("allocator-")]
        return sum(cpu_seconds(pid) for pid in pids)

    @asynccontextmanager
    async def counted(self, services: int) -> AsyncIterator[dict[str, Any]]:
        """Filled when the block is left, and what follows it has been written: API writes for each Service but the
        user's own, and the allocators' CPU."""
        figures: dict[str, Any] = {}
        before, used = await asyncio.to_thread(read, self.server), self.allocators()
        yield figures
        await asyncio.sleep(SETTLE_SECONDS)
        written = (await asyncio.to_thread(read, self.server)).since(before).writes()
        ours = {what: one.count for what, one in written.items() if what.agent != AGENT}
        figures["writes_per_service"] = {
            what.text: round(number / services, 2) for what, number in sorted(ours.items())
        }
        figures["allocator_cpu_ms_per_service"] = round(1000 * (self.allocators() - used) / services, 2)

    def usage(self) -> dict[str, list[float]]:
        """Agent, wire process and ExaBGP of the first node: seconds of CPU, and memory."""
        pids = self.pids(self.nodes[0])
        return {
            "cpu_s": [round(main_thread_seconds(pid), 2) for pid in pids],
            "rss_mb": [round(resident_megabytes(pid), 1) for pid in pids],
        }

    def _slice(self, name: str) -> dict[str, Any]:
        ready = {"ready": True, "serving": True, "terminating": False}
        return {
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": [str(node.pod_ipv4)], "nodeName": node.name, "conditions": ready}
                for node in self.cluster.topology.nodes
            ],
            "ports": [{"name": "", "port": 9376, "protocol": "TCP"}],
        }


async def _end_of(events: AsyncIterator[WatchEvent]) -> float:
    """Unix time of the deletion that they tell of."""
    async for event in events:
        if event.type == "DELETED":
            return time.time()
    raise EOFError("the watch ended before the Service")


async def each(names: Iterable[str], action: Callable[[str], Any]) -> None:
    """For all, several at a time."""
    gate = asyncio.Semaphore(CONCURRENCY)

    async def one(name: str) -> None:
        async with gate:
            await action(name)

    await asyncio.gather(*(one(name) for name in names))


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(round(each * 1000, 1) for each in seconds)
    return {"p50_ms": round(statistics.median(ordered), 1), "worst_ms": ordered[-1]}


def cpu_between(before: dict[str, list[float]], after: dict[str, list[float]]) -> dict[str, Any]:
    """What was spent, as agent, wire process and ExaBGP."""
    spent = [round(now - then, 2) for then, now in zip(before["cpu_s"], after["cpu_s"], strict=False)]
    return {"cpu_s_agent_wire_exabgp": spent, "rss_mb_agent_wire_exabgp": after["rss_mb"]}


async def single(bench: Bench, rounds: int) -> None:
    names = [f"single-{number}" for number in range(rounds + 1)]
    await bench.prepare(names)
    appear, answered, go, released = [], [], [], []
    for name in names:
        await asyncio.sleep(PAUSE_SECONDS)
        began = time.time()
        await bench.create(name)
        created = time.time()
        await bench.table.until(lambda has: len(has) == len(bench.nodes))
        came = max(bench.table.came[key] for key in bench.table.has)
        async with bench.released(name) as time_gone:
            keys, deleted = set(bench.table.has), time.time()
            await bench.delete(name)
            gone = await time_gone()
        await bench.table.until(lambda has: not has)
        went = max(bench.table.went[key] for key in keys)
        if name != names[0]:  # the first one finds caches cold
            appear.append(came - began)
            answered.append(came - created)
            go.append(went - deleted)
            released.append(gone - deleted)
    tell("bgp_services", what="create sent, until all 3 nodes' routes are there", rounds=rounds, **milliseconds(appear))
    tell(
        "bgp_services",
        what="create answered, until all 3 nodes' routes are there",
        rounds=rounds,
        **milliseconds(answered),
    )
    tell("bgp_services", what="delete sent, until all 3 nodes' routes are gone", rounds=rounds, **milliseconds(go))
    tell("bgp_services", what="delete sent, until the Service is gone", rounds=rounds, **milliseconds(released))


async def burst(bench: Bench, count: int) -> None:
    names = [f"burst-{number}" for number in range(count)]
    await bench.prepare(names)
    await asyncio.sleep(1.0)
    routes, before, began = count * len(bench.nodes), bench.usage(), time.time()
    async with bench.counted(count) as counted:
        await each(names, bench.create)
        created = time.time()
        await bench.table.until(lambda has: len(has) == routes, poll_seconds=0.02)
        after = bench.usage()
    done = max(bench.table.came[key] for key in bench.table.has)
    tell(
        "bgp_services",
        what=f"{count} Services created at once, until all {routes} routes are there",
        seconds=round(done - began, 2),
        seconds_of_creating=round(created - began, 2),
        **cpu_between(before, after),
        **counted,
    )
    await asyncio.sleep(REST_SECONDS)
    before = bench.usage()
    await asyncio.sleep(REST_SECONDS)
    spent = cpu_between(before, bench.usage())["cpu_s_agent_wire_exabgp"]
    tell(
        "bgp_services",
        what=f"at rest with {count} routes",
        cpu_percent=[round(100 * one / REST_SECONDS, 2) for one in spent],
    )


async def restart(bench: Bench, count: int) -> None:
    routes = count * len(bench.nodes)
    bench.router.kill()
    bench.table.read()
    bench.table.has.clear()
    began = time.time()
    bench.router.start()
    await bench.table.until(lambda has: len(has) == routes, poll_seconds=0.02)
    tell(
        "bgp_services",
        what=f"the router killed and started, until all {routes} routes are back",
        seconds=round(time.time() - began, 2),
    )
    node = bench.nodes[0]
    killed = time.time()
    bench.cluster.speaker(node).kill()
    await bench.table.until(lambda has: not any(key[1] == node for key in has))
    gone = max(at for key, at in bench.table.went.items() if key[1] == node)
    began = time.time()
    bench.cluster.speaker(node).start()
    await bench.table.until(lambda has: len(has) == routes, poll_seconds=0.02)
    tell(
        "bgp_services",
        what=f"a speaker killed and started, {count} routes",
        gone_ms=round((gone - killed) * 1000),
        back_seconds=round(time.time() - began, 2),
    )


async def delete_all(bench: Bench, count: int) -> None:
    began, before = time.time(), bench.usage()
    keys = set(bench.table.has)
    async with bench.counted(count) as counted:
        await each([f"burst-{number}" for number in range(count)], bench.delete)
        await bench.table.until(lambda has: not has, poll_seconds=0.02)
        went = max(bench.table.went[key] for key in keys)
        await bench.gone()
        gone, after = time.time(), bench.usage()
    tell(
        "bgp_services",
        what=f"{count} Services deleted at once",
        seconds_until_no_route_is_left=round(went - began, 2),
        seconds_until_all_are_gone=round(gone - began, 2),
        **cpu_between(before, after),
        **counted,
    )


async def measure(cluster: Cluster, router: Bird, options: argparse.Namespace) -> None:
    async with await Client.connect(str(cluster.kubeconfig), user_agent=AGENT) as client:
        bench = Bench(cluster, router, client)
        if options.rounds:
            await single(bench, options.rounds)
        await burst(bench, options.services)
        await restart(bench, options.services)
        await delete_all(bench, options.services)


def peering(cluster: Cluster) -> Bird:
    """A pool, an advertisement, and BIRD with a session that is up on each node."""
    lab = LabClient(cluster)
    router = cluster.start_router("bird", settings=RouterSettings())
    assert isinstance(router, Bird)
    lab.pool("pool", POOL)
    lab.bgp_advertisement("all")
    lab.bgp_peer("tor")
    lab.established("tor", timeout_seconds=PATIENCE_SECONDS)
    return router


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bgp_services", description="Services as BGP routes.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--services", type=int, default=500)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Settings(Path(directory), name="bench"), tell=progress) as cluster,
    ):
        router = peering(cluster)
        cluster.processes["workload"].freeze()
        asyncio.run(measure(cluster, router, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
