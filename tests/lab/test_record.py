"""A lab's record, and the clearing up by it: only the lab's own processes, however they were left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.net.netns import Unsupported, lab_environment
from lab.record import MARKER_VARIABLE, HostEntry, ProcessEntry, Record, lab_directory, members, started_at, sweep
from lab.waiting import wait_for


def record(**changes: object) -> Record:
    values: dict[str, object] = {
        "name": "lab",
        "marker": "m",
        "owner_pid": os.getpid(),
        "owner_started": started_at(os.getpid()),
        "rootless": False,
    }
    return Record(**(values | changes))  # type: ignore[arg-type]


def test_a_record_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = record(
        hosts=[HostEntry("node1", ["172.30.0.11"])], processes=[ProcessEntry("apiserver", "hub", 1, "/log")]
    )
    written.save(tmp_path)
    assert Record.load(tmp_path) == written


def test_a_directory_without_a_record_has_no_lab(tmp_path: Path) -> None:
    assert Record.load(tmp_path) is None


def test_a_later_process_of_the_same_id_is_not_the_owner() -> None:
    assert record().is_alive
    assert not record(owner_started="1").is_alive


def test_a_dead_process_has_not_started() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert started_at(child.pid) is None


def test_a_process_whose_name_holds_a_parenthesis_is_read_right(tmp_path: Path) -> None:
    program = tmp_path / "a) b ("
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(program), "99"])
    try:
        assert int(started_at(child.pid) or "0") > 0
    finally:
        child.kill()
        child.wait()


@pytest.mark.lab
def test_a_sweep_ends_the_labs_processes_and_no_others() -> None:
    def sleeper(marker: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sleep", "99"], env=lab_environment({MARKER_VARIABLE: marker}))

    ours, others = [sleeper("ours-1"), sleeper("ours-1")], sleeper("ours-12")
    try:
        wait_for("both carry the mark", lambda: len(set(members("ours-1"))) == 2, timeout_seconds=5)
        for child in ours:
            assert child.poll() is None
        # The sweeper is not their parent in real life; here they would stay zombies, which it must not wait for.
        assert sweep("ours-1") == 2
        assert [child.wait() for child in ours] == [-9, -9]
        assert others.poll() is None
    finally:
        for child in (*ours, others):
            child.kill()
            child.wait()


def test_a_base_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lab_directory("one")
    (tmp_path / f"berth-lab-{os.geteuid()}").chmod(0o777)
    with pytest.raises(Unsupported, match="only we can use"):
        lab_directory("one")
