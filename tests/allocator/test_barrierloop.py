"""The release barrier between its two views of the Speakers: what it lists, and what its watch has shown so far."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from allocator.io.barrierloop import BarrierLoop
from allocator.observed import Observed
from allocator.options import Options
from allocator.release.barrier import Mark
from allocator.release.departures import Departures
from allocator.release.speakers import Router, SpeakerState, SpeakerStatus
from kube.informer.io.informer import ObjectKey
from kube.objects import Meta
from tests.allocator.build import address

pytestmark = pytest.mark.asyncio

MARK = Mark(address("192.0.2.10"), "a1", 7, known_at=0.0)


class NothingThere:
    """An API server without Speakers and Leases."""

    async def list(self, *_: Any, **__: Any) -> tuple[list[bytes], str]:
        return [], "1"


@pytest.mark.parametrize(("outlives_seconds", "passes"), [(90, False), (0, True)])
async def test_a_speaker_that_the_list_lacks_before_the_watch_shows_it(outlives_seconds: int, passes: bool) -> None:
    passed: list[Mark] = []
    assigner: Any = SimpleNamespace(marks={MARK.address: MARK}, ledger={}, barrier_passed=passed.append)
    still_known = SpeakerState(
        metadata=Meta(name="n1", uid="s1"), status=SpeakerStatus("i1", routers=(Router("192.0.2.1", outlives_seconds),))
    )
    client: Any = NothingThere()
    barrier = BarrierLoop(
        client,
        assigner,
        Observed(speakers={ObjectKey(None, "n1"): still_known}),
        Departures(),
        Options("berth-system", "one"),
        notify=lambda _: None,
        on_progress=lambda: None,
    )
    running = asyncio.create_task(barrier.run())
    try:
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert bool(passed) is passes
        assert [one.node for one in barrier.awaited.get(MARK.address, ())] == ([] if passes else ["n1"])
    finally:
        running.cancel()
