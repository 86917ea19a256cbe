"""Some lives of a cluster, each from its seed. `make sim` lives many more."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_life_of_a_cluster_breaks_a_promise() -> None:
    """In a process of its own, where the order of sets is the same each time."""
    command = [sys.executable, "-m", "tests.sim", "--seeds", "1-20"]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
