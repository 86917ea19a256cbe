"""BFD in the wire process against BIRD: the lowest interval that holds on a busy machine, detection times, and cost.

It makes its own network namespaces, needs root and BIRD, and leaves nothing behind. One JSON object a line.

    python -m bench.bfd [--seconds 60] [SCENARIO...]

    hold       sessions of several intervals, times 3, side by side, while each core runs a busy loop and an agent's
               relist of 5,000 allocations goes on beside them: which of them were lost, at either end, in that time.
               BIRD runs with real-time priority, so that what is lost is lost by us. --seconds 600 for the long run
    detection  how long after a cut of the link each end knows it, 300 ms times 3, 20 times
    cost       CPU and memory of the wire process, and its replies to ARP, with 16 sessions
"""

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bench.busy import busy
from bench.measure import cpu_seconds, log_to_stderr, memory_kib, tell
from bench.neighbours import ARP, Client
from bench.relist import relisting
from lab.net.segment import Host, Segment
from lab.routers.bfd import Bird, Router
from lab.waiting import until
from speaker.wire.io.link import WireLink
from speaker.wire.messages import Announce, Bfd, BfdSession, BfdState, BfdStates, Permit, Report, UseInterfaces

INTERVALS = (10, 20, 30, 50, 100, 300)
CUTS = 20
SESSIONS = 16
PERMIT_SECONDS = 3.0
UP_SECONDS = 30.0
COST_SECONDS = 20.0
FIRST_ADDRESS = 100
NODE, ROUTER = "192.0.2.1", "192.0.2.2"


class Wire:
    """A wire process with a permit, and all that it said of its sessions."""

    def __init__(self) -> None:
        self.link = WireLink(self.hear)
        self.losses: list[tuple[float, str, BfdState]] = []
        self._before: Mapping[str, BfdState] = {}

    def hear(self, report: Report) -> None:
        if not isinstance(report, BfdStates):
            return
        for name, view in report.sessions.items():
            if name in self._before and self._before[name].state == "Up" and view.state != "Up":
                self.losses.append((time.time(), name, view))
        self._before = report.sessions

    async def until_up(self, count: int) -> None:
        def up() -> int:
            return sum(view.remote_state == view.state == "Up" for view in self.link.bfd_sessions.values())

        await until(f"{count} sessions are up", lambda: up() >= count, timeout_seconds=UP_SECONDS)

    def usage(self) -> tuple[float, int]:
        """CPU seconds, and resident KiB."""
        return cpu_seconds(self.link.pid), memory_kib(self.link.pid, "VmRSS")


@contextlib.asynccontextmanager
async def wire_on(host: Host) -> AsyncIterator[Wire]:
    wire = Wire()
    await wire.link.start(command_prefix=host.prefix)
    permits = asyncio.create_task(_extend_the_permit(wire.link))
    try:
        await wire.link.carry_out(UseInterfaces(("eth0",)))
        yield wire
    finally:
        permits.cancel()
        await wire.link.stop()


async def _extend_the_permit(link: WireLink) -> None:
    while True:
        link.send(Permit(time.clock_gettime(time.CLOCK_BOOTTIME) + PERMIT_SECONDS))
        await asyncio.sleep(PERMIT_SECONDS / 6)


def protocol(interval: int, *nodes: str, local: str = "") -> str:
    timers = f"min rx interval {interval} ms; min tx interval {interval} ms; multiplier 3;"
    neighbours = [f'neighbor {node} dev "eth0"{f" local {local}" if local else ""};' for node in nodes]
    return f'interface "eth0" {{ {timers} }}; {" ".join(neighbours)}'


def config(interval: int, peer: str = ROUTER, source: str = "") -> BfdSession:
    return BfdSession(
        peer,
        interface="eth0",
        source_address=source,
        receive_interval_milliseconds=interval,
        transmit_interval_milliseconds=interval,
    )


def favour(router: Router) -> None:
    """Run it before all others: what it misses it must not miss for want of a CPU."""
    for process in router.processes:
        os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(10))


async def hold(folder: Path, seconds: float) -> dict[str, Any]:
    with Segment(range(1, len(INTERVALS) + 2)) as segment, contextlib.ExitStack() as routers:
        node, *hosts = segment.hosts
        birds = {}
        for interval, host in zip(INTERVALS, hosts, strict=True):
            bird = Bird(host, folder / str(interval), protocol(interval, NODE))
            favour(routers.enter_context(bird))
            birds[interval] = bird
        async with wire_on(node) as wire:
            peers = {
                str(each): config(each, f"192.0.2.{host.number}") for each, host in zip(INTERVALS, hosts, strict=True)
            }
            await wire.link.carry_out(Bfd(peers))
            load = routers.enter_context(contextlib.ExitStack())
            await asyncio.to_thread(load.enter_context, relisting())  # takes longer to start than a permit lasts
            load.enter_context(busy(os.cpu_count() or 1))
            await wire.until_up(len(INTERVALS))
            await asyncio.sleep(3)
            up_since = {interval: _since(bird) for interval, bird in birds.items()}
            wire.losses.clear()
            await asyncio.sleep(seconds)
            held = {interval: _since(bird) == up_since[interval] for interval, bird in birds.items()}
            lost = {each: sum(name == str(each) for _, name, _ in wire.losses) for each in INTERVALS}
            reasons = sorted({view.reason for _, _, view in wire.losses})
    return {
        "scenario": "hold", "seconds": seconds, "multiplier": 3, "losses_seen_by_us": lost, "reasons": reasons,
        "never_lost_at_either_end": [each for each in INTERVALS if held[each] and not lost[each]],
    }  # fmt: skip


