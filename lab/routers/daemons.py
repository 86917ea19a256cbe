"""Where a router's programs run, and their processes: what BIRD, FRR and GoBGP have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.net.netns import run_in
from lab.net.segment import Namespace
from lab.process import Process

RUN_SECONDS = 20.0

Starter = Callable[[str, Sequence[str]], Process]
"""Starts a command under a name, and keeps it."""


@dataclass(frozen=True)
class Site:
    """A network namespace for one router, and a folder of its own for configuration, control sockets and logs.

    `enter`: words that lead there when they stand before a command. `name` begins the names of its processes.
    """

    name: str
    directory: Path
    enter: tuple[str, ...]
    start: Starter

    def run(self, *command: str, stdin: str | None = None, check: bool = True) -> str:
        """A command, to its end; gives what it printed. With `check`, a failure raises CommandFailed."""
        done = run_in(self.enter, command, self.name, stdin=stdin, check=check, timeout_seconds=RUN_SECONDS)
        return done.stdout

    def path(self, name: str) -> str:
        return str(self.directory / name)


def site_in(namespace: Namespace, directory: Path) -> Site:
    """A site outside any lab: the namespace, and `directory`, which is made here and open to other users."""
    directory.mkdir(parents=True)
    directory.chmod(0o777)

    def start(name: str, command: Sequence[str]) -> Process:
        process = Process(name, command, log_path=directory / f"{name}.log", enter=namespace.prefix)
        process.start()
        return process

    return Site("router", directory, tuple(namespace.prefix), start)


class Daemons:
    """The processes of one router. `with` ends them, as `kill` does."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.processes: list[Process] = []

    def launch(self, name: str, command: Sequence[str]) -> Process:
        """Start one of them, again if it has ended."""
        for process in self.processes:
            if process.name == name:
                process.start()
                return process
        self.processes.append(self.site.start(name, command))
        return self.processes[-1]

    def kill(self) -> None:
        """SIGKILL: its connections end without a word of BGP."""
        for process in self.processes:
            process.kill()

    def freeze(self) -> None:
        """It holds its connections, and does nothing."""
        for process in self.processes:
            process.freeze()

    def resume(self) -> None:
        for process in self.processes:
            process.resume()

    def require_running(self) -> None:
        """Raises ProcessDied when one of them has ended."""
        for process in self.processes:
            process.require_running()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
