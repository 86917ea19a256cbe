"""What lies between one process and the API server: latency, lags, cuts in either direction, lost answers, late writes.

In the place of kube.io.transport.Transport, below the real kube.io.client.Client. The doubt about streams, of which
that one makes much, is the real one (kube.streams).
"""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from kube.errors import TooManyRequests, Unreachable, error_from_response
from kube.io.transport import Request
from kube.streams import GIVEN_UP_SECONDS, Streams
from tests.sim.api import Api, Refused, target_of
from tests.sim.clocks import ProcessLoop, World

QUICK_SECONDS = 0.004
"""One way, as a rule."""
BOOKMARK_SECONDS = 55.0
CONNECT_FAILED_SECONDS = 0.02
SYN_SECONDS = (1.0, 2.0, 2.0)
"""Then a connection is given up (kube.io.transport.CONNECT_TIMEOUT_SECONDS)."""
BUSY_ATTEMPTS = 5


@dataclass
class Link:
    """The way from one machine to the API server and back. `requests_pass`, `answers_pass`: whether what is sent
    arrives. `refuses`: a cut is noticed at once, as where nobody listens; else there is silence. `latency`, `back`: of
    what is sent, and of answers. `lag_seconds`: by how much watches are behind. `unlisted`: kinds of which it gets no
    list. The chances are those of one request: `lost` (nothing arrives), `unheard` (the answer gets lost), `late` (it
    arrives seconds later, after its sender gave up perhaps), `late-write` (the same, of a write alone), `busy` (429),
    `failing` (500, and nothing was done), `lying` (500, and it was done)."""

    world: World
    api: Api
    rng: random.Random
    requests_pass: bool = True
    answers_pass: bool = True
    refuses: bool = False
    latency: float = QUICK_SECONDS
    back: float = QUICK_SECONDS
    lag_seconds: float = 0.0
    chances: dict[str, float] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    on_heal: list[Callable[[], None]] = field(default_factory=list)

    @property
    def is_up(self) -> bool:
        return self.requests_pass and self.answers_pass

    def cut(self, *, requests: bool = True, answers: bool = True, refuses: bool = False) -> None:
        self.requests_pass, self.answers_pass, self.refuses = not requests, not answers, refuses

    def heal(self) -> None:
        self.requests_pass = self.answers_pass = True
        self.refuses = False
        for told in list(self.on_heal):
            told()

    def delay(self) -> float:
        """From now, of what is sent now."""
        return self._drawn(self.latency)

    def delay_back(self) -> float:
        """The same of an answer."""
        return self._drawn(self.back)

    def _drawn(self, latency: float) -> float:
        now = self.world.now
        return self.world.slot(now + latency * (0.5 + self.rng.random())) - now

    def fate(self) -> str:
        """What becomes of one request; "" = nothing special."""
        if self.chances:
            drawn = self.rng.random()
            for what, chance in self.chances.items():
                if drawn < chance:
                    return what
                drawn -= chance
        return ""


class Unanswered(Exception):
    """No answer came."""


