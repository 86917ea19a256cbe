"""To wait for an event or a time."""

import asyncio

import pytest

from kube.io.waking import wait_or_wake
from tests.virtual import event_loop_policy as event_loop_policy  # virtual time

pytestmark = pytest.mark.asyncio


async def test_it_ends_when_the_event_is_set_and_leaves_no_timer() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(1.0, event.set)
    began = asyncio.get_running_loop().time()
    await wait_or_wake(event, 60.0)
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.0, abs=0.1)
    event.clear()
    await asyncio.sleep(100.0)
    assert not event.is_set()


async def test_it_ends_when_the_time_has_passed() -> None:
    event = asyncio.Event()
    began = asyncio.get_running_loop().time()
    await wait_or_wake(event, 60.0)
    assert event.is_set()
    assert asyncio.get_running_loop().time() - began == pytest.approx(60.0, abs=0.1)
