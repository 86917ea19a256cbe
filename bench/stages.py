"""Where the time of one Service goes, stage by stage: from its creation to its routes, from its deletion to its end.

`python -m bench.stages [--rounds 20]`: one JSON object a line, medians and worst in milliseconds, and the aim of a
stage that has one. A lab cluster of three nodes with everything at its defaults, and BIRD as the router of all.
The judges are others than those who are judged: the API server's stand-in says when it took a request in and when it
wrote an event to a watch, BIRD's log when a route came and went, and a recorder on the segment when an address was
first claimed. So each stage has the ways there and back in it, of one machine.

    bgp      one Service after the other, whose address is told to routers
    layer2   the same on layer 2, where one node claims it
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from bench.bgp_services import AGENT, NAMESPACE, PATIENCE_SECONDS, PAUSE_SECONDS, Bench, peering
from bench.measure import progress, tell
from crds.names import ANNOTATION_POOL
from kube.io.client import Client
from kube.resource import SERVICES
from lab.apiserver.timeline import Moment
from lab.client import BERTH, LabClient
from lab.cluster import Cluster, Settings
from lab.net.claims import Claim
from lab.routers.bird import Bird

ALLOCATOR, SPEAKER = "berth-allocator", "berth-speaker"
ALLOCATIONS, CONFIRMATIONS = "ipallocations.berth.dev", "releaseconfirmations.berth.dev/status"
SEGMENT_POOL = "172.30.0.200-172.30.0.209"
REPORTED_SECONDS = 3.0
"""After a change, until statuses are written that nobody waits for: a round begins when the last one's are."""

RECORD, MARK = "IPAllocation", "mark of the IPAllocation"
AIMS = {
    "Service at the allocator, until the create of the IPAllocation comes": 1.0,
    f"{RECORD} at a speaker, until the router knows from it": 3.0,
    f"{MARK} at a speaker, until the router knows from it": 3.0,
}
"""Milliseconds."""


@dataclass
class Timeline:
    """What the stand-in noted in one round."""

    rows: Sequence[Moment]

    def first(self, verb: str, resource: str, agent: str = "", *, since: float = 0.0, who: str = "") -> Moment:
        """Raises LookupError when there is none."""
        return next(self.all(verb, resource, agent, since=since, who=who))

    def all(self, verb: str, resource: str, agent: str = "", *, since: float = 0.0, who: str = "") -> Iterator[Moment]:
        """In the order of their beginnings."""
        found = [
            row
            for row in self.rows
            if (row.verb, row.resource) == (verb, resource)
            and row.agent.startswith(agent)
            and row.at >= since
            and who in ("", row.who)
        ]
        if not found:
            raise LookupError(f"no {verb} {resource} by {agent or 'anybody'}")
        return iter(sorted(found, key=attrgetter("at")))


@dataclass
class Stages:
    """Seconds of each stage, in the order in which they come."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, stage: str, seconds: float) -> None:
        self.seconds.setdefault(stage, []).append(seconds)

    def tell(self, way: str) -> None:
        for stage, seconds in self.seconds.items():
            ordered = sorted(seconds)
            aim = {"aim_ms": AIMS[stage]} if stage in AIMS else {}
            tell(
                "stages", way=way, stage=stage, times=len(ordered),
                p50_ms=round(1000 * statistics.median(ordered), 1), worst_ms=round(1000 * ordered[-1], 1), **aim,
            )  # fmt: skip


class Judges:
    """The stand-in's notes, BIRD's log, and the recorder on the segment."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.nodes = {str(node.ipv4): node.name for node in bench.cluster.topology.nodes}
        self.macs = bench.cluster.macs()

    async def begin(self) -> None:
        await asyncio.to_thread(self.bench.server.order, "DELETE", "/lab/timeline")

    async def timeline(self) -> Timeline:
        rows = json.loads(await asyncio.to_thread(self.bench.server.fetch, "/lab/timeline"))["timeline"]
        return Timeline([Moment(**row) for row in rows])

    async def first_claim(self, address: str, since: float) -> Claim:
        """`since`, and its time: Unix time."""
        offset = time.time() - time.monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (claims := self.bench.cluster.claims(address, since=since - offset)):
                await asyncio.sleep(0.01)
        return Claim(claims[0].at + offset, claims[0].mac)


