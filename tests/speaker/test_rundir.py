"""The folder for what must not outlive the process."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from speaker.io.rundir import run_directory


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_nobody_else_can_read_it_and_it_goes_at_the_end() -> None:
    with run_directory() as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (path / "secret").write_text("x")
    assert not path.exists()


def test_two_processes_have_two_folders() -> None:
    with run_directory() as one, run_directory() as other:
        assert one != other
        assert one.exists()
        assert other.exists()


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    dies = (
        "import os; from speaker.io.rundir import run_directory\nwith run_directory() as path: os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", dies], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with run_directory() as path:
        assert list(tmp_path.iterdir()) == [path]


def test_what_only_looks_like_one_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "berth-speaker-link").symlink_to(target)
    (tmp_path / "berth-speaker-half").mkdir()
    with run_directory():
        assert target.exists()
        assert (tmp_path / "berth-speaker-half").exists()
