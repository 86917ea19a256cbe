"""The listener for kubelet and Prometheus: /healthz, /readyz and /metrics, by HTTP or HTTPS.

Reports what its callbacks say; judges nothing. An event loop that hangs answers nothing, and so is not healthy. Whoever
connects takes a bounded part of the program: a connection has one request and some seconds, the oldest of too many is
dropped, and new ones are taken at a pace.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response
from aiohttp.web_server import Server
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kube.io.client import Client
from kube.process.io.certificate import Certificate
from kube.process.io.reviews import Reviews
from kube.process.listening import Listening
from kube.process.scrapers import PATH, Verdict

CONNECTION_SECONDS = 10.0
"""From the first packet to the last: Prometheus waits as long by default."""

MOST_CONNECTIONS = 32
PACE_SECONDS = 0.02
"""Between two connections: with TLS each costs a millisecond or two of processor time."""

PAGE_SECONDS = 0.2
"""A page of metrics is made no more often."""

PLAIN = "text/plain"
Answer = Callable[[BaseRequest], Awaitable[Response]]


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
        self._page, self._made = b"", -PAGE_SECONDS

    async def serve(self, listening: Listening, client: Client) -> None:
        """Until cancelled. `client` is asked who may read the metrics. Raises CannotListen when an address can't be
        had."""
        secure = Certificate(listening.certificate_directory) if listening.metrics and listening.is_secure else None
        reviews = Reviews(client) if secure is not None else None
        doors: list[_Door] = []
        try:
            if listening.metrics:
                pages = self._answer(has_metrics=True, has_health=not listening.health, reviews=reviews)
                doors += await _doors(listening.metrics, "metrics", pages, secure)
            if listening.health:
                doors += await _doors(listening.health, "health", self._answer(has_metrics=False, has_health=True))
            async with asyncio.TaskGroup() as tasks:
                if secure is not None:
                    tasks.create_task(secure.follow())
                for door in doors:
                    tasks.create_task(door.serve())
        finally:
            for door in doors:
                door.close()

    def _answer(self, *, has_metrics: bool, has_health: bool, reviews: Reviews | None = None) -> Answer:
        paths = [*([PATH] if has_metrics else []), *(["/healthz", "/readyz"] if has_health else [])]

        async def answer(request: BaseRequest) -> Response:
            if request.method not in ("GET", "HEAD"):
                return _text(405, "GET and HEAD only")
            match request.rel_url.raw_path:
                case "/metrics" if has_metrics:
                    return await self._to_scraper(request, reviews)
                case "/readyz" if has_health:
                    return _verdict(self._why_not_ready())
                case "/healthz" | "/livez" if has_health:
                    return _verdict(self._why_not_healthy())
            return _text(404, f"there are: {', '.join(paths)}")

        return answer

    async def _to_scraper(self, request: BaseRequest, reviews: Reviews | None) -> Response:
        if reviews is not None:
            verdict = await reviews.verdict(request.headers.get("Authorization", ""))
            if verdict is not Verdict.ALLOWED:
                headers = {"WWW-Authenticate": "Bearer"} if verdict.status == 401 else {}
                return _text(verdict.status, verdict.text, headers)
        return Response(body=self._fresh_page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _fresh_page(self) -> bytes:
        now = asyncio.get_running_loop().time()
        if now >= self._made + PAGE_SECONDS:
            self._page, self._made = self._metrics(), now
        return self._page


def _verdict(why_not: str) -> Response:
    return _text(503, why_not) if why_not else _text(200, "ok")


def _text(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status=status, text=f"{text}\n", content_type=PLAIN, headers=headers)


class _Conversations(Server):
    """aiohttp's protocol for each connection, and when each ends. Nothing is logged of what strangers send."""

    def __init__(self, answer: Answer) -> None:
        self._ends: dict[RequestHandler, asyncio.Event] = {}

        async def last_answer(request: BaseRequest) -> Response:
            response = await answer(request)
            response.force_close()
            return response

        logger = logging.getLogger(__name__)
        logger.addFilter(_is_ours)
        super().__init__(last_answer, access_log=None, logger=logger, lingering_time=0.0)

    def begin(self) -> tuple[RequestHandler, asyncio.Event]:
        """A new one, and what is set when it is over."""
        protocol = self()
        self._ends[protocol] = asyncio.Event()
        return protocol, self._ends[protocol]

    def forget(self, protocol: RequestHandler) -> None:
        """It is over, also when it never began."""
        if (end := self._ends.pop(protocol, None)) is not None:
            end.set()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.forget(handler)


def _is_ours(record: logging.LogRecord) -> bool:
    """A fault of the program, not of the request."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


class _Door:
    """One socket that is listened on. `secure` None: HTTP, else HTTPS."""

    def __init__(self, listening: socket.socket, answer: Answer, secure: Certificate | None) -> None:
        self._listening = listening
        self._secure = secure
        self._conversations = _Conversations(answer)
        self._open: dict[asyncio.Task[None], None] = {}

    def close(self) -> None:
        """Nobody can connect any more."""
        self._listening.close()

    async def serve(self) -> None:
        """Until cancelled; then nobody is spoken with any more."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listening)
                except OSError:  # they left already, or there are no file descriptors
                    await asyncio.sleep(1.0)
                    continue
                self._begin(connection)
                await asyncio.sleep(PACE_SECONDS)
        finally:
            for task in (left := list(self._open)):
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _begin(self, connection: socket.socket) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.cancel()
        task = asyncio.get_running_loop().create_task(self._converse(connection))
        self._open[task] = None
        task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _converse(self, connection: socket.socket) -> None:
        context = self._secure.context if self._secure is not None else None
        if self._secure is not None and context is None:
            connection.close()
            return
        protocol, end = self._conversations.begin()
        transport: asyncio.BaseTransport | None = None
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                loop = asyncio.get_running_loop()
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
                await end.wait()
        except (OSError, TimeoutError):
            pass  # a stranger's fault
        finally:
            self._conversations.forget(protocol)
            if isinstance(transport, asyncio.Transport):
                transport.abort()
            else:
                connection.close()


async def _doors(listen: str, what: str, answer: Answer, secure: Certificate | None = None) -> list[_Door]:
    """For each address that HOST has. Raises CannotListen."""
    host, _, port = listen.rpartition(":")
    doors: list[_Door] = []
    try:
        loop = asyncio.get_running_loop()
        name = host.strip("[]") or None
        if not 0 <= int(port) < 65536:
            raise ValueError(f"{port} is no port")
        found = await loop.getaddrinfo(name, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            made = socket.create_server(address[:2], family=family, backlog=MOST_CONNECTIONS)
            made.setblocking(False)
            doors.append(_Door(made, answer, secure))
    except (OSError, ValueError, OverflowError) as error:
        for door in doors:
            door.close()
        advice = f"give --{what}-listen another HOST:PORT; with the chart that is {what}.address and {what}.port"
        raise CannotListen(f"nobody can ask for {what} at {listen} ({error}): {advice}") from error
    return doors
