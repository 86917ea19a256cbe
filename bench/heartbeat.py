"""What heartbeats cost a speaker, and how soon a dead member is noticed, in clusters of 50, 100 and 500 nodes.

One real wire process on a bridge; the other members are played by one process in another network namespace (see
members.py). Needs root, and leaves nothing behind. One JSON object a line.

    python -m bench.heartbeat [--nodes 50 100 500] [--seconds 5] [--deaths 20]
"""

import argparse
import asyncio
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bench.measure import log_to_stderr, main_thread_seconds, percentile, resident_megabytes, tell
from bench.members import ADDRESS, KEY, name_of, playing
from bench.neighbours import ARP, Client, Protocol
from lab.net.segment import Host, Segment
from lab.waiting import until
from speaker.members.heartbeats import HeartbeatOptions
from speaker.wire.io.link import WireLink
from speaker.wire.messages import Announce, Counters, Heartbeat, Members, OwnState, Permit, Report, UseInterfaces

PATIENCE_SECONDS = 30.0
ARP_REQUESTS = 3000
DEATHS_APART_SECONDS = 0.05


class Watch:
    """What the wire reports."""

    def __init__(self) -> None:
        self.lost_at: dict[str, float] = {}
        self.heard: set[str] = set()
        self.counters: list[tuple[float, Mapping[str, int]]] = []

    def on_report(self, report: Report) -> None:
        now = time.monotonic()
        if isinstance(report, Members):
            for node in self.heard - report.members.keys():
                self.lost_at[node] = now
            self.heard = set(report.members)
        elif isinstance(report, Counters):
            self.counters.append((now, dict(report.heartbeats)))

    async def until(self, what: str, ask: Callable[[], object]) -> None:
        await until(what, ask, timeout_seconds=PATIENCE_SECONDS, poll_seconds=0.01)


@asynccontextmanager
async def wire_on(
    host: Host, members: int, *, protocol: Protocol = ARP, has_program: bool = False
) -> AsyncIterator[tuple[WireLink, Watch]]:
    """A wire process that has an address to announce and knows so many members; its agent says that all is well.

    `has_program`: the node's kernel answers.
    """
    watch = Watch()
    link = WireLink(watch.on_report)
    await link.start(command_prefix=host.prefix, kernel_answers="auto" if has_program else "off")
    await link.carry_out(UseInterfaces(("eth0",)))
    talking = asyncio.create_task(_talk(link))
    try:
        known = {name_of(number): (ADDRESS,) for number in range(members)}
        keys = (KEY,) if members else ()
        await link.carry_out(
            Heartbeat(
                "node1.example.internal", "i" * 36, keys, HeartbeatOptions().interval_seconds(members), members=known
            )
        )
        await link.carry_out(Announce(((protocol.text(protocol.address(0)), ("eth0",)),)))
        yield link, watch
    finally:
        talking.cancel()
        await link.stop()


async def _talk(link: WireLink) -> None:
    while not link.dead.is_set():
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        link.send(Permit(now + 3))
        link.send(OwnState(contact=now, is_serving=True))
        await asyncio.sleep(0.5)


async def at_rest(link: WireLink, watch: Watch, seconds: float) -> dict[str, float]:
    """CPU as a share of one core. `agent_cpu_percent` is the agent's end of the link alone."""
    began, wire, own = time.monotonic(), main_thread_seconds(link.pid), time.process_time()
    before = len(watch.counters)
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    wire_percent, own_percent = (
        100 * (main_thread_seconds(link.pid) - wire) / took,
        100 * (time.process_time() - own) / took,
    )
    await watch.until("two counts", lambda: len(watch.counters) >= max(before, 1) + 1)
    (first_at, first), (last_at, last) = watch.counters[-2:]
    rates = {kind: (last[kind] - first[kind]) / (last_at - first_at) for kind in ("received", "sent")}
    return {
        "wire_cpu_percent": round(wire_percent, 2),
        "agent_cpu_percent": round(own_percent, 2),
        "wire_rss_mb": round(resident_megabytes(link.pid), 1),
        "received_per_second": round(rates["received"], 1),
        "sent_per_second": round(rates["sent"], 1),
        "unheard": sum(last.values()) - last["received"] - last["sent"],
    }


async def detection(player: "subprocess.Popen[str]", watch: Watch, members: int, deaths: int) -> dict[str, float]:
    """From the death of a member, at any moment of its interval, until the agent knows."""
    died: dict[str, float] = {}
    watch.lost_at.clear()
    assert player.stdin is not None
    assert player.stdout is not None
    for number in random.sample(range(members), deaths):
        player.stdin.write(f"{number}\n")
        player.stdin.flush()
        died[name_of(number)] = float(await asyncio.to_thread(player.stdout.readline))
        await asyncio.sleep(DEATHS_APART_SECONDS)
    await watch.until("all deaths are noticed", lambda: died.keys() <= watch.lost_at.keys())
    times = sorted((watch.lost_at[node] - at) * 1000 for node, at in died.items())
    wrong = len(watch.lost_at.keys() - died.keys())
    return {
        "detection_ms_p50": round(percentile(times, 0.5)),
        "detection_ms_worst": round(times[-1]),
        "deaths": deaths,
        "lost_wrongly": wrong,
    }


def arp_times(client: Client) -> dict[str, float]:
    times = client.reply_times([ARP.address(0)], ARP_REQUESTS)
    return {"arp_us_p50": round(percentile(times, 0.5)), "arp_us_p99": round(percentile(times, 0.99))}


async def measure(segment: Segment, nodes: int, options: argparse.Namespace) -> None:
    node, others, asker = segment.hosts
    members = nodes - 1
    client = Client(asker, ARP)
    async with wire_on(node, members) as (link, watch):
        row: dict[str, Any] = {"nodes": nodes}
        if not members:
            row |= await asyncio.to_thread(arp_times, client) | {"wire_rss_mb": round(resident_megabytes(link.pid), 1)}
            tell("heartbeat", **row)
            return
        with playing(others, members) as player:
            began = time.monotonic()
            await watch.until("all are heard", lambda: len(watch.heard) == members)
            row["all_heard_after_ms"] = round((time.monotonic() - began) * 1000)
            await asyncio.sleep(1)
            row |= await at_rest(link, watch, options.seconds)
            row |= await asyncio.to_thread(arp_times, client)
            row |= await detection(player, watch, members, min(options.deaths, members))
        tell("heartbeat", **row)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 50, 100, 500], help="1 = without heartbeats")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--deaths", type=int, default=20)
    options = parser.parse_args()
    log_to_stderr()
    with Segment([1, 2, 3]) as segment:
        for nodes in options.nodes:
            await measure(segment, nodes, options)


if __name__ == "__main__":
    asyncio.run(main())
