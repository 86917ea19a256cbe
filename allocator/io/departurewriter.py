"""Writes down which Speakers are gone whose routers may keep routes, and deletes what is over.

What is to be done is in allocator.release.departures; what fails is done again. Nothing waits for it: this process
remembers as well, and the next leader writes what this one could not.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable

import structlog

from allocator.observed import Observed
from allocator.release.departures import Departures
from kube.errors import AlreadyExists, ApiError, NotFound
from kube.io.client import Client
from kube.resource import DEPARTEDSPEAKERS

log = structlog.get_logger()

REPEAT_SECONDS = 1.0
"""How often it is looked at what is over, and what could not be done is tried again."""


class DepartureWriter:
    """Runs while this process leads. `departures` is kept up to date elsewhere, also before that."""

    def __init__(self, client: Client, observed: Observed, departures: Departures) -> None:
        self._client = client
        self._speakers = observed.speakers
        self._departures = departures
        self._wake = asyncio.Event()

    def nudge(self) -> None:
        """A Speaker or a DepartedSpeaker has gone."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            now = time.monotonic()
            self._departures.at(now, self._speakers.values())
            for body in self._departures.unwritten(now):
                log.warning("routers may keep routes of a speaker that is gone", **body["spec"])
                await self._try(self._client.create(DEPARTEDSPEAKERS, body))
            for name in self._departures.over():
                await self._try(self._client.delete(DEPARTEDSPEAKERS, name))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPEAT_SECONDS):
                    await self._wake.wait()

    async def _try(self, write: Awaitable[object]) -> None:
        try:
            await write
        except (AlreadyExists, NotFound):
            pass  # the watch is about to show it
        except ApiError as error:
            log.warning("a DepartedSpeaker can't be written or deleted", error=str(error))
