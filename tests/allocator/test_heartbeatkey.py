"""The Secret of the heartbeats: made once, of keys that speakers take, and put back as it was."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from allocator.heartbeatkey import KEY_BYTES, keys_of, secret
from allocator.io.keykeeper import KeyKeeper
from kube.resource import SECRETS
from speaker.members.io.keys import read_keys
from tests.allocator.cluster import NAMESPACE, User, allocating

NAME = "berth-heartbeat"
DRAWN = bytes(range(KEY_BYTES))


def test_a_new_key_is_one_that_speakers_take(tmp_path: Path) -> None:
    for name, value in secret(NAME, {}, DRAWN)["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(value))
    (key,) = read_keys(tmp_path)
    assert base64.b64decode(key) == DRAWN


def test_what_was_known_is_put_back_whatever_is_drawn() -> None:
    known = {"key": "a2V5", "next": "bmV4dA=="}
    assert secret(NAME, known, DRAWN)["data"] == known


def test_a_secret_that_was_seen_without_a_key_gets_a_new_one() -> None:
    assert set(secret(NAME, {"next": "bmV4dA=="}, DRAWN)["data"]) == {"key"}


@pytest.mark.parametrize("raw", [b"{}", b'{"data": null}', b'{"data": {}}'])
def test_a_secret_may_be_empty(raw: bytes) -> None:
    assert keys_of(raw) == {}


def test_what_is_no_secret_is_an_error_of_values() -> None:
    with pytest.raises(ValueError, match="data"):
        keys_of(b'{"data": [1]}')


@asynccontextmanager
async def keeping(user: User, *, leads: bool = True) -> AsyncIterator[None]:
    keeper = KeyKeeper(user.client, NAMESPACE, NAME, lambda: leads, look_seconds=0.02)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(keeper.run())
        yield
        running.cancel()


async def stored(user: User) -> dict[str, Any] | None:
    found = await user.get(SECRETS, NAME, NAMESPACE)
    return None if found is None else found["data"]


async def made(user: User) -> dict[str, Any]:
    await user.until(lambda: stored(user), "the Secret is there")
    return await stored(user) or {}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_the_leading_allocator_makes_the_secret(user: User) -> None:
    async with allocating(user.server, heartbeat_secret=NAME):
        assert set(await made(user)) == {"key"}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_one_that_stands_by_makes_none(user: User) -> None:
    async with keeping(user, leads=False):
        await asyncio.sleep(0.2)
        assert await stored(user) is None


@pytest.mark.slow
@pytest.mark.asyncio
async def test_of_two_that_both_lead_one_makes_it(user: User) -> None:
    async with keeping(user), keeping(user):
        first = await made(user)
        await asyncio.sleep(0.2)
        assert await stored(user) == first


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_secret_that_is_there_is_taken_as_it_is(user: User) -> None:
    theirs = secret(NAME, {"key": "dGhlaXJzIGFuZCBub3Qgb3Vycw=="}, DRAWN)
    await user.client.create(SECRETS, theirs, NAMESPACE)
    async with keeping(user):
        await asyncio.sleep(0.2)
        assert await stored(user) == theirs["data"]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_secret_that_is_deleted_comes_back_with_its_keys(user: User) -> None:
    async with keeping(user):
        first = await made(user)
        changed = {"key": "cm90YXRlZCBpbiB0aGUgbWVhbnRpbWU=", "previous": first["key"]}
        await user.client.merge_patch(SECRETS, NAME, {"data": changed}, namespace=NAMESPACE)
        await asyncio.sleep(0.3)
        for _ in range(2):
            await user.client.delete(SECRETS, NAME, namespace=NAMESPACE)
            assert await made(user) == changed
