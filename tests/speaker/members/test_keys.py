"""The folder of keys, as a kubelet mounts it and changes it in place."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from speaker.members.io.keys import MOST_KEY_BYTES, READ_SECONDS, KeysError, follow_keys, read_keys
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

KEY, NEXT = b"the key that all speakers have", b"the key that comes after it"


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
        ({"key": b"short"}, "16 to 128 bytes, this one 5"),
        ({"key": KEY, "next": b"short"}, "next: a key has 16 to 128 bytes, this one 5"),
        ({"key": b"x" * (MOST_KEY_BYTES + 1)}, "16 to 128 bytes, this one 129"),
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


class Told:
    """What following a folder told, in order: keys, or a fault."""

    def __init__(self) -> None:
        self.all: list[tuple[bytes, ...] | str] = []

    @contextlib.asynccontextmanager
    async def following(self, directory: Path) -> AsyncIterator["Told"]:
        running = asyncio.create_task(follow_keys(directory, self.all.append, self.all.append))
        await asyncio.sleep(0.1)
        yield self
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@pytest.mark.asyncio
async def test_every_reading_is_told_and_a_broken_folder_by_its_fault(secret):
    secret.update(key=KEY)
    async with Told().following(secret.path) as told:
        assert told.all == [(KEY,)]
        secret.update(key=KEY, next=NEXT)
        await asyncio.sleep(READ_SECONDS)
        secret.update(key=b"typo", next=NEXT)
        await asyncio.sleep(READ_SECONDS)
        secret.update(key=NEXT, previous=KEY)
        await asyncio.sleep(READ_SECONDS)
    assert told.all[1] == (KEY, NEXT)
    assert "this one 4" in told.all[2]
    assert told.all[3:] == [(NEXT, KEY)]


@pytest.mark.asyncio
async def test_a_folder_that_is_not_there_yet_is_read_again(tmp_path):
    directory = tmp_path / "later"
    async with Told().following(directory) as told:
        assert "No such file" in told.all[0]
        directory.mkdir()
        (directory / "key").write_bytes(KEY)
        await asyncio.sleep(READ_SECONDS)
    assert told.all[1] == (KEY,)
