"""Requests about the own Speaker object against the API server stand-in: what comes of each, as a value."""

import asyncio
from typing import Any

import msgspec
import pytest

from kube.resource import NODES, SPEAKERS
from speaker.own.io.speakerobject import SpeakerObject
from speaker.own.predecessor import LastWord
from speaker.own.writer import Failed, Failure, Found, Look, Own, Write, Wrote
from tests.speaker.agents import Cluster, cluster
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

NODE = "node-a"


def object_of(lab: Cluster) -> SpeakerObject:
    return SpeakerObject(lab.admin, NODE)


async def looked(lab: Cluster) -> Own:
    found = await object_of(lab).carry_out(Look(creates=True))
    assert isinstance(found, Found)
    return found.own


async def write(lab: Cluster, own: Own, **status: Any) -> Wrote | Found | Failed:
    return await object_of(lab).carry_out(Write(own.uid, own.resource_version, status))


async def uid_of(lab: Cluster, resource: Any) -> str:
    return msgspec.json.decode(await lab.admin.get(resource, NODE))["metadata"]["uid"]


async def test_the_first_look_makes_a_speaker_that_goes_with_its_node(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        found = await object_of(lab).carry_out(Look(creates=True))
        assert isinstance(found, Found)
        assert found.node_uid == await uid_of(lab, NODES)
        assert found.own.uid == await uid_of(lab, SPEAKERS)
        assert found.own.incarnation == ""
        assert found.own.last_word == LastWord()
        (owner,) = msgspec.json.decode(await lab.admin.get(SPEAKERS, NODE))["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Node", NODE, found.node_uid)
        assert await object_of(lab).carry_out(Look(creates=True)) == found


async def test_of_two_that_make_it_at_a_time_both_find_the_same(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        looks = (object_of(lab).carry_out(Look(creates=True)) for _ in range(2))
        one, other = await asyncio.gather(*looks)
        assert isinstance(one, Found)
        assert one == other


async def test_without_a_node_nothing_is_made(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        outcome = await SpeakerObject(lab.admin, "node-x").carry_out(Look(creates=True))
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.GONE


async def test_a_look_that_makes_nothing_finds_nothing_or_what_is_there(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        outcome = await object_of(lab).carry_out(Look(creates=False))
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.GONE
        own = await looked(lab)
        assert await object_of(lab).carry_out(Look(creates=False)) == Found(own)


async def test_a_write_goes_to_the_status_and_returns_the_version_that_it_made(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        wrote = await write(lab, own, incarnation="one", released={"u1": 2, "u2": 2})
        assert isinstance(wrote, Wrote)
        assert (wrote.own.uid, wrote.own.incarnation) == (own.uid, "one")
        assert wrote.own.resource_version != own.resource_version
        assert isinstance(await write(lab, wrote.own, released={"u1": None}), Wrote)
        assert await lab.released(NODE) == {"u2": 2}


async def test_a_write_for_another_version_or_another_object_is_a_conflict(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        old = await looked(lab)
        await lab.admin.merge_patch(SPEAKERS, NODE, {"metadata": {"labels": {"rack": "7"}}})
        outcome = await write(lab, old, released={"u1": 2})
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.CONFLICT
        await lab.admin.delete(SPEAKERS, NODE)
        new = await looked(lab)
        assert new.uid != old.uid
        outcome = await write(lab, Own(old.uid, new.resource_version), released={"u1": 2})
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.CONFLICT
        assert await lab.released(NODE) == {}


async def test_a_write_to_what_is_gone_finds_that_out(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        await lab.admin.delete(SPEAKERS, NODE)
        outcome = await write(lab, own, released={"u1": 2})
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.GONE


@pytest.mark.parametrize("makes_trouble", ["fault", "silence"])
async def test_every_other_trouble_is_a_failure_with_a_chance_for_the_delay(tmp_path, makes_trouble) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        if makes_trouble == "fault":
            lab.server.faults.add(method="patch", resource="speakers/status", code=500, count=1)
        else:
            await lab.server.stop()
        outcome = await write(lab, own, released={"u1": 2})
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.OTHER
        assert outcome.error
        assert 0 <= outcome.randomness < 1


async def test_a_look_tells_what_the_process_before_left_with_routers(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        routers = [{"address": "192.0.2.254", "outlivesSeconds": 105}]
        said: dict[str, Any] = {"incarnation": "one", "routers": routers}
        wrote = await write(lab, own, **said)
        assert isinstance(wrote, Wrote)
        assert (await looked(lab)).last_word == LastWord({"192.0.2.254": 105})
        await write(lab, wrote.own, goodbye=True)
        assert (await looked(lab)).last_word == LastWord()
