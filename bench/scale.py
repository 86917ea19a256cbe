"""What one change costs in a large cluster: API writes, bytes, watch traffic, CPU, and the time until all know.

`python -m bench.scale [--nodes 500] [--addresses 1000 5000 10000]`: one JSON object a line. A lab cluster of three
nodes with whole speakers, BIRD as their router, and 500 more nodes that bench.simulated plays: their objects, Leases,
watches and writes, and their heartbeats (bench.members). Needs root, or a kernel that lets users make namespaces, and
Debian's bird2. With KUBEBUILDER_ASSETS the API server is a real one; its metrics know no clients, so what is said there
of a node or of allocators is left out, and bytes to watches are of all clients.

With each number of addresses, all announced by BGP, in a cluster of its own. The addresses come first, and the 500 when
all that there is to report of them is written: among so many nodes that would take as many seconds as there are
slices, times 25. Then, one after the other:

    rest     nothing happens
    service  one new Service, until all routes are there, and until the last report is in
    release  one deleted, until its record is gone: every node has confirmed
    peer     one BGPPeer's connect time is changed, which leaves sessions as they are
    anew     its hold time is changed: all sessions begin anew
    death    a simulated node ends without a word
    roll     (with the last number of addresses) every simulated speaker restarts, --pace a second

A case ends when nothing but Leases has been written for some seconds. The 500 open three watches each, of the ten that
a speaker has: on the kinds that change here. One allocator runs, so that its share can be told. All processes share the
machine, and Python's one-core stand-in bounds what 1,500 watches can be sent.
"""

import argparse
import asyncio
import contextlib
import functools
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.bgp_services import NAMESPACE, Bench, each, peering
from bench.measure import cpu_seconds, progress, tell
from bench.server import server_of
from bench.simulatednode import AGENT
from bench.speaker_rest import heartbeats
from bench.traffic import Traffic, read
from crds.speakerreport import WRITES_PER_SECOND
from kube.errors import NotFound
from kube.io.client import Client
from kube.objects import decode_service
from kube.resource import BGPPEERS, SERVICES
from lab.cluster import Cluster, Settings
from lab.net.hosts import CLIENT
from lab.process import python

QUIET_SECONDS = 6.0
REST_BEGINS_SECONDS = 12.0
"""What an object's status owes is written within this time: a BGPPeer's at most six times a minute."""
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 240.0
FILL_SECONDS = 900.0
SETTLE_SECONDS = 3600.0
"""What is written of each new address is written by the allocator's budget: two statuses, 20 a second."""
REST_SECONDS = 15.0
ANSWERS_SECONDS = 1.0
WATCH_ROOM_BYTES = 30_000
WRITE_ROOM_BYTES = 16_000
CONFIRMATION_ROOM_BYTES = 1_000
CONFIRM_SECONDS = 3.0
ALLOCATOR_WRITES = 3
BY_BUDGET = ("leases", "ippools/status", "ipallocations/status")
SERVICE_STATUS = "services/status"
"""Each of a Service's writes but the first says whether it is announced, by the budget for statuses."""
CONFIRMATIONS = "releaseconfirmations/status"
REPORTS = "speakerreports/status"
WATCHES = 3
"""That each simulated node has open."""
REAL, ALLOCATOR = "berth-speaker", "berth-allocator"


