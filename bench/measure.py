"""What all benchmarks need: a line of JSON on standard output, percentiles, and what a process has used."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog


def tell(bench: str, **figures: Any) -> None:
    """One line."""
    print(json.dumps({"bench": bench, **figures}), flush=True)


def progress(line: str) -> None:
    """On standard error: standard output is for figures alone."""
    print(line, file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Berth's own modules in this process log there, from now on."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share (0 to 1) of the values, sorted already, lies below."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main_thread_seconds(pid: int) -> float:
    """CPU time of the main thread so far, in nanoseconds' steps."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def resident_megabytes(pid: int) -> float:
    return resident_bytes(pid) / 1e6


def memory_kib(pid: int, name: str) -> int:
    """A line of /proc/PID/status, as `VmHWM`."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split(f"{name}:")[1].split()[0])
