"""The agent when it is stopped, removed, replaced, cut off or refused."""

import asyncio

import pytest

from kube.resource import NODES, SPEAKERS
from speaker.fencing import Hold
from speaker.members.election import owner
from speaker.own.writer import SupersededError
from tests.speaker.agents import always, cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

A, B = "192.0.2.1", "192.0.2.2"
NODE_NAMES = ("node-a", "node-b", "node-c")


def lists_after(speaker, entry) -> list[str]:
    return [each for each in speaker.journal[speaker.position(entry) :] if each.startswith("done list")]


async def test_after_a_pause_it_registers_and_reads_everything_before_it_speaks(tmp_path) -> None:
    """What was released in the pause is off the wire before there is a permit again."""
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        await lab.allocate(B)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A, B})
            first_half = len(speaker.journal)
            speaker.clock_offset_seconds += 90
            await eventually(lambda: f"announce {A}" in speaker.journal[first_half:])
            after = speaker.journal[first_half:]
            order = [
                "silence",
                "done patch speakers register",
                "send list ipallocations",
                "done list ipallocations",
                "permit",
                f"announce {A}",
            ]
            assert [after.index(each) for each in order] == sorted(after.index(each) for each in order)
            assert after.index(f"withdrawn {A}") < after.index("permit")
            speaker.clock_offset_seconds = 0
            await eventually(lambda: speaker.wire.answers == {A, B})


