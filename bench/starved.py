"""Whether members are lost, and addresses move, on nodes that have no CPU to spare.

`python -m bench.starved [--seconds 60] [--intervals 0] [SCENARIO...]`: JSON lines, one for each scenario and interval
of heartbeats (milliseconds; 0 = by the number of nodes). A whole lab cluster of three nodes on this one machine. Needs
root, cgroups with a CPU controller, and a machine without other work.

    busy     busy processes of equal weight, four for each CPU, and an agent's relist of 5,000 allocations
    request  they have all CPUs as their request, and each speaker the chart's request alone (50m)
    limit    each speaker has a CPU limit of 100m besides

Nobody ends in that time, so all that is counted is wrong. `lost`: how often a member was not heard any more, `moves`:
how often another node claimed the address, `unanswered`: ARP requests, of 100 a second.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from bench.busy import busy
from bench.failover import Bench
from bench.measure import progress, tell
from bench.relist import relisting
from lab.cluster import Cluster, Settings
from lab.net.claims import ownership_spans
from lab.poller import AddressPoller

CGROUPS = Path("/sys/fs/cgroup")
BUSY_PER_CPU = 4
MILLICORES = 1000
SHARES_PER_CORE = 1024
"""As a kubelet sets them: 50m are 51 shares."""
REQUEST_MILLICORES, LIMIT_MILLICORES = 50, 100
PERIOD_MICROSECONDS = 100_000
REAL_TIME_MICROSECONDS = 100_000
"""Of a second."""
SETTLE_SECONDS = 5.0
LOST = "a member is not heard any more"
Place = Callable[[Cluster, ExitStack], list[int]]


@contextmanager
def cgroup(name: str, *, millicores: int, limit_millicores: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yields what puts a process and all that it starts into it. Version 1 or 2, whichever is mounted."""
    is_first = (CGROUPS / "cpu").is_dir()
    root = CGROUPS / "cpu" if is_first else CGROUPS
    if not is_first:
        (root / "cgroup.subtree_control").write_text("+cpu")
    folder = root / f"berth-bench-{name}"
    folder.mkdir()
    quota = None if limit_millicores is None else limit_millicores * PERIOD_MICROSECONDS // MILLICORES
    try:
        if is_first:
            (folder / "cpu.shares").write_text(str(millicores * SHARES_PER_CORE // MILLICORES))
            (folder / "cpu.cfs_quota_us").write_text(str(-1 if quota is None else quota))
            if (real_time := folder / "cpu.rt_runtime_us").exists():  # few kernels have groups of real-time processes
                real_time.write_text(str(REAL_TIME_MICROSECONDS))
        else:
            shares = millicores * SHARES_PER_CORE // MILLICORES
            (folder / "cpu.weight").write_text(str(1 + (shares - 2) * 9999 // 262142))
            (folder / "cpu.max").write_text(f"{'max' if quota is None else quota} {PERIOD_MICROSECONDS}")
        yield lambda pid: _move(folder, pid)
    finally:
        for line in (folder / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                (root / "cgroup.procs").write_text(line)
        folder.rmdir()


def _move(folder: Path, pid: int) -> None:
    (folder / "cgroup.procs").write_text(str(pid))
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        _move(folder, int(child))


def equal(cluster: Cluster, stack: ExitStack) -> list[int]:
    """And a relist beside."""
    stack.enter_context(relisting())
    return stack.enter_context(busy(BUSY_PER_CPU * (os.cpu_count() or 1)))


def request(cluster: Cluster, stack: ExitStack, limit_millicores: int | None = None) -> list[int]:
    """Each speaker and all of the others have what a kubelet would give them."""
    pids = stack.enter_context(busy(BUSY_PER_CPU * (os.cpu_count() or 1)))
    crowd = stack.enter_context(cgroup("busy", millicores=MILLICORES * (os.cpu_count() or 1)))
    for pid in pids:
        crowd(pid)
    for node in cluster.topology.nodes:
        own = cgroup(node.name, millicores=REQUEST_MILLICORES, limit_millicores=limit_millicores)
        stack.enter_context(own)(cluster.speaker(node.name).pid)
    return pids


def limit(cluster: Cluster, stack: ExitStack) -> list[int]:
    """The same with a limit."""
    return request(cluster, stack, LIMIT_MILLICORES)


SCENARIOS: Mapping[str, Place] = {"busy": equal, "request": request, "limit": limit}


def run(bench: Bench, name: str, interval: int, seconds: float) -> None:
    """One scenario, told when it is over."""
    with ExitStack() as stack:
        SCENARIOS[name](bench.cluster, stack)
        time.sleep(SETTLE_SECONDS)
        before, began = losses(bench.cluster), time.monotonic()
        with AddressPoller(bench.cluster, bench.address) as poller:
            time.sleep(seconds)
        lost = losses(bench.cluster) - before
        moves = sum(span.first >= began for span in ownership_spans(bench.cluster.claims(bench.address), bench.macs))
    tell(
        "starved", scenario=name, interval_ms=interval, seconds=seconds, lost=lost, moves=moves,
        asked=len(poller.requests), unanswered=len(poller.unanswered()),
    )  # fmt: skip


def losses(cluster: Cluster) -> int:
    """As the speakers log them."""
    logs = [cluster.speaker(node.name).log_path for node in cluster.topology.nodes]
    return sum(path.read_text(errors="replace").count(LOST) for path in logs)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.starved", description="Members on nodes without CPU.")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--intervals", type=int, nargs="+", default=[0], metavar="MILLISECONDS")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no cgroup is left
    for interval in options.intervals:
        values = {"speaker": {"heartbeat": {"intervalMilliseconds": interval}}}
        for name in options.scenarios or SCENARIOS:
            with (
                tempfile.TemporaryDirectory() as directory,
                Cluster(Settings(Path(directory), name="bench", values=values), tell=progress) as cluster,
            ):
                run(Bench(cluster), name, interval, options.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
