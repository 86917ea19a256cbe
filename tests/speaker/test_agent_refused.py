"""What the API server refuses of what a speaker writes of itself never holds back what others wait for."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

import msgspec
import pytest

from kube.errors import ApiError
from kube.io.client import Client
from kube.resource import SPEAKERS, Resource
from speaker.wire.messages import Interface, Interfaces
from tests.speaker.agents import Cluster, cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

A = "192.0.2.1"
ETH0 = Interface("eth0", 2, "02:00:00:00:00:07", True, True, "")
ETH0_DOWN = Interface("eth0", 2, "02:00:00:00:00:07", False, False, "Down")
IPOIB = Interface("ib0", 3, ":".join(["00"] * 20), True, False, "NotEthernet")
"""A hardware address of 20 bytes, as IP over InfiniBand has it."""


async def condition(lab: Cluster, kind: str) -> dict[str, Any]:
    conditions = (await lab.status("node-a")).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


async def test_a_node_with_interfaces_that_are_no_ethernet_registers_and_confirms(tmp_path) -> None:
    """Where none can be used, all are shown."""
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker(wait=False) as speaker:
            speaker.agent.tell(Interfaces((ETH0_DOWN, IPOIB)))
            await eventually(lambda: speaker.is_ready)
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}


async def test_a_field_that_the_definitions_do_not_take_is_left_out_and_told(tmp_path) -> None:
    """They may be older, or newer, than this speaker."""
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            speaker.agent.tell(Interfaces((ETH0, Interface("a name/no interface has", 3, "", False, False, "Down"))))

            async def told() -> bool:
                found = await condition(lab, "Recorded")
                return found.get("status") == "False" and "interfaces[1]" in found["message"]

            await eventually(told)
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}
            assert [one["name"] for one in lab._stored(SPEAKERS, "node-a")["status"]["interfaces"]] == ["eth0"]


@pytest.fixture
def small_objects() -> Iterator[None]:
    """An API server whose store takes no object of more than 6,000 bytes."""
    really = Client.merge_patch

    async def merge_patch(self: Client, res: Resource, name: str, body: dict[str, Any], **options: Any) -> bytes:
        there = await self.get(res, name, options.get("namespace"))
        if len(there) + len(msgspec.json.encode(body)) > 6000:
            raise ApiError(500, "", "etcdserver: request is too large")
        return await really(self, res, name, body, **options)

    with mock.patch.object(Client, "merge_patch", merge_patch):
        yield


@pytest.mark.usefixtures("small_objects")
async def test_a_report_that_is_too_large_holds_no_confirmation_back(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        addresses = {f"192.0.2.{number}" for number in range(1, 61)}
        for address in addresses:
            await lab.allocate(address)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == addresses)

            async def told() -> bool:
                return (await condition(lab, "Recorded")).get("status") == "False"

            await eventually(told)
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"))
            assert await lab.released("node-a") == {uid: generation}


@pytest.mark.parametrize("resource", ["speakers/status", "speakerreports", "speakerreports/status"])
async def test_no_trouble_with_another_object_holds_a_confirmation_back(tmp_path, resource) -> None:
    async with cluster(tmp_path) as lab:
        await lab.allocate(A)
        async with lab.speaker() as speaker:
            await eventually(lambda: speaker.wire.answers == {A})
            lab.server.faults.add(resource=resource, code=503)
            uid, generation = await lab.release(A)
            await eventually(lambda: lab.released("node-a"), 2.0)
            assert await lab.released("node-a") == {uid: generation}
