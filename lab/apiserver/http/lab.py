"""/lab: the admin breaks the server and counts and times requests over HTTP, for the lab's commands.

The faults themselves are in faults.py; restart and freeze are the server's.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from aiohttp import web

from lab.apiserver import status
from lab.apiserver.faults import Cut, Fault, Faults, RequestCounters
from lab.apiserver.http.answers import lab_answer, page_not_found
from lab.apiserver.timeline import Timeline

Json = dict[str, Any]
_FREEZE_SECONDS = 1.0  # unless the command says otherwise


class Breakable(Protocol):
    """The server, as far as it can be broken."""

    @property
    def faults(self) -> Faults: ...

    @property
    def counters(self) -> RequestCounters: ...

    @property
    def timeline(self) -> Timeline: ...

    @property
    def watch_count(self) -> int: ...

    def drop_watches(self) -> None: ...

    def forget_history(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def restart_soon(self, down_seconds: float) -> None: ...


class LabCommands:
    """Answers what is asked below /lab."""

    def __init__(self, server: Breakable) -> None:
        self._server = server

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Carry out one command; the caller has seen to it that the admin sends it."""
        server = self._server
        match request.method, path.strip("/").split("/")[1:]:
            case "GET", ["faults"]:
                return lab_answer(self._faults())
            case "POST", ["faults"]:
                return lab_answer(_described(server.faults.add(_fault(await request.content.read()))))
            case "DELETE", ["faults"]:
                server.faults.clear()
                return lab_answer(self._faults())
            case "DELETE", ["faults", number] if number.isdigit():
                server.faults.remove(int(number))
                return lab_answer(self._faults())
            case "POST", ["cut"]:
                order = json.loads(await request.content.read())
                server.faults.cut(order["who"], Cut(order.get("how", "hang")))
                return lab_answer(self._faults())
            case "POST", ["mend"]:
                server.faults.mend(json.loads(await request.content.read())["who"])
                return lab_answer(self._faults())
            case "GET", ["counters"]:
                counted = {"counters": server.counters.rows(), "traffic": server.counters.traffic()}
                return lab_answer({**counted, "watches": server.watch_count})
            case "DELETE", ["counters"]:
                server.counters.reset()
                return lab_answer({})
            case "GET", ["timeline"]:
                return lab_answer({"timeline": server.timeline.rows()})
            case "DELETE", ["timeline"]:
                server.timeline.reset()
                return lab_answer({})
            case "POST", [command]:
                return self._command(request, command)
            case _:
                return page_not_found()

    def _command(self, request: web.BaseRequest, command: str) -> web.StreamResponse:
        server = self._server
        seconds = float(request.rel_url.query.get("seconds", "0"))
        match command:
            case "drop-watches":
                server.drop_watches()
            case "forget-history":
                server.forget_history()
            case "restart":
                server.restart_soon(seconds)
            case "freeze":
                server.freeze()
                # A frozen server can't be told to thaw.
                asyncio.get_running_loop().call_later(seconds or _FREEZE_SECONDS, server.thaw)
            case _:
                return page_not_found()
        return lab_answer({"done": command})

    def _faults(self) -> Json:
        faults = self._server.faults
        return {"faults": [_described(one) for one in faults.all()], "cut": faults.cuts()}


def _described(fault: Fault) -> Json:
    return {name: getattr(fault, name) for name in fault.__slots__}


def _fault(body: bytes) -> Fault:
    """A fault as JSON, with the names of its fields."""
    try:
        return Fault(**json.loads(body))
    except (TypeError, ValueError) as error:
        raise status.bad_request(f"not a fault: {error}") from None
