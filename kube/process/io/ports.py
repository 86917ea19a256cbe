"""The ports that are listened on, and what who connects may take of the program.

A connection has one request and some seconds. Of too many, the oldest of the source that has most is dropped. Where
there is TLS, each source has so many handshakes a second, and all together so many. aiohttp's own sites bound nothing
of this; its protocol, which is used here, reads the requests.
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

from kube.process.connections import Handshakes, source_of, to_drop
from kube.process.io.certificate import Certificate
from kube.process.listening import CannotListen

CONNECTION_SECONDS = 10.0
"""From the first packet to the last: Prometheus waits as long by default."""

MOST_CONNECTIONS = 32
PACE_SECONDS = 0.001
HANDSHAKE_PACE_SECONDS = 0.02
"""Between two connections: one with TLS costs a millisecond or two of processor time, another a tenth of one."""

Answer = Callable[[BaseRequest], Awaitable[Response]]


class _Connections(Server):
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


class Port:
    """One socket that is listened on. `secure` None: HTTP, else HTTPS."""

    def __init__(self, listening: socket.socket, answer: Answer, secure: Certificate | None) -> None:
        self._listening = listening
        self._secure = secure
        self._connections = _Connections(answer)
        self._handshakes = Handshakes()
        self._open: dict[asyncio.Task[None], str] = {}

    def close(self) -> None:
        """Nobody can connect any more."""
        self._listening.close()

    async def serve(self) -> None:
        """Until cancelled; then nobody is answered any more."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, (address, *_) = await loop.sock_accept(self._listening)
                except OSError:  # they left already, or there are no file descriptors
                    await asyncio.sleep(1.0)
                    continue
                await asyncio.sleep(self._begin(connection, source_of(address)))
        finally:
            for task in (left := list(self._open)):
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _begin(self, connection: socket.socket, source: str) -> float:
        """Gives for how many seconds no other one begins."""
        loop = asyncio.get_running_loop()
        if self._secure is not None and not self._handshakes.admits(source, loop.time()):
            connection.close()
            return PACE_SECONDS
        if len(self._open) >= MOST_CONNECTIONS:
            dropped = list(self._open)[to_drop(list(self._open.values()))]
            del self._open[dropped]
            dropped.cancel()
        task = loop.create_task(self._answer(connection))
        self._open[task] = source
        task.add_done_callback(lambda done: self._open.pop(done, None))
        return PACE_SECONDS if self._secure is None else HANDSHAKE_PACE_SECONDS

    async def _answer(self, connection: socket.socket) -> None:
        context = self._secure.context if self._secure is not None else None
        if self._secure is not None and context is None:
            connection.close()
            return
        protocol, end = self._connections.begin()
        transport: asyncio.BaseTransport | None = None
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                loop = asyncio.get_running_loop()
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=context)
                await end.wait()
        except (OSError, TimeoutError):
            pass  # a stranger's fault
        finally:
            self._connections.forget(protocol)
            if isinstance(transport, asyncio.Transport):
                transport.abort()
            else:
                connection.close()


async def open_ports(listen: str, what: str, answer: Answer, secure: Certificate | None = None) -> list[Port]:
    """For each address that HOST has. `what`: of the metrics or of the health. Raises CannotListen."""
    host, _, number = listen.rpartition(":")
    ports: list[Port] = []
    try:
        loop = asyncio.get_running_loop()
        name = host.strip("[]") or None
        if not 0 <= int(number) < 65536:
            raise ValueError(f"{number} is no port")
        found = await loop.getaddrinfo(name, int(number), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            made = socket.create_server(address[:2], family=family, backlog=MOST_CONNECTIONS)
            made.setblocking(False)
            ports.append(Port(made, answer, secure))
    except (OSError, ValueError, OverflowError) as error:
        for port in ports:
            port.close()
        values = "metrics.address and metrics.port" if what == "metrics" else f"{what}.port"
        advice = f"give --{what}-listen another HOST:PORT; with the chart that is {values}"
        raise CannotListen(f"nobody can ask for {what} at {listen} ({error}): {advice}") from error
    return ports
