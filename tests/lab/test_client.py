"""What the end-to-end tests can do only on the stand-in, and what becomes of such tests on a real API server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.apiserver.real import ASSETS_VARIABLE
from lab.client import ApiFaults
from lab.kubectl import Kubectl
from lab.net.netns import Unsupported

ROOT = Path(__file__).parents[2]
NEED_FAULTS = {
    "test_dropped_watches_and_lost_history_lose_nothing",
    "test_writes_that_are_refused_are_made_again",
    "test_a_write_whose_answer_was_lost_does_not_take_a_second_address",
}


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a real API server is said to be."""
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv(ASSETS_VARIABLE, str(tmp_path))


@pytest.mark.usefixtures("assets")
def test_a_real_api_server_is_not_told_to_misbehave(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="real API server"):
        ApiFaults(Kubectl(tmp_path / "kubeconfig"))


@pytest.mark.slow
@pytest.mark.usefixtures("assets")
def test_on_a_real_api_server_the_tests_that_need_faults_are_skipped_by_name_and_reason() -> None:
    chosen = ["-k", " or ".join(NEED_FAULTS), "-p", "no:cacheprovider", "--verbose", "--no-header"]
    command = [sys.executable, "-m", "pytest", *chosen, "tests/e2e/test_failures.py"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "COLUMNS": "300"}
    )
    skipped = re.findall(r"::(\w+)\S* SKIPPED \(needs the stand-in's faults\)", done.stdout)
    assert set(skipped) == NEED_FAULTS, done.stdout
    assert len(skipped) == 6
    assert "6 skipped" in done.stdout
