"""What a running lab leaves in its directory so that other commands find it, and the clearing up after a dead one.

The record is a file of plain values. It is trusted only as far as /proc confirms it: a process id alone proves nothing.
"""

import contextlib
import json
import os
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.net.netns import NamespaceHandle, Unsupported

RECORD_FILE = "lab.json"
MARKER_VARIABLE = "BERTH_LAB"
"""In the environment of every process of a lab, with the lab's own random value: how a sweep knows them."""

SWEEP_SECONDS = 5.0


@dataclass(frozen=True)
class ProcessEntry:
    name: str
    host: str
    pid: int
    log: str


@dataclass(frozen=True)
class HostEntry:
    name: str
    addresses: list[str]


@dataclass(frozen=True)
class Record:
    """`owner_started` (kernel ticks, /proc/PID/stat field 22) tells the owner from a later process of the same id."""

    name: str
    marker: str
    owner_pid: int
    owner_started: str
    rootless: bool
    holder_pid: int = 0
    ready: bool = False
    hub_server: str = ""
    hosts: list[HostEntry] = field(default_factory=list)
    processes: list[ProcessEntry] = field(default_factory=list)

    @property
    def namespaces(self) -> NamespaceHandle:
        return NamespaceHandle(self.holder_pid, self.rootless)

    @property
    def is_alive(self) -> bool:
        return started_at(self.owner_pid) == self.owner_started

    def save(self, directory: Path) -> None:
        """All or nothing, so that a reader never sees half of it."""
        draft = directory / f".{RECORD_FILE}"
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.rename(directory / RECORD_FILE)

    @classmethod
    def load(cls, directory: Path) -> "Record | None":
        """None = no lab was started here."""
        try:
            raw = json.loads((directory / RECORD_FILE).read_text())
        except FileNotFoundError:
            return None
        raw["hosts"] = [HostEntry(**each) for each in raw["hosts"]]
        raw["processes"] = [ProcessEntry(**each) for each in raw["processes"]]
        return cls(**raw)


def lab_directory(name: str) -> Path:
    """Where a lab of that name keeps its record, logs and keys: below the temporary directory, ours alone.

    Not below /run: the lab has a /run of its own.
    """
    base = Path(tempfile.gettempdir()) / f"berth-lab-{os.geteuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Unsupported(f"{base} is not a directory that only we can use; remove it")
    return base / name


def started_at(pid: int) -> str | None:
    """When a process started, in kernel ticks since boot; None = it is gone, or dead and not yet reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, start_ticks = fields[0], fields[19]
    return None if state == "Z" else start_ticks


def process_state(pid: int) -> str:
    """In words, for a person."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
    return {"T": "stopped", "t": "traced", "Z": "dead", "X": "dead"}.get(letter, "running")


def members(marker: str) -> Iterator[int]:
    """The processes of a lab, also of one whose owner is dead."""
    wanted = f"{MARKER_VARIABLE}={marker}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)


def sweep(marker: str) -> int:
    """Kill what is left of a lab; gives how many processes that were. Namespaces go with the last of them."""
    killed: set[int] = set()
    deadline = time.monotonic() + SWEEP_SECONDS
    while (found := set(members(marker))) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= found
        time.sleep(0.05)
    return len(killed)
