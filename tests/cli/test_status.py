"""`berth status`: what is wrong first, then how much of each there is."""

from pathlib import Path

import pytest

from cli.reading import read_cluster
from cli.seen import World
from cli.status.print import rendered
from cli.status.state import State, state_of
from crds.names import ALLOCATOR_LEASE, speaker_lease
from kube.io.client import Client
from kube.resource import L2ADVERTISEMENTS
from lab.apiserver.server import ApiServer
from tests.cli.setups import ADDRESS, BERTH, NODES_THERE, Setup

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def state(setup: Setup) -> State:
    return state_of(World(await read_cluster(setup.client, BERTH)))


async def test_where_all_is_well_it_says_so(setup: Setup) -> None:
    found = await state(setup)
    assert found.wrong == []
    assert found.addresses == {"Announced": 1}
    assert found.services == {"Allocated": 1}
    assert [one["node"] for one in found.speakers] == list(NODES_THERE)
    assert rendered(found).startswith("All is well.\n")


async def test_addresses_are_counted_by_why_nobody_announces_them(setup: Setup) -> None:
    await setup.service("two", "192.0.2.11")
    await setup.client.delete(L2ADVERTISEMENTS, "lan")
    await setup.quiet()
    found = await state(setup)
    assert found.addresses == {"NotAnnounced NoAdvertisement": 2}
    assert [one.reason for one in found.wrong] == ["NoAdvertisement"]
    assert f"{ADDRESS} of svc/default/web, 192.0.2.11 of svc/default/two" in found.wrong[0].message


async def test_what_a_speaker_tells_of_one_address_is_said_of_that_one_alone(setup: Setup) -> None:
    for number in range(11, 15):
        await setup.service(f"web{number}", f"192.0.2.{number}")
    await setup.quiet()
    cause = {"address": "192.0.2.12", "reason": "NoReadyEndpoint", "message": "no endpoint is ready"}
    await setup.report("node2", unannounced=[cause])
    found = await state(setup)
    assert found.addresses == {"NotAnnounced NoEligibleNode": 4, "NotAnnounced NoReadyEndpoint": 1}
    said = {one.reason: one.message for one in found.wrong}
    assert said["NoReadyEndpoint"].startswith("192.0.2.12 of svc/default/web12: ")
    assert said["NoEligibleNode"].startswith(f"{ADDRESS} of svc/default/web, 192.0.2.11 of svc/default/web11, ")


async def test_services_without_an_address_are_counted_by_reason(setup: Setup) -> None:
    await setup.service("new")
    found = await state(setup)
    assert found.services == {"Allocated": 1, "Pending NotDecided": 1}
    assert "svc/default/new" in found.wrong[0].message


async def test_a_leader_and_speakers_that_are_silent_come_first(setup: Setup) -> None:
    await setup.lease(ALLOCATOR_LEASE, age=90)
    await setup.lease(speaker_lease("node2"), age=90)
    found = await state(setup)
    assert [one.reason for one in found.wrong] == ["NoLeader", "NodeSilent"]
    assert [one["state"] for one in found.speakers] == ["Serving", "is silent"]


async def test_peers_without_sessions_are_told(setup: Setup) -> None:
    await setup.bgp_only("no route to host")
    found = await state(setup)
    assert found.peers == [{"peer": "tor1", "address": "192.0.2.254", "sessions": "0/2"}]
    assert {one.reason for one in found.wrong} == {"SessionsDown"}


async def test_an_advertisement_of_which_a_part_does_nothing_is_told(setup: Setup) -> None:
    said = {"reason": "UnknownCommunity", "message": "no Community defines blue", "status": "True"}
    degraded = {"type": "Degraded", "lastTransitionTime": "2026-01-02T03:04:05Z", **said}
    await setup.status(L2ADVERTISEMENTS, "lan", {"conditions": [degraded]})
    wrong = [(one.reason, one.message) for one in (await state(setup)).wrong]
    assert ("UnknownCommunity", "L2Advertisement lan: no Community defines blue") in wrong


async def test_what_may_not_be_read_is_told_and_the_rest_goes_on(tmp_path: Path, setup: Setup) -> None:
    found = await read_cluster(setup.client, BERTH)
    assert found.gaps == ()
    async with (
        ApiServer(tmp_path) as bare,
        await Client.connect(str(bare.kubeconfig_path), user_agent="test") as client,
    ):
        without = state_of(World(await read_cluster(client, BERTH)))
    assert {one.reason for one in without.wrong} == {"NoDefinitions", "NoLeader"}


async def test_of_what_may_not_be_read_nothing_is_concluded(setup: Setup, kubeconfig: str) -> None:
    async with await Client.connect(kubeconfig, user_agent="test", acts_as="nobody") as client:
        found = state_of(World(await read_cluster(client, BERTH)))
        told = await Setup(client).explain()
    assert {one.reason for one in found.wrong} == {"NotRead"}
    assert {one.reason for one in told.causes} == {"NotRead"}
    assert any("ippools" in one.message for one in told.causes)
