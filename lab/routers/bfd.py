"""BFD speakers as peers outside any lab: BIRD, and FRR's bfdd, each in a network namespace and without BGP."""

import shutil
from pathlib import Path
from typing import Any, Protocol

from lab.net.segment import Namespace
from lab.process import Process
from lab.routers.bird import BirdDaemon
from lab.routers.daemons import site_in
from lab.routers.frr import PROGRAMS, FrrDaemons


class Router(Protocol):
    """What both can do."""

    @property
    def processes(self) -> list[Process]: ...

    def is_up(self, address: str) -> bool:
        """Whether its session with that peer is up."""

    def kill(self) -> None: ...


class Bird(BirdDaemon):
    """`protocol` is the body of the bfd protocol in bird.conf."""

    def __init__(self, host: Namespace, folder: Path, protocol: str) -> None:
        super().__init__(site_in(host, folder))
        self.start(f"log stderr all;\nrouter id 198.51.100.2;\nprotocol device {{}}\nprotocol bfd b {{ {protocol} }}\n")

    def session(self, address: str) -> tuple[str, float, float] | None:
        """State, transmit interval and detection time in seconds."""
        for line in self.ask("show bfd sessions").splitlines():
            words = line.split()
            if words[:1] == [address]:
                return words[2], float(words[-2]), float(words[-1])
        return None

    def is_up(self, address: str) -> bool:
        found = self.session(address)
        return found is not None and found[0] == "Up"


class Frr(FrrDaemons):
    """`peers`: lines below `bfd` in frr.conf."""

    def __init__(self, host: Namespace, folder: Path, *peers: str) -> None:
        super().__init__(site_in(host, folder), str(folder))
        self.start({"zebra": "", "bfdd": "\n".join(["bfd", *peers, ""])})

    def configure(self, *lines: str) -> None:
        """Lines below `bfd`, while it runs."""
        self.tell("bfdd", "configure terminal", "bfd", *lines)

    def session(self, address: str) -> dict[str, Any] | None:
        peers = self.ask("bfdd", "show bfd peers")
        return next((each for each in peers if each["peer"] == address), None)

    def is_up(self, address: str) -> bool:
        found = self.session(address)
        return found is not None and found["status"] == "up"


def are_installed() -> bool:
    """Whether this machine has both."""
    return shutil.which("bird") is not None and (PROGRAMS / "bfdd").exists()
