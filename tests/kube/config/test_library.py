"""What importing our client costs, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

pytestmark = pytest.mark.slow


def run(code: str, **environment: str) -> str:
    command, whole = [sys.executable, "-c", code], {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=whole)
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


def test_the_systems_certificate_authorities_are_read_when_somebody_connects_with_them(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authorities))
    code = """
import kube.io.client, ssl
from aiohttp import connector
contexts = (connector._SSL_CONTEXT_VERIFIED, connector._SSL_CONTEXT_UNVERIFIED)
print([one.cert_store_stats()["x509"] for one in contexts])
for one in contexts:
    one.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
print([one.cert_store_stats()["x509"] for one in contexts])
print(ssl.create_default_context().cert_store_stats()["x509"])
print([one.verify_mode.name for one in contexts], [type(one) is ssl.SSLContext for one in contexts])
"""
    printed = run(code, SSL_CERT_FILE=str(authorities), SSL_CERT_DIR=str(tmp_path / "none")).splitlines()
    assert printed == ["[0, 0]", "[1, 1]", "1", "['CERT_REQUIRED', 'CERT_NONE'] [True, True]"]


def test_nothing_of_rich_is_loaded_by_a_client_that_logs_nothing() -> None:
    loaded = run("import sys, kube.io.client; print(*sys.modules)").split()
    assert not {"structlog", "rich"}.intersection(loaded)
