"""One speaker on a node, and its parts together."""

import asyncio

import pytest

from speaker.io import supervisor
from speaker.io.supervisor import SoleSpeaker

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "LOCK_POLL_SECONDS", 0.02)


async def test_a_second_speaker_waits_for_the_end_of_the_first() -> None:
    stop = asyncio.Event()
    first, second, elsewhere = SoleSpeaker("node-a"), SoleSpeaker("node-a"), SoleSpeaker("node-b")
    assert await first.acquire(stop)
    assert await elsewhere.acquire(stop)
    waiting = asyncio.create_task(second.acquire(stop))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    first.close()
    assert await asyncio.wait_for(waiting, 1)
    second.close()
    elsewhere.close()


async def test_the_right_lasts_as_long_as_a_process_that_inherited_it() -> None:
    """The wire process of a dead agent: until it is dead too, nobody else may speak for the node."""
    stop = asyncio.Event()
    first, second = SoleSpeaker("node-c"), SoleSpeaker("node-c")
    assert await first.acquire(stop)
    heir = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=(first.fd,))
    first.close()
    waiting = asyncio.create_task(second.acquire(stop))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    heir.kill()
    await heir.wait()
    assert await asyncio.wait_for(waiting, 1)
    second.close()


async def test_one_that_waits_can_be_stopped() -> None:
    stop = asyncio.Event()
    first, second = SoleSpeaker("node-d"), SoleSpeaker("node-d")
    assert await first.acquire(stop)
    waiting = asyncio.create_task(second.acquire(stop))
    await asyncio.sleep(0.05)
    stop.set()
    assert not await asyncio.wait_for(waiting, 1)
    first.close()
    second.close()
