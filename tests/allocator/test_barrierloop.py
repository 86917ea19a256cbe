"""The release barrier between its two views of the Speakers: what it lists, and what its watch has shown so far."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from allocator.io.barrierloop import BarrierLoop
from allocator.observed import Observed
from allocator.options import Options
from allocator.release.barrier import Mark
from allocator.release.departures import Departures
from allocator.release.speakers import Router, SpeakerState, SpeakerStatus
from crds.names import TAINT_OUT_OF_SERVICE, speaker_lease
from kube.informer.io.informer import ObjectKey
from kube.objects import Meta, decode_node
from kube.resource import SPEAKERS, Resource
from tests.allocator.build import address

pytestmark = pytest.mark.asyncio

MARK = Mark(address("192.0.2.10"), "a1", 7, known_at=0.0)


@asynccontextmanager
async def judged(client: Any, assigner: Any, observed: Observed) -> AsyncIterator[BarrierLoop]:
    """A barrier that runs, and has looked at what there is."""
    barrier = BarrierLoop(
        client,
        assigner,
        observed,
        Departures(),
        Options("berth-system", "one"),
        notify=lambda _: None,
        on_progress=lambda: None,
        on_passed=lambda _: None,
    )
    running = asyncio.create_task(barrier.run())
    try:
        barrier.nudge()
        await asyncio.sleep(0.2)
        yield barrier
    finally:
        running.cancel()


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
    async with judged(NothingThere(), assigner, Observed(speakers={ObjectKey(None, "n1"): still_known})) as barrier:
        assert bool(passed) is passes
        assert [one.node for one in barrier.awaited.get(MARK.address, ())] == ([] if passes else ["n1"])


async def test_a_release_that_has_just_begun_costs_one_list_when_it_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list at its begin would be under way, or waited after, when the last confirmation comes."""
    monkeypatch.setattr("allocator.io.barrierloop.REPEAT_SECONDS", 3600.0)
    lists: list[Resource] = []

    class Counting(NothingThere):
        async def list(self, resource: Resource, **_: Any) -> tuple[list[bytes], str]:
            lists.append(resource)
            return [], "1"

    passed: list[Mark] = []
    marks: dict[Any, Mark] = {}
    assigner: Any = SimpleNamespace(marks=marks, ledger={}, barrier_passed=passed.append)
    key = ObjectKey(None, "n1")
    observed = Observed(speakers={key: SpeakerState(metadata=Meta(name="n1", uid="s1"), status=SpeakerStatus("i1"))})
    async with judged(Counting(), assigner, observed) as barrier:
        marks[MARK.address] = MARK
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert SPEAKERS not in lists
        del observed.speakers[key]
        barrier.nudge()
        async with asyncio.timeout(30):
            while not passed:
                await asyncio.sleep(0.01)
        assert lists.count(SPEAKERS) == 1


class OneSpeaker:
    """An API server with the Speaker n1, which promised nothing, and its Node. `taints`: their keys."""

    def __init__(self, *taints: str) -> None:
        self.node: dict[str, Any] = {"metadata": {"name": "n1"}, "spec": {"taints": [{"key": key} for key in taints]}}
        self.asked = 0

    async def list(self, resource: Resource, **_: Any) -> tuple[list[bytes], str]:
        if resource is not SPEAKERS:
            return [], "1"
        return [json.dumps({"metadata": {"name": "n1", "uid": "s1"}, "status": {"incarnation": "i1"}}).encode()], "1"

    async def get(self, *_: Any, **__: Any) -> bytes:
        self.asked += 1
        return json.dumps(self.node).encode()


@pytest.mark.parametrize(
    ("watched", "taints", "why"),
    [
        (
            TAINT_OUT_OF_SERVICE,
            (TAINT_OUT_OF_SERVICE,),
            f"its Node has the taint {TAINT_OUT_OF_SERVICE}, but its Lease",
        ),
        (TAINT_OUT_OF_SERVICE, ("another",), "it made no promise to withdraw by itself"),
        ("another", (TAINT_OUT_OF_SERVICE,), "it made no promise to withdraw by itself"),
    ],
)
async def test_a_taint_that_the_watch_shows_is_looked_at_again(watched: str, taints: tuple[str, ...], why: str) -> None:
    """The watch may lag, and the node be in service again."""
    assigner: Any = SimpleNamespace(marks={MARK.address: MARK}, ledger={}, barrier_passed=None)
    client = OneSpeaker(*taints)
    known = decode_node(json.dumps(OneSpeaker(watched).node).encode())
    async with judged(client, assigner, Observed(nodes={ObjectKey(None, "n1"): known})) as barrier:
        (one,) = barrier.awaited[MARK.address]
        assert one.why.startswith(why)
        assert bool(client.asked) is (watched == TAINT_OUT_OF_SERVICE)


class OneLease(OneSpeaker):
    """That Speaker promised, and its Lease has no label."""

    async def list(self, resource: Resource, *, label_selector: str | None = None, **_: Any) -> tuple[list[bytes], str]:
        if resource is SPEAKERS:
            fencing = {"promised": True, "fenceAfterSeconds": 30, "witnesses": ["n1", "n2", "n3"]}
            status = {"incarnation": "i1", "fencing": fencing}
            return [json.dumps({"metadata": {"name": "n1", "uid": "s1"}, "status": status}).encode()], "1"
        lease = {"metadata": {"name": speaker_lease("n1"), "uid": "l1"}, "spec": {"renewTime": "then"}}
        return [] if label_selector else [json.dumps(lease).encode()], "1"


async def test_a_lease_is_a_speakers_by_its_name_whatever_its_labels_say() -> None:
    assigner: Any = SimpleNamespace(marks={MARK.address: MARK}, ledger={}, barrier_passed=None)
    known = decode_node(json.dumps(OneSpeaker().node).encode())
    async with judged(OneLease(), assigner, Observed(nodes={ObjectKey(None, "n1"): known})) as barrier:
        (one,) = barrier.awaited[MARK.address]
        assert one.why == "its Lease has been silent for 0 of 60 s"
