"""An API server for a benchmark that needs no whole lab: the stand-in, or the real one, as processes beside ours.

KUBEBUILDER_ASSETS says which, as in the lab.
"""

import contextlib
import json
import re
import ssl
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.apiserver import real
from lab.cluster import Cluster
from lab.kubectl import Access
from lab.process import python
from lab.waiting import wait_for

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0
Writes = Counter[str]


@dataclass(frozen=True)
class Server:
    """`kind`: "stand-in" or "kube-apiserver". `token` is an administrator's."""

    kind: str
    url: str
    token: str
    ca: Path
    kubeconfig: Path

    def fetch(self, path: str) -> bytes:
        """The answer to a GET."""
        return self.order("GET", path)

    def order(self, method: str, path: str) -> bytes:
        """The answer to a request without a body."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"Bearer {self.token}"}
        )
        context = ssl.create_default_context(cafile=str(self.ca))
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    def writes(self) -> Writes:
        """Requests that wrote so far, by what they wrote."""
        if self.kind == "stand-in":
            rows = json.loads(self.fetch("/lab/counters"))["counters"]
            return _counted((row["verb"], row["resource"], row["count"]) for row in rows if row["code"] < 300)
        found: list[tuple[str, str, int]] = []
        for line in self.fetch("/metrics").decode().splitlines():
            if line.startswith("apiserver_request_total{"):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
                name = "/".join(part for part in (labels["resource"], labels["subresource"]) if part)
                if labels["code"].startswith("2"):
                    found.append((labels["verb"].lower(), name, int(float(line.rsplit(" ", 1)[1]))))
        return _counted(found)


def _counted(rows: Any) -> Writes:
    counts: Writes = Counter()
    for verb, resource, number in rows:
        plain = resource.replace(".berth.dev", "").replace(".coordination.k8s.io", "")
        if verb in ("create", "post", "patch", "update", "put", "delete"):
            short = {"post": "create", "put": "update", "apply": "patch"}.get(verb, verb)
            counts[f"{short} {plain}"] += number
    return counts


@contextlib.contextmanager
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A list of processes, which are ended after the block."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        yield running
    finally:
        for one in reversed(running):
            one.terminate()
        for one in reversed(running):
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()


def start_server(directory: Path, running: list[subprocess.Popen[bytes]]) -> Server:
    """Returns when it is ready. Its processes are added to `running`, its files lie in `directory`."""
    binaries = real.assets()
    if binaries is None:
        command = [*python("lab.apiserver"), f"--dir={directory}", f"--port-file={directory / 'port'}"]
        running.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))
        files = (directory / "port", directory / "admin.kubeconfig")
        _wait_for("the stand-in is up", lambda: all(file.exists() for file in files), running)
        config = yaml.safe_load((directory / "admin.kubeconfig").read_text())
        url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
        return Server("stand-in", url, token, directory / "ca.crt", directory / "admin.kubeconfig")
    plan = real.prepare(binaries, directory / "apiserver", "127.0.0.1", 16443)
    for command in (plan.etcd, plan.apiserver):
        log = (directory / f"{Path(command[0]).name}.log").open("wb")
        running.append(subprocess.Popen(command, stdout=log, stderr=log))
    server = Server(
        "kube-apiserver",
        "https://127.0.0.1:16443",
        plan.admin_token,
        plan.certificate_authority,
        directory / "admin.kubeconfig",
    )
    Access(server.url, server.ca, server.token).write(server.kubeconfig)
    _wait_for("kube-apiserver is ready", lambda: _answers(server, "/readyz"), running)
    return server


def server_of(cluster: Cluster) -> Server:
    """The lab's API server, as this process reaches it."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    authority = Path(config["clusters"][0]["cluster"]["certificate-authority"])
    url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    kind = "stand-in" if real.assets() is None else "kube-apiserver"
    return Server(kind, url, token, authority, cluster.kubeconfig)


def _answers(server: Server, path: str) -> bool:
    with contextlib.suppress(OSError):
        server.fetch(path)
        return True
    return False


def _wait_for(what: str, ask: Callable[[], bool], running: list[subprocess.Popen[bytes]]) -> None:
    def all_run() -> None:
        for process in running:  # in the order of their start: what ends first is named
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended with {process.returncode}")

    wait_for(what, ask, timeout_seconds=START_SECONDS, poll_seconds=0.05, meanwhile=all_run)