async def test_after_a_pause_there_is_no_permit_before_the_wire_has_confirmed_what_is_off_it(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            speaker.wire.confirming.clear()
            first_half = len(speaker.journal)
            speaker.clock_offset_seconds += 90
            await eventually(lambda: "done list leases" in speaker.journal[first_half:])
            await asyncio.sleep(0.7)  # longer than a tick
            assert not speaker.is_ready
            assert "permit" not in speaker.journal[first_half:]
            speaker.wire.confirming.set()
            await eventually(lambda: "permit" in speaker.journal[first_half:])


async def test_after_a_pause_it_stays_silent_until_the_api_server_answers(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            fault = lab.server.faults.add(code=503)
            speaker.clock_offset_seconds += 90
            await eventually(lambda: speaker.agent.core.right.hold is Hold.PAUSED)
            await asyncio.sleep(1)
            assert speaker.wire.answers == set()
            lab.server.faults.remove(fault)
            await eventually(lambda: speaker.is_ready)


async def test_an_outage_of_the_api_server_moves_nothing(tmp_path) -> None:
    """Longer than the Leases last, for everybody."""
    async with cluster(tmp_path, *NODE_NAMES[:2]) as lab:
        for address in (A, B):
            await lab.allocate(address)
        options = {"lease_duration_seconds": 1, "renew_seconds": 0.25}
        async with lab.speaker("node-a", **options) as one, lab.speaker("node-b", **options) as two:
            expected = {
                name: {address for address in (A, B) if owner(address, NODE_NAMES[:2]) == name}
                for name in NODE_NAMES[:2]
            }
            await eventually(lambda: one.wire.answers == expected["node-a"] and two.wire.answers == expected["node-b"])
            await lab.server.stop()
            await always(lambda: one.wire.answers == expected["node-a"] and two.wire.answers == expected["node-b"], 2.5)
            marks = len(one.journal), len(two.journal)
            await lab.server.restart()
            await always(lambda: one.wire.answers == expected["node-a"] and two.wire.answers == expected["node-b"], 1.5)
            for speaker, mark in zip((one, two), marks, strict=True):
                assert not [each for each in speaker.journal[mark:] if each.startswith(("announce", "withdrawn"))]


async def test_a_deleted_speaker_object_is_somebodys_word_that_it_is_dead(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: lab.announced("node-a"))
            mark = len(speaker.journal)
            await lab.admin.delete(SPEAKERS, "node-a")
            await eventually(lambda: f"announce {A}" in speaker.journal[mark:])
            after = speaker.journal[mark:]
            order = ["silence", "done create speakers", "send list ipallocations", "permit", f"announce {A}"]
            assert [after.index(each) for each in order] == sorted(after.index(each) for each in order)
            await eventually(lambda: lab.announced("node-a"))


async def test_a_speaker_object_that_was_replaced_by_hand_is_not_its_own(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: lab.announced("node-a"))
            mark = len(speaker.journal)
            await lab.admin.delete(SPEAKERS, "node-a")
            await lab.admin.create(SPEAKERS, {"metadata": {"name": "node-a"}, "spec": {}})
            await eventually(lambda: "permit" in speaker.journal[mark:])
            assert speaker.journal.index("done patch speakers register", mark) < speaker.position("permit")
            await eventually(lambda: lab.announced("node-a"))


async def test_a_deleted_node_announces_nothing_until_it_is_back_and_everything_was_read_again(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            await lab.admin.delete(NODES, "node-a")
            await eventually(lambda: speaker.wire.answers == set())
            await asyncio.sleep(0.5)
            assert not speaker.is_ready
            mark = len(speaker.journal)
            await lab.add_node("node-a")
            await eventually(lambda: speaker.wire.answers == {A})
            after = speaker.journal[mark:]
            assert after.index("send list ipallocations") < after.index("permit")


async def test_a_goodbye_said_by_hand_is_taken_back_by_registering_anew(tmp_path) -> None:
    """Else a release would not wait for a speaker that announces."""
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            mark = len(speaker.journal)
            await lab.admin.merge_patch(SPEAKERS, "node-a", {"status": {"goodbye": True}}, subresource="status")
            await eventually(lambda: "silence" in speaker.journal[mark:])
            await eventually(lambda: speaker.wire.answers == {A})
            assert (await lab.status("node-a"))["goodbye"] is False


async def test_a_second_process_for_the_node_ends_the_first_whose_word_counts_no_more(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as first:
            await eventually(lambda: lab.announced("node-a"))
            async with lab.speaker():
                with pytest.raises(BaseExceptionGroup) as raised:
                    await asyncio.wait_for(asyncio.shield(first.running), 5)
                assert raised.group_contains(SupersededError)
                first.stopping.set()  # so that the end of this block takes its end as seen


async def test_an_old_processes_goodbye_does_not_count_for_its_successor(tmp_path) -> None:
    async with cluster(tmp_path) as lab, lab.speaker() as first:
        await lab.server.stop()  # so that it can't see its successor register
        first.stopping.set()
        await asyncio.sleep(0.2)
        await lab.server.restart()
        status = {"incarnation": "a successor", "goodbye": False}
        await lab.admin.merge_patch(SPEAKERS, "node-a", {"status": status}, subresource="status")
        await asyncio.wait([first.running], timeout=10)
        assert (await lab.status("node-a"))["goodbye"] is False


@pytest.mark.parametrize("code", [409, 429, 500])
async def test_confirmations_survive_what_the_api_server_answers(tmp_path, code) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            resource = "releaseconfirmations/status"
            lab.server.faults.add(method="patch", resource=resource, code=code, count=2, retry_after_seconds=0)
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}


async def test_a_write_that_arrived_without_an_answer_is_repeated_on_the_new_version(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            resource = "releaseconfirmations/status"
            lab.server.faults.add(method="patch", resource=resource, code=504, count=1, after_commit=True)
            first, _ = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            await lab.allocate(B)
            second, _ = await lab.release(B)
            await eventually(lambda: _both(lab, {first, second}))


async def _both(lab, uids) -> bool:
    return set(await lab.released("node-a")) == uids


async def test_registering_survives_what_the_api_server_answers(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        for method, resource, code in (
            ("create", "speakers", 500),
            ("patch", "speakers/status", 409),
            ("get", "nodes", 503),
            ("create", "leases", 500),
        ):
            lab.server.faults.add(method=method, resource=resource, code=code, count=1)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})


async def test_it_ends_also_when_the_api_server_can_not_be_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("speaker.leaving.GOODBYE_SECONDS", 0.5)
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            await lab.server.stop()
            with pytest.raises(TimeoutError):
                await speaker.stop()
            assert "wire stopped" in speaker.journal
        await lab.server.restart()
        assert (await lab.status("node-a"))["goodbye"] is False


async def test_an_address_that_the_wire_refuses_is_not_said_to_be_announced(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        await lab.allocate(B)
        async with lab.speaker(wait=False) as speaker:
            speaker.wire.refused = {A}
            await eventually(lambda: speaker.wire.answers == {B})
            await eventually(lambda: lab.announced("node-a"))
            assert await lab.announced("node-a") == {B}
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}
