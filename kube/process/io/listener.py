"""The listener for kubelet and Prometheus: /healthz, /readyz and /metrics. HTTP, GET only, one request a connection.

Reports what its callbacks say; judges nothing. An event loop that hangs answers nothing, and so is not healthy.
"""

import asyncio
import contextlib
from collections.abc import Callable

from prometheus_client.exposition import CONTENT_TYPE_LATEST

REQUEST_SECONDS = 5.0
REQUEST_BYTES = 8192
PLAIN = "text/plain"


class CannotListen(Exception):
    """Nobody can ask at the address that was given; the message says why, and what to do."""


def cannot_listen(error: BaseException) -> CannotListen | None:
    """That this is why a program ends, if it is; also among others that ended with it."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := cannot_listen(one)) is not None), None)
    return error if isinstance(error, CannotListen) else None


class Listener:
    """`why_not_ready()` and `why_not_healthy()` say what is wrong, "" = nothing. `metrics()` gives the whole page."""

    def __init__(
        self,
        *,
        why_not_ready: Callable[[], str],
        metrics: Callable[[], bytes],
        why_not_healthy: Callable[[], str] = lambda: "",
    ) -> None:
        self._why_not_ready = why_not_ready
        self._why_not_healthy = why_not_healthy
        self._metrics = metrics

    async def serve(self, listen: str) -> None:
        """Until cancelled. `listen` is host:port, `[::1]:port` for IPv6. Raises CannotListen when that can't be had."""
        host, _, port = listen.rpartition(":")
        try:
            server = await asyncio.start_server(self._answer, host.strip("[]"), int(port), limit=REQUEST_BYTES)
        except (OSError, ValueError, OverflowError) as error:
            what = f"nobody can ask for metrics at {listen}"
            advice = "give --metrics-listen another HOST:PORT; with the chart that is metrics.address and metrics.port"
            raise CannotListen(f"{what} ({error}): {advice}") from error
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                path = [*head.split(b" ", 2), b"", b""][1].split(b"?")[0].decode("latin-1")
                writer.write(_response(*self._page(path)))
                await writer.drain()
        writer.close()

    def _page(self, path: str) -> tuple[str, str, bytes]:
        match path:
            case "/metrics":
                return "200 OK", CONTENT_TYPE_LATEST, self._metrics()
            case "/readyz":
                return _verdict(self._why_not_ready())
            case "/healthz" | "/livez":
                return _verdict(self._why_not_healthy())
            case _:
                return "404 Not Found", PLAIN, b"there are /metrics, /healthz and /readyz\n"


def _verdict(why_not: str) -> tuple[str, str, bytes]:
    return ("503 Service Unavailable", PLAIN, f"{why_not}\n".encode()) if why_not else ("200 OK", PLAIN, b"ok\n")


def _response(status: str, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"{head}\r\n\r\n".encode("latin-1") + body
