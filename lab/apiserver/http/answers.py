"""Answers as they go over the wire: JSON with its warnings, and failures as Status objects."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import hdrs, web

from lab.apiserver.call import Call
from lab.apiserver.status import StatusError
from lab.apiserver.store import encode

JSON = "application/json"
_WARNING = '299 - "{}"'  # RFC 7234 §5.5.7, as kube-apiserver writes it


def json_answer(code: int, body: bytes, call: Call | None = None) -> web.Response:
    """An encoded body; with a call, in the form that its `pretty` asks for, and with its warnings."""
    if call is not None and call.query.get("pretty") in ("1", "true"):
        body = msgspec.json.format(body, indent=2) + b"\n"
    response = web.Response(status=code, body=body, headers={hdrs.CONTENT_TYPE: JSON})
    if call is not None:
        add_warnings(response, call)
    return response


def add_warnings(response: web.StreamResponse, call: Call) -> None:
    """Tell the client the call's warnings, one header each."""
    for warning in call.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        response.headers.add("Warning", _WARNING.format(text))


def lab_answer(body: Any) -> web.Response:
    """The answer to a command of the lab."""
    return json_answer(200, encode(body))


def failure(error: StatusError) -> web.Response:
    """A failure as a Status object, with Retry-After where the error has one."""
    headers = {hdrs.CONTENT_TYPE: JSON}
    if error.retry_after_seconds is not None:
        headers[hdrs.RETRY_AFTER] = str(error.retry_after_seconds)
    return web.Response(status=error.code, body=encode(error.body()), headers=headers)


def page_not_found() -> web.Response:
    """404 for a path at which nothing is served; an object that is not there gets a Status instead."""
    return web.Response(status=404, text="404 page not found\n")