def created(stages: Stages, timeline: Timeline) -> float:
    """Of both ways, until the record is there: when its create came."""
    request = timeline.first("create", "services", AGENT)
    seen = timeline.first("event", "services", ALLOCATOR, since=request.at)
    record = timeline.first("create", ALLOCATIONS, ALLOCATOR, since=seen.at)
    shown = timeline.first("patch", "services/status", ALLOCATOR, since=record.at)
    stages.add("create of the Service comes, until its event is sent to the allocator", seen.at - request.at)
    stages.add("Service at the allocator, until the create of the IPAllocation comes", record.at - seen.at)
    stages.add("create of the IPAllocation, until the address is written to the Service", shown.at - record.at)
    return record.at


def marked(stages: Stages, timeline: Timeline) -> float:
    """Of both ways, until the record is marked: when its patch came."""
    request = timeline.first("delete", "services", AGENT)
    seen = timeline.first("event", "services", ALLOCATOR, since=request.at)
    mark = timeline.first("patch", ALLOCATIONS, ALLOCATOR, since=seen.at)
    stages.add("delete of the Service comes, until its event is sent to the allocator", seen.at - request.at)
    stages.add("deleted Service at the allocator, until the mark comes", mark.at - seen.at)
    return mark.at


def released(stages: Stages, timeline: Timeline, mark: float) -> None:
    """Of both ways: after the confirmations."""
    confirmed = list(timeline.all("patch", CONFIRMATIONS, SPEAKER, since=mark))
    last = timeline.first("event", CONFIRMATIONS.partition("/")[0], ALLOCATOR, since=confirmed[-1].at)
    gone = timeline.first("delete", ALLOCATIONS, ALLOCATOR, since=mark)
    end = timeline.first("patch", "services/status", ALLOCATOR, since=gone.at)
    begun = timeline.first("delete", "services", AGENT)
    stages.add("mark, until the last confirmation comes", confirmed[-1].at - mark)
    stages.add("last confirmation, until its event is sent to the allocator", last.at - confirmed[-1].at)
    stages.add("that event, until the delete of the IPAllocation comes", gone.at - last.at)
    stages.add("delete of the IPAllocation, until the finalizer is taken off", end.until - gone.at)
    stages.add("delete of the Service comes, until it is gone", end.until - begun.at)


def by_router(
    stages: Stages, what: str, judges: Judges, timeline: Timeline, since: float, at: Mapping[str, float]
) -> None:
    """From the write of the record, or of its mark, until the router has heard of it. `at`: when it did, by node."""
    for who, node in judges.nodes.items():
        event = timeline.first("event", ALLOCATIONS, SPEAKER, since=since, who=who)
        stages.add(f"{what} at a speaker, until the router knows from it", at[node] - event.at)
    stages.add(f"{what} comes, until the router knows from one speaker", min(at.values()) - since)
    stages.add(f"{what} comes, until the router knows from all", max(at.values()) - since)


async def bgp(judges: Judges, rounds: int) -> None:
    bench, stages = judges.bench, Stages()
    names = [f"stage-{number}" for number in range(rounds + 1)]
    await bench.prepare(names)
    for name in names:
        stages = Stages() if name == names[1] else stages  # the first one finds caches cold
        await asyncio.sleep(PAUSE_SECONDS)
        await judges.begin()
        await bench.create(name)
        await bench.table.until(lambda has: len(has) == len(bench.nodes))
        await asyncio.sleep(REPORTED_SECONDS)
        prefix, timeline = next(iter(bench.table.has))[0], await judges.timeline()
        came = {node: bench.table.came[prefix, node] for node in bench.nodes}
        by_router(stages, RECORD, judges, timeline, created(stages, timeline), came)
        begun = timeline.first("create", "services", AGENT)
        stages.add("create of the Service comes, until all routes are there", max(came.values()) - begun.at)
        async with bench.released(name) as time_gone:
            await judges.begin()
            await bench.delete(name)
            await time_gone()
        await bench.table.until(lambda has: not has)
        timeline = await judges.timeline()
        mark, went = marked(stages, timeline), {node: bench.table.went[prefix, node] for node in bench.nodes}
        by_router(stages, MARK, judges, timeline, mark, went)
        for who, node in judges.nodes.items():
            said = timeline.first("patch", CONFIRMATIONS, SPEAKER, since=mark, who=who)
            stages.add("route gone, until its speaker's confirmation comes", said.at - went[node])
        released(stages, timeline, mark)
    stages.tell("bgp")


