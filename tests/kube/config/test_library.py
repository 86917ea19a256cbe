"""What importing our client costs, in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_synchronous_client_is_not_imported() -> None:
    loaded = run(
        "import sys, kube.io.client, kube.informer.io.informer, kube.lease.io.election, kube.events.io.recorder; "
        "print(*sys.modules)"
    ).split()
    assert "kubernetes.aio.client.rest" in loaded
    for unwanted in ("requests", "kubernetes.client", "websocket", "kubernetes.dynamic"):
        assert unwanted not in loaded


def test_the_whole_package_can_be_imported_after_it() -> None:
    code = (
        "import kube.io.client, kubernetes.aio as aio, kubernetes as all; print(all.client.V1Pod(), aio.client.V1Pod())"
    )
    assert run(code).count("api_version") == 2


def test_the_whole_package_can_be_imported_before_it() -> None:
    code = "import kubernetes, kube.io.client; print(kubernetes.client.V1Pod.__name__, kubernetes.__version__)"
    assert run(code).startswith("V1Pod")
