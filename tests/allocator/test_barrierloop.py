"""The release barrier between its two views of the Speakers: what it lists, and what its watch has shown so far."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from allocator.io.barrierloop import BarrierLoop
from allocator.observed import Observed
from allocator.options import Options
from allocator.release.barrier import Mark
from allocator.release.confirmations import Confirmation, decode_confirmation
from allocator.release.departures import Departures
from allocator.release.speakers import Router, SpeakerState, SpeakerStatus
from crds.names import TAINT_OUT_OF_SERVICE, speaker_lease
from kube.errors import NotFound
from kube.informer.io.informer import ObjectKey
from kube.objects import Meta, decode_node
from kube.resource import SPEAKERS, Resource
from tests.allocator.build import address

pytestmark = pytest.mark.asyncio

KEY = ObjectKey(None, "n1")
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


class Counting:
    """An API server with Speakers of the process `incarnation`, their Nodes, and no Leases. `lists`: of Speakers."""

    def __init__(self) -> None:
        self.incarnation, self.lists = "i1", 0
        self.speakers: tuple[str, ...] = ("n1",)
        self.nodes = ["n1", "n2"]

    async def list(self, resource: Resource, **_: Any) -> tuple[list[bytes], str]:
        if resource is not SPEAKERS:
            return [], "1"
        self.lists += 1
        status = {"incarnation": self.incarnation}
        made = [{"metadata": {"name": name, "uid": f"s{name[1:]}"}, "status": status} for name in self.speakers]
        return [json.dumps(one).encode() for one in made], "1"

    async def get(self, _: Resource, name: str) -> bytes:
        if name not in self.nodes:
            raise NotFound(404, "NotFound", "no such Node")
        return json.dumps({"metadata": {"name": name}}).encode()


class Confirming:
    """What the watches have brought by now, and the releases that have passed. Lists are made for a reason alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("allocator.io.barrierloop.REPEAT_SECONDS", 3600.0)
        self.client, self.passed = Counting(), list[Mark]()
        self.marks: dict[Any, Mark] = {}
        self.assigner: Any = SimpleNamespace(marks=self.marks, ledger={}, barrier_passed=self._pass)
        self.speakers: dict[ObjectKey, SpeakerState] = {}
        self.confirmations: dict[ObjectKey, Confirmation] = {}
        nodes = {KEY: decode_node(b'{"metadata": {"name": "n1"}}')}
        self.observed = Observed(nodes=nodes, speakers=self.speakers, confirmations=self.confirmations)
        self.watch_speaker("i1")

    def _pass(self, mark: Mark) -> None:
        self.passed.append(mark)
        del self.marks[mark.address]

    def mark(self, mark: Mark = MARK) -> None:
        self.marks[mark.address] = replace(mark, known_at=time.monotonic())

    def watch_speaker(self, incarnation: str) -> None:
        self.speakers[KEY] = SpeakerState(metadata=Meta(name="n1", uid="s1"), status=SpeakerStatus(incarnation))

    def watch_confirmation(self, incarnation: str, *marks: Mark) -> None:
        status = {"incarnation": incarnation, "released": {mark.uid: mark.generation for mark in marks or (MARK,)}}
        self.confirmations[KEY] = decode_confirmation(
            json.dumps({"metadata": {"name": "n1"}, "status": status}).encode()
        )


async def test_the_speakers_are_listed_while_they_withdraw_and_a_confirmation_counts_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A list that began with the last confirmation would be waited for."""
    case = Confirming(monkeypatch)
    async with judged(case.client, case.assigner, case.observed) as barrier:
        case.mark()
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, case.passed) == (1, [])
        case.watch_confirmation("i1")
        barrier.nudge()
        await asyncio.sleep(0)
        assert len(case.passed) == 1
        await asyncio.sleep(0.2)
        assert case.client.lists == 1


async def test_a_list_says_nothing_of_a_release_that_was_not_known_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is made for it, and that one serves both."""
    case, other = Confirming(monkeypatch), replace(MARK, address=address("192.0.2.11"), uid="a2")
    async with judged(case.client, case.assigner, case.observed) as barrier:
        case.mark()
        barrier.nudge()
        await asyncio.sleep(0.2)
        case.mark(other)
        case.watch_confirmation("i1", other)
        before = case.client.lists
        barrier._judge_what_is_known()
        assert (before, case.passed) == (1, [])
        case.watch_confirmation("none")
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, case.passed) == (2, [])
        case.watch_confirmation("i1", MARK, other)
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, len(case.passed)) == (2, 2)


async def test_a_process_that_registers_after_the_list_is_seen_by_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first one its predecessor would be waited for, which never confirms."""
    case = Confirming(monkeypatch)
    async with judged(case.client, case.assigner, case.observed) as barrier:
        case.mark()
        barrier.nudge()
        await asyncio.sleep(0.2)
        case.client.incarnation = "i2"
        case.watch_confirmation("i2")
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, case.passed) == (1, []), "its registration has not been seen yet"
        case.watch_speaker("i2")
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, len(case.passed)) == (2, 1)


async def test_a_node_that_was_gone_when_the_speakers_were_listed_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have come back before the last of the others has confirmed."""
    case = Confirming(monkeypatch)
    case.client.nodes.remove("n2")
    case.client.speakers = ("n1", "n2")
    case.speakers[ObjectKey(None, "n2")] = SpeakerState(metadata=Meta(name="n2", uid="s2"), status=SpeakerStatus("i1"))
    async with judged(case.client, case.assigner, case.observed) as barrier:
        case.mark()
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, case.passed) == (1, [])
        case.client.nodes.append("n2")
        case.watch_confirmation("i1")
        barrier.nudge()
        await asyncio.sleep(0.2)
        assert (case.client.lists, case.passed) == (2, [])


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
