"""The agent's side of the heartbeats: the folder of keys, and what the wire is told."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from crds.conditions import ConditionType
from speaker.cluster.state import ClusterState
from speaker.members.io import heartbeats
from speaker.members.io.heartbeats import HeartbeatOptions, Heartbeats, KeysError, read_keys
from speaker.members.view import OwnStanding
from speaker.own.conditions import Conditions
from speaker.wire.io.link import OrderRefusedError
from speaker.wire.messages import Heartbeat, OwnState
from tests.speaker.make import node, speaker
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

KEY, NEXT = b"the key that all speakers have", b"the key that comes after it"
PATIENCE_SECONDS = 20.0


class Secret:
    """A folder as a kubelet mounts it: the files are links through `..data`, which is replaced as one."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "mounted"
        self.path.mkdir()
        self._version = 0

    def update(self, **keys: bytes) -> None:
        self._version += 1
        version = self.path / f"..version{self._version}"
        version.mkdir()
        for name, key in keys.items():
            (version / name).write_bytes(key)
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(f"..data/{name}")
        (self.path / "..new").symlink_to(version.name)
        os.replace(self.path / "..new", self.path / "..data")


@pytest.fixture(autouse=True)
def quick(monkeypatch) -> None:
    monkeypatch.setattr(heartbeats, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(heartbeats, "LOOKS_PER_READING", 2)


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    return Secret(tmp_path)


def test_the_signing_key_comes_first_and_white_space_does_not_count(secret):
    secret.update(key=KEY + b"\n", next=b" " + NEXT, previous=b"one that was used before")
    assert read_keys(secret.path) == (KEY, NEXT, b"one that was used before")


def test_a_key_given_twice_is_one_key(secret):
    secret.update(key=KEY, next=KEY)
    assert read_keys(secret.path) == (KEY,)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({}, "key: No such file"),
        ({"next": NEXT}, "key: No such file"),
        ({"key": b"short"}, "16 to 4096 bytes, this one 5"),
    ],
)
def test_a_folder_without_a_usable_key_says_which_file_and_why(secret, files, fault):
    secret.update(**files)
    with pytest.raises(KeysError, match=fault):
        read_keys(secret.path)


def test_a_key_that_goes_away_is_not_read_any_more(secret):
    secret.update(key=KEY, next=NEXT)
    secret.update(key=NEXT)
    assert read_keys(secret.path) == (NEXT,)


class RecordingLink:
    """Keeps what it was told; refuses while `refusal` is set."""

    def __init__(self) -> None:
        self.configs: list[Heartbeat] = []
        self.words: list[OwnState] = []
        self.members: dict = {}
        self.refusal = ""

    async def carry_out(self, config: Heartbeat) -> None:
        if self.refusal:
            raise OrderRefusedError(self.refusal)
        self.configs.append(config)

    def send(self, state: OwnState) -> None:
        self.words.append(state)


class World:
    """Heartbeats of node-a, with a cluster to fill."""

    def __init__(self, directory: str | Path) -> None:
        self.link = RecordingLink()
        self.cluster = ClusterState()
        self.is_complete = True
        self.heartbeats = Heartbeats(
            self.link,  # type: ignore[arg-type]
            HeartbeatOptions(str(directory), 7000, 300),
            "node-a",
            "one",
            cluster=lambda: self.cluster,
            is_complete=lambda: self.is_complete,
        )

    def add(self, name: str, *addresses: str) -> None:
        self.cluster.set_speaker(name, speaker())
        self.cluster.set_node(name, node(addresses=addresses))

    @contextlib.asynccontextmanager
    async def running(self):
        running = asyncio.create_task(self.heartbeats.run())
        yield self
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    async def until(self, condition) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_the_wire_learns_keys_peers_and_their_addresses(secret):
    secret.update(key=KEY)
    world = World(secret.path)
    world.add("node-a", "192.0.2.1")
    world.add("node-b", "192.0.2.2", "2001:db8::2")
    world.cluster.set_speaker("node-c", speaker(said_goodbye=True))
    async with world.running():
        await world.until(lambda: world.link.configs)
    peers = {"node-b": ("192.0.2.2", "2001:db8::2"), "node-c": ()}
    assert world.link.configs == [Heartbeat("node-a", "one", (KEY,), 0.3, 7000, peers)]


@pytest.mark.asyncio
async def test_a_new_speaker_is_listened_to_and_one_that_is_gone_is_not(secret):
    secret.update(key=KEY)
    world = World(secret.path)
    world.add("node-b")
    async with world.running():
        await world.until(lambda: world.link.configs and set(world.link.configs[-1].members) == {"node-b"})
        world.add("node-c")
        await world.until(lambda: set(world.link.configs[-1].members) == {"node-b", "node-c"})
        world.cluster.set_speaker("node-b", None)
        await world.until(lambda: set(world.link.configs[-1].members) == {"node-c"})


