"""How long a node still answers after its wire process was stopped (SIGSTOP), as one that has no CPU left would."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

from bench.answerers import PROGRAM, USER_SPACE
from bench.heartbeat import Watch, wire_on
from bench.measure import percentile, tell
from bench.members import playing
from bench.neighbours import ARP, Client, Protocol
from lab.net.segment import Segment
from lab.waiting import until
from speaker.members.heartbeats import HeartbeatOptions
from speaker.wire.io.link import WireLink

MEMBERS = 2
APART_SECONDS = 0.0005
QUIET_SECONDS = 4.0
"""Longer than a permit lasts."""
PATIENCE_SECONDS = 10.0


async def stopped(protocol: Protocol, stops: int) -> None:
    """Each way to answer in turn; one member hears the node, so that its peers take it for dead at a known time."""
    for name in (PROGRAM, USER_SPACE):
        with Segment([1, 2, 3]) as segment:
            node, others, asker = segment.hosts
            for host in segment.hosts if protocol is not ARP else ():
                host.use_ipv6()
            client = Client(asker, protocol)
            async with wire_on(node, MEMBERS, protocol=protocol, has_program=name == PROGRAM) as (link, watch):
                with playing(others, MEMBERS):
                    await watch.until("all are heard", lambda: len(watch.heard) == MEMBERS)
                    times = [await _stop(link, watch, client) for _ in range(stops)]
            client.close()
        times.sort()
        tell(
            protocol.name, case="stopped", by=name, stops=stops,
            heartbeat_interval_ms=round(HeartbeatOptions().interval_seconds(MEMBERS) * 1000),
            silent_after_p50_ms=round(percentile(times, 0.5) * 1000, 1),
            silent_after_worst_ms=round(times[-1] * 1000, 1),
        )  # fmt: skip


async def _stop(link: WireLink, watch: Watch, client: Client) -> float:
    """Seconds from the stop to the last reply. Then it goes on, and answers again."""
    target = client.protocol.address(0)
    await until("it answers", _answers(client, target), timeout_seconds=PATIENCE_SECONDS, poll_seconds=0.1)
    lasted = await asyncio.to_thread(_stop_at, link.pid, client, target)
    os.kill(link.pid, signal.SIGCONT)
    await watch.until("all are heard again", lambda: len(watch.heard) == MEMBERS)
    client.forget()
    return lasted


def _stop_at(pid: int, client: Client, target: bytes) -> float:
    began = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    return client.last_reply(target, APART_SECONDS, QUIET_SECONDS) - began


def _answers(client: Client, target: bytes) -> Callable[[], bool]:
    return lambda: not client.steady([target], 10)[1]