class SimTransport:
    """Of one process."""

    def __init__(self, link: Link, loop: ProcessLoop, user_agent: str) -> None:
        self.user_agent = user_agent
        self._link, self._loop = link, loop
        self._api, self._world = link.api, link.world
        self._streams = Streams()
        self._again: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Nothing is held."""

    async def send(self, request: Request) -> bytes:
        for attempt in range(1, BUSY_ATTEMPTS + 1):
            try:
                return await self._once(request)
            except TooManyRequests:
                if attempt == BUSY_ATTEMPTS:
                    raise
            await asyncio.sleep(1.0 + 0.25 * random.random())
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, request: Request) -> bytes:
        sent = time.monotonic()
        answered = self._loop.create_future()
        self._dispatch(request, answered)
        try:
            code, body = await answered
        except asyncio.CancelledError:
            if time.monotonic() - sent >= GIVEN_UP_SECONDS:
                self._doubt(sent)
            raise
        if code == 0:
            self._doubt(sent)
            raise Unreachable(0, body.decode(), "no answer")
        if code >= 300:
            raise error_from_response(code, body, None, request.path)
        return body

    # ---- the way there and back

    def _dispatch(self, request: Request, answered: "asyncio.Future[tuple[int, bytes]]") -> None:
        link, world = self._link, self._world
        if self._loop.is_dead:
            return  # or what Python makes of a leader's coroutines would give its Lease back
        if not link.requests_pass:
            self._fail(request, answered, at_once=link.refuses)
            return
        fate = link.fate()
        if fate == "late-write":
            fate = "" if request.method == "GET" else "late"
        match fate:
            case "lost":
                self._fail(request, answered, at_once=False)
            case "busy":
                world.after(
                    link.delay() + link.latency,
                    self._tell,
                    answered,
                    429,
                    Refused(429, "TooManyRequests", "busy").body(),
                )
            case "failing":
                world.after(link.delay() + link.latency, self._tell, answered, 500, b"{}")
            case "late":
                self._fail(request, answered, at_once=False)
                world.after(0.5 + link.rng.random() * 14, self._arrive, request, answered, fate)
            case _:
                if fate == "unheard":
                    self._fail(request, answered, at_once=link.rng.random() < 0.5)
                world.after(link.delay(), self._arrive, request, answered, fate)

    def _fail(self, request: Request, answered: "asyncio.Future[tuple[int, bytes]]", *, at_once: bool) -> None:
        """Nothing comes back: the connection breaks at once, or the sender waits until it gives up."""
        why = b"Broken" if at_once else b"Timeout"
        after = CONNECT_FAILED_SECONDS + 3 * self._link.latency if at_once else request.timeout_seconds
        self._world.after(after, self._tell, answered, 0, why)

    def _arrive(self, request: Request, answered: "asyncio.Future[tuple[int, bytes]]", fate: str) -> None:
        link = self._link
        if not link.requests_pass:
            if fate in ("", "lying"):  # of the others its sender gives up already
                self._fail(request, answered, at_once=False)
            return
        try:
            code, body = 200, self._answer(request)
        except Refused as refused:
            code, body = refused.code, refused.body()
        if fate == "lying":
            code, body = 500, b"{}"
        if not link.answers_pass:
            self._fail(request, answered, at_once=False)
        elif fate != "unheard":
            self._world.after(link.delay_back(), self._tell, answered, code, body)

    def _answer(self, request: Request) -> bytes:
        """Raises Refused."""
        target = target_of(request.path.partition("?")[0])
        if request.method == "GET" and not target.name and target.plural in self._link.unlisted:
            raise Refused(403, "Forbidden", f"cannot list {target.plural}")
        return self._api.answer(request.method, request.path, request.body)

    def _tell(self, answered: "asyncio.Future[tuple[int, bytes]]", code: int, body: bytes) -> None:
        if not self._loop.is_dead and not answered.done():
            self._loop.call_soon(_resolve, answered, (code, body))

    # ---- streams

    @contextlib.asynccontextmanager
    async def stream(
        self, request: Request, idle_seconds: float, pace_seconds: float = 0.0
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        reader = await self._open(request, idle_seconds)
        try:
            with self._streams.opened(time.monotonic(), reader.break_off) as stream:
                async with contextlib.aclosing(self._chunks(reader, stream, pace_seconds)) as chunks:
                    yield chunks
        finally:
            reader.close()

    async def _open(self, request: Request, idle_seconds: float) -> "_Reader":
        """A round trip."""
        probe = Request("get", request.resource, "WATCH", request.path)
        answered = self._loop.create_future()
        reader = _Reader(self._link, self._loop, request.path, idle_seconds)
        self._connect(probe, reader, answered, SYN_SECONDS)
        sent = time.monotonic()
        code, body = await answered
        if code == 0:
            self._doubt(sent)
            raise Unreachable(0, body.decode(), "no answer")
        if code >= 300:
            raise error_from_response(code, body, None, request.path)
        return reader

    def _connect(
        self,
        probe: Request,
        reader: "_Reader",
        answered: "asyncio.Future[tuple[int, bytes]]",
        again: tuple[float, ...],
    ) -> None:
        """`again`: after how many seconds each TCP sends its SYN once more."""
        link, world = self._link, self._world
        if link.is_up:
            world.after(link.delay() + link.latency, self._start, reader, answered)
        elif link.refuses or not again:
            self._fail(probe, answered, at_once=True)
        else:
            world.after(again[0], self._connect, probe, reader, answered, again[1:])

    def _start(self, reader: "_Reader", answered: "asyncio.Future[tuple[int, bytes]]") -> None:
        if self._loop.is_dead:
            return
        try:
            reader.start(self._api)
        except Refused as refused:
            self._tell(answered, refused.code, refused.body())
        else:
            self._tell(answered, 200, b"")

    async def _chunks(self, reader: "_Reader", stream: Any, pace_seconds: float) -> AsyncGenerator[bytes, None]:
        while (chunk := await reader.read()) is not None:
            stream.heard = time.monotonic()
            yield chunk
            if pace_seconds:
                await asyncio.sleep(pace_seconds)
        if stream.is_doubted:
            raise Unreachable(0, "Doubted", "nothing came while another request got no answer")
        raise Unreachable(0, reader.why, "the stream broke")

    def _doubt(self, sent: float) -> None:
        now = time.monotonic()
        again_at = self._streams.doubt(sent, now)
        if again_at is not None and self._again is None:
            self._again = self._loop.call_later(again_at - now, self._doubt_again, sent)

    def _doubt_again(self, sent: float) -> None:
        self._again = None
        self._doubt(sent)


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


class _Reader:
    """The client's end of a watch. Lines come in their order, however late."""

    def __init__(self, link: Link, loop: ProcessLoop, path: str, idle_seconds: float) -> None:
        self._link, self._loop, self._path = link, loop, path
        self._idle_seconds = idle_seconds
        self._lines: deque[bytes] = deque()
        self._on_way: deque[bytes] = deque()
        self._arrives_at = 0.0
        self._waiting: asyncio.Future[None] | None = None
        self._is_broken = False
        self._is_closed = False
        self._is_deaf = False
        self._heard_at = 0.0
        self._watch: Any = None
        self.why = "Broken"

    def start(self, api: Api) -> None:
        self._api = api
        self._watch = api.watch(self._path, self._send)
        self._link.on_heal.append(self._healed)
        self._heard_at = self._link.world.now
        self._link.world.after(BOOKMARK_SECONDS, self._remind)
        self._link.world.after(self._idle_seconds, self._look_whether_idle)

    def close(self) -> None:
        if self._watch is not None and not self._is_closed:
            self._is_closed = True
            self._watch.close()
            self._link.on_heal.remove(self._healed)

    def hears_of(self, plural: str, loop: ProcessLoop) -> bool:
        """Whether that process has what happens to these objects by it."""
        is_open = not self._is_closed and not self._is_broken
        return is_open and self._loop is loop and target_of(self._path.partition("?")[0]).plural == plural

    def break_off(self) -> None:
        """Its reader sees it end."""
        self._is_broken = True
        self._wake()

    def lose_state(self) -> None:
        """A firewall forgets the connection: nothing comes any more, and nobody says so."""
        self._is_deaf = True
        self._on_way.clear()

    async def read(self) -> bytes | None:
        """What has come; None = it ended."""
        while not self._lines and not self._is_broken:
            self._waiting = self._loop.create_future()
            await self._waiting
        if not self._lines:
            return None
        chunk = b"".join(self._lines)
        self._lines.clear()
        return chunk

    def _send(self, line: bytes) -> None:
        """In order: nothing overtakes what was sent before."""
        link = self._link
        if self._is_deaf:
            return
        self._on_way.append(line)
        self._arrives_at = max(self._arrives_at, link.world.now + link.delay() + link.lag_seconds)
        link.world.at(self._arrives_at, self._arrive)

    def _arrive(self) -> None:
        """TCP sends it again while the way is cut."""
        link = self._link
        if self._is_closed or not self._on_way:
            return
        if not link.answers_pass:
            return  # with `_healed`
        self._lines.append(self._on_way.popleft())
        self._heard_at = link.world.now
        self._wake()

    def _healed(self) -> None:
        if self._on_way and self._link.rng.random() < 0.5:
            self.break_off()
            return
        while self._on_way:
            self._lines.append(self._on_way.popleft())
        self._wake()

    def _remind(self) -> None:
        if not self._is_closed and not self._loop.is_dead:
            self._send(self._api.bookmark(""))
            self._link.world.after(BOOKMARK_SECONDS, self._remind)

    def _look_whether_idle(self) -> None:
        if self._is_closed or self._loop.is_dead:
            return
        due = self._heard_at + self._idle_seconds
        if due <= self._link.world.now + 1e-6:
            self.why = "Idle"
            self.break_off()
        else:
            self._link.world.at(due, self._look_whether_idle)

    def _wake(self) -> None:
        if self._waiting is not None and not self._loop.is_dead and not self._waiting.done():
            self._loop.call_soon(_resolve, self._waiting, None)
