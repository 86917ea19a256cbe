"""One ExaBGP process and its three pipes: starts it, writes lines, hands on what it says, ends it.

Decides nothing. Whoever loses a pipe has lost the process: it is killed then, since nobody announces without somebody
in control. It dies with the agent (PR_SET_PDEATHSIG). All three pipes are ours: what somebody else still holds open
can't keep them open here.
"""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.config import configuration
from speaker.bgp.exabgp.io.forker import Forked, Forker, ForkerError
from speaker.bgp.model import PeerConfig

START_SECONDS = 30.0
"""An interpreter that starts on a busy machine."""
POLL_SECONDS = 0.01
REST_SECONDS = 0.5
"""What it said before its end is read for no longer than this."""
MAX_LINE_BYTES = 1 << 20
MAX_WORDS = 200
"""What is kept and logged of a line that it says on stderr."""
log = structlog.get_logger()


class ExaBgpError(Exception):
    """ExaBGP could not be started; the message says why."""


class ExaBgpProcess:
    """`on_event` is called for each event in order; `on_lost` when the process or a pipe to it is gone (more than
    once)."""

    def __init__(
        self,
        directory: Path,
        *,
        on_event: Callable[[events.Event], None],
        on_lost: Callable[[], None],
        forker: Forker,
    ) -> None:
        self._directory = directory
        self._on_event = on_event
        self._on_lost = on_lost
        self._forker = forker
        self._process: Forked | None = None
        self._lines: asyncio.WriteTransport | None = None
        self._reading: asyncio.ReadTransport | None = None
        self._words: asyncio.ReadTransport | None = None
        self._watching: asyncio.Task[None] | None = None
        self._last_words = ""
        self._is_lost = False
        self._is_read = asyncio.Event()
        self._are_words_read = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """While there is a process, or was one."""
        return self._process.pid if self._process else None

    @property
    def is_lost(self) -> bool:
        return self._is_lost

    async def start(self, peer: PeerConfig) -> None:
        """Until it takes lines. Raises ExaBgpError or ConfigError; then nothing is left running."""
        commands_path, events_path = self._directory / "commands", self._directory / "events"
        text = configuration(peer, commands_path=str(commands_path), events_path=str(events_path))
        try:
            self._prepare(text, commands_path, events_path)
            async with asyncio.timeout(START_SECONDS):
                await self._open_events(events_path)
                await self._spawn()
                await self._open_commands(commands_path)
        except (TimeoutError, OSError, ForkerError) as error:
            await self.kill()
            raise ExaBgpError(self._last_words or str(error) or "ExaBGP did not start in time") from error
        except BaseException:
            await self.kill()
            raise

    def write(self, lines: Iterable[str]) -> None:
        """Never blocks: what the pipe does not take at once waits here. Callers bound how many lines are unanswered."""
        if self._lines is not None and not self._is_lost:
            self._lines.write("".join(f"{line}\n" for line in lines).encode("ascii"))

    async def kill(self) -> str:
        """SIGKILL, also when it is frozen. Its connections are closed without a word. The events that it wrote before
        are read to the last. Returns its last words."""
        try:
            if self._process is not None:
                self._kill_group(self._process.pid)
                await self._process.wait()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._is_read.wait(), REST_SECONDS)
        finally:  # also when its caller is cancelled meanwhile
            await self._close()
        return self._last_words

    def _prepare(self, text: str, *pipes: Path) -> None:
        for directory in (self._directory.parent, self._directory):  # `parents` would make these for all to read
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for pipe in pipes:
            pipe.unlink(missing_ok=True)
            os.mkfifo(pipe, 0o600)
        path = self._directory / "exabgp.conf"
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)

    async def _open_events(self, path: Path) -> None:
        """First: without a reader it would wait."""
        pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._reading = await _reading(pipe, _Reader(self._on_line, self._lose, self._is_read))

    async def _spawn(self) -> None:
        ours, its = os.pipe()
        try:
            self._words = await _reading(ours, _Reader(self._on_words, self._lose, self._are_words_read))
            self._process = await self._forker.fork(self._directory / "exabgp.conf", its)
        finally:
            os.close(its)
        self._watching = asyncio.create_task(self._watch(self._process))

    async def _open_commands(self, path: Path) -> None:
        """When it has opened its end: ENXIO until then, and ExaBGP may never get there."""
        while True:
            if self._is_lost:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._are_words_read.wait(), REST_SECONDS)
                raise OSError(self._last_words or "ExaBGP ended at once")
            try:
                pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            await asyncio.sleep(POLL_SECONDS)
        file = os.fdopen(pipe, "wb", buffering=0)
        self._lines, _ = await asyncio.get_running_loop().connect_write_pipe(lambda: _Writer(self._lose), file)

    async def _watch(self, process: Forked) -> None:
        await process.wait()
        self._lose()

    def _lose(self) -> None:
        self._is_lost = True
        self._on_lost()

    def _on_line(self, line: bytes) -> None:
        event = events.parse(line)
        if event is not None:
            self._on_event(event)

    def _on_words(self, line: bytes) -> None:
        if words := line.decode(errors="replace").strip():
            self._last_words = words[:MAX_WORDS]
            log.debug("exabgp", directory=self._directory.name, words=self._last_words)

    async def _close(self) -> None:
        self._is_lost = True
        for transport in (self._reading, self._words):
            if transport is not None:
                transport.close()
        if self._lines is not None and not self._lines.is_closing():  # it can't be aborted once it is lost
            self._lines.abort()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        if self._process is not None:  # again, for a caller that was cancelled
            await self._process.wait()

    @staticmethod
    def _kill_group(group: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


class _Reader(asyncio.Protocol):
    """`lost()` also when a line is too long. `is_read` is set at the end of the pipe."""

    def __init__(self, on_line: Callable[[bytes], None], lost: Callable[[], None], is_read: asyncio.Event) -> None:
        self._on_line = on_line
        self._lost = lost
        self._is_read = is_read
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line)
        if len(self._rest) > MAX_LINE_BYTES:
            self._lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_read.set()
        self._lost()


class _Writer(asyncio.BaseProtocol):
    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()


async def _reading(pipe: int, reader: _Reader) -> asyncio.ReadTransport:
    file = os.fdopen(pipe, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: reader, file)
    return transport
