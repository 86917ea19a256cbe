"""Real BFD speakers as peers: BIRD, and FRR's bfdd, each in a network namespace and with a folder for its files."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from lab.net.segment import Namespace

FRR = Path("/usr/lib/frr")
START_SECONDS = 20.0
DIES_WITH_US = ["setpriv", "--pdeathsig=KILL"]


def wait_for(what: str, ask: Callable[[], Any], seconds: float = START_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        time.sleep(0.01)
    raise TimeoutError(f"not within {seconds} s: {what}")


class Router:
    """Processes of one router; `kill` is its sudden death."""

    def __init__(self, host: Namespace, folder: Path) -> None:
        self.host = host
        self.folder = folder
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> None:
        log = (self.folder / "log").open("ab")
        with log:
            self.processes.append(
                subprocess.Popen([*self.host.prefix, *DIES_WITH_US, *command], stdout=log, stderr=log)
            )

    def kill(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Bird(Router):
    """`protocol` is the body of the bfd protocol in bird.conf."""

    def __init__(self, host: Namespace, folder: Path, protocol: str) -> None:
        super().__init__(host, folder)
        self.configure(protocol, is_running=False)
        self.start("bird", "-f", "-c", f"{folder}/bird.conf", "-s", f"{folder}/ctl", "-P", f"{folder}/pid")
        wait_for("BIRD", (folder / "ctl").exists)

    def configure(self, protocol: str, *, is_running: bool = True) -> None:
        text = f"router id 198.51.100.2;\nprotocol device {{}}\nprotocol bfd b {{ {protocol} }}\n"
        (self.folder / "bird.conf").write_text(text)
        if is_running:
            self.ask("configure")

    def ask(self, *words: str) -> str:
        return self.host.run("birdc", "-s", f"{self.folder}/ctl", *words)

    def session(self, address: str) -> tuple[str, float, float] | None:
        """State, transmit interval and detection time in seconds."""
        for line in self.ask("show", "bfd", "sessions").splitlines():
            words = line.split()
            if words[:1] == [address]:
                return words[2], float(words[-2]), float(words[-1])
        return None

    def is_up(self, address: str) -> bool:
        found = self.session(address)
        return found is not None and found[0] == "Up"


class Frr(Router):
    """`peers`: lines below `bfd` in frr.conf."""

    def __init__(self, host: Namespace, folder: Path, *peers: str) -> None:
        super().__init__(host, folder)
        (folder / "zebra.conf").write_text("")
        (folder / "bfdd.conf").write_text("\n".join(["bfd", *peers, ""]))
        zserv = ["-z", f"{folder}/zserv"]
        common = ["--vty_socket", str(folder), "--log", "stdout"]
        self.start(f"{FRR}/zebra", "-f", f"{folder}/zebra.conf", "-i", f"{folder}/zebra.pid", *zserv, *common)
        wait_for("zebra", (folder / "zserv").exists)
        control = ["--bfdctl", f"{folder}/bfdd.sock"]
        self.start(f"{FRR}/bfdd", "-f", f"{folder}/bfdd.conf", "-i", f"{folder}/bfdd.pid", *zserv, *control, *common)
        wait_for("bfdd", (folder / "bfdd.vty").exists)

    def ask(self, *lines: str) -> str:
        words = [word for line in lines for word in ("-c", line)]
        return self.host.run("vtysh", "--vty_socket", str(self.folder), *words)

    def configure(self, *lines: str) -> None:
        self.ask("configure terminal", "bfd", *lines)

    def session(self, address: str) -> dict[str, Any] | None:
        told = json.loads(self.ask("show bfd peers json"))
        return next((each for each in told if each["peer"] == address), None)

    def is_up(self, address: str) -> bool:
        found = self.session(address)
        return found is not None and found["status"] == "up"


def are_installed() -> bool:
    return shutil.which("bird") is not None and (FRR / "bfdd").exists()
