"""`berth drain` and `undrain`: what moves, what no other node could announce, and when a node is drained."""

import argparse
import json
from typing import Any

import pytest

from cli.drain.command import drained
from cli.drain.judge import Drain
from cli.drain.run import Watched, judged, label, unlabel
from cli.failure import Failed
from crds.names import allocation_name, speaker_lease
from kube.io.client import Client
from kube.resource import BGPADVERTISEMENTS, BGPPEERS, IPALLOCATIONS, L2ADVERTISEMENTS, NODES, SPEAKERS
from tests.cli.setups import ADDRESS, BERTH, EXCLUDE, NODES_THERE, Setup

DRAINED = {"berth.dev/drained": "true"}

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


async def judge(setup: Setup, node: str = "node1") -> Drain:
    _, found = await judged(setup.client, BERTH, node)
    return found


async def labels(setup: Setup, node: str = "node1") -> dict[str, str]:
    found: dict[str, str] = json.loads(await setup.client.get(NODES, node))["metadata"].get("labels") or {}
    return found


def options(**given: Any) -> argparse.Namespace:
    usual: dict[str, Any] = {
        "berth_namespace": BERTH,
        "node": "node1",
        "dry_run": False,
        "force": False,
        "wait": False,
        "timeout": 0.0,
    }
    usual["output"] = "table"
    return argparse.Namespace(**{**usual, **given})


async def exclude(setup: Setup, node: str, value: str = "") -> None:
    await setup.client.merge_patch(NODES, node, {"metadata": {"labels": {EXCLUDE: value}}})


async def routed(setup: Setup, *nodes: str) -> None:
    """Announced by BGP alone, by these nodes."""
    await setup.bgp_only("", "Established")
    for node in nodes:
        await setup.announce(node, ADDRESS, protocols=["BGP"], peers=["tor1"])


class TestWhatMoves:
    async def test_what_another_node_may_announce(self, setup: Setup) -> None:
        assert await judge(setup) == Drain("node1", False, moves=(ADDRESS,))
        assert (await judge(setup, "node2")).moves == ()

    async def test_not_a_local_service_with_endpoints_on_this_node_alone(self, setup: Setup) -> None:
        await setup.local()
        found = await judge(setup)
        assert found.moves == ()
        ((address, services, why),) = found.stays
        assert (address, services) == (ADDRESS, ("svc/default/web",))
        assert why.startswith("its only ready endpoints are on node1, which is excluded by the label berth.dev/drained")

    async def test_a_local_service_with_an_endpoint_elsewhere(self, setup: Setup) -> None:
        await setup.local()
        await setup.endpoint("web", None)
        assert (await judge(setup)).moves == (ADDRESS,)

    async def test_not_where_the_other_node_is_excluded_or_silent_or_not_chosen(self, setup: Setup) -> None:
        await exclude(setup, "node2")
        assert "node2 is excluded" in (await judge(setup)).stays[0].why
        await exclude(setup, "node2", "false")
        await setup.lease(speaker_lease("node2"), age=90)
        assert "node2 has no live speaker" in (await judge(setup)).stays[0].why
        await setup.lease(speaker_lease("node2"))
        await setup.spec(L2ADVERTISEMENTS, "lan", {"nodeSelector": {"matchLabels": {"edge": "true"}}})
        await setup.client.merge_patch(NODES, "node1", {"metadata": {"labels": {"edge": "true"}}})
        assert "node2 is not chosen" in (await judge(setup)).stays[0].why

    async def test_a_route_that_another_node_may_send(self, setup: Setup) -> None:
        await routed(setup, "node1", "node2")
        assert await judge(setup) == Drain("node1", False, moves=(ADDRESS,))

    async def test_not_a_route_to_a_router_that_knows_this_node_alone(self, setup: Setup) -> None:
        await routed(setup, "node1")
        await setup.report("node2", bgpSessions=[{"peer": "tor1", "state": "Active", "lastError": "refused"}])
        found = await judge(setup)
        assert "BGPPeer tor1 (0 of 1 sessions are up; node2: refused)" in found.stays[0].why
        assert found.peers == ("tor1",)

    async def test_not_a_local_route_when_the_node_with_the_other_endpoint_has_no_session(self, setup: Setup) -> None:
        await setup.node("node3")
        await routed(setup, "node1")
        await setup.local()
        await setup.endpoint("web", "node2")
        await setup.report("node2", bgpSessions=[{"peer": "tor1", "state": "Active"}])
        await setup.report("node3", bgpSessions=[{"peer": "tor1", "state": "Established"}])
        found = await judge(setup)
        assert found.stays[0].why == "none of the nodes that could send its route has a session with a router"

    async def test_a_router_that_only_this_node_speaks_to_loses_what_others_announce_on_layer_2(
        self, setup: Setup
    ) -> None:
        await setup.client.create(BGPADVERTISEMENTS, {"metadata": {"name": "routes"}, "spec": {}})
        spec = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.254"}
        await setup.client.create(BGPPEERS, {"metadata": {"name": "tor1"}, "spec": spec})
        await setup.report("node1", bgpSessions=[{"peer": "tor1", "state": "Established"}])
        found = await judge(setup)
        assert (found.moves, found.peers) == ((ADDRESS,), ("tor1",))


