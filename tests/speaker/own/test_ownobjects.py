"""Requests about a speaker's own objects, against the API server stand-in: what comes of each, as a value."""

import asyncio
from typing import Any
from unittest import mock

import msgspec
import pytest

from kube.errors import ApiError
from kube.io.client import Client
from kube.objects import NodeSystemInfo
from kube.resource import NODES, RELEASECONFIRMATIONS, SPEAKERREPORTS, SPEAKERS
from speaker.own.io.ownobjects import OwnObjects
from speaker.own.predecessor import Elsewhere, LastWord
from speaker.own.requests import (
    CONFIRMATION,
    SPEAKER,
    Delete,
    Deleted,
    Failed,
    Failure,
    Found,
    Kind,
    Look,
    Own,
    Target,
    Write,
    Wrote,
)
from tests.speaker.agents import CRDS, Cluster, cluster
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio

NODE = "node-a"


def object_of(lab: Cluster) -> OwnObjects:
    return OwnObjects(lab.admin, NODE)


async def looked(lab: Cluster) -> Own:
    found = await object_of(lab).carry_out(Look(SPEAKER, creates=True))
    assert isinstance(found, Found)
    return found.own


async def write(lab: Cluster, own: Own, **status: Any) -> Wrote | Found | Failed:
    return await object_of(lab).carry_out(Write(SPEAKER, own.uid, own.resource_version, status))


async def uid_of(lab: Cluster, resource: Any) -> str:
    return msgspec.json.decode(await lab.admin.get(resource, NODE))["metadata"]["uid"]