@pytest.mark.asyncio
async def test_nobody_is_forgotten_while_everything_is_read_anew(secret):
    secret.update(key=KEY)
    world = World(secret.path)
    world.add("node-b")
    async with world.running():
        await world.until(lambda: world.link.configs)
        world.is_complete, world.cluster = False, ClusterState()
        world.add("node-c")
        await world.until(lambda: len(world.link.configs) > 1)
        assert set(world.link.configs[-1].members) == {"node-b", "node-c"}
        world.is_complete = True
        await world.until(lambda: set(world.link.configs[-1].members) == {"node-c"})


@pytest.mark.asyncio
async def test_a_changed_secret_is_taken_up_and_a_broken_one_changes_nothing(secret):
    secret.update(key=KEY)
    world = World(secret.path)
    async with world.running():
        await world.until(lambda: world.link.configs)
        secret.update(key=KEY, next=NEXT)
        await world.until(lambda: world.link.configs[-1].keys == (KEY, NEXT))
        secret.update(key=b"typo", next=NEXT)
        await world.until(lambda: "this one 4" in world.heartbeats.fault)
        assert world.link.configs[-1].keys == (KEY, NEXT)
        assert world.heartbeats.are_on
        secret.update(key=NEXT, previous=KEY)
        await world.until(lambda: world.link.configs[-1].keys == (NEXT, KEY))
        assert world.heartbeats.fault == ""


@pytest.mark.asyncio
async def test_nothing_is_said_before_there_are_keys(tmp_path):
    world = World(tmp_path)
    async with world.running():
        await world.until(lambda: world.heartbeats.fault)
        world.heartbeats.say(1.0, OwnStanding(is_leaving=True), serving=True)
        assert (world.link.words, world.heartbeats.are_on, world.heartbeats.heard) == ([], False, {})
        (tmp_path / "key").write_bytes(KEY)
        await world.until(lambda: world.heartbeats.are_on)
        world.heartbeats.say(1.0, OwnStanding(is_leaving=True), serving=True)
        assert world.link.words == [OwnState(1.0, is_serving=True, is_member=True, is_behind=False, is_leaving=True)]


@pytest.mark.asyncio
async def test_all_who_live_are_heard_some_heartbeats_after_the_wire_knows_of_them(secret):
    world = World(secret.path)
    assert world.heartbeats.have_listened  # nobody to listen to
    world.add("node-b")
    assert not world.heartbeats.have_listened
    async with world.running():
        await world.until(lambda: world.heartbeats.fault)
        assert world.heartbeats.have_listened  # without a key there is nothing to wait for
        secret.update(key=KEY)
        await world.until(lambda: world.heartbeats.are_on)
        assert not world.heartbeats.have_listened
        await world.until(lambda: world.heartbeats.have_listened)
        world.add("node-c")
        assert not world.heartbeats.have_listened
        world.heartbeats.look()
        await world.until(lambda: world.heartbeats.have_listened)


@pytest.mark.asyncio
async def test_a_refusal_of_the_wire_is_a_fault_and_is_tried_again(secret):
    secret.update(key=KEY)
    world = World(secret.path)
    world.link.refusal = "the name is too long"
    async with world.running():
        await world.until(lambda: "too long" in world.heartbeats.fault)
        world.link.refusal = ""
        await world.until(lambda: world.heartbeats.are_on)


@pytest.mark.asyncio
async def test_without_a_folder_there_are_no_heartbeats():
    world = World("")
    await world.heartbeats.run()
    assert not world.heartbeats.are_wanted
    assert world.link.configs == []


@pytest.mark.parametrize(
    ("fault", "known", "heard", "holds", "reason"),
    [
        ("key: No such file", {"b"}, {"b"}, "False", "KeysUnusable"),
        ("", set(), set(), "True", "OnlySpeaker"),
        ("", {"b", "c"}, {"b"}, "True", "HearingPeers"),
        ("", {"b", "c", "d"}, {"b", "stranger"}, "False", "PeersUnheard"),
    ],
)
def test_the_condition_says_whether_heartbeats_work_here(fault, known, heard, holds, reason):
    conditions = Conditions()
    conditions.set_peers_heard(fault, known, heard, "2026-01-01T00:00:00Z")
    (told,) = conditions.to_wire()
    assert (told["type"], told["status"], told["reason"]) == (ConditionType.PeersHeard.value, holds, reason)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (HeartbeatOptions(port=0), "port"),
        (HeartbeatOptions(port=70000), "port"),
        (HeartbeatOptions(interval_milliseconds=5), "milliseconds"),
        (HeartbeatOptions(interval_milliseconds=60000), "milliseconds"),
    ],
)
def test_options_that_can_not_work_are_refused(options, fault):
    assert fault in options.fault()
    assert HeartbeatOptions().fault() == ""
