"""The demo as a user runs it: to its end, in time, and leaving nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab.net.netns import Sandbox, Unsupported

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

LIMIT_SECONDS = 180
"""What the README promises."""


@pytest.mark.parametrize("how", ["as-root", "rootless"])
def test_the_demo_holds(how: str, tmp_path: Path) -> None:
    options = ["--rootless"] if how == "rootless" else []
    try:
        Sandbox.open(rootless=how == "rootless").close()
    except Unsupported as refused:
        pytest.skip(str(refused))
    begun = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-m", "lab.demo", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        timeout=LIMIT_SECONDS * 2,
        check=False,
    )
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr
    assert "LoadBalancer Ingress:" in told.stdout
    assert "All of it held." in told.stdout
    assert time.monotonic() - begun < LIMIT_SECONDS
    assert list(tmp_path.iterdir()) == []
