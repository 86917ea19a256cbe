"""`make release` says what is missing before it installs or builds anything."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parent.parent / "tools" / "release"


def release(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, check=False)


def test_a_version_that_is_written_nowhere_is_refused_with_all_that_is_missing() -> None:
    done = release("--may", "9.9.9")
    assert done.returncode == 1
    assert "write 9.9.9 there" in done.stderr
    assert "## [9.9.9] - " in done.stderr


def test_without_a_version_it_says_how_it_is_called() -> None:
    for arguments in ([], ["--may"]):
        done = release(*arguments)
        assert (done.returncode, "make release VERSION=" in done.stderr) == (2, True)