class Simulated:
    """The process with the other nodes, and how to order it about."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    async def order(self, what: str, **more: Any) -> dict[str, Any]:
        """Returns its answer."""
        return await asyncio.to_thread(self._order, {"do": what, **more})

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the simulated nodes have ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def simulated(cluster: Cluster, count: int) -> Iterator[Simulated]:
    """Beside the client, on the segment: the way to the API server is as short as a speaker's."""
    play = [*python("bench.simulated"), str(count), f"--kubeconfig={cluster.control_plane.inside_kubeconfig}"]
    with subprocess.Popen(
        [*cluster.namespaces.enter(CLIENT), "env", f"PYTHONPATH={Path(__file__).parent.parent}", *play],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Simulated(process)
        finally:
            process.kill()


@dataclass
class Usage:
    """CPU seconds so far."""

    allocator: float
    speaker: float
    engine: float


class Scale:
    """The whole of it. `count`: simulated nodes."""

    def __init__(self, cluster: Cluster, bench: Bench, others: Simulated, options: argparse.Namespace) -> None:
        self.cluster, self.bench, self.others, self.options = cluster, bench, others, options
        self.server = server_of(cluster)
        self.count: int = options.nodes
        self.addresses = 0
        self._before = Traffic()
        self._next = 0

    # --- preparation

    async def fill(self, addresses: int) -> None:
        """Services up to this number, by BGP from the real nodes."""
        names = [self._name() for _ in range(addresses - self.addresses)]
        began = time.monotonic()
        await self.bench.prepare(names)
        await each(names, self.bench.create)
        self.addresses = addresses
        routes = addresses * len(self.bench.nodes)
        async with asyncio.timeout(FILL_SECONDS):
            while len(self.bench.table.has) < routes:
                await asyncio.sleep(POLL_SECONDS)
                self.bench.table.read()
        progress(f"{addresses} addresses are announced, {time.monotonic() - began:.0f} s after the first was wanted")

    def _name(self) -> str:
        self._next += 1
        return f"one-{self._next}"

    # --- one case

    def usage(self) -> Usage:
        node = self.bench.nodes[0]
        agent, wire, *engines = self.bench.pids(node)
        return Usage(
            cpu_seconds(self.cluster.allocator(1).pid),
            cpu_seconds(agent) + cpu_seconds(wire),
            sum(cpu_seconds(pid) for pid in engines),
        )

    async def quiet(self, seconds: float = QUIET_SECONDS, patience: float = PATIENCE_SECONDS) -> bool:
        """Until nothing but Leases has been written for so long; False: it never was."""
        deadline, since, before = time.monotonic() + patience, time.monotonic(), -1
        while time.monotonic() < deadline:
            now = sum(one.count for one in (await asyncio.to_thread(read, self.server)).writes().values())
            if now != before:
                since, before = time.monotonic(), now
            if time.monotonic() - since >= seconds:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    @asynccontextmanager
    async def case(self, what: str) -> AsyncIterator[dict[str, Any]]:
        """The figures of what is done in the block, and until all is quiet after it."""
        before = self._before = await self._begin()
        used, began = self.usage(), time.monotonic()
        figures: dict[str, Any] = {}
        yield figures
        is_quiet = await self.quiet()
        took = time.monotonic() - began - QUIET_SECONDS
        traffic = (await asyncio.to_thread(read, self.server)).since(before)
        figures |= self._told(traffic)
        tell(
            "scale",
            what=what,
            server=self.server.kind,
            nodes=self._nodes,
            addresses=self.addresses,
            seconds_until_quiet=round(took, 1) if is_quiet else None,
            **spent(used, self.usage()),
            **figures,
            **({"bars": bars(what, figures)} if self.server.kind == "stand-in" else {}),
        )

    @property
    def _nodes(self) -> int:
        return self.count + len(self.bench.nodes)

    async def _begin(self) -> Traffic:
        if self.server.kind == "stand-in":
            await asyncio.to_thread(self._forget_counts)
        return await asyncio.to_thread(read, self.server)

    def _forget_counts(self) -> None:
        self.server.order("DELETE", "/lab/counters")

    def _told(self, traffic: Traffic) -> dict[str, Any]:
        figures = {
            "writes": {what.text: one.count for what, one in sorted(traffic.writes().items())},
            "bytes_written": sum(one.size for one in traffic.writes().values()),
        }
        if self.server.kind != "stand-in":
            return figures | {"bytes_to_watches_of_all": traffic.bytes_to("")}
        by_nodes = traffic.writes(agent=REAL) | traffic.writes(agent=AGENT)
        confirmations = [one for what, one in by_nodes.items() if what.resource == CONFIRMATIONS]
        to_node = sum(traffic.bytes_to(AGENT).values()) / max(1, self.count)
        to_real = sum(traffic.bytes_to(REAL).values()) / len(self.bench.nodes)
        return figures | {
            "allocator_writes_but_status_by_budget": sum(
                min(one.count, 1) if what.resource == SERVICE_STATUS else one.count
                for what, one in traffic.writes(agent=ALLOCATOR, without=BY_BUDGET).items()
            ),
            "largest_write_of_a_node": max((one.largest for one in by_nodes.values()), default=0),
            "confirmations_per_node": round(sum(one.count for one in confirmations) / self._nodes, 2),
            "largest_confirmation": max((one.largest for one in confirmations), default=0),
            "watch_bytes_to_a_simulated_node": round(to_node),
            "of_these": {name: round(size / self.count) for name, size in traffic.bytes_to(AGENT).items()},
            "watch_bytes_to_a_real_node": round(to_real),
            "watch_bytes_to_the_allocator": sum(traffic.bytes_to(ALLOCATOR).values()),
        }

    # --- what happens

    async def rest(self) -> None:
        async with self.case("at rest") as figures:
            renewals = (await self.others.order("told"))["renewals"]
            await asyncio.sleep(REST_SECONDS)
            renewals = (await self.others.order("told"))["renewals"] - renewals
            figures["of_seconds"] = REST_SECONDS
            figures["simulated_renewals_per_second"] = round(renewals / REST_SECONDS, 1)

    async def service(self) -> str:
        """Its name."""
        name = self._name()
        await self.bench.prepare([name])
        await self.quiet(2.0)
        table = self.bench.table
        routes = len(table.has) + len(self.bench.nodes)
        async with self.case("one new Service") as figures:
            began = time.time()
            await self.bench.create(name)
            await table.until(lambda has: len(has) == routes)
            figures["ms_until_all_routes"] = round(1000 * (max(table.came[key] for key in table.has) - began), 1)
            await self._all_have_reported()
            figures["seconds_until_all_reports"] = round(time.time() - began, 1)
        self.addresses += 1
        return name

    async def _all_have_reported(self) -> None:
        """Each node has written its report once since the case began."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                traffic = (await asyncio.to_thread(read, self.server)).since(self._before)
                reports = [one.count for what, one in traffic.writes().items() if what.resource == REPORTS]
                if sum(reports) >= self._nodes:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def _all_follow(self) -> None:
        """All their watches are open, as far as the server tells."""
        await self.others.order("follow")
        if self.server.kind == "stand-in":
            async with asyncio.timeout(FILL_SECONDS):
                while await asyncio.to_thread(self._open_watches) < WATCHES * self.count:
                    await asyncio.sleep(POLL_SECONDS)
        await self.quiet(max(REST_BEGINS_SECONDS, 2 * self._nodes / WRITES_PER_SECOND), SETTLE_SECONDS)

    def _open_watches(self) -> int:
        return int(json.loads(self.server.fetch("/lab/counters"))["watches"])

    async def release(self, name: str) -> None:
        uids = set((await self.others.order("told"))["by"])
        async with self.case("one release") as figures:
            began = time.time()
            await self.bench.delete(name)
            await self._gone(name)
            figures["ms_until_the_service_is_gone"] = round(1000 * (time.time() - began), 1)
            await asyncio.sleep(ANSWERS_SECONDS)
            told = await self.others.order("told")
            (uid,) = set(told["by"]) - uids
            figures["confirmed_by_simulated"] = told["by"][uid]
            figures["ms_until_all_have_confirmed"] = round(1000 * (told["last"][uid] - began), 1)
        self.addresses -= 1
        self.bench.table.read()

    async def _gone(self, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(NotFound):
                while True:
                    decode_service(await self.bench.client.get(SERVICES, name, NAMESPACE))
                    await asyncio.sleep(0.02)

    async def peer(self) -> None:
        async with self.case("one changed BGPPeer"):
            change = {"spec": {"connectRetrySeconds": 60 + self._next % 60}}
            await self.bench.client.merge_patch(BGPPEERS, "tor", change)

    async def anew(self) -> None:
        async with self.case("all sessions begin anew"):
            change = {"spec": {"holdTimeSeconds": 60 + self._next % 20}}
            await self.bench.client.merge_patch(BGPPEERS, "tor", change)

    async def death(self) -> None:
        async with self.case("a node dies"):
            await self.others.order("die", node=self.count - 1)
            await asyncio.sleep(self.options.after_death)
        await self.others.order("revive", node=self.count - 1)

    async def roll(self) -> None:
        async with self.case("a rolling update of all simulated") as figures:
            await self.others.order("roll", pace=self.options.pace)
            figures["pace_per_second"] = self.options.pace

    async def run(self, addresses: int) -> None:
        await self.fill(addresses)
        await self.quiet(REST_BEGINS_SECONDS, SETTLE_SECONDS)
        progress("all of it is reported, and told")
        await self.others.order("register")
        progress(f"{self.count} simulated nodes are registered")
        await self._all_follow()
        progress("all watches are open, and nothing is written")
        await self.rest()
        await self.release(await self.service())
        await self.peer()
        await self.anew()
        await self.death()
        if addresses == self.options.addresses[-1] and self.options.pace:
            await self.roll()


def bars(what: str, figures: dict[str, Any]) -> dict[str, bool]:
    """What we aim at, and whether it was so. Times mean something on a quiet machine alone."""
    match what:
        case "at rest":
            return {"nothing but Leases is written": not figures["writes"]}
        case "one new Service":
            return {
                "3 writes of the allocator": figures["allocator_writes_but_status_by_budget"] <= ALLOCATOR_WRITES,
                "no write of a node over 16 KB": figures["largest_write_of_a_node"] <= WRITE_ROOM_BYTES,
                "no more than 30 KB to a node": figures["watch_bytes_to_a_simulated_node"] <= WATCH_ROOM_BYTES,
            }
        case "one release":
            return {
                "one confirmation of each node": figures["confirmations_per_node"] <= 1,
                "under 1 KB each": figures["largest_confirmation"] < CONFIRMATION_ROOM_BYTES,
                "received by allocators alone": CONFIRMATIONS.split("/")[0] not in figures["of_these"],
                "confirmed in under 3 s": figures["ms_until_all_have_confirmed"] < 1000 * CONFIRM_SECONDS,
            }
        case _:
            return {}


def spent(before: Usage, after: Usage) -> dict[str, float]:
    return {
        "allocator_cpu_s": round(after.allocator - before.allocator, 2),
        "real_speaker_cpu_s": round(after.speaker - before.speaker, 2),
        "its_exabgp_cpu_s": round(max(0.0, after.engine - before.engine), 2),  # one that was started anew counts anew
    }


async def measure(
    cluster: Cluster, bench: Callable[[Client], Bench], options: argparse.Namespace, addresses: int
) -> None:
    with simulated(cluster, options.nodes) as others, heartbeats(cluster, options.nodes):
        async with await Client.connect(str(cluster.kubeconfig), user_agent="berth-bench") as client:
            await Scale(cluster, bench(client), others, options).run(addresses)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="What one change costs.")
    parser.add_argument("--nodes", type=int, default=500, help="simulated ones, beside three real ones")
    parser.add_argument("--addresses", type=int, nargs="+", default=[1000, 5000, 10000])
    parser.add_argument("--pace", type=float, default=10.0, help="restarts a second in the rolling update; 0: none")
    parser.add_argument("--after-death", type=float, default=20.0, help="seconds to look on after a node's death")
    options = parser.parse_args()
    values = {"allocator": {"replicas": 1}}
    for addresses in options.addresses:
        with (
            tempfile.TemporaryDirectory() as directory,
            Cluster(Settings(Path(directory), name="scale", values=values), tell=progress) as cluster,
        ):
            router = peering(cluster)
            cluster.processes["workload"].freeze()
            asyncio.run(measure(cluster, functools.partial(Bench, cluster, router), options, addresses))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
