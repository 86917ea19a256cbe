"""Virtual time: what its clocks show, what they wait for, and what is seen between two turns."""

import asyncio
import time

import pytest

from tests.virtual import TURN_SECONDS, turns
from tests.virtual import event_loop_policy as event_loop_policy

pytestmark = pytest.mark.asyncio

A_WHILE = 0.05
"""Of real time: much longer than a turn of the loop takes."""


async def test_hours_pass_at_once_on_all_clocks() -> None:
    began, loop = time.perf_counter(), asyncio.get_running_loop()

    def clocks() -> list[float]:
        return [loop.time(), time.monotonic(), time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)]

    before = clocks()
    await asyncio.sleep(3600)
    passed = [after - was for after, was in zip(clocks(), before, strict=True)]
    assert passed == pytest.approx([3600.0] * len(passed), abs=0.01)
    assert time.perf_counter() - began < 60


async def test_timers_fire_in_their_order() -> None:
    fired: list[int] = []
    loop = asyncio.get_running_loop()
    for seconds in (30, 10, 20):
        loop.call_later(seconds, fired.append, seconds)
    loop.call_later(15, fired.append, 15).cancel()
    await asyncio.sleep(31)
    assert fired == [10, 20, 30]


async def test_time_stands_still_while_a_thread_is_at_work() -> None:
    async with asyncio.timeout(0.01):
        await asyncio.to_thread(time.sleep, A_WHILE)


async def test_what_was_sent_to_a_socket_arrives_before_the_clock_jumps() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100_000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for size in (1, 1_000_000):
        async with asyncio.timeout(0.1):
            writer.write(bytes(size))
            await reader.readexactly(size)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


async def test_a_state_that_lasts_for_one_turn_is_seen() -> None:
    state = ["before"]

    async def change() -> None:
        await asyncio.sleep(1)
        state.append("for a turn")
        await asyncio.sleep(0)
        state.append("after")

    changing, seen = asyncio.create_task(change()), []
    async for _ in turns(2.0):
        seen.append(state[-1])
    await changing
    assert "for a turn" in seen
    assert seen[-1] == "after"
    assert len(seen) < 20  # where nothing happens, nothing is looked at


async def test_turns_take_time_or_what_repeats_itself_at_once_would_never_end() -> None:
    until, count = time.monotonic() + 100 * TURN_SECONDS, 0
    while time.monotonic() < until:
        await asyncio.sleep(0)
        count += 1
    assert 90 <= count <= 110