async def test_the_first_look_makes_a_speaker_that_goes_with_its_node(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        found = await object_of(lab).carry_out(Look(SPEAKER, creates=True))
        assert isinstance(found, Found)
        assert found.node_uid == await uid_of(lab, NODES)
        assert found.own.uid == await uid_of(lab, SPEAKERS)
        assert found.own.incarnation == ""
        assert found.own.last_word == LastWord()
        (owner,) = msgspec.json.decode(await lab.admin.get(SPEAKERS, NODE))["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["uid"]) == ("Node", NODE, found.node_uid)
        assert await object_of(lab).carry_out(Look(SPEAKER, creates=True)) == found


async def test_of_two_that_make_it_at_a_time_both_find_the_same(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        looks = (object_of(lab).carry_out(Look(SPEAKER, creates=True)) for _ in range(2))
        one, other = await asyncio.gather(*looks)
        assert isinstance(one, Found)
        assert one == other


async def test_without_a_node_nothing_is_made(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        outcome = await OwnObjects(lab.admin, "node-x").carry_out(Look(SPEAKER, creates=True))
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.GONE


async def test_a_look_that_makes_nothing_finds_nothing_or_what_is_there(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        outcome = await object_of(lab).carry_out(Look(SPEAKER))
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.GONE
        own = await looked(lab)
        assert await object_of(lab).carry_out(Look(SPEAKER)) == Found(Look(SPEAKER), own)


async def test_a_write_goes_to_the_status_and_returns_the_version_that_it_made(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        wrote = await write(lab, own, incarnation="one", standing="Waiting")
        assert isinstance(wrote, Wrote)
        assert (wrote.own.uid, wrote.own.incarnation) == (own.uid, "one")
        assert wrote.own.resource_version != own.resource_version
        assert isinstance(await write(lab, wrote.own, standing=None), Wrote)
        assert await lab.status(NODE) == {"incarnation": "one"}


async def test_a_write_for_another_version_or_another_object_is_a_conflict(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        old = await looked(lab)
        await lab.admin.merge_patch(SPEAKERS, NODE, {"metadata": {"labels": {"rack": "7"}}})
        outcome = await write(lab, old, standing="Waiting")
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.CONFLICT
        await lab.admin.delete(SPEAKERS, NODE)
        new = await looked(lab)
        assert new.uid != old.uid
        outcome = await write(lab, Own(old.uid, new.resource_version), standing="Waiting")
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.CONFLICT
        assert await lab.status(NODE) == {}


async def test_a_write_to_what_is_gone_finds_that_out(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        await lab.admin.delete(SPEAKERS, NODE)
        outcome = await write(lab, own, standing="Waiting")
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
        outcome = await write(lab, own, standing="Waiting")
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
        assert (await looked(lab)).last_word.routers == {"192.0.2.254": 105}
        await write(lab, wrote.own, goodbye=True)
        assert (await looked(lab)).last_word == LastWord()


REPORT = Target(Kind.REPORT, 3)


async def made(lab: Cluster, target: Target) -> Own:
    owner = await uid_of(lab, NODES)
    found = await object_of(lab).carry_out(Look(target, creates=True, owner=owner))
    assert isinstance(found, Found)
    return found.own


@pytest.mark.parametrize(
    ("target", "resource", "name"),
    [(CONFIRMATION, RELEASECONFIRMATIONS, NODE), (REPORT, SPEAKERREPORTS, f"{NODE}.3")],
)
async def test_the_other_objects_go_with_the_node_too(tmp_path, target, resource, name) -> None:
    async with cluster(tmp_path) as lab:
        own = await made(lab, target)
        stored = msgspec.json.decode(await lab.admin.get(resource, name))
        (owner,) = stored["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Node", await uid_of(lab, NODES))
        assert await made(lab, target) == own


async def test_a_look_tells_which_fields_and_which_entries_there_are(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await made(lab, CONFIRMATION)
        status = {"incarnation": "one", "released": {"u1": 2}}
        wrote = await object_of(lab).carry_out(Write(CONFIRMATION, own.uid, own.resource_version, status))
        assert isinstance(wrote, Wrote)
        found = await made(lab, CONFIRMATION)
        assert (found.incarnation, found.keys, found.names) == ("one", {"u1"}, {"incarnation", "released"})
        own = await made(lab, REPORT)
        status = {"announcements": {"192.0.2.1": {"protocols": ["BGP"]}}, "heard": []}
        await object_of(lab).carry_out(Write(REPORT, own.uid, own.resource_version, status))
        assert (await made(lab, REPORT)).keys == {"192.0.2.1"}


async def test_a_slice_is_deleted_if_it_is_still_the_same(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await made(lab, REPORT)
        other = await object_of(lab).carry_out(Delete(REPORT, "another uid"))
        assert isinstance(other, Failed)
        assert other.failure is Failure.CONFLICT
        assert isinstance(await object_of(lab).carry_out(Delete(REPORT, own.uid)), Deleted)
        gone = await object_of(lab).carry_out(Delete(REPORT, own.uid))
        assert isinstance(gone, Failed)
        assert gone.failure is Failure.GONE


async def test_what_the_api_server_refuses_is_told_with_the_fields_that_it_names(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        interfaces = [{"name": "eth0"}, {"name": "ib0", "mac": "x" * 59}]
        outcome = await write(lab, own, standing="Dancing", interfaces=interfaces)
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.REFUSED
        assert outcome.causes.keys() == {"status.standing", "status.interfaces[1].mac"}


@pytest.mark.parametrize(("code", "message"), [(413, "too large"), (500, "etcdserver: request is too large")])
async def test_what_is_too_large_is_refused_and_no_fault_of_the_moment(tmp_path, code, message) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        refuse = ApiError(code, "", message)
        with mock.patch.object(Client, "merge_patch", side_effect=refuse):
            outcome = await write(lab, own, standing="Waiting")
        assert isinstance(outcome, Failed)
        assert (outcome.failure, outcome.causes) == (Failure.REFUSED, {})


async def test_a_kind_that_the_api_server_does_not_know_is_no_object_that_is_gone(tmp_path) -> None:
    """Definitions that are not there yet: tried again, and nothing else waits for it."""
    async with cluster(tmp_path) as lab:
        await lab.admin.delete(CRDS, "speakerreports.berth.dev")
        outcome = await object_of(lab).carry_out(Look(REPORT))
        assert isinstance(outcome, Failed)
        assert outcome.failure is Failure.OTHER


async def test_a_look_at_the_speaker_tells_which_machines_may_announce_for_this_node(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        own = await looked(lab)
        assert own.last_word.elsewhere == ()
        fencing = {"promised": True, "fenceAfterSeconds": 60, "witnesses": ["a", "b"]}
        said = {"incarnation": "one", "machine": "m1", "fencing": fencing}
        routers = [{"address": "192.0.2.254", "outlivesSeconds": 105}]
        before = {"machine": "m0", "fencing": {"promised": False, "fenceAfterSeconds": 60}, "outlivesSeconds": 5}
        wrote = await write(lab, own, **said, routers=routers, elsewhere=[before])
        assert isinstance(wrote, Wrote)
        earlier, last = (await looked(lab)).last_word.elsewhere
        assert earlier == Elsewhere("m0", 60, None, 5)
        assert last == Elsewhere("m1", 60, frozenset("ab"), 105)
        await write(lab, wrote.own, goodbye=True)
        assert (await looked(lab)).last_word.elsewhere == (earlier,)


async def test_a_look_at_the_node_tells_of_its_machine(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        info = {"machineID": "m", "systemUUID": "s", "bootID": "b"}
        await lab.admin.merge_patch(NODES, NODE, {"status": {"nodeInfo": info}}, subresource="status")
        found = await object_of(lab).carry_out(Look(SPEAKER, creates=True))
        assert isinstance(found, Found)
        assert found.node_info == NodeSystemInfo("m", "s", "b")
