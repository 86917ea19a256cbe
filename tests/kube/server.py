"""A tiny HTTP server that answers what a test tells it to: for what a real API server does too seldom to wait for."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme
import yaml
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Script:
    """Answers come from `answers` in order; the last one stays. What was asked is in `requests`."""

    answers: list[Handler]
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def reply(body: Any = None, code: int = 200, headers: dict[str, str] | None = None) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(body=raw, status=code, headers=headers, content_type="application/json")

    return answer


def status(
    code: int, reason: str, message: str = "", *, headers: dict[str, str] | None = None, **details: Any
) -> Handler:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
    return reply({**body, "details": details}, code, headers)


def after(seconds: float, then: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(request)

    return answer


def stream(*chunks: bytes | float, cut: bool = False) -> Handler:
    """Chunks as they are; a number is a pause. `cut` breaks the connection at the end instead of ending the body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            if isinstance(chunk, bytes):
                await response.write(chunk)
            else:
                await asyncio.sleep(chunk)
        if cut:
            assert request.transport is not None
            request.transport.abort()
        return response

    return answer


def page(*items: dict[str, Any], rv: str = "1", more: str = "") -> Handler:
    return reply({"kind": "List", "metadata": {"resourceVersion": rv, "continue": more}, "items": list(items)})


def an_object(name: str, rv: str, uid: str = "", namespace: str | None = "default", **rest: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": rv, "namespace": namespace}
    return {"metadata": metadata, **rest}


def event(type: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": type, "object": obj}).encode() + b"\n"


@contextlib.asynccontextmanager
async def serving(*answers: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Script, str]]:
    """The script and the server's URL."""
    script = Script(list(answers))
    app = web.Application(client_max_size=2**26)
    app.router.add_route("*", "/{path:.*}", script.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield script, f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def write_kubeconfig(
    path: Path, url: str, *, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None
) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": url, **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


def server_tls(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context
