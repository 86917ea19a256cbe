"""Thousands of addresses move at once: what the whole allocator writes, logs and tells of it is bounded.

In virtual time, against the API server stand-in.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest
import structlog

from allocator.eventbudget import AT_ONCE, EVERY_SECONDS, GATHER_SECONDS
from allocator.status.serviceline import WHETHER_PER_SECOND, WHO_PER_SECOND
from crds.speakerreport import MOST_ENTRIES, WRITES_PER_SECOND
from kube.process import logbudget
from kube.process.io.logs import configure_logs
from kube.resource import SERVICES
from tests.allocator.cluster import EVENTS, AckingSpeaker, Body, User, allocating
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

MOVING = int(os.environ.get("BERTH_MOVING", "300"))
"""Addresses at once. docs/benchmarks.md has what came of 5,000, which take some minutes."""

ON_LAYER2 = {"protocols": ["Layer2"], "interfaces": ["eth0"]}
SERVICE_STATUS, RECORD_STATUS = "services/status", "ipallocations.berth.dev/status"
RENEW_SECONDS = 2.0
REASONS = 4
"""Allocated, Announced, Moved, and what a moment between two owners may be called."""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


async def until(condition: Callable[[], Coroutine[Any, Any, bool]], what: str) -> None:
    """Looks seldom: it lists all."""
    for _ in range(300):
        if await condition():
            return
        await asyncio.sleep(10.0)
    raise AssertionError(what)


async def renewing(*speakers: AckingSpeaker) -> None:
    while True:
        for speaker in speakers:
            await speaker.renew()
        await asyncio.sleep(RENEW_SECONDS)


async def say(speaker: AckingSpeaker, addresses: list[str], how: Body | None) -> None:
    """All slices of its report, no faster than the budget of all nodes lets it."""
    for number, at in enumerate(range(0, len(addresses), MOST_ENTRIES), 1):
        part = addresses[at : at + MOST_ENTRIES]
        await speaker.report(number=number, announcements=dict.fromkeys(part, how) if how else {})
        await asyncio.sleep(1 / WRITES_PER_SECOND)


async def test_events_and_log_lines_are_few_and_writes_come_by_the_budget(
    user: User, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("json", "info")  # as the program logs
    addresses = [str(IPv4Address("10.0.0.1") + number) for number in range(MOVING)]
    counted, began = user.server.counters.total, time.monotonic()
    one, other = AckingSpeaker(user.client, "node-a"), AckingSpeaker(user.client, "node-b")
    await user.pool("many", "10.0.0.1-10.0.255.254")

    async def all_services_name(node: str) -> bool:
        raws, _ = await user.client.list(SERVICES, namespace="default")
        conditions = [json.loads(raw)["status"].get("conditions", []) for raw in raws]
        said = [one["message"] for each in conditions for one in each if one["type"] == "berth.dev/Announced"]
        return len(said) == MOVING and all(node in message for message in said)

    for speaker in (one, other):
        await speaker.register()
    async with allocating(user.server), asyncio.TaskGroup() as tasks:
        renewal = tasks.create_task(renewing(one, other))
        for number in range(MOVING):
            await user.service(f"web{number}", allocateLoadBalancerNodePorts=False)
        await say(one, addresses, ON_LAYER2)
        await until(lambda: all_services_name("node-a"), "all Services say node-a")
        capsys.readouterr()
        before, moved = {each: counted(resource=each) for each in (SERVICE_STATUS, RECORD_STATUS)}, time.monotonic()
        await say(other, addresses, ON_LAYER2)
        await say(one, addresses, None)
        await until(lambda: all_services_name("node-b"), "all Services say node-b")
        await asyncio.sleep(2 * GATHER_SECONDS)
        took = time.monotonic() - moved
        lines = capsys.readouterr().err.splitlines()
        raws, _ = await user.client.list(EVENTS)
        renewal.cancel()
    events = Counter(json.loads(raw)["reason"] for raw in raws)
    services, records = (counted(resource=each) - was for each, was in before.items())
    print(f"{MOVING} moved: {dict(events)}; {len(lines)} lines; {services}, {records} writes in {took:.0f} s")
    most = AT_ONCE + 1 + (time.monotonic() - began) / EVERY_SECONDS
    assert all(count <= most for count in events.values()), events
    assert len(events) <= REASONS, events
    assert 0 < len(lines) <= logbudget.BURST
    assert services <= MOVING + WHETHER_PER_SECOND
    assert services <= (WHETHER_PER_SECOND + WHO_PER_SECOND) * (took + 1)
    assert records <= 2 * MOVING
