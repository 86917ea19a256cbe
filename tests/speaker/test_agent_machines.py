"""Two machines with one node name: the later one never confirms a release for the earlier one that may announce."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import pytest

from kube.errors import Unreachable
from kube.resource import NODES, SPEAKERS
from tests.speaker.agents import Cluster, Speaker, cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]

A = "192.0.2.1"


def cut_off(speaker: Speaker) -> None:
    """From the API server, both ways, its open watches too."""
    assert speaker.agent._watching is not None
    speaker.agent._watching.cancel()
    transport: Any = speaker.agent._client._transport
    transport.send = mock.AsyncMock(side_effect=Unreachable(0, "", "cut"))
    transport.stream = mock.Mock(side_effect=Unreachable(0, "", "cut"))


async def promise(lab: Cluster, said: str = "reason") -> str:
    conditions = (await lab.status("node-a")).get("conditions", [])
    return next((one[said] for one in conditions if one["type"] == "PromisesFencing"), "")


async def delete_speaker(lab: Cluster) -> None:
    await lab.admin.delete(SPEAKERS, "node-a")


async def name_machine(lab: Cluster) -> None:
    command = "kubectl annotate --overwrite speaker.berth.dev node-a berth.dev/dead-machines=old"
    assert command in await promise(lab, "message")
    said = {"metadata": {"annotations": {"berth.dev/dead-machines": "old"}}}
    await lab.admin.merge_patch(SPEAKERS, "node-a", said)


@pytest.mark.parametrize("say_it_is_off", [delete_speaker, name_machine])
async def test_a_machine_under_the_name_of_another_one_confirms_nothing_until_an_operator_says_that_one_is_dead(
    tmp_path, say_it_is_off: Callable[[Cluster], Awaitable[None]]
) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker(boot_id="old") as old:
            await eventually(lambda: old.wire.answers == {A})
            cut_off(old)
            async with lab.speaker(boot_id="new", wait=False) as new:
                await eventually(lambda: new.wire.answers == {A}, 30.0)
                uid, generation = await lab.release(A)
                await eventually(lambda: not new.wire.answers)
                assert old.wire.answers == {A}
                for _ in range(100):
                    await asyncio.sleep(1.0)
                    assert await lab.released("node-a") == {}
                assert await promise(lab) == "OtherMachine"
                assert not (await lab.status("node-a"))["fencing"]["promised"]
                await say_it_is_off(lab)
                await eventually(lambda: lab.released("node-a"), 30.0)
                assert await lab.released("node-a") == {uid: generation}
                await asyncio.sleep(5.0)
                assert not (await lab.status("node-a")).get("elsewhere")
                assert await promise(lab) != "OtherMachine"


async def test_it_says_no_goodbye_for_the_other_one_and_its_successor_waits_on(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker(boot_id="old") as old:
            cut_off(old)
            async with lab.speaker(boot_id="new") as new:
                await new.stop()
                assert (await lab.status("node-a")).get("goodbye", False) is False
            async with lab.speaker(boot_id="new"):
                await lab.release(A)
                await asyncio.sleep(30.0)
                assert await lab.released("node-a") == {}


async def test_on_the_same_machine_the_predecessor_is_dead(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker(boot_id="same") as old:
            await eventually(lambda: old.wire.answers == {A})
        async with lab.speaker(boot_id="same") as new:
            await eventually(lambda: new.wire.answers == {A})
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}


async def test_after_a_reboot_it_knows_itself_again_also_where_the_kubelet_tells_of_it_later(tmp_path) -> None:
    async with cluster(tmp_path) as lab:

        async def kubelet_tells(boot: str) -> None:
            told = {"status": {"nodeInfo": {"machineID": "m", "systemUUID": "s", "bootID": boot}}}
            await lab.admin.merge_patch(NODES, "node-a", told, subresource="status")

        await kubelet_tells("first")
        await lab.allocate(A)
        async with lab.speaker(boot_id="first") as old:
            await eventually(lambda: old.wire.answers == {A})
            cut_off(old)
            async with lab.speaker(boot_id="second", wait=False) as new:
                await eventually(lambda: new.wire.answers == {A}, 30.0)
                uid, generation = await lab.release(A)
                await asyncio.sleep(30.0)
                assert await lab.released("node-a") == {}
                await kubelet_tells("second")
                await eventually(lambda: lab.released("node-a"))
                assert await lab.released("node-a") == {uid: generation}

                async def waits_for_nobody() -> bool:
                    return not (await lab.status("node-a")).get("elsewhere")

                await eventually(waits_for_nobody)


async def test_one_that_said_goodbye_is_waited_for_by_nobody(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker(boot_id="old") as old:
            await old.stop()
        async with lab.speaker(boot_id="new"):
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}
