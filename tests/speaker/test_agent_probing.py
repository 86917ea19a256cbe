"""Duplicate address detection as the agent has it done: when it probes, what it then announces, and what it tells."""

import pytest

from kube.resource import IPALLOCATIONS, IPPOOLS
from speaker.wire.messages import Answer, Probed
from tests.speaker.agents import cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

VIP = "192.0.2.1"
NAME = "v4-192-0-2-1"
STRANGER = "02:00:00:00:00:66"


async def probed_pool(lab) -> None:
    await lab.admin.merge_patch(IPPOOLS, "edge", {"spec": {"duplicateAddressDetection": True}})


async def run_of(speaker) -> int:
    _, run = await eventually(lambda: speaker.wire.probes.get(VIP))
    return run


def answer(run: int, mac: str = STRANGER, *, is_probe: bool = False) -> Answer:
    return Answer(VIP, run, "eth0", mac, is_probe)


async def test_a_new_address_is_announced_only_after_nobody_answered(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await probed_pool(lab)
        await lab.allocate(VIP)
        async with lab.speaker() as speaker:
            run = await run_of(speaker)
            assert speaker.agent.snapshot().addresses == {"Probing": 1}
            assert f"announce {VIP}" not in speaker.journal
            speaker.agent.tell(Probed(VIP, run, sent=3))
            await eventually(lambda: speaker.wire.answers == {VIP})
            assert speaker.agent.snapshot().addresses == {"Announced": 1}
            assert speaker.journal.count(f"probe {VIP}") == 1


async def test_without_the_pools_word_nothing_is_probed(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(VIP)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {VIP})
            assert f"probe {VIP}" not in speaker.journal


async def test_an_address_that_was_announced_by_anybody_is_not_probed(tmp_path) -> None:
    """Not in a failover, nor after a restart of all speakers."""
    async with cluster(tmp_path) as lab:
        await probed_pool(lab)
        await lab.allocate(VIP)
        status = {"status": {"firstAnnounced": "2026-01-02T03:04:05Z", "announcedBy": []}}
        await lab.admin.merge_patch(IPALLOCATIONS, NAME, status, subresource="status")
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {VIP})
            assert f"probe {VIP}" not in speaker.journal


async def test_a_status_that_is_lost_interrupts_nothing(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(VIP)
        status = {"status": {"firstAnnounced": "2026-01-02T03:04:05Z", "announcedBy": ["node-a"]}}
        await lab.admin.merge_patch(IPALLOCATIONS, NAME, status, subresource="status")
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {VIP})
            await probed_pool(lab)
            lost = {"status": {"firstAnnounced": None, "announcedBy": None}}
            await lab.admin.merge_patch(IPALLOCATIONS, NAME, lost, subresource="status")
            layer2, state = speaker.agent.core.layer2.decisions, speaker.agent.core.cluster
            await eventually(lambda: state.is_probed(state.allocations[NAME]) and not layer2.has_work)
            await eventually(lambda: not state.allocations[NAME].was_announced and not layer2.has_work)
            assert f"probe {VIP}" not in speaker.journal
            assert f"withdrawn {VIP}" not in speaker.journal


async def test_an_address_in_use_is_not_announced_is_told_and_heals_when_the_stranger_goes(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("speaker.layer2.probing.PROBE_AGAIN_SECONDS", 1.5)
    async with cluster(tmp_path) as lab:
        await probed_pool(lab)
        await lab.allocate(VIP)
        async with lab.speaker() as speaker:
            first = await run_of(speaker)
            speaker.agent.tell(answer(first))
            await eventually(lambda: f"withdrawn {VIP}" in speaker.journal)
            assert VIP not in speaker.wire.answers

            async def told():
                return (await lab.status("node-a")).get("conflicts")

            (entry,) = await eventually(told)
            assert (entry["mac"], entry["announced"]) == (STRANGER, False)
            assert speaker.agent.snapshot().addresses in ({"InUse": 1}, {"Probing": 1}, {"Waiting": 1})

            second = await run_of(speaker)
            assert second != first
            speaker.agent.tell(Probed(VIP, second, sent=3))
            await eventually(lambda: speaker.wire.answers == {VIP})

            async def untold():
                return not await told()

            await eventually(untold)


async def test_another_speakers_probe_is_ignored_and_its_nodes_kernel_is_told_until_the_speaker_announces_it(
    tmp_path,
) -> None:
    async with cluster(tmp_path, "node-a", "node-b") as lab:
        await probed_pool(lab)
        async with lab.speaker("node-a") as one, lab.speaker("node-b") as other:
            await eventually(lambda: len(one.agent.core.cluster.speakers) == 2)
            await lab.allocate(VIP)
            await eventually(lambda: one.wire.probes or other.wire.probes)
            owner = one if one.wire.probes else other
            run = await run_of(owner)
            speakers_mac = (other if owner is one else one).wire.interfaces[0].mac
            owner.agent.tell(answer(run, speakers_mac, is_probe=True))
            assert VIP not in owner.wire.answers
            owner.agent.tell(answer(run, speakers_mac))
            name, others = ("node-a", "node-b") if owner is one else ("node-b", "node-a")

            async def told():
                return (await lab.status(name)).get("conflicts")

            (entry,) = await eventually(told)
            assert (entry["mac"], entry["node"], entry["announced"]) == (speakers_mac, others, False)
            assert VIP not in owner.wire.answers
            status = {"status": {"firstAnnounced": "2026-01-02T03:04:05Z", "announcedBy": [others]}}
            await lab.admin.merge_patch(IPALLOCATIONS, NAME, status, subresource="status")
            await eventually(lambda: owner.wire.answers == {VIP})


async def test_a_release_in_the_midst_of_probing_is_confirmed_at_once(tmp_path) -> None:
    """After the wire has confirmed that no more probes leave."""
    async with cluster(tmp_path) as lab:
        await probed_pool(lab)
        await lab.allocate(VIP)
        async with lab.speaker() as speaker:
            run = await run_of(speaker)
            uid, generation = await lab.release(VIP)

            async def confirmed():
                return (await lab.released("node-a")).get(uid) == generation

            await eventually(confirmed)
            assert speaker.position(f"withdrawn {VIP}") < speaker.position(f"done patch releaseconfirmations {[uid]}")
            speaker.agent.tell(Probed(VIP, run, sent=3))
            assert VIP not in speaker.wire.answers
            assert not speaker.agent.core.layer2.orders.has_announcements


async def test_a_new_registration_in_the_midst_of_probing_begins_it_anew(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await probed_pool(lab)
        await lab.allocate(VIP)
        async with lab.speaker() as speaker:
            first = await run_of(speaker)
            speaker.clock_offset_seconds += 90
            await eventually(lambda: speaker.wire.probes.get(VIP, ((), first))[1] != first)
            speaker.agent.tell(Probed(VIP, await run_of(speaker), sent=3))
            await eventually(lambda: VIP in speaker.wire.table)
