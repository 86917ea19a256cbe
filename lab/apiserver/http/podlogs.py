"""Serves what pods of the lab wrote, from the files that its kubelet shows: PODLOGS/POD_NAMESPACE_CONTAINER.log.

Which lines is decided in podlogs.py. A file only grows: a process that starts again goes on in it.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from lab.apiserver.call import Call
from lab.apiserver.podlogs import Lines, waits_to_start, wanted
from lab.apiserver.status import StatusError, bad_request
from lab.apiserver.verbs.rest import Rest

LOOK_SECONDS = 0.2
"""How often a log that is followed is looked at."""
CHUNK_BYTES = 1 << 20

ENTERED = ("exec", "attach", "portforward")
"""Subresources that lead into a container."""


def not_entered(call: Call) -> StatusError:
    """What the lab has in their place."""
    return bad_request(
        f"the lab runs no containers that one can enter ({call.subresource}): its pods are processes on its hosts; "
        "berth lab exec HOST -- COMMAND runs a command there, and berth lab status lists the hosts"
    )


async def serve(request: web.BaseRequest, rest: Rest, call: Call, folder: Path | None) -> web.StreamResponse:
    """`folder`: where the files are; None = nothing runs pods. Raises StatusError."""
    owner = Call("get", call.resource, call.namespace, call.name, user=call.user)
    pod = rest.get(owner).value()
    now = datetime.now(UTC)
    asked = wanted(pod, call.query, now)
    path = folder / f"{call.name}_{call.namespace}_{asked.container}.log" if folder is not None else None
    if path is None or not path.exists():
        raise waits_to_start(pod, asked.container)
    lines = Lines(asked, now)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    with path.open("rb") as log:
        await response.prepare(request)
        first, rest_of_line = _whole(log.read())
        if not asked.follow and rest_of_line:
            first.append(rest_of_line)
        await response.write(lines.first(first))
        while asked.follow and not lines.is_full:
            await asyncio.sleep(LOOK_SECONDS)
            rest_of_line = await _follow(log, rest_of_line, lines, response)
            if not _is_there(rest, owner, pod["metadata"]["uid"]):
                break
    await response.write_eof()
    return response


async def _follow(log: BinaryIO, before: bytes, lines: Lines, response: web.StreamResponse) -> bytes:
    """Gives the part of a line that has no end yet."""
    while new := log.read(CHUNK_BYTES):
        whole, before = _whole(before + new)
        if text := lines.more(whole):
            await response.write(text)
    return before


def _whole(text: bytes) -> tuple[list[bytes], bytes]:
    """The lines that have an end, and the rest."""
    end = text.rfind(b"\n") + 1
    return text[:end].splitlines(keepends=True), text[end:]


def _is_there(rest: Rest, owner: Call, uid: str) -> bool:
    try:
        return bool(rest.get(owner).value()["metadata"]["uid"] == uid)
    except StatusError:
        return False
