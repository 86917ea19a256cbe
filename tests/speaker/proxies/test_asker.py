"""Asking proxies: against real sockets, which answer in every way there is."""

import asyncio
import contextlib

import pytest

from speaker.proxies.io.asker import MOST_LINE_BYTES, ProxyAsker, ask
from speaker.proxies.questions import Answer, Question

pytestmark = pytest.mark.asyncio

LOCALHOST = "127.0.0.1"


@contextlib.asynccontextmanager
async def listening(says: bytes | None, *, host: str = LOCALHOST):
    """`says`: None = nothing, ever. Gives the question, and what was asked so far."""
    asked = []

    async def answer(reader, writer):
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if says is None:
                await reader.read()
            else:
                writer.write(says)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(answer, host, 0) as server:
        yield Question(host, server.sockets[0].getsockname()[1]), asked


@pytest.mark.parametrize(
    ("says", "answer"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"localEndpoints": 1}', Answer.READY),
        (b"HTTP/1.0 200 OK\r\n\r\n", Answer.READY),
        (b'HTTP/1.1 503 Service Unavailable\r\n\r\n{"localEndpoints": 0}', Answer.NOT_READY),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Answer.NOT_READY),
        (b"SSH-2.0-OpenSSH_9.2 200\r\n", Answer.NOT_READY),
        (b"200\r\n", Answer.NOT_READY),
        (b"", Answer.NOT_READY),
        (b"x" * 10 * MOST_LINE_BYTES, Answer.NOT_READY),
        (None, Answer.NOT_READY),
    ],
)
async def test_the_status_alone_is_believed(says, answer) -> None:
    async with listening(says) as (question, asked):
        assert await ask(question) is answer
        assert asked[0].startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_over_ipv6_too() -> None:
    async with listening(b"HTTP/1.1 200 OK\r\n\r\n", host="::1") as (question, asked):
        assert await ask(question) is Answer.READY
        assert f"Host: [::1]:{question.port}".encode() in asked[0]


async def test_where_nothing_listens_the_question_is_refused() -> None:
    async with listening(b"") as (question, _):
        pass
    assert await ask(question) is Answer.REFUSED


async def test_it_asks_again_and_again_until_the_question_is_taken_back() -> None:
    answers: asyncio.Queue = asyncio.Queue()
    asker = ProxyAsker(answers.put_nowait)
    running = asyncio.create_task(asker.run())
    async with listening(b"HTTP/1.1 503 No\r\n\r\n") as (question, asked), asyncio.timeout(10):
        asker.want(frozenset((question,)))
        for _ in range(3):
            assert (await answers.get()) == (question, Answer.NOT_READY)
        asker.want(frozenset())
        await asyncio.sleep(0.3)
        count = len(asked)
        await asyncio.sleep(0.3)
        assert len(asked) == count
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