def _since(bird: Bird) -> str:
    """BIRD's line of its one session without the intervals: another text when the state changed meanwhile."""
    (line,) = [line for line in bird.ask("show bfd sessions").splitlines() if line.startswith("192.0.2.")]
    return " ".join(line.split()[2:4])


async def detection(folder: Path, _: float) -> dict[str, Any]:
    ours, theirs = [], []
    with Segment([1, 2]) as segment, Bird(segment.hosts[1], folder / "r", protocol(300, NODE)) as bird:
        async with wire_on(segment.hosts[0]) as wire:
            await wire.link.carry_out(Bfd({"r": config(300)}))
            for _ in range(CUTS):
                await wire.until_up(1)
                await until("BIRD is up", lambda: _since(bird).startswith("Up"), timeout_seconds=UP_SECONDS)
                await asyncio.sleep(1 + 0.3 * random.random())
                wire.losses.clear()
                cut_at = time.time()
                segment.hub.run("ip", "link", "set", "port2", "nomaster")
                await until(
                    "both know", lambda: wire.losses and not _since(bird).startswith("Up"), timeout_seconds=UP_SECONDS
                )
                ours.append(wire.losses[0][0] - cut_at)
                theirs.append(_seconds_since(cut_at, _since(bird).split()[1]))
                segment.hub.run("ip", "link", "set", "port2", "master", "br0")
    return {"scenario": "detection", "cuts": CUTS, "ours": _milliseconds(ours), "routers": _milliseconds(theirs)}


def _seconds_since(cut_at: float, clock: str) -> float:
    """From there to BIRD's time of day, which is local."""
    cut = datetime.fromtimestamp(cut_at)  # noqa: DTZ006
    lost = datetime.strptime(clock, "%H:%M:%S.%f").replace(year=cut.year, month=cut.month, day=cut.day)  # noqa: DTZ007
    return ((lost - cut) % timedelta(days=1)).total_seconds()


def _milliseconds(times: list[float]) -> dict[str, float]:
    return {"p50_ms": round(statistics.median(times) * 1000), "worst_ms": round(max(times) * 1000)}


async def cost(folder: Path, _: float) -> dict[str, Any]:
    results: dict[str, Any] = {"scenario": "cost", "sessions": SESSIONS}
    with Segment([1, 2, 3]) as segment:
        node, router, client = segment.hosts
        sources = [f"192.0.2.{FIRST_ADDRESS + number}" for number in range(SESSIONS)]
        for source in sources:
            node.run("ip", "address", "add", f"{source}/16", "dev", "eth0")
        async with wire_on(node) as wire:
            await wire.link.carry_out(Announce((("192.0.100.1", ("eth0",)),)))
            results["without"] = await _cost(wire, client)
            for interval in (300, 50):
                with Bird(router, folder / str(interval), protocol(interval, *sources, local=ROUTER)):
                    await wire.link.carry_out(Bfd({source: config(interval, ROUTER, source) for source in sources}))
                    await wire.until_up(SESSIONS)
                    await asyncio.sleep(3)
                    results[f"{interval}_ms"] = await _cost(wire, client)
                    await wire.link.carry_out(Bfd({}))
    return results


async def _cost(wire: Wire, client: Host) -> dict[str, Any]:
    began, (cpu, _) = time.monotonic(), wire.usage()
    await asyncio.sleep(COST_SECONDS)
    used, resident = wire.usage()
    percent = 100 * (used - cpu) / (time.monotonic() - began)
    asker = Client(client, ARP)
    try:
        times = await asyncio.to_thread(asker.reply_times, [ARP.address(0)], 5000)
    finally:
        asker.close()
    return {
        "cpu_percent": round(percent, 2), "rss_mib": round(resident / 1024, 1),
        "arp_p50_us": round(times[2500]), "arp_p99_us": round(times[4950]),
    }  # fmt: skip


SCENARIOS = {"hold": hold, "detection": detection, "cost": cost}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bfd")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the sessions are to hold")
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], default=[])
    arguments = parser.parse_args()
    log_to_stderr()
    for name in arguments.scenarios or SCENARIOS:
        with tempfile.TemporaryDirectory() as folder:
            tell("bfd", **asyncio.run(SCENARIOS[name](Path(folder), arguments.seconds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
