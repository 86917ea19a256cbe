"""How fast ARP (and NDP, see ndp.py) is answered, as a client on the segment sees it: by the kernel for its own
address, by the program in the kernel, and by the wire process in user space, in turn.

It makes its own network namespaces (a bridge, two nodes, a client), needs root, and leaves nothing behind. One JSON
object a line: times in microseconds, from the client's send to its receive, in plain Python on a raw socket. Lines with
`case: ratios` compare within the run, by the median of the rounds.

    python -m bench.arp [SCENARIO...] [--rounds 3] [--requests 5000] [--addresses 1 1000 20000] [--ordinary]

    quiet        with so many addresses announced
    busy         with 8 processes beside that never sleep
    relist       with an agent beside that relists
    take-over    while as many are announced, and how long a withdrawal takes
    limit        wire processes with a CPU limit of 10m: 200 requests a second. It holds with --ordinary alone
    stopped      how long after its wire process is stopped (SIGSTOP) a node still answers
    withdrawals  whether what was confirmed as withdrawn is answered, under a flood of requests
"""

import argparse
import asyncio
import gc
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack

from bench.answerers import KERNEL, PROGRAM, USER_SPACE, Answerer, Cpu, answerers, preferred
from bench.busy import busy
from bench.measure import log_to_stderr, percentile, tell
from bench.neighbours import ARP, ROW, Client, Protocol
from bench.relist import relisting
from bench.silence import stopped
from bench.starved import cgroup
from bench.withdrawals import judged
from lab.net.segment import Segment

BUSY = 8
LIMIT_MILLICORES, REQUEST_MILLICORES = 10, 50
LIMITED_RATE = 200
COMPARED = ("p50_us", "p99_us", "closed_loop_replies_per_second", "cpu_us_per_reply")


