"""What stands between a client and the server while faults are in force: freezes, cuts, late answers, error answers.

Which faults are in force, and what each strikes, is decided in faults.py. Here they are carried out.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from lab.apiserver.faults import Cut, Faults, Request
from lab.apiserver.status import StatusError

_MENDED_SECONDS = 0.2  # how often a request that hangs looks whether it still has to


class Hangup(Exception):
    """The connection is closed without an answer."""


class Gate:
    """Lets requests in, late or not at all."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._thawed = asyncio.Event()
        self._thawed.set()

    def freeze(self) -> None:
        """Let no request in, not even for an error, until `thaw`."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Let in all that wait since `freeze`."""
        self._thawed.set()

    async def let_in(self, request: web.BaseRequest, *who: str) -> None:
        """Return once the server is not frozen and none of `who` (addresses, names of users) is cut off.

        A client that is cut off by hanging waits here until the cut is mended. Raises Hangup for a client whose
        connection is to be closed, and for one that gave up while it waited.
        """
        await self._thawed.wait()
        cut = self._faults.cut_off(*who)
        while cut is Cut.HANG and request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(_MENDED_SECONDS)
            cut = self._faults.cut_off(*who)
        if cut is not None:
            raise Hangup

    async def strike(self, asked: Request) -> StatusError | None:
        """Carry out the faults that strike this request. Raises the error that is answered in the request's place.

        The error that is returned is for after the request: the write is done, and then the client gets the error.
        """
        late = None
        for fault in self._faults.matching(asked):
            if fault.latency_seconds:
                await asyncio.sleep(fault.latency_seconds)
            error = fault.error()
            if error is None:
                continue
            if not fault.after_commit:
                raise error
            late = late or error
        return late
