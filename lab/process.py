"""Child processes by name: start, freeze, kill, stop, with what they print kept in a file.

A child never outlives the thread that started it (PR_SET_PDEATHSIG), so a lab that is killed leaves nothing running.
Restarting is the caller's decision; nothing here watches.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Protocol

ORPHANS_END = 'test "$PPID" = "$0" || exit 1; exec "$@"'
r"""For `sh -c`, with our process id as \$0: a child whose parent died before prctl(2) took effect ends at once."""

STOP_SECONDS = 10.0
TAIL_LINES = 15


class ProcessDied(RuntimeError):
    """A process that should run has ended; the message carries the last lines it wrote."""


class State(Enum):
    RUNNING = "running"
    FROZEN = "frozen"
    ENDED = "ended"


class Process:
    """One child with its own process group, so that signals reach its children too (a speaker's wire process).

    `enter` leads elsewhere and then executes the rest, as netns.NamespaceHandle.enter does: the process id stays the
    same.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        enter: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        privileges: Sequence[str] = (),
    ) -> None:
        """`enter`: words in front. `privileges`: further options of setpriv(1), e.g. a smaller bounding set."""
        self.name = name
        self.command = tuple(command)
        self.log_path = log_path
        self._enter = [*enter, "setpriv", "--pdeathsig=KILL", *privileges, "--", "sh", "-c", ORPHANS_END]
        self._environment = dict(environment) if environment is not None else None
        self._pass_fds = tuple(pass_fds)
        self._child: subprocess.Popen[bytes] | None = None
        self._frozen = False

    @property
    def pid(self) -> int:
        """Of the last start. Raises when it was never started."""
        return self._running().pid

    @property
    def was_started(self) -> bool:
        return self._child is not None

    @property
    def state(self) -> State:
        if self._child is None or self._child.poll() is not None:
            return State.ENDED
        return State.FROZEN if self._frozen else State.RUNNING

    @property
    def returncode(self) -> int | None:
        """None while it runs, or was never started; negative = the signal that ended it."""
        return None if self._child is None else self._child.poll()

    def start(self) -> None:
        """Start it, again if it has ended. Its log is added to, never cut."""
        if self.state is not State.ENDED:
            raise RuntimeError(f"{self.name} runs already")
        self._frozen = False
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                [*self._enter, str(os.getpid()), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                pass_fds=self._pass_fds,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """To the process and its children alike. One that has ended is left alone."""
        if self.state is not State.ENDED:
            os.killpg(self.pid, number)

    def freeze(self) -> None:
        """As a machine that hangs: it is there, holds its sockets, and does nothing."""
        self.signal(signal.SIGSTOP)
        self._frozen = True

    def resume(self) -> None:
        self.signal(signal.SIGCONT)
        self._frozen = False

    def kill(self) -> None:
        """SIGKILL to it and its children, and wait for the end: no time to say goodbye."""
        self.signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(timeout=STOP_SECONDS)

    def interrupt(self) -> int | None:
        """SIGINT, as by Ctrl-C, and wait for the end."""
        self.signal(signal.SIGINT)
        return None if self._child is None else self._child.wait(timeout=STOP_SECONDS)

    def ask_to_stop(self) -> None:
        """SIGTERM to the process alone. One that was never started, or has ended, is left alone."""
        if self.state is State.FROZEN:
            self.resume()
        if self._child is not None:
            self._child.terminate()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> int | None:
        """SIGTERM to the process alone, time to end cleanly, then SIGKILL to all of it. Gives the exit code."""
        if self._child is None:
            return None
        self.ask_to_stop()
        try:
            self._child.wait(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._child.returncode

    def require_running(self) -> None:
        if self.state is State.ENDED:
            raise ProcessDied(f"{self.name} ended with {self.returncode}; its last words:\n{self.tail()}")

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The end of its log."""
        if not self.log_path.exists():
            return "(it wrote nothing)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._child


class Starter(Protocol):
    """Starts a command under a name on a host of the lab (None = its hub), and keeps it."""

    def __call__(
        self,
        name: str,
        host: str | None,
        command: Sequence[str],
        *,
        pass_fds: Sequence[int] = (),
        privileges: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Process: ...


def python(module: str) -> list[str]:
    """A module of ours as a command."""
    return [sys.executable, "-m", module]
