"""Several agents: one of them announces each address, and it moves when it has to."""

import contextlib

import pytest

from kube.resource import L2ADVERTISEMENTS, NODES
from speaker.members.election import owner, ranking
from speaker.wire.messages import Interface, Interfaces
from tests.speaker.agents import always, cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

NODE_NAMES = ("node-a", "node-b", "node-c")
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 21)]
A = ADDRESSES[0]
QUICK = {"lease_duration_seconds": 1, "renew_seconds": 0.25}


def spread(speakers, addresses=ADDRESSES):
    """The nodes that answer, by address."""
    return {address: [node for node, one in speakers.items() if address in one.wire.answers] for address in addresses}


def elected(nodes, addresses=ADDRESSES):
    return {address: [owner(address, nodes)] for address in addresses}


@contextlib.asynccontextmanager
async def three_speakers(lab, **options):
    async with contextlib.AsyncExitStack() as stack:
        speakers = {}
        for node in NODE_NAMES:
            speakers[node] = await stack.enter_async_context(lab.speaker(node, **options))
        yield speakers


async def test_each_address_is_answered_by_its_owner_alone_and_moves_with_the_cluster(tmp_path) -> None:
    """Goodbye, a killed process, and nodes that may not announce."""
    async with cluster(tmp_path, *NODE_NAMES) as lab:
        for address in ADDRESSES:
            await lab.allocate(address)
        async with three_speakers(lab, **QUICK) as speakers:
            await eventually(lambda: spread(speakers) == elected(NODE_NAMES))

            await speakers["node-b"].stop()
            await eventually(lambda: spread(speakers) == elected(["node-a", "node-c"]), 1.0)

            label = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}
            await lab.admin.merge_patch(NODES, "node-a", {"metadata": {"labels": label}})
            await eventually(lambda: spread(speakers) == elected(["node-c"]), 1.0)
            label = dict.fromkeys(label)
            await lab.admin.merge_patch(NODES, "node-a", {"metadata": {"labels": label}})
            await eventually(lambda: spread(speakers) == elected(["node-a", "node-c"]), 1.0)

            speakers.pop("node-c").running.cancel()
            await eventually(lambda: spread(speakers) == elected(["node-a"]), 5.0)


async def test_a_speaker_that_joins_announces_only_what_it_owns_and_takes_it_over_without_a_gap(tmp_path) -> None:
    async with cluster(tmp_path, *NODE_NAMES) as lab:
        for address in ADDRESSES:
            await lab.allocate(address)
        async with lab.speaker("node-a") as one:
            await eventually(lambda: one.wire.answers == set(ADDRESSES))
            async with lab.speaker("node-b", wait=False) as two:
                await always(lambda: one.wire.answers | two.wire.answers == set(ADDRESSES), 1.5)
                assert spread({"node-a": one, "node-b": two}) == elected(NODE_NAMES[:2])
                mine = {f"announce {address}" for address in ADDRESSES if owner(address, NODE_NAMES[:2]) == "node-b"}
                assert {each for each in two.journal if each.startswith("announce")} == mine


async def test_the_next_in_rank_takes_over_when_a_link_goes_down(tmp_path) -> None:
    async with cluster(tmp_path, *NODE_NAMES) as lab:
        await lab.allocate(A)
        async with three_speakers(lab) as speakers:
            first, second, _ = ranking(A, NODE_NAMES)
            await eventually(lambda: spread(speakers, [A]) == {A: [first]})
            down = (Interface("eth0", 2, "02:00:00:00:00:01", False, False, "NoCarrier"),)
            speakers[first].wire.interfaces = down
            speakers[first].agent.tell(Interfaces(down))
            await eventually(lambda: spread(speakers, [A]) == {A: [second]}, 2.0)


async def test_with_the_policy_local_the_address_follows_the_endpoints(tmp_path) -> None:
    async with cluster(tmp_path, *NODE_NAMES) as lab:
        await lab.allocate(A, trafficPolicy="Local")
        async with three_speakers(lab) as speakers:
            for nodes in (["node-a"], ["node-b"], ["node-b", "node-c"], ["node-c"], [], ["node-a"]):
                await lab.set_endpoints(*nodes)
                expected = [owner(A, nodes)] if nodes else []
                await eventually(lambda expected=expected: spread(speakers, [A]) == {A: expected}, 1.0)


async def test_an_advertisement_that_comes_goes_or_changes_is_followed(tmp_path) -> None:
    async with cluster(tmp_path, *NODE_NAMES) as lab:
        await lab.allocate(A)
        async with three_speakers(lab) as speakers:
            await eventually(lambda: spread(speakers, [A]) == elected(NODE_NAMES, [A]))
            await lab.admin.merge_patch(L2ADVERTISEMENTS, "all", {"spec": {"interfaces": ["eth9"]}})
            await eventually(lambda: spread(speakers, [A]) == {A: []}, 1.0)
            status = await eventually(lambda: _complaint(lab), 3.0)
            assert status["reason"] == "InterfaceNotFound"
            assert "eth9" in status["message"]
            await lab.admin.merge_patch(L2ADVERTISEMENTS, "all", {"spec": {"interfaces": None}})
            await eventually(lambda: spread(speakers, [A]) == elected(NODE_NAMES, [A]), 1.0)


async def _complaint(lab):
    conditions = (await lab.status("node-a"))["conditions"]
    return next((one for one in conditions if one["type"] == "Announceable" and one["status"] == "False"), None)
