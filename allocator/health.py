"""The listener for kubelet and Prometheus: /healthz, /readyz, /metrics. Plain HTTP, GET only, one request a connection.

Says what it is told; judges nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_LATEST

REQUEST_SECONDS = 5.0
REQUEST_BYTES = 8192


class HealthServer:
    """`is_ready`: the caches are full, so this process could lead at once; a standby is ready too."""

    def __init__(self, *, is_ready: Callable[[], bool], metrics: Callable[[], bytes]) -> None:
        self._is_ready = is_ready
        self._metrics = metrics

    async def run(self, listen: str) -> None:
        """Until cancelled. `listen` is host:port. An event loop that hangs answers nothing, and so is not healthy."""
        host, _, port = listen.rpartition(":")
        server = await asyncio.start_server(self._serve, host.strip("[]"), int(port), limit=REQUEST_BYTES)
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = [*head.split(b" ", 2), b"", b""][1].split(b"?")[0].decode("latin-1")
                writer.write(_response(*self._answer(path)))
                await writer.drain()
        writer.close()

    def _answer(self, path: str) -> tuple[str, bytes, str]:
        match path:
            case "/healthz" | "/livez":
                return "200 OK", b"ok\n", "text/plain"
            case "/readyz" if self._is_ready():
                return "200 OK", b"ok\n", "text/plain"
            case "/readyz":
                return "503 Service Unavailable", b"the first full lists are not in yet\n", "text/plain"
            case "/metrics":
                return "200 OK", self._metrics(), CONTENT_TYPE_LATEST
            case _:
                return "404 Not Found", b"there are /metrics, /healthz and /readyz\n", "text/plain"


def _response(status: str, body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n".encode("latin-1") + body
