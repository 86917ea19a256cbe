"""How the wire process is scheduled: before all others, but not for longer than it can be spared."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speaker.wire.io.process import REAL_TIME_MICROSECONDS

ROOT = Path(__file__).resolve().parents[3]
CALLED = """
import os, time
from speaker.wire.io.process import become_one_of_many, become_real_time, become_the_wire
become_the_wire()
"""
BUSY_SECONDS = 4 * REAL_TIME_MICROSECONDS / 1e6
POLICY = "print(os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK); "
BUSY = f"until = time.thread_time() + {BUSY_SECONDS}\nwhile time.thread_time() < until: pass\n"


def policies(script: str, *how: str) -> list[int]:
    """What a process that becomes the wire prints."""
    command = [*how, sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{CALLED}{script}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [int(line) for line in printed.split()]


@pytest.mark.root
def test_it_runs_before_all_others_until_it_does_not_sleep_for_long_and_again_later() -> None:
    found = policies(
        POLICY + "\n" + BUSY + POLICY + "become_real_time(); time.sleep(0.001); " + POLICY + "become_one_of_many()"
    )
    assert found == [os.SCHED_RR, os.SCHED_OTHER, os.SCHED_RR]


@pytest.mark.root
def test_while_it_sleeps_it_goes_on_before_all_others() -> None:
    found = policies("\nfor _ in range(300): sum(range(20000)); time.sleep(0.0001)\n" + POLICY)
    assert found == [os.SCHED_RR]


@pytest.mark.root
def test_what_it_starts_is_one_of_many() -> None:
    found = policies(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import os; print(os.sched_getscheduler(0))'])"
    )
    assert found == [os.SCHED_OTHER]


@pytest.mark.root
def test_without_the_right_it_is_one_of_many() -> None:
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    assert policies(POLICY, setpriv, "--bounding-set=-sys_nice", "--inh-caps=-sys_nice", "--reuid=65534") == [
        os.SCHED_OTHER
    ]
