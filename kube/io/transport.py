"""Requests to the API server as bytes: connections, credentials, timeouts, and the two answers that mean "again".

Knows nothing of resources or objects (kube.io.client does). It sends a request again in two cases only, because in both
the server has done nothing with it: once after a 401, with the credentials read again, and after a 429, as long as the
server asked to wait. Everything else is the caller's decision.

A request that breaks or gets no answer says something of the other connections too: see kube.streams.
"""

import asyncio
import contextlib
import random
import ssl
import time
from asyncio import sslproto
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Self

from yarl import URL

from kube.config.io.credentials import Credentials
from kube.config.io.library import ApiClient, aiohttp
from kube.errors import ApiError, TooManyRequests, Unauthorized, Unreachable, error_from_response
from kube.io.connections import UNANSWERED_SECONDS, Connector
from kube.metrics import Metrics
from kube.streams import GIVEN_UP_SECONDS, Stream, Streams

REQUEST_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
BUSY_ATTEMPTS = 5  # sends in all when each answer is a 429
BUSY_WAIT_SECONDS = 1.0  # when a 429 says nothing
LONGEST_BUSY_WAIT_SECONDS = 30.0
CHUNK_BYTES = 65536

# asyncio gives each TLS connection a buffer of 256 KiB, used or not; a TLS record has 16. With 32 connections that is
# 7 MB of the 10.5 they took. There is no public setting.
TLS_BUFFER_BYTES = 65536
sslproto.SSLProtocol.max_size = min(TLS_BUFFER_BYTES, sslproto.SSLProtocol.max_size)


@dataclass(frozen=True, slots=True)
class Request:
    """`verb` and `resource` are for metrics; `path` carries the query. Urgent ones wait for no free connection."""

    verb: str
    resource: str
    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    timeout_seconds: float = REQUEST_TIMEOUT_SECONDS
    is_urgent: bool = False


