"""Machines that are no speakers, at addresses of ours: what the agent orders and reports."""

import asyncio

import pytest

from speaker.wire.messages import Conflict
from tests.speaker.agents import cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

VIP = "192.0.2.1"
STRANGER = Conflict(VIP, "eth0", "02:00:00:00:00:66")


async def test_a_stranger_is_defended_against_once_and_told_in_the_speaker(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(VIP)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {VIP})
            for _ in range(3):
                speaker.agent.tell(STRANGER)
            await eventually(lambda: f"defend {VIP} on eth0" in speaker.journal)
            await asyncio.sleep(1.0)
            assert speaker.journal.count(f"defend {VIP} on eth0") == 1

            async def told():
                return (await lab.status("node-a")).get("conflicts")

            (entry,) = await eventually(told)
            assert (entry["address"], entry["mac"], entry["interface"]) == (VIP, STRANGER.mac, "eth0")
            assert entry["announced"]
            assert entry["count"] == 3


async def test_a_speakers_claim_is_never_defended_against_nor_told(tmp_path) -> None:
    async with cluster(tmp_path, "node-a", "node-b") as lab:
        await lab.allocate(VIP)
        async with lab.speaker("node-a") as one, lab.speaker("node-b") as two:
            other = Conflict(VIP, "eth0", two.wire.interfaces[0].mac)
            await eventually(lambda: one.agent.core.cluster.is_speakers(other.mac))
            one.agent.tell(other)
            one.agent.core.layer2.tick(one.agent._now())
            assert not any(entry.startswith("defend") for entry in one.journal)
            assert one.agent.core.draft.wanted("conflicts") == []
