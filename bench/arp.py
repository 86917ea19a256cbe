"""How fast the wire process answers ARP (and NDP, see ndp.py), as a client on the segment sees it.

The kernel's own reply is the base.

It makes its own network namespaces (a bridge, a node, a client), needs root, and leaves nothing behind. One JSON object
a line: times in microseconds, from the client's send to its receive, in plain Python on a raw socket.

    python -m bench.arp [--rounds 3] [--requests 5000]
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

from bench.measure import cpu_seconds, log_to_stderr, percentile, resident_bytes, tell
from bench.neighbours import ARP, NDP, ROW, Client, Protocol
from bench.relist import relisting
from lab.net.segment import Host, Segment
from speaker.wire.io.link import WireLink
from speaker.wire.messages import Announce, Permit, UseInterfaces, Withdraw


def measure(case: str, client: Client, targets: list[bytes], options: argparse.Namespace, **more: Any) -> None:
    """All figures of one case; each of `rounds` rounds is a line, so that a disturbed one shows."""
    for round_ in range(options.rounds):
        client.reply_times(targets, 200)  # warm up
        busy = client.reply_times(targets, options.requests)
        idle = client.reply_times(targets, options.requests // 10, pause_seconds=0.002)
        answered, sent, done = client.row(targets)
        tell(
            client.protocol.name,
            case=case,
            round=round_ + 1,
            **more,
            p50_us=_rounded(busy, 0.5),
            p99_us=_rounded(busy, 0.99),
            worst_us=round(busy[-1], 1),
            after_pause_p50_us=_rounded(idle, 0.5),
            after_pause_p99_us=_rounded(idle, 0.99),
            closed_loop_replies_per_second=round(client.closed_loop(targets, 1.0)),
            row_answered=answered,
            row_sent_per_second=round(ROW / sent),
            row_answered_per_second=round(answered / done) if done else 0,
        )


async def run(options: argparse.Namespace, protocol: Protocol) -> None:
    with Segment([1, 2]) as segment:
        node, host = segment.hosts
        if protocol is NDP:
            for each in (node, host):
                each.use_ipv6()
        client = Client(host, protocol)
        try:
            await measure_all(node, client, options)
        finally:
            client.close()


async def measure_all(node: Host, client: Client, options: argparse.Namespace) -> None:
    protocol = client.protocol
    measure("kernel", client, [protocol.kernels_own], options)
    link = WireLink(lambda _: None)
    await link.start(command_prefix=node.prefix)
    permitting = asyncio.create_task(permit_forever(link))
    try:
        await link.carry_out(UseInterfaces(("eth0",)))
        tell(protocol.name, case="memory", addresses=0, rss_bytes=resident_bytes(link.pid))
        for count in (1, 1000, 5000):
            targets = [protocol.address(number) for number in range(count)]
            await take_over(link, client, targets)
            await settled(link, client)
            await in_thread(
                measure, "wire", client, targets, options, addresses=count, rss_bytes=resident_bytes(link.pid)
            )
        with relisting():
            await in_thread(measure, "wire, agent relists", client, targets, options, addresses=count)
        with relisting():
            await in_thread(measure, "kernel, agent relists", client, [protocol.kernels_own], options)
        await withdraw(link, protocol, targets)
    finally:
        permitting.cancel()
        await link.stop()


async def in_thread(work: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Beside the event loop, which keeps the permit alive."""
    return await asyncio.to_thread(lambda: work(*arguments, **more))


async def permit_forever(link: WireLink) -> None:
    while True:
        link.send(Permit(time.clock_gettime(time.CLOCK_BOOTTIME) + 30))
        await asyncio.sleep(10)


async def take_over(link: WireLink, client: Client, targets: list[bytes]) -> None:
    """Announce all, and ask for the first one meanwhile, all through the burst."""
    protocol = client.protocol
    await link.carry_out(Announce(((protocol.text(targets[0]), ("eth0",)),)))
    asking = asyncio.create_task(in_thread(client.reply_times, targets[:1], 3000))
    await asyncio.sleep(0.01)
    started = time.perf_counter()
    await link.carry_out(Announce(tuple((protocol.text(target), ("eth0",)) for target in targets)))
    confirmed = time.perf_counter() - started
    times = await asking
    tell(
        protocol.name,
        case="replies during a take-over",
        addresses=len(targets),
        confirmed_ms=round(confirmed * 1000, 2),
        p50_us=_rounded(times, 0.5),
        p99_us=_rounded(times, 0.99),
        worst_us=round(times[-1], 1),
    )


def _rounded(times: list[float], share: float) -> float:
    return round(percentile(times, share), 1)


async def settled(link: WireLink, client: Client) -> None:
    """Wait for the end of the bursts: what is measured next is a speaker at rest."""
    before = -1.0
    while (now := cpu_seconds(link.pid)) != before:
        before = now
        await asyncio.sleep(1.5)
    client.forget()


async def withdraw(link: WireLink, protocol: Protocol, targets: list[bytes]) -> None:
    started = time.perf_counter()
    await link.carry_out(Withdraw((protocol.text(targets[0]),)))
    one = time.perf_counter() - started
    started = time.perf_counter()
    await link.carry_out(Withdraw(tuple(protocol.text(target) for target in targets)))
    tell(
        protocol.name,
        case="withdrawal",
        one_ms=round(one * 1000, 3),
        addresses=len(targets),
        all_ms=round((time.perf_counter() - started) * 1000, 2),
    )


def main(protocol: Protocol = ARP) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=5000)
    log_to_stderr()
    gc.disable()
    asyncio.run(run(parser.parse_args(), protocol))


if __name__ == "__main__":
    main()