class Transport:
    """At most `max_connections` requests at a time; streams and urgent requests are not counted."""

    def __init__(
        self,
        credentials: Credentials,
        user_agent: str,
        max_connections: int,
        metrics: Metrics,
        acts_as: str | None = None,
    ) -> None:
        self._credentials = credentials
        self.user_agent = user_agent
        self._acts_as = acts_as
        self._slots = asyncio.Semaphore(max_connections)
        self._metrics = metrics
        self._streams = Streams()
        self._again: asyncio.TimerHandle | None = None
        self._api = self._connections()
        self._transport_of_api = credentials.transport
        self._retired: ApiClient | None = None

    @classmethod
    async def open(
        cls,
        kubeconfig: str | None,
        user_agent: str,
        max_connections: int,
        metrics: Metrics,
        context: str | None = None,
        acts_as: str | None = None,
    ) -> Self:
        """Raises CredentialsError."""
        credentials = await Credentials.load(kubeconfig, time.monotonic(), context)
        return cls(credentials, user_agent, max_connections, metrics, acts_as)

    async def close(self) -> None:
        """End all connections. Idempotent."""
        if self._again is not None:
            self._again.cancel()
        for api in (self._api, self._retired):
            if api is not None:
                await api.close()

    async def send(self, request: Request) -> bytes:
        """The body of a 2xx answer; raises ApiError otherwise.

        The timeout is for each attempt and starts when the request goes out: waiting here for others times out nothing.
        """
        if request.is_urgent:
            return await self._attempt(request)
        async with self._slots:
            return await self._attempt(request)

    async def _attempt(self, request: Request) -> bytes:
        async with self._answered(request, request.timeout_seconds, None) as response:
            return await response.read()

    @contextlib.asynccontextmanager
    async def stream(
        self, request: Request, idle_seconds: float, pace_seconds: float = 0.0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a 2xx answer as it comes; Unreachable("Idle") when nothing comes for that long, and
        Unreachable("Doubted") when nothing came since another request was sent that got no answer. `pace_seconds`:
        nothing is read for so long after each chunk, so that what comes in between takes one turn and not many."""
        async with self._answered(request, None, idle_seconds) as response:
            with self._streams.opened(time.monotonic(), response.close) as stream:
                async with contextlib.aclosing(_chunks(response, stream, pace_seconds)) as chunks:
                    yield chunks

    @contextlib.asynccontextmanager
    async def _answered(
        self, request: Request, total: float | None, idle: float | None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=total, sock_connect=CONNECT_TIMEOUT_SECONDS, sock_read=idle)
        is_stream, began = total is None, time.monotonic()
        response = await self._accepted(request, timeout)
        try:
            with self._doubting(None if is_stream else began):
                yield response
        finally:
            response.close() if is_stream else response.release()

    @contextlib.contextmanager
    def _doubting(self, sent: float | None) -> Iterator[None]:
        """Errors of the connection as Unreachable. They are a reason to doubt the connections on which nothing came
        since, and so is a request that its caller gave up after a while. `sent` None: a stream; that may be left any
        time.
        """
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:
            self._doubt(time.monotonic() - UNANSWERED_SECONDS if sent is None else sent)
            raise _unreachable(error) from error
        except asyncio.CancelledError:
            if sent is not None and time.monotonic() - sent >= GIVEN_UP_SECONDS:
                self._doubt(sent)
            raise

    def _doubt(self, sent: float) -> None:
        now = time.monotonic()
        self._connector.drop_resting(now - sent)
        again_at = self._streams.doubt(sent, now)
        if again_at is not None and self._again is None:
            self._again = asyncio.get_running_loop().call_later(again_at - now, self._doubt_again, sent)

    def _doubt_again(self, sent: float) -> None:
        self._again = None
        self._doubt(sent)

    async def _accepted(self, request: Request, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """The response once it is a 2xx, after as many attempts as the rules at the top of this module allow."""
        may_renew = True
        for attempt in range(1, BUSY_ATTEMPTS + 2):
            authorization = await self._authorization()
            try:
                return await self._once(request, authorization, timeout)
            except TooManyRequests as error:
                if attempt >= BUSY_ATTEMPTS:
                    raise
                self._metrics.api_retry(request.resource, "TooManyRequests")
                await asyncio.sleep(_busy_wait(error, random.random()))
            except (Unauthorized, Unreachable) as error:
                if not may_renew or not await self._renewed(error, authorization):
                    raise
                self._metrics.api_retry(request.resource, "Unauthorized")
                may_renew = False
        raise AssertionError("the last attempt returns or raises")

    async def _authorization(self) -> str | None:
        now = time.monotonic()
        if self._credentials.is_due(now):
            await self._credentials.renew(now)
            await self._reconnect()
        return self._credentials.authorization

    async def _renewed(self, error: ApiError, authorization: str | None) -> bool:
        """Whether there is reason to send it again: other credentials, or another CA after a TLS failure."""
        if isinstance(error, Unreachable) and error.reason != "TLS":
            return False
        worth_it = await self._credentials.renew_after_refusal(authorization, time.monotonic())
        reconnected = await self._reconnect()
        return worth_it if isinstance(error, Unauthorized) else reconnected

    async def _once(
        self, request: Request, authorization: str | None, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        sent = time.monotonic()
        code = 0
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # on a cluster's network, unpacking costs more than it saves
            "Content-Type": request.content_type,
            "User-Agent": self.user_agent,
        }
        if authorization is not None:
            headers["Authorization"] = authorization
        if self._acts_as is not None:
            headers["Impersonate-User"] = self._acts_as
        url = URL(self._credentials.configuration.host + request.path, encoded=True)
        try:
            with self._doubting(sent):
                # A stream's own timeout bounds only its silence: its headers must come as quickly as any answer.
                async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS if timeout.total is None else None):
                    answer = await self._api.call_api(
                        request.method, url, headers, request.body, _request_timeout=timeout
                    )
                response: aiohttp.ClientResponse = answer.response
                code = response.status
                if not response.ok:
                    raise await self._refusal(response)
        finally:
            self._metrics.api_request(request.verb, request.resource, code, time.monotonic() - sent)
        return response

    async def _refusal(self, response: aiohttp.ClientResponse) -> ApiError:
        async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
            body = await response.read()
        retry_after = _retry_after(response.headers.get("Retry-After"))
        return error_from_response(response.status, body, retry_after, response.url.path)

    def _connections(self) -> ApiClient:
        configuration = self._credentials.configuration
        configuration.connection_pool_maxsize = 0  # no limit: the slots are the limit
        # trust_env would look into ~/.netrc for each request, in a thread: 0.12 ms of CPU become 0.45. What it is good
        # for, the proxy of the environment, kube.config.io.credentials has put into the configuration.
        configuration.client_session_kwargs = {"trust_env": False, "cookie_jar": aiohttp.DummyCookieJar()}
        api = ApiClient(configuration)
        self._connector = made = Connector(api.rest_client.ssl_context)
        # As the package advises; a class of our own in its place would load the certificates a second time.
        api.rest_client._create_connector = lambda: made
        return api

    async def _reconnect(self) -> bool:
        """New connections, if what they depend on has changed. Requests in flight end on the old ones."""
        if self._credentials.transport == self._transport_of_api:
            return False
        oldest, self._retired = self._retired, self._api
        self._api = self._connections()
        self._transport_of_api = self._credentials.transport
        if oldest is not None:
            await oldest.close()
        return True


async def _chunks(response: aiohttp.ClientResponse, stream: Stream, pace_seconds: float) -> AsyncGenerator[bytes, None]:
    try:
        while chunk := await response.content.read(CHUNK_BYTES):
            stream.heard = time.monotonic()
            yield chunk
            # A reader with a full buffer never suspends: others must get their turn while a long history is replayed.
            await asyncio.sleep(0)
            if pace_seconds:
                await _look_away(response, pace_seconds)
    except TimeoutError as error:
        raise Unreachable(0, "Idle", "nothing came in time, not even a bookmark") from error
    except aiohttp.ClientError as error:
        if stream.is_doubted:
            raise Unreachable(0, "Doubted", "nothing came while another request got no answer") from error
        raise


async def _look_away(response: aiohttp.ClientResponse, seconds: float) -> None:
    """What comes meanwhile waits in the kernel, and wakes nobody. A connection that ended has nothing to wait for."""
    transport = response.connection.transport if response.connection is not None else None
    if transport is None or transport.is_closing() or not isinstance(transport, asyncio.ReadTransport):
        return
    transport.pause_reading()
    try:
        await asyncio.sleep(seconds)
    finally:
        if not transport.is_closing():
            transport.resume_reading()


def _busy_wait(error: TooManyRequests, randomness: float) -> float:
    asked = error.retry_after_seconds or BUSY_WAIT_SECONDS
    # Later than asked, never sooner, and not all at the same moment.
    return min(LONGEST_BUSY_WAIT_SECONDS, asked * (1.0 + 0.25 * randomness))


def _retry_after(header: str | None) -> float | None:
    """RFC 9110 §10.2.3, of which API servers use the form in seconds only."""
    return float(header) if header is not None and header.isdecimal() else None


def _unreachable(error: Exception) -> Unreachable:
    kinds = (error, error.__cause__, getattr(error, "os_error", None))
    match error:
        case _ if any(isinstance(kind, ssl.SSLError | ssl.CertificateError) for kind in kinds):
            reason = "TLS"
        case TimeoutError():
            reason = "Timeout"
        case aiohttp.ClientConnectorError():
            reason = "ConnectFailed"
        case _:
            reason = "Broken"
    return Unreachable(0, reason, str(error) or type(error).__name__)
