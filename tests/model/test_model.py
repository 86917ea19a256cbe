"""The models in docs/model hold, and each rule left out of them has a counterexample. `make model` runs them all."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("spin") and shutil.which("gcc")), reason="spin and gcc: make setup installs them")
def test_the_models_hold_and_every_rule_is_needed() -> None:
    done = subprocess.run([ROOT / "tools" / "model", "--quick"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
