"""Watches as streams: each open watch is written to its client, with bookmarks, until it ends.

Which events a watch has is decided in watch.py, without sockets.
"""

from __future__ import annotations

import asyncio
import time

from aiohttp import hdrs, web

from lab.apiserver.call import Call
from lab.apiserver.core import Core
from lab.apiserver.http.answers import JSON, add_warnings
from lab.apiserver.http.gate import Gate, Hangup
from lab.apiserver.http.views import View
from lab.apiserver.http.watch import Watch


class Streams:
    """The watches that are open; their number is `len`."""

    def __init__(self, core: Core, gate: Gate) -> None:
        self._core = core
        self._gate = gate
        self._watches: set[Watch] = set()

    def __len__(self) -> int:
        return len(self._watches)

    def end(self, *, cut: bool) -> None:
        """End every watch: properly, as the server does after some time, or cut, as a dying connection would."""
        for watch in list(self._watches):
            watch.end(cut=cut)

    async def serve(self, request: web.BaseRequest, call: Call, view: View) -> web.StreamResponse:
        """Answer a watch; returns when it has ended. Raises Hangup if it was cut, so that the connection breaks."""
        signal = asyncio.Event()
        watch = Watch(self._core.store, call, view, signal.set)
        self._watches.add(watch)
        response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: JSON})
        add_warnings(response, call)
        response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            await self._write(request, response, call, watch, signal)
        except (ConnectionError, asyncio.CancelledError):
            watch.is_cut = True
            raise
        finally:
            watch.close()
            self._watches.discard(watch)
        if watch.is_cut:
            raise Hangup
        return response

    async def _write(
        self, request: web.BaseRequest, response: web.StreamResponse, call: Call, watch: Watch, signal: asyncio.Event
    ) -> None:
        loop = asyncio.get_running_loop()
        settings = self._core.settings
        lasts = call.number("timeoutSeconds") or self._core.rng.uniform(*settings.watch_seconds)
        ends = loop.time() + lasts
        next_bookmark = loop.time() + settings.bookmark_seconds if watch.wants_bookmarks else float("inf")
        while not watch.is_cut:
            await self._gate.let_in(request, request.remote or "", call.user.name)
            signal.clear()
            if chunk := watch.take():
                self._core.counters.count_watched(call.resource.storage, call.user_agent, len(chunk))
                self._core.timeline.written(call.resource.storage, call.user_agent, request.remote or "", time.time())
                await response.write(chunk)
                continue
            if watch.is_over or loop.time() >= ends:
                break
            if loop.time() >= next_bookmark:
                next_bookmark = loop.time() + settings.bookmark_seconds
                watch.bookmark()
                continue
            try:
                async with asyncio.timeout_at(min(ends, next_bookmark)):
                    await signal.wait()
            except TimeoutError:
                if loop.time() >= ends and watch.wants_bookmarks and not watch.is_over:
                    watch.bookmark()  # so that the next watch starts as late as it can
        if not watch.is_cut and not watch.is_over and (chunk := watch.take()):
            await response.write(chunk)
