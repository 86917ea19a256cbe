"""The process that has ExaBGP loaded, and forks one for each session: what is loaded is in memory once.

Decides nothing. A forked process is the agent's own child (PR_SET_CHILD_SUBREAPER), so it dies with the agent, and not
with this process: when that is gone the sessions go on, and the next one starts another.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

PACKAGE_ROOT = Path(__file__).resolve().parents[4]
PARENT = "BERTH_BGP_PARENT"
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MAX_ANSWER_BYTES = 64
CLOSE_SECONDS = 2.0
"""How long a fork that is under way is waited for, at the end."""

SETTINGS = {
    "exabgp_bgp_openwait": "20",
    "exabgp_api_ack": "true",
    "exabgp_api_cli": "false",
    "exabgp_api_respawn": "false",
    "exabgp_api_terminate": "true",
    "exabgp_daemon_drop": "false",
    "exabgp_daemon_user": "root",  # if we are: else it would become another user, and lose what rights we have
    "exabgp_log_destination": "stderr",
    "exabgp_log_level": "WARNING",
    "exabgp_log_short": "true",
    # Its loop turns ten times a second when nothing happens, not a hundred times: 0.2% of a core instead of 1.7. What
    # comes from us or from the router wakes it at once.
    "exabgp_reactor_speed": "10",
    "exabgp_tcp_bind": "",
}


class ForkerError(Exception):
    """No process could be had; the message says why."""


class Forked:
    """A child of ours that another process forked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._has_ended = asyncio.Event()
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._ended)

    async def wait(self) -> None:
        """Until it has ended. It is buried then."""
        await self._has_ended.wait()

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._has_ended.set()


class Forker:
    """Started with the first session, and again when it has ended. `prefix`: words before its command."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._asking = asyncio.Lock()

    async def fork(self, configuration: Path, stderr: int) -> Forked:
        """A process with that configuration, which says its words there. Raises ForkerError or OSError. Cancelled, it
        leaves none behind."""
        asking = asyncio.ensure_future(self._fork(configuration, stderr))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(_end)
            raise

    async def close(self) -> None:
        """What was forked goes on. A fork that is under way is waited for: else nobody would know of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS), self._asking:
                pass
        await self._end_loader()

    async def _end_loader(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def _fork(self, configuration: Path, stderr: int) -> Forked:
        words = os.dup(stderr)
        try:
            async with self._asking:
                connection = self._socket
                if connection is None or self._process is None or self._process.returncode is not None:
                    await self._end_loader()
                    connection = await self._start()
                socket.send_fds(connection, [str(configuration).encode()], [words])
                answer = await asyncio.get_running_loop().sock_recv(connection, MAX_ANSWER_BYTES)
                if not answer.isdigit():
                    await self._end_loader()
                    raise ForkerError("ExaBGP could not be loaded, or forked")
                return Forked(int(answer))
        finally:
            os.close(words)

    async def _start(self) -> socket.socket:
        if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1):
            raise ForkerError("this process can't take up what others fork")
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().startswith("exabgp")},
            **SETTINGS,
            PARENT: str(os.getpid()),
            "PYTHONPATH": str(PACKAGE_ROOT),
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._prefix,
                sys.executable,
                "-m",
                "speaker.bgp.exabgp.io.main",
                stdin=its.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=None,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        self._socket = ours
        return ours


def _end(asked: "asyncio.Future[Forked]") -> None:
    """Nobody wants it any more."""
    if not asked.cancelled() and asked.exception() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(asked.result().pid, signal.SIGKILL)
