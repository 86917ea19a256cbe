"""What a speaker costs that has nothing to do, in a cluster of 50 nodes.

`python -m bench.speaker_rest [--nodes 50] [--services 20] [--seconds 30] [--rounds 3]`: one JSON object a line. A lab
cluster of one node with a whole speaker, as the chart runs it; the others are Node, Speaker and Lease objects that one
process keeps renewed, and heartbeats that another one signs in their names. Needs root, or a kernel that lets users
make namespaces.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bench.measure import main_thread_seconds, progress, resident_megabytes, tell
from bench.members import incarnation_of, name_of
from crds.names import speaker_lease, speaker_lease_labels
from kube.io.client import Client
from kube.lease.io.renewer import LeaseRenewer
from kube.resource import NODES, SPEAKERS
from lab.client import LabClient
from lab.cluster import NAMESPACE, Cluster, Settings
from lab.net.hosts import CLIENT
from lab.waiting import wait_for
from speaker.members.io.keys import SIGNING_KEY

NODE = "node1"
SETTLE_SECONDS = 20.0  # longer than it takes until Leases are not watched any more (speaker.members.io.leasewatch)
PATIENCE_SECONDS = 60.0
LEASE_DURATION_SECONDS = 6
RENEW_SECONDS = 2.0
ROOT = Path(__file__).parent.parent
HEARD = 'berth_members{state="heard"}'


# --- the other nodes


@asynccontextmanager
async def others(kubeconfig: Path, count: int, renewals: Counter[str]) -> AsyncIterator[None]:
    """Their objects, with Leases renewed as speakers do, until the block ends. `renewals` counts what arrived."""
    async with await Client.connect(str(kubeconfig), user_agent="berth-bench") as client:
        for number in range(count):
            await _create(client, number)
        renewing = [asyncio.create_task(_renewer(client, number, renewals).run()) for number in range(count)]
        try:
            yield
        finally:
            for task in renewing:
                task.cancel()
            await asyncio.gather(*renewing, return_exceptions=True)


async def _create(client: Client, number: int) -> None:
    name = name_of(number)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "lastTransitionTime": now}
    mac = f"02:00:00:01:{number >> 8:02x}:{number & 255:02x}"
    interface = {"name": "eth0", "mac": mac, "up": True, "usable": True, "reason": ""}
    status = {"incarnation": incarnation_of(number), "interfaces": [interface], "conditions": [ready]}
    address = {"type": "InternalIP", "address": f"172.30.1.{number + 1}"}
    await client.create(NODES, {"metadata": {"name": name}})
    await client.merge_patch(NODES, name, {"status": {"addresses": [address]}}, subresource="status")
    await client.create(SPEAKERS, {"metadata": {"name": name}, "spec": {}})
    await client.merge_patch(SPEAKERS, name, {"status": status}, subresource="status")


def _renewer(client: Client, number: int, renewals: Counter[str]) -> LeaseRenewer:
    name = name_of(number)
    return LeaseRenewer(
        client,
        NAMESPACE,
        speaker_lease(name),
        incarnation_of(number),
        duration_seconds=LEASE_DURATION_SECONDS,
        renew_seconds=RENEW_SECONDS,
        labels=speaker_lease_labels(name),
        on_renewed=lambda _: renewals.update([name]),
    )


@contextmanager
def heartbeats(cluster: Cluster, count: int) -> Iterator[None]:
    """Of the others, from the client's place on the segment."""
    key = cluster.settings.directory / "secrets" / "berth-heartbeat" / SIGNING_KEY
    own = str(cluster.topology.client.ipv4)
    play = [sys.executable, "-m", "bench.members", str(count), f"--key-file={key}", f"--from={own}"]
    with subprocess.Popen(
        [*cluster.namespaces.enter(CLIENT), "env", f"PYTHONPATH={ROOT}", *play], stdin=subprocess.PIPE
    ) as player:
        try:
            yield
        finally:
            player.kill()


# --- the one under test


def wire_of(agent: int) -> int:
    """The process id of an agent's wire process."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return next(int(pid) for pid in children if b"speaker.wire.io.loop" in Path(f"/proc/{pid}/cmdline").read_bytes())


def heard_by(cluster: Cluster) -> int:
    """How many members the speaker hears."""
    return int(LabClient(cluster).metric(NODE, HEARD) or 0)


async def at_rest(agent: int, seconds: float) -> dict[str, float]:
    """CPU as a share of one core."""
    wire = wire_of(agent)
    began, before = time.monotonic(), (main_thread_seconds(agent), main_thread_seconds(wire))
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    agent_percent, wire_percent = (
        100 * (main_thread_seconds(pid) - at) / took for pid, at in zip((agent, wire), before, strict=True)
    )
    agent_rss, wire_rss = resident_megabytes(agent), resident_megabytes(wire)
    return {
        "cpu_percent": round(agent_percent + wire_percent, 2),
        "agent_cpu_percent": round(agent_percent, 2),
        "wire_cpu_percent": round(wire_percent, 2),
        "rss_mb": round(agent_rss + wire_rss, 1),
        "agent_rss_mb": round(agent_rss, 1),
        "wire_rss_mb": round(wire_rss, 1),
    }


async def measure(cluster: Cluster, options: argparse.Namespace) -> None:
    lab, peers = LabClient(cluster), options.nodes - 1
    lab.pool("pool", "172.30.0.200-172.30.0.250")
    lab.advertise_all()
    for number in range(options.services):
        await asyncio.to_thread(lab.service, f"web{number}")
    agent, renewals = cluster.speaker(NODE).pid, Counter[str]()
    async with contextlib.AsyncExitStack() as beside:
        if peers:
            await beside.enter_async_context(others(cluster.kubeconfig, peers, renewals))
            beside.enter_context(heartbeats(cluster, peers))
            all_heard = lambda: heard_by(cluster) == peers  # noqa: E731
            await asyncio.to_thread(
                wait_for, "all peers are heard", all_heard, timeout_seconds=PATIENCE_SECONDS, poll_seconds=0.5
            )
        await asyncio.sleep(SETTLE_SECONDS)
        for round_ in range(options.rounds):
            figures: dict[str, Any] = {"nodes": options.nodes, "services": options.services, "round": round_ + 1}
            before = renewals.total()
            figures |= await at_rest(agent, options.seconds)
            figures["renewals_per_second"] = round((renewals.total() - before) / options.seconds, 1)
            figures["heard"] = await asyncio.to_thread(heard_by, cluster)
            tell("speaker_rest", **figures)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speaker_rest", description="A speaker at rest.")
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--services", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    values = {"allocator": {"replicas": 1}}
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(
            Settings(Path(directory), name="rest", node_count=1, values=values),
            tell=progress,
        ) as cluster,
    ):
        asyncio.run(measure(cluster, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
