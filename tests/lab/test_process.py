"""Supervised children: signals reach the whole group, endings are seen, logs are kept."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.process import Process, ProcessDied, State
from lab.record import process_state, started_at
from lab.waiting import wait_for

COUNTS = "import time\nfor i in range(100000): print(i, flush=True); time.sleep(0.01)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
)
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", flush=True)
time.sleep(99)
"""
PARENT = "import subprocess, sys; child = subprocess.Popen(['sleep', '99']); print(child.pid, flush=True); child.wait()"

Start = Callable[..., Process]

pytestmark = pytest.mark.lab


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def start_one(code: str) -> Process:
        process = Process("child", [sys.executable, "-c", code], log_path=tmp_path / f"{len(started)}.log")
        started.append(process)
        process.start()
        return process

    yield start_one
    for process in started:
        process.kill()


def said(process: Process) -> str:
    return wait_for("it says something", lambda: process.log_path.read_text() or None, timeout_seconds=10)


def test_a_frozen_process_does_nothing_until_it_is_resumed(start: Start) -> None:
    process = start(COUNTS)
    said(process)
    process.freeze()
    assert process.state is State.FROZEN
    wait_for("the kernel stopped it", lambda: process_state(process.pid) == "stopped", timeout_seconds=5)
    before = process.log_path.read_text()
    time.sleep(0.1)
    assert process.log_path.read_text() == before
    process.resume()
    wait_for("it goes on", lambda: process.log_path.read_text() != before, timeout_seconds=5)
    assert process.state.value == "running"


def test_killing_a_process_kills_its_children_too(start: Start) -> None:
    process = start(PARENT)
    child = int(said(process))
    process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_for("the child is gone", lambda: started_at(child) is None, timeout_seconds=5)


def test_stop_lets_a_process_end_cleanly(start: Start) -> None:
    process = start(POLITE)
    said(process)
    assert process.stop() == 0
    assert process.state is State.ENDED


def test_stop_resumes_a_frozen_process_so_that_it_can_end(start: Start) -> None:
    process = start(POLITE)
    said(process)
    process.freeze()
    assert process.stop() == 0


def test_stop_kills_what_does_not_end(start: Start) -> None:
    process = start(STUBBORN)
    said(process)
    assert process.stop(timeout_seconds=0.2) == -signal.SIGKILL


def test_a_process_started_again_adds_to_its_log(start: Start) -> None:
    process = start("print('once')")
    wait_for("it ended", lambda: process.state is State.ENDED, timeout_seconds=10)
    process.start()
    wait_for("it ended", lambda: process.state is State.ENDED, timeout_seconds=10)
    assert process.log_path.read_text() == "once\nonce\n"


def test_a_running_process_is_not_started_twice(start: Start) -> None:
    process = start(COUNTS)
    with pytest.raises(RuntimeError, match="child runs already"):
        process.start()


def test_a_dead_process_is_reported_with_its_last_words(start: Start) -> None:
    process = start("raise SystemExit('no such luck')")
    wait_for("it ended", lambda: process.state is State.ENDED, timeout_seconds=10)
    with pytest.raises(ProcessDied, match=r"child ended with 1(.|\n)*no such luck"):
        process.require_running()


def test_waiting_ends_at_once_when_what_it_waits_on_died(start: Start) -> None:
    process = start("raise SystemExit(3)")
    with pytest.raises(ProcessDied):
        wait_for("never", lambda: None, timeout_seconds=30, meanwhile=process.require_running)
