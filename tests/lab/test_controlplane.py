"""The lab on a real API server, with scripts in the place of etcd and kube-apiserver: which of them ended is said."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lab.apiserver.real import ASSETS_VARIABLE
from lab.controlplane import ControlPlane
from lab.net import hosts
from lab.net.netns import Sandbox
from lab.process import Process, ProcessDied

pytestmark = [pytest.mark.root, pytest.mark.lab]

RUNS = "exec sleep 1000\n"
ENDS = "echo 'etcd: bad flag' >&2\nexit 2\n"
WANTS_ETCD = "echo 'no connection to etcd' >&2\nexit 1\n"
SERVES = f"""\
exec {sys.executable} - "$@" <<'PROGRAM'
import ssl, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

flags = dict(word[2:].partition("=")[::2] for word in sys.argv[1:])
token = open(flags["token-auth-file"]).read().split(",")[0]

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        is_admin = self.headers["Authorization"] == f"Bearer {{token}}"
        self.send_response(200 if is_admin and self.path == "/readyz" else 403)
        self.end_headers()

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])
server = HTTPServer(("", int(flags["secure-port"])), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PROGRAM
"""

Binaries = Callable[[str, str], None]


@pytest.fixture
def binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binaries:
    """Writes the two, as the bodies of shell scripts, where the lab looks for real ones."""

    def write(etcd: str, apiserver: str) -> None:
        folder = tmp_path / "assets"
        folder.mkdir()
        for name, body in (("etcd", etcd), ("kube-apiserver", apiserver)):
            (folder / name).write_text(f"#!/bin/sh\n{body}")
            (folder / name).chmod(0o755)
        monkeypatch.setenv(ASSETS_VARIABLE, str(folder))

    return write


@pytest.fixture
def control_plane(sandbox: Sandbox, tmp_path: Path) -> Iterator[ControlPlane]:
    topology = hosts.plan_topology(1)
    hosts.build(sandbox, topology)
    started: list[Process] = []

    def start(name: str, host: str | None, command: Sequence[str], **options: object) -> Process:
        enter = sandbox.namespaces.enter(host)
        started.append(Process(name, command, log_path=tmp_path / f"{name}.log", enter=enter, **options))
        started[-1].start()
        return started[-1]

    yield ControlPlane(tmp_path, topology, start)
    for process in started:
        process.kill()


def test_it_is_up_when_the_api_server_says_that_it_is_ready(control_plane: ControlPlane, binaries: Binaries) -> None:
    binaries(RUNS, SERVES)
    assert "kube-apiserver" in control_plane.start()
    assert control_plane.kubeconfig.exists()
    assert control_plane.inside.server == control_plane.server


@pytest.mark.parametrize("apiserver", [RUNS, WANTS_ETCD, f"sleep 0.5\n{WANTS_ETCD}"])
def test_when_etcd_ends_first_it_is_etcd_that_is_named(
    control_plane: ControlPlane, binaries: Binaries, apiserver: str
) -> None:
    binaries(ENDS, apiserver)
    with pytest.raises(ProcessDied, match=r"(?s)^etcd ended with 2.*bad flag"):
        control_plane.start()


def test_when_the_api_server_ends_it_is_the_api_server_that_is_named(
    control_plane: ControlPlane, binaries: Binaries
) -> None:
    binaries(RUNS, WANTS_ETCD)
    with pytest.raises(ProcessDied, match=r"^apiserver ended with 1"):
        control_plane.start()


def test_a_folder_without_a_binary_is_refused_by_its_name(
    control_plane: ControlPlane, binaries: Binaries, tmp_path: Path
) -> None:
    binaries(RUNS, RUNS)
    (tmp_path / "assets" / "etcd").unlink()
    with pytest.raises(FileNotFoundError, match="no executable etcd"):
        control_plane.start()
