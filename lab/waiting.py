"""Waiting until something is so, in threads and in event loops: asks again and again, names what did not come true."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


class WaitExpired(RuntimeError):
    """What was waited for did not happen in time; the message says what that was."""


def wait_for(
    what: str,
    ask: Callable[[], T | None],
    *,
    timeout_seconds: float,
    poll_seconds: float = POLL_SECONDS,
    meanwhile: Callable[[], None] = lambda: None,
) -> T:
    """Ask until the answer is neither None nor False, and give it. `meanwhile` may raise to end the waiting early.

    Raises WaitExpired naming `what`.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = ask()
        if answer is not None and answer is not False:
            return answer
        meanwhile()
        if time.monotonic() >= deadline:
            raise _expired(what, timeout_seconds)
        time.sleep(poll_seconds)


async def until(
    what: str, ask: Callable[[], object], *, timeout_seconds: float, poll_seconds: float = POLL_SECONDS
) -> None:
    """Ask until the answer is true. `ask` must not block: the event loop goes on only between two questions.

    Raises WaitExpired naming `what`.
    """
    deadline = time.monotonic() + timeout_seconds
    while not ask():
        if time.monotonic() >= deadline:
            raise _expired(what, timeout_seconds)
        await asyncio.sleep(poll_seconds)


def _expired(what: str, seconds: float) -> WaitExpired:
    return WaitExpired(f"waited {seconds:g} s, and it did not happen: {what}")