class TestLabel:
    async def test_it_is_set_and_undrain_takes_it_off(self, setup: Setup) -> None:
        assert await drained(setup.client, options()) == 0
        assert await labels(setup) == DRAINED
        assert (await judge(setup)).is_set
        assert await drained(setup.client, options()) == 0
        assert await unlabel(setup.client, BERTH, "node1")
        assert await labels(setup) == {}
        assert not await unlabel(setup.client, BERTH, "node1")

    async def test_what_others_exclude_nodes_by_is_left_alone(self, setup: Setup) -> None:
        await exclude(setup, "node1")
        assert await drained(setup.client, options()) == 0
        assert await labels(setup) == {EXCLUDE: "", **DRAINED}
        assert await unlabel(setup.client, BERTH, "node1")
        assert await labels(setup) == {EXCLUDE: ""}

    async def test_it_counts_for_speakers_that_ignore_the_label_of_kubernetes(self, setup: Setup) -> None:
        for node in NODES_THERE:
            await exclude(setup, node)
            await setup.status(SPEAKERS, node, {"ignoresExcludeLabel": True})
        assert (await judge(setup)).moves == (ADDRESS,)
        await label(setup.client, await judge(setup, "node2"))
        assert "node2 is excluded by the label berth.dev/drained" in (await judge(setup)).stays[0].why

    async def test_nothing_is_written_where_addresses_would_be_announced_by_nobody(
        self, setup: Setup, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await setup.local()
        with pytest.raises(Failed, match=r"nobody would announce 1 of the addresses, so nothing was changed"):
            await drained(setup.client, options())
        assert f"{ADDRESS} of svc/default/web can't: its only ready endpoints are on node1" in capsys.readouterr().out
        assert await labels(setup) == {}
        assert await drained(setup.client, options(force=True)) == 0
        assert await labels(setup) == DRAINED

    async def test_programs_are_told_in_one_object(self, setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
        await setup.local()
        assert await drained(setup.client, options(force=True, wait=True, output="json")) == 1
        told = json.loads(capsys.readouterr().out)
        assert (told["node"], told["drained"], told["moves"], told["done"]) == ("node1", True, [], False)
        assert told["stays"][0]["services"] == ["svc/default/web"]
        assert told["state"] == f"node1 announces 1: {ADDRESS}"

    async def test_nor_by_a_dry_run(self, setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
        assert await drained(setup.client, options(dry_run=True)) == 0
        assert capsys.readouterr().out == "node1 announces 1 address; 1 can move\n"
        assert await labels(setup) == {}

    async def test_a_node_that_is_not_there(self, setup: Setup) -> None:
        with pytest.raises(Failed, match="there is no Node nosuch"):
            await judge(setup, "nosuch")

    async def test_who_may_not_read_or_write_is_told_what(self, setup: Setup, kubeconfig: str) -> None:
        asked = await judge(setup)
        async with await Client.connect(kubeconfig, user_agent="test", acts_as="nobody") as nobody:
            with pytest.raises(Failed, match=r"without reading these: .*ipallocations.berth.dev"):
                await judged(nobody, BERTH, "node1")
            with pytest.raises(Failed, match="you may not patch nodes, so nothing was changed"):
                await label(nobody, asked)


class TestDone:
    async def watched(self, setup: Setup) -> Watched:
        world, asked = await judged(setup.client, BERTH, "node1")
        await label(setup.client, asked)
        return Watched(setup.client, BERTH, world, asked)

    async def test_when_the_node_announces_nothing_and_others_what_it_did(self, setup: Setup) -> None:
        watched = await self.watched(setup)
        assert await watched.look() == (False, f"node1 announces 1: {ADDRESS}")
        await setup.quiet()
        assert await watched.look() == (False, f"no other node announces yet: {ADDRESS}")
        await setup.announce("node2", ADDRESS)
        assert await watched.look() == (
            True,
            "node1 is drained: it announces nothing, and others announce the 1 that could move",
        )

    async def test_not_while_its_speaker_is_silent(self, setup: Setup) -> None:
        watched = await self.watched(setup)
        await setup.quiet()
        await setup.lease(speaker_lease("node1"), age=90)
        assert "it can't be told what it announces" in (await watched.look()).text

    async def test_what_is_given_back_meanwhile_is_not_waited_for(self, setup: Setup) -> None:
        watched = await self.watched(setup)
        await setup.quiet()
        await setup.client.delete(IPALLOCATIONS, allocation_name(ADDRESS))
        assert (await watched.look()).is_done

    async def test_a_speaker_that_has_stopped_announces_nothing(self, setup: Setup) -> None:
        watched = await self.watched(setup)
        await setup.status(SPEAKERS, "node1", {"goodbye": True})
        await setup.announce("node2", ADDRESS)
        assert (await watched.look()).is_done

    async def test_not_when_the_time_is_over(self, setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
        assert await drained(setup.client, options(wait=True)) == 1
        assert capsys.readouterr().out.endswith(f"Not done in 0 s: node1 announces 1: {ADDRESS}\n")
