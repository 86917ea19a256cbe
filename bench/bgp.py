"""How fast routes reach routers and go from them, and what it costs: the drivers of three nodes, with a BIRD each.

It makes its own network namespaces, needs root, bird and birdc, and leaves nothing behind. One JSON object a line.
Times are from `set_routes` until BIRD's trace of routes (which is read as it is written) says that the route has been
added (or changed, which it calls the same) or removed.

    python -m bench.bgp [--rounds 50] [--routes 10000]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from bench.measure import cpu_seconds, log_to_stderr, memory_kib, percentile, tell
from lab import waiting
from lab.net.segment import Namespace
from lab.routers.links import Bird, Link
from speaker.bgp.exabgp.io.driver import BgpDriver
from speaker.bgp.model import Prefix, Route

NODES = 3
POLL_SECONDS = 0.0005
PATIENCE_SECONDS = 120.0


class Node:
    """A driver, its router, and the router's trace."""

    def __init__(self, number: int, directory: Path) -> None:
        self.namespace = Namespace()
        self.link = Link(self.namespace, number)
        self.bird = Bird(self.link, directory, bgp="debug { routes };")
        self.changed = asyncio.Event()
        self.driver = BgpDriver(
            directory / f"bgp{number}", on_change=self.changed.set, prefix=tuple(self.namespace.prefix)
        )
        self._path = self.bird.log_path
        self._at = 0
        self.traced: dict[str, float] = {}

    def look(self) -> None:
        """Read what is new in the trace: `added` and `removed` prefixes, with the time when that was seen."""
        with self._path.open() as log:
            log.seek(self._at)
            text = log.read()
            self._at = log.tell()
        now = time.perf_counter()
        for line in text.splitlines():
            words = line.split()
            for change in ("added", "removed"):
                if change in words and ">" in words:
                    prefix = next((word for word in words if "/" in word), "")
                    self.traced[f"{change} {prefix}"] = now

    @property
    def pid(self) -> int:
        return self.driver.exabgp_pids()["tor"]


async def until(what: str, ask: Callable[[], object]) -> None:
    await waiting.until(what, ask, timeout_seconds=PATIENCE_SECONDS, poll_seconds=POLL_SECONDS)


def routes(count: int, **attributes: Any) -> dict[Prefix, Route]:
    made = (Route(ip_network((0x0A400000 + number, 32)), **attributes) for number in range(count))
    return {route.prefix: route for route in made}


def milliseconds(samples: Iterable[float]) -> dict[str, float]:
    ordered = sorted(samples)
    p50, p99 = statistics.median(ordered), percentile(ordered, 0.99)
    return {"p50_ms": round(p50 * 1000, 2), "p99_ms": round(p99 * 1000, 2)}


def usage(pid: int) -> dict[str, float]:
    everything, anonymous = (round(memory_kib(pid, name) / 1024, 1) for name in ("VmRSS", "RssAnon"))
    return {"rss_mb": everything, "private_mb": anonymous, "cpu_s": round(cpu_seconds(pid), 2)}


async def single_routes(nodes: list[Node], rounds: int) -> None:
    prefix = ip_network("10.9.0.1/32")
    appear, go, confirm = [], [], []
    for _ in range(rounds):
        for node in nodes:
            node.traced.clear()
        began = time.perf_counter()
        for node in nodes:
            node.driver.set_routes("tor", {prefix: Route(prefix)})
        await until("all routers have it", lambda: all(_look(node, f"added {prefix}") for node in nodes))
        appear.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)
        began = time.perf_counter()
        for node in nodes:
            node.driver.set_routes("tor", {})
        await until("no router has it", lambda: all(_look(node, f"removed {prefix}") for node in nodes))
        go.append(time.perf_counter() - began)
        await until("it is confirmed", lambda: not any(node.driver.may_be_heard(prefix) for node in nodes))
        confirm.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)
    tell("bgp", what="one route, until all 3 routers have it", rounds=rounds, **milliseconds(appear))
    tell("bgp", what="one route, until no router has it", rounds=rounds, **milliseconds(go))
    tell("bgp", what="one route, until its withdrawal is confirmed", rounds=rounds, **milliseconds(confirm))


def _look(node: Node, what: str) -> bool:
    node.look()
    return what in node.traced


async def many_routes(node: Node, count: int) -> None:
    many = routes(count)
    before, began = usage(node.pid)["cpu_s"], time.perf_counter()
    own = time.process_time()
    node.driver.set_routes("tor", many)
    called = time.perf_counter() - began
    await until("all are sent", lambda: node.driver.sessions["tor"].routes_sent == count)
    await until("all are there", lambda: f"{count} imported" in node.bird.ask("show protocols all node"))
    figures = usage(node.pid)
    tell(
        "bgp",
        what=f"{count} routes in one router",
        seconds=round(time.perf_counter() - began, 2),
        set_routes_ms=round(called * 1000, 1),
        driver_cpu_s=round(time.process_time() - own, 2),
        exabgp_cpu_s=round(figures["cpu_s"] - before, 2),
        exabgp_rss_mb=figures["rss_mb"],
        exabgp_private_mb=figures["private_mb"],
    )
    changed = next(iter(many))
    node.traced.clear()
    began, sent = time.perf_counter(), _updates(node)
    node.driver.set_routes("tor", many | {changed: many[changed]._replace(med=5)})
    await until("it has changed", lambda: _look(node, f"added {changed}"))
    seconds = time.perf_counter() - began
    await asyncio.sleep(0.5)
    tell("bgp", what="one of them changed", ms=round(seconds * 1000, 2), updates=_updates(node) - sent)
    began = time.perf_counter()
    node.driver.set_routes("tor", {})
    await until("all are confirmed", lambda: not any(map(node.driver.may_be_heard, many)))
    tell("bgp", what="all of them withdrawn and confirmed", seconds=round(time.perf_counter() - began, 2))


def _updates(node: Node) -> int:
    """How many UPDATEs' routes BIRD has taken in, by its own count."""
    row = next(line for line in node.bird.ask("show protocols all node").splitlines() if "Import updates" in line)
    return int(row.split()[2])


async def main(rounds: int, count: int) -> None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        nodes = [Node(number + 1, directory) for number in range(NODES)]
        running = [group.create_task(node.driver.run()) for node in nodes]
        for node in nodes:
            stack.enter_context(node.bird)
        await asyncio.sleep(0)
        began = time.perf_counter()
        for node in nodes:
            node.driver.set_peers({"tor": node.link.peer()})
            node.driver.set_routes("tor", {})
        await until(
            "all sessions are up", lambda: all(node.driver.sessions["tor"].state == "Established" for node in nodes)
        )
        tell(
            "bgp", what="3 sessions from nothing", seconds=round(time.perf_counter() - began, 2), **usage(nodes[0].pid)
        )
        await single_routes(nodes, rounds)
        await many_routes(nodes[0], count)
        for task in running:
            task.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="BGP: routes to BIRD and back")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--routes", type=int, default=10_000)
    arguments = parser.parse_args()
    log_to_stderr()
    asyncio.run(main(arguments.rounds, arguments.routes))
