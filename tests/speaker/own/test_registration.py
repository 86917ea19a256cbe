"""The own Speaker object, written without a session that watches it: what a write alone must notice."""

import asyncio
import contextlib

import pytest

from kube.io.client import Client
from kube.resource import SPEAKERS
from speaker.fencing import Promise
from speaker.own.io.registration import Presence, SupersededError
from speaker.own.status import StatusDraft
from tests.speaker.agents import cluster, eventually
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio


class Writer:
    """One process's presence."""

    def __init__(self, client: Client, incarnation: str) -> None:
        self.draft, self.promise, self.removed = StatusDraft(), Promise(), []
        self.presence = Presence(
            client, "node-a", incarnation, self.draft, self.promise, on_removed=self.removed.append
        )

    @contextlib.asynccontextmanager
    async def writing(self):
        task = asyncio.create_task(self.presence.write_forever())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, SupersededError):
                await task


async def test_the_word_of_a_process_that_was_replaced_does_not_count(tmp_path) -> None:
    """Its confirmation would be a lie: the successor may announce the address."""
    async with cluster(tmp_path) as lab:
        old, new = Writer(lab.admin, "old"), Writer(lab.admin, "new")
        await old.presence.register()
        async with old.writing() as task:
            await new.presence.register()
            old.draft.released.put("uid", 2)
            old.presence.poke()
            with pytest.raises(SupersededError):
                await asyncio.wait_for(asyncio.shield(task), 5)
        assert await lab.released("node-a") == {}
        with pytest.raises(SupersededError):
            await old.presence.register()
        assert (await lab.status("node-a"))["incarnation"] == "new"


async def test_a_write_notices_that_the_object_is_gone_or_another(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        for makes_another in (False, True):
            writer = Writer(lab.admin, "one")
            await writer.presence.register()
            await lab.admin.delete(SPEAKERS, "node-a")
            if makes_another:
                await lab.admin.create(SPEAKERS, {"metadata": {"name": "node-a"}, "spec": {}})
            async with writer.writing():
                writer.draft.released.put("uid", 2)
                writer.presence.poke()
                await eventually(lambda writer=writer: writer.removed)
            assert await lab.released("node-a") == {}


async def test_another_writers_change_is_taken_up_and_survived(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        writer = Writer(lab.admin, "one")
        await writer.presence.register()
        async with writer.writing():
            await lab.admin.merge_patch(SPEAKERS, "node-a", {"metadata": {"labels": {"rack": "7"}}})
            writer.draft.released.put("uid", 2)
            writer.presence.poke()
            await eventually(lambda: lab.released("node-a"))
        assert writer.removed == []


async def test_confirmations_of_a_burst_share_a_write_and_overtake_announcements(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        writer = Writer(lab.admin, "one")
        await writer.presence.register()
        async with writer.writing():
            writer.draft.announcements.put("192.0.2.1", {"protocols": ["Layer2"], "interfaces": ["eth0"]})
            writer.presence.poke()
            await eventually(lambda: lab.announced("node-a"))
            before = lab.server.counters.total(verb="patch", resource="speakers.berth.dev/status")
            writer.draft.announcements.put("192.0.2.2", {"protocols": ["Layer2"], "interfaces": ["eth0"]})
            for number in range(500):
                writer.draft.released.put(f"uid-{number}", 2)
                writer.presence.poke()
                if number % 100 == 0:
                    await asyncio.sleep(0.001)
            await eventually(lambda: _has(lab, 500))
            assert await lab.announced("node-a") == {"192.0.2.1"}
            after = lab.server.counters.total(verb="patch", resource="speakers.berth.dev/status")
            assert after - before <= 2
            await eventually(lambda: _announces(lab, 2))


async def _has(lab, count) -> bool:
    return len(await lab.released("node-a")) == count


async def _announces(lab, count) -> bool:
    return len(await lab.announced("node-a")) == count


async def test_a_promise_binds_by_what_was_written(tmp_path) -> None:
    async with cluster(tmp_path) as lab:
        writer = Writer(lab.admin, "one")
        writer.draft.set("fencing", {"promised": True, "fenceAfterSeconds": 60, "witnesses": ["a", "b"]})
        lab.server.faults.add(method="patch", resource="speakers/status", code=500, count=1)
        registering = asyncio.create_task(writer.presence.register())
        await eventually(lambda: writer.promise.binding == {frozenset("ab")})
        await registering
        async with writer.writing():
            writer.draft.set("fencing", {"promised": False, "fenceAfterSeconds": 60, "witnesses": []})
            assert writer.promise.binding
            writer.presence.poke()
            await eventually(lambda: not writer.promise.binding)
        assert (await lab.status("node-a"))["fencing"]["promised"] is False
