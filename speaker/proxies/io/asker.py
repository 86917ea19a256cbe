"""Asks nodes' proxies at healthCheckNodePorts, as load balancers outside of a cluster do, and tells what they say.

Nothing of an answer but the status is believed, and nothing else is read. What is asked, and for how long, is
speaker.proxies.readiness's to decide.
"""

import asyncio
from collections.abc import Callable
from itertools import islice

from speaker.proxies.questions import Answer, ProxyAnswered, Question

PAUSE_SECONDS = 0.1
"""Between two questions at one port."""
MOST_A_SECOND = 200
"""Questions, of all ports together: more ports are asked less often. One takes about half a millisecond."""
MOST_AT_A_TIME = 64
"""Ports that are asked; the others wait for their turn."""
PATIENCE_SECONDS = 0.5
"""For one answer: proxies have it ready."""
MOST_LINE_BYTES = 1024
"""Of the status line."""


class ProxyAsker:
    """`run` it once; `want` says what to ask."""

    def __init__(self, tell: Callable[[ProxyAnswered], None]) -> None:
        self._tell = tell
        self._wanted: frozenset[Question] = frozenset()
        self._has_changed = asyncio.Event()

    def want(self, questions: frozenset[Question]) -> None:
        """Ask these, and no others, until told otherwise."""
        if questions is not self._wanted and questions != self._wanted:
            self._wanted = questions
            self._has_changed.set()

    async def run(self) -> None:
        """Forever."""
        asking: dict[Question, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                await self._has_changed.wait()
                self._has_changed.clear()
                for question in asking.keys() - self._wanted:
                    asking.pop(question).cancel()
                waiting = sorted(self._wanted - asking.keys())
                for question in islice(waiting, MOST_AT_A_TIME - len(asking)):
                    asking[question] = group.create_task(self._ask(question))

    async def _ask(self, question: Question) -> None:
        while True:
            self._tell(ProxyAnswered(question, await ask(question)))
            await asyncio.sleep(max(PAUSE_SECONDS, len(self._wanted) / MOST_A_SECOND))


async def ask(question: Question) -> Answer:
    """One question. Never raises."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            reader, writer = await asyncio.open_connection(question.host, question.port, limit=MOST_LINE_BYTES)
            try:
                return await _status(question, reader, writer)
            finally:
                writer.transport.abort()
    except TimeoutError:
        return Answer.NOT_READY
    except OSError:
        return Answer.REFUSED


async def _status(question: Question, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    """RFC 9112 §3 and §4. What ends or breaks after the connection stands is an answer, too: something listens."""
    host = f"[{question.host}]" if ":" in question.host else question.host
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}:{question.port}\r\nConnection: close\r\n\r\n".encode())
    try:
        version, status, *_ = (await reader.readline()).split(maxsplit=2)
    except (ValueError, OSError):  # too long, too short, or cut off
        return Answer.NOT_READY
    return Answer.READY if version.startswith(b"HTTP/1.") and status == b"200" else Answer.NOT_READY
