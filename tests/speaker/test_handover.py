"""Several agents that hear each other: addresses move fast and alone, and come back without flapping."""

import asyncio
import contextlib

import pytest

from tests.speaker.agents import always, cluster, eventually
from tests.speaker.test_agents import ADDRESSES, NODE_NAMES, A, elected, spread, three_speakers
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = [pytest.mark.asyncio, pytest.mark.slow]


@contextlib.asynccontextmanager
async def crowd(tmp_path, **options):
    """Three speakers that share out all addresses."""
    async with cluster(tmp_path, *NODE_NAMES) as lab, three_speakers(lab, **options) as speakers:
        for address in ADDRESSES:
            await lab.allocate(address)
        await eventually(lambda: spread(speakers) == elected(NODE_NAMES))
        yield lab, speakers


def answered(speakers) -> set[str]:
    return set().union(*(one.wire.answers for one in speakers.values()))


async def watch_until(check, watched, seconds=10.0):
    """Until `check`; `watched` must hold after every turn of the loop meanwhile."""

    def look():
        assert watched()
        return check()

    await eventually(look, seconds)


async def test_the_next_in_rank_takes_over_as_soon_as_a_peer_is_no_longer_heard(tmp_path) -> None:
    """Its Lease is fresh for a long time yet."""
    async with crowd(tmp_path, lease_duration_seconds=60) as (lab, speakers):
        speakers.pop("node-b").running.cancel()
        lab.air.leave("node-b")
        await eventually(lambda: spread(speakers) == elected(["node-a", "node-c"]), 2.0)


async def test_leases_are_watched_only_while_somebody_is_not_heard(tmp_path) -> None:
    async with crowd(tmp_path, lease_duration_seconds=1, renew_seconds=0.25) as (lab, speakers):
        await eventually(lambda: not any(one.watching["leases"] for one in speakers.values()))
        lab.air.cut("node-b")
        await eventually(lambda: all(one.watching["leases"] for one in speakers.values()))
        lab.air.heal()
        await eventually(lambda: not any(one.watching["leases"] for one in speakers.values()))
        assert spread(speakers) == elected(NODE_NAMES)


async def test_each_speaker_tells_whom_it_hears(tmp_path) -> None:
    async with crowd(tmp_path) as (lab, speakers):

        async def told(*nodes):
            return [one["node"] for one in (await lab.status("node-a")).get("heard", [])] == list(nodes)

        await eventually(lambda: told("node-b", "node-c"))
        speakers.pop("node-b").running.cancel()
        lab.air.leave("node-b")
        await eventually(lambda: told("node-c"))


async def test_a_clean_stop_leaves_no_moment_without_an_answer(tmp_path) -> None:
    async with crowd(tmp_path) as (_, speakers):
        leaving = speakers["node-b"]
        leaving.stopping.set()
        rest = {node: one for node, one in speakers.items() if node != "node-b"}
        expected = elected(["node-a", "node-c"])
        await watch_until(lambda: spread(rest) == expected, lambda: answered(speakers) == set(ADDRESSES))
        await watch_until(lambda: not leaving.wire.answers, lambda: answered(rest) == set(ADDRESSES))
        await asyncio.wait_for(leaving.running, 10)
        leaving.on_stopped()
        assert leaving.position("wire stopped") > max(
            leaving.position(f"withdrawn {address}")
            for address, nodes in elected(NODE_NAMES).items()
            if nodes == ["node-b"]
        )


async def test_the_only_speaker_stops_without_waiting_for_anybody(tmp_path) -> None:
    async with cluster(tmp_path, "node-a") as lab:
        await lab.allocate(A)
        async with lab.speaker("node-a") as one:
            await eventually(lambda: one.wire.answers == {A})
            one.stopping.set()
            await asyncio.wait_for(one.running, 2.0)


async def test_one_that_returns_waits_for_its_turn_and_takes_part_in_the_next_fault(tmp_path) -> None:
    async with crowd(tmp_path, failback_seconds=3600) as (lab, speakers):
        await speakers.pop("node-b").stop()
        without = elected(["node-a", "node-c"])
        await eventually(lambda: spread(speakers) == without)
        async with lab.speaker("node-b", failback_seconds=3600) as back:
            speakers["node-b"] = back
            await asyncio.sleep(1.5)
            assert spread(speakers) == without
            assert (await lab.status("node-b"))["standing"] == "Waiting"
            await speakers.pop("node-c").stop()
            await eventually(lambda: spread(speakers) == elected(["node-a", "node-b"]))
            await eventually(lambda: _standing(lab, "node-b", "Member"))


async def _standing(lab, node, standing):
    return (await lab.status(node)).get("standing") == standing


async def test_one_that_nobody_hears_leaves_everything_to_the_others_and_they_let_it_return_in_turn(tmp_path) -> None:
    """Its heartbeats are lost, its ARP is not: it sees the others announce what was its own."""
    async with crowd(tmp_path, failback_seconds=3600) as (lab, speakers):
        lab.air.cut("node-b")
        without = elected(["node-a", "node-c"])
        await eventually(lambda: spread(speakers) == without, 2.0)
        lab.air.heal()
        await always(lambda: spread(speakers) == without, 0.5)


async def test_of_two_that_do_not_hear_each_other_one_answers_for_each_address(tmp_path) -> None:
    names = NODE_NAMES[:2]
    async with cluster(tmp_path, *names) as lab, contextlib.AsyncExitStack() as stack:
        for address in ADDRESSES:
            await lab.allocate(address)
        speakers = {node: await stack.enter_async_context(lab.speaker(node)) for node in names}
        await eventually(lambda: spread(speakers) == elected(names))
        lab.air.cut("node-b")
        await asyncio.sleep(0.3)
        await eventually(lambda: all(len(nodes) == 1 for nodes in spread(speakers).values()), 2.0)
        lab.air.heal()
        await eventually(lambda: spread(speakers) == elected(names), 2.0)


async def test_one_that_loses_the_api_server_alone_yields_before_anybody_must_fence_it(tmp_path) -> None:
    async with crowd(tmp_path, failback_seconds=3600, lease_duration_seconds=2) as (lab, speakers):
        fault = lab.server.faults.add(resource="leases.coordination.k8s.io", name="berth-speaker-node-b", code=503)
        without = elected(["node-a", "node-c"])
        await watch_until(lambda: spread(speakers) == without, lambda: answered(speakers) == set(ADDRESSES))
        assert speakers["node-b"].wire.said.is_behind
        lab.server.faults.remove(fault)
        await eventually(lambda: not speakers["node-b"].wire.said.is_behind)
        assert spread(speakers) == without


async def test_an_api_server_that_is_down_for_all_moves_nothing_and_a_dead_peer_is_replaced_all_the_same(
    tmp_path,
) -> None:
    async with crowd(tmp_path, lease_duration_seconds=1, renew_seconds=0.3) as (lab, speakers):
        lab.server.faults.add(code=503)
        await always(lambda: spread(speakers) == elected(NODE_NAMES), 3.0)
        speakers.pop("node-b").running.cancel()
        lab.air.leave("node-b")
        await eventually(lambda: spread(speakers) == elected(["node-a", "node-c"]), 2.0)