class Bench:
    """One run for one protocol."""

    def __init__(self, segment: Segment, client: Client, made: list[Answerer], options: argparse.Namespace) -> None:
        self.segment = segment
        self.client = client
        self.answerers = made
        self.options = options
        self.protocol = client.protocol
        self._announced = 0

    async def announce(self, count: int) -> None:
        """Everyone announces so many, or more that were announced before, and has come to rest."""
        for answerer in self.answerers:
            await answerer.announce(answerer.targets(count)[self._announced :])
        self._announced = max(count, self._announced)
        for answerer in self.answerers:
            await answerer.settled(self.client)

    async def compare(self, case: str, count: int, beside: Callable[[], AbstractContextManager[object]]) -> None:
        """All of them in turn, `rounds` times, each time a line; then how they compare."""
        lines: dict[str, list[Mapping[str, float]]] = {answerer.name: [] for answerer in self.answerers}
        with beside():
            for round_ in range(self.options.rounds):
                for answerer in self.answerers:
                    figures = await asyncio.to_thread(self.measure, answerer, count)
                    lines[answerer.name].append(figures)
                    more = {"addresses": count, "round": round_ + 1, **figures, **answerer.memory()}
                    tell(self.protocol.name, case=case, by=answerer.name, **more)
        tell(self.protocol.name, case="ratios", of=case, addresses=count, **_ratios(lines))

    def measure(self, answerer: Answerer, count: int) -> dict[str, float]:
        """All figures of one round."""
        with preferred():
            return self._measure(answerer, count)

    def _measure(self, answerer: Answerer, count: int) -> dict[str, float]:
        client, targets, requests = self.client, answerer.targets(count), self.options.requests
        client.reply_times(targets, 200)  # warm up
        cpu = Cpu(answerer)
        times = client.reply_times(targets, requests)
        used = cpu.used()
        idle = client.reply_times(targets, requests // 10, pause_seconds=0.002)
        answered, sent, done = client.row(targets)
        return {
            "p50_us": _rounded(times, 0.5),
            "p99_us": _rounded(times, 0.99),
            "worst_us": round(times[-1], 1),
            "cpu_us_per_reply": round(1e6 * used / requests, 2),
            "after_pause_p50_us": _rounded(idle, 0.5),
            "after_pause_p99_us": _rounded(idle, 0.99),
            "closed_loop_replies_per_second": round(client.closed_loop(targets, 1.0)),
            "row_answered": answered,
            "row_sent_per_second": round(ROW / sent),
            "row_answered_per_second": round(answered / done) if done else 0,
        }


def _ratios(lines: Mapping[str, list[Mapping[str, float]]]) -> dict[str, float]:
    """Of the program and of user space to the kernel's own: 1.2 = a fifth more."""

    def median(by: str, figure: str) -> float:
        return statistics.median(line[figure] for line in lines[by])

    return {
        f"{by.replace(' ', '_')}_{figure}": round(median(by, figure) / median(KERNEL, figure), 2)
        for by in (PROGRAM, USER_SPACE)
        for figure in COMPARED
    }


async def quiet(bench: Bench) -> None:
    for count in bench.options.addresses:
        await bench.announce(count)
        await bench.compare("quiet", count, ExitStack)


async def busy_beside(bench: Bench) -> None:
    count = bench.options.addresses[0]
    await bench.announce(count)
    await bench.compare("busy", count, lambda: busy(BUSY))


async def relist_beside(bench: Bench) -> None:
    count = bench.options.addresses[-1]
    await bench.announce(count)
    await bench.compare("relist", count, relisting)


async def take_over(bench: Bench) -> None:
    """Announce as many again, and ask for the first one meanwhile, all through the burst. Then withdraw them."""
    count = bench.options.addresses[-1]
    await bench.announce(1)
    for answerer in bench.answerers[1:]:
        targets = answerer.targets(2 * count)[count:]
        asking = asyncio.create_task(asyncio.to_thread(bench.client.reply_times, answerer.targets(1), 3000))
        await asyncio.sleep(0.01)
        confirmed = await answerer.announce(targets)
        times = await asking
        tell(
            bench.protocol.name, case="take-over", by=answerer.name, addresses=count,
            confirmed_ms=round(confirmed * 1000, 2), p50_us=_rounded(times, 0.5), p99_us=_rounded(times, 0.99),
            worst_us=round(times[-1], 1),
        )  # fmt: skip
        one, rest = await answerer.withdraw(targets[:1]), await answerer.withdraw(targets[1:])
        tell(
            bench.protocol.name, case="withdrawal", by=answerer.name, one_ms=round(one * 1000, 3),
            addresses=len(targets) - 1, all_ms=round(rest * 1000, 2),
        )  # fmt: skip


async def limit(bench: Bench) -> None:
    """What a wire process under a CPU limit, beside busy ones, answers; in a round each address is asked for once."""
    count = max(1000, bench.options.addresses[0])
    await bench.announce(count)
    with ExitStack() as stack:
        for answerer in bench.answerers:
            if answerer.link is not None:
                name = f"{bench.protocol.name}-{answerer.name.replace(' ', '-')}"
                own = cgroup(name, millicores=REQUEST_MILLICORES, limit_millicores=LIMIT_MILLICORES)
                stack.enter_context(own)(answerer.link.pid)
        await asyncio.sleep(1)
        for round_ in range(bench.options.rounds):
            for answerer in bench.answerers:
                targets = (answerer.targets(count) * count)[:count]
                times, unanswered = await asyncio.to_thread(bench.client.steady, targets, LIMITED_RATE)
                tell(
                    bench.protocol.name, case="limit", by=answerer.name, round=round_ + 1, asked=count,
                    unanswered=unanswered, p50_us=_rounded(times, 0.5), p99_us=_rounded(times, 0.99),
                    worst_us=round(times[-1], 1),
                )  # fmt: skip
                bench.client.forget()


async def withdrawals(bench: Bench) -> None:
    options = bench.options
    for answerer in bench.answerers[1:]:
        await judged(bench.segment, answerer, options.withdrawals, options.at_a_time, options.rate)


SCENARIOS: Mapping[str, Callable[[Bench], Awaitable[None]]] = {
    "quiet": quiet,
    "busy": busy_beside,
    "relist": relist_beside,
    "take-over": take_over,
    "limit": limit,
    "withdrawals": withdrawals,
}
STOPPED = "stopped"
"""It has a segment of its own, with members that hear the node."""


def _rounded(times: list[float], share: float) -> float:
    return round(percentile(times, share), 1)


async def run(options: argparse.Namespace, protocol: Protocol) -> None:
    for name in options.scenarios or (*SCENARIOS, STOPPED):
        if name == STOPPED:
            await stopped(protocol, options.stops)
            continue
        with Segment([1, 2, 3]) as segment:
            for host in segment.hosts:
                if protocol is not ARP:
                    host.use_ipv6()
            client = Client(segment.hosts[2], protocol)
            try:
                async with answerers(segment, protocol, in_real_time=not options.ordinary) as made:
                    await SCENARIOS[name](Bench(segment, client, made, options))
            finally:
                client.close()


def main(protocol: Protocol = ARP) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join((*SCENARIOS, STOPPED)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--addresses", type=int, nargs="+", default=[1, 1000, 20_000])
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--withdrawals", type=int, default=100_000)
    parser.add_argument("--at-a-time", type=int, default=50, help="withdrawals in one order")
    parser.add_argument("--rate", type=int, default=20_000, help="requests a second of the flood")
    parser.add_argument("--ordinary", action="store_true", help="wire processes as with speaker.realTime: false")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - {*SCENARIOS, STOPPED}:
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    log_to_stderr()
    gc.disable()
    asyncio.run(run(options, protocol))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
