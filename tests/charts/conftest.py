"""An API server stand-in in a process of its own, with a kubectl that speaks to it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.kubectl import Kubectl

START_SECONDS = 30.0


@pytest.fixture
def kubectl(tmp_path: Path) -> Iterator[Kubectl]:
    """As the administrator of a fresh cluster; namespace `berth-system` is there."""
    command = [sys.executable, "-m", "lab.apiserver", "--listen=127.0.0.1:0", f"--dir={tmp_path}"]
    with (tmp_path / "apiserver.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            administrator = Kubectl(tmp_path / "admin.kubeconfig")
            _wait_until_ready(administrator, server)
            namespace = '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "berth-system"}}'
            administrator("apply", "-f", "-", stdin=namespace)
            yield administrator
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_ready(administrator: Kubectl, server: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit and server.poll() is None:
        if administrator.kubeconfig.exists() and administrator.run("get", "--raw=/readyz").returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError("the API server stand-in did not start")
