"""Waits until what a command has begun is done: looks again and again, and tells what has changed since.

Progress goes to standard error, so that standard output has the last line alone. An API server that does not answer for
a while ends nothing.
"""

import argparse
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_TIME = re.compile(r"(\d{1,6})([smh]?)")
EVERY_SECONDS = 0.5


class Look(NamedTuple):
    """What there was at one look. `text`: how far it is; what keeps it from being done, where it is not."""

    is_done: bool
    text: str


def seconds(text: str) -> float:
    """From 90, 90s, 5m or 1h, as kubectl takes them. Raises argparse.ArgumentTypeError."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 5m or 1h")
    return float(int(found[1]) * _UNITS[found[2]])


def add_wait(command: argparse.ArgumentParser, until: str, most: str) -> None:
    """Put `--wait` and `--timeout` on the command line. `until`: what is waited for; `most`: for how long, as above."""
    command.add_argument("--wait", action="store_true", help=f"until {until}")
    command.add_argument(
        "--timeout", metavar="TIME", type=seconds, default=seconds(most), help=f"of --wait, as 90s or 5m ({most})"
    )


def outcome(last: Look, most: float) -> str:
    """The last line, for people. `most`: in seconds, what was waited for."""
    return last.text if last.is_done else f"Not done in {most:.0f} s: {last.text}"


def result(last: Look | None) -> dict[str, Any]:
    """The same for programs: `done` is null where nothing was waited for."""
    return {"done": None, "state": ""} if last is None else {"done": last.is_done, "state": last.text}


async def wait(look: Callable[[], Awaitable[Look]], most: float, every: float = EVERY_SECONDS) -> Look:
    """The last look: done, or what there was when `most` seconds were over. It looks once at least."""
    import asyncio
    import time

    end, said = time.monotonic() + most, ""
    while True:
        found = await _patiently(look, max(end - time.monotonic(), every))
        if found.is_done or time.monotonic() >= end:
            return found
        if found.text != said:
            said = found.text
            print(f"  {said}", file=sys.stderr, flush=True)
        await asyncio.sleep(min(every, max(end - time.monotonic(), 0.0)))


async def _patiently(look: Callable[[], Awaitable[Look]], most: float) -> Look:
    """What passes with time is waited for; what does not is raised (ApiError)."""
    import asyncio

    from kube.errors import ServerError, TooManyRequests, Unreachable

    try:
        async with asyncio.timeout(most):
            return await look()
    except (ServerError, TooManyRequests, Unreachable) as error:
        return Look(False, f"the API server does not answer: {error}")
    except TimeoutError:
        return Look(False, "the API server has not answered in time")
