"""The agent against an API server: what comes before what, and what survives which trouble."""

import asyncio

import pytest

from crds.names import allocation_name
from kube.resource import IPALLOCATIONS, L2ADVERTISEMENTS
from tests.speaker.agents import cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

A, B = "192.0.2.1", "192.0.2.2"


async def test_it_renews_its_lease_then_registers_then_reads_then_announces(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            order = [
                "done create leases",
                "send patch speakers register",
                "done patch speakers register",
                "send list ipallocations",
                "done list ipallocations",
                "permit",
            ]
            positions = [speaker.journal.index(entry) for entry in order]
            assert positions == sorted(positions)
            assert speaker.position("permit") < speaker.position(f"announce {A}")
            await eventually(lambda: lab.announced("node-a"))
            status = await lab.status("node-a")
            assert status["announcements"][A]["interfaces"] == ["eth0"]
            assert status["announcements"][A]["protocols"] == ["Layer2"]
            assert status["goodbye"] is False
            assert await lab.lease_holder("node-a") == status["incarnation"]


async def test_a_release_is_confirmed_only_when_the_wire_has_confirmed(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: lab.announced("node-a"))
            speaker.wire.confirming.clear()
            uid, generation = await lab.release(A)
            await asyncio.sleep(0.3)
            assert A in speaker.wire.table
            assert await lab.released("node-a") == {}
            speaker.wire.confirming.set()
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}
            assert generation == 2
            assert speaker.wire.table == {}
            assert speaker.position(f"withdrawn {A}") < speaker.position(f"send patch releaseconfirmations ['{uid}']")
            await eventually(lambda: _is_not_announced(lab))


async def _is_not_announced(lab) -> bool:
    return not await lab.announced("node-a")


async def test_what_it_never_announced_is_confirmed_too(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.admin.delete(L2ADVERTISEMENTS, "all")
        await lab.allocate(A)
        async with lab.speaker():
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}


async def test_a_confirmation_is_removed_when_its_allocation_is_gone_and_never_serves_the_next_one(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            first, _ = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            await lab.free(A)
            await lab.allocate(A)
            await eventually(lambda: speaker.wire.answers == {A})
            second, _ = await lab.release(A)
            await eventually(lambda: _has_released(lab, second))
            assert first != second
            await eventually(lambda: _has_released(lab, second, alone=True))


async def _has_released(lab, uid, alone=False) -> bool:
    released = await lab.released("node-a")
    return set(released) == {uid} if alone else uid in released


class Blind:
    """While it lasts, the speaker's watches are broken and it can't list IPAllocations."""

    def __init__(self, lab) -> None:
        self.lab = lab

    async def __aenter__(self) -> None:
        faults = self.lab.server.faults
        self.faults = [faults.add(resource="ipallocations", method=verb, code=503) for verb in ("list", "watch")]
        self.lab.server.drop_watches()
        self.lab.server.forget_history()
        await asyncio.sleep(0.1)

    async def __aexit__(self, *_) -> None:
        for fault in self.faults:
            self.lab.server.faults.remove(fault)


async def test_a_release_that_is_seen_first_in_a_list_is_confirmed(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            async with Blind(lab):
                admin_patch = {"spec": {"releasing": True}}
                await lab.admin.merge_patch(IPALLOCATIONS, allocation_name(A), admin_patch)
                assert speaker.wire.answers == {A}
            await eventually(lambda: lab.released("node-a"))
            assert speaker.wire.answers == set()


async def test_an_allocation_replaced_between_two_events_is_another_one(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            async with Blind(lab):
                await lab.release(A)
                await lab.free(A)
                again = await lab.allocate(A)
                uid, generation = await lab.release(A)
                assert uid == again["metadata"]["uid"]
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}


async def test_an_allocation_that_vanished_is_withdrawn(tmp_path) -> None:
    """Deleted by hand: nobody asks for a confirmation, but nobody may announce it either."""
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        await lab.allocate(B)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A, B})
            await lab.free(A)
            await eventually(lambda: speaker.wire.answers == {B})
            async with Blind(lab):
                await lab.free(B)
            await eventually(lambda: speaker.wire.answers == set())


async def test_it_says_goodbye_after_everything_is_off_the_wire(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: lab.announced("node-a"))
            await speaker.stop()
            assert speaker.wire.answers == set()
            assert speaker.position("wire stopped") < speaker.position("send patch speakers goodbye")
            status = await lab.status("node-a")
            assert status["goodbye"] is True
            assert status.get("announcements", {}) == {}
            assert [c["reason"] for c in status["conditions"] if c["type"] == "Ready"] == ["Stopped"]
            assert await lab.lease_holder("node-a") == ""
