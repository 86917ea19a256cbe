"""Asynchronous work in synchronous tests."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def in_a_loop(work: Coroutine[Any, Any, None]) -> None:
    """To its end, in an event loop of its own. asyncio.run would make the loop forgotten that pytest-asyncio keeps,
    which is reported as unclosed in whatever test runs then."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work)
    finally:
        loop.close()