async def layer2(judges: Judges, rounds: int) -> None:
    bench, stages = judges.bench, Stages()
    names = [f"segment-{number}" for number in range(rounds + 1)]
    await bench.prepare(names)
    for name in names:
        stages = Stages() if name == names[1] else stages
        await asyncio.sleep(PAUSE_SECONDS)
        await judges.begin()
        began = time.time()
        await create_on_segment(bench, name)
        await asyncio.sleep(REPORTED_SECONDS)
        address = await bench.address(name)
        claim, timeline = await judges.first_claim(address, began), await judges.timeline()
        record = created(stages, timeline)
        owner = next(who for who, node in judges.nodes.items() if node == judges.macs[claim.mac])
        event = timeline.first("event", ALLOCATIONS, SPEAKER, since=record, who=owner)
        begun = timeline.first("create", "services", AGENT)
        stages.add(f"{RECORD} at its owner, until the first frame", claim.at - event.at)
        stages.add("create of the Service comes, until the first frame", claim.at - begun.at)
        async with bench.released(name) as time_gone:
            await judges.begin()
            await bench.delete(name)
            await time_gone()
        timeline = await judges.timeline()
        mark = marked(stages, timeline)
        for who in judges.nodes:
            event = timeline.first("event", ALLOCATIONS, SPEAKER, since=mark, who=who)
            said = timeline.first("patch", CONFIRMATIONS, SPEAKER, since=mark, who=who)
            stages.add(f"{MARK} at a speaker, until its confirmation comes", said.at - event.at)
        released(stages, timeline, mark)
    stages.tell("layer2")


async def create_on_segment(bench: Bench, name: str) -> None:
    """With an address of the other pool."""
    spec: dict[str, Any] = {
        "type": "LoadBalancer",
        "ports": [{"port": 80, "targetPort": 9376}],
        "allocateLoadBalancerNodePorts": False,
    }
    metadata = {"name": name, "annotations": {ANNOTATION_POOL: "segment"}}
    await bench.client.create(SERVICES, {"metadata": metadata, "spec": spec}, NAMESPACE)


async def measure(cluster: Cluster, router: Bird, options: argparse.Namespace) -> None:
    async with await Client.connect(str(cluster.kubeconfig), user_agent=AGENT) as client:
        judges = Judges(Bench(cluster, router, client))
        for way in options.ways:
            await {"bgp": bgp, "layer2": layer2}[way](judges, options.rounds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description="One Service, stage by stage.")
    parser.add_argument("ways", nargs="*", default=["bgp", "layer2"], metavar="bgp|layer2")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Settings(Path(directory), name="stages"), tell=progress) as cluster,
    ):
        cluster.record_segment()
        router = peering(cluster)
        on_segment(LabClient(cluster))
        cluster.processes["workload"].freeze()
        asyncio.run(measure(cluster, router, options))
    return 0


def on_segment(lab: LabClient) -> None:
    """A pool that layer 2 announces and BGP does not; Services ask for it. Of the other it is the other way round."""
    lab.pool("segment", SEGMENT_POOL, autoAssign=False)
    lab.bgp_advertisement("all", ipPools=["pool"])
    advertisement = {"metadata": {"name": "all"}, "spec": {"ipPools": ["segment"]}}
    lab.kubectl.apply({"apiVersion": BERTH, "kind": "L2Advertisement", **advertisement})


if __name__ == "__main__":
    raise SystemExit(main())
