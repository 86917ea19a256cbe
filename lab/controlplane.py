"""The lab's API server: the stand-in, or etcd and a real kube-apiserver, and the way to it from outside the lab.

Which of the two is said by lab.apiserver.real.
"""

import socket
from collections.abc import Callable
from pathlib import Path

from lab.apiserver import real
from lab.kubectl import Access, read_token
from lab.kubelet.manifests import POD_LOGS
from lab.net.hosts import API_PORT, Topology
from lab.net.netns import HUB
from lab.process import Process, Starter, python
from lab.reader import Reader
from lab.scripts import script
from lab.waiting import wait_for

READY_SECONDS = 60.0


class ControlPlane:
    """Processes `apiserver`, `etcd` before it if it is a real one, and `forwarder`."""

    def __init__(self, directory: Path, topology: Topology, start: Starter) -> None:
        """`directory` gets the kubeconfigs `admin.kubeconfig`, for this machine, and `inside.kubeconfig`."""
        self._directory = directory
        self._start = start
        self._address = topology.hub_ipv4
        self._processes: list[Process] = []
        self._inside: Access | None = None
        self._reader: Reader | None = None
        self.server = f"https://{topology.hub_ipv4}:{API_PORT}"
        """From inside the lab."""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's, from outside the lab."""
        return self._directory / "admin.kubeconfig"

    @property
    def inside_kubeconfig(self) -> Path:
        return self._directory / "inside.kubeconfig"

    @property
    def inside(self) -> Access:
        """The administrator's access from inside the lab."""
        if self._inside is None:
            raise RuntimeError("the API server was not started")
        return self._inside

    @property
    def reader(self) -> Reader:
        """With the administrator's access from outside the lab."""
        if self._reader is None:
            raise RuntimeError("the API server was not started")
        return self._reader

    def start(self) -> str:
        """Returns when it is ready; gives a line about it. Raises ProcessDied, naming the process that ended first."""
        binaries = real.assets()
        self._inside = self._start_stand_in() if binaries is None else self._start_real(binaries)
        outside = self._forward(self._inside)
        outside.write(self.kubeconfig)
        self._inside.write(self.inside_kubeconfig)
        self._reader = Reader(outside)
        self._wait("the API server says that it is ready", self._reader.is_ready)
        which = "stand-in" if binaries is None else f"kube-apiserver from {binaries}"
        return f"API server ({which}) at {self.server}, for this machine at {outside.server}"

    def _start_stand_in(self) -> Access:
        directory = self._directory / "apiserver"
        directory.mkdir(mode=0o700, exist_ok=True)
        listen = [f"--listen={address}:{API_PORT}" for address in (self._address, "127.0.0.1")]
        logs = f"--pod-logs={self._directory / POD_LOGS}"
        process = self._start("apiserver", HUB, [*python("lab.apiserver"), *listen, f"--dir={directory}", logs])
        self._processes = [process]
        self._wait("the stand-in prints its address", lambda: "https://" in process.log_path.read_text())
        return Access(self.server, directory / "ca.crt", read_token(directory / "admin.kubeconfig"))

    def _start_real(self, binaries: Path) -> Access:
        plan = real.prepare(binaries, self._directory / "apiserver", str(self._address), API_PORT)
        self._processes = [self._start("etcd", HUB, plan.etcd), self._start("apiserver", HUB, plan.apiserver)]
        return Access(self.server, plan.certificate_authority, plan.admin_token)

    def _forward(self, access: Access) -> Access:
        """A way in through a port of this machine's own: see lab/scripts/forward.py."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.set_inheritable(True)
            options = [f"--listen-fd={listener.fileno()}", f"--to-address={self._address}", f"--to-port={API_PORT}"]
            self._start("forwarder", HUB, [*script("forward.py"), *options], pass_fds=[listener.fileno()])
            return access.at(f"https://127.0.0.1:{listener.getsockname()[1]}")

    def _wait(self, what: str, ask: Callable[[], bool]) -> None:
        def all_run() -> None:
            for process in self._processes:  # etcd first: without it the API server ends, too
                process.require_running()

        wait_for(what, ask, timeout_seconds=READY_SECONDS, meanwhile=all_run)
