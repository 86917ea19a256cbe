"""What Berth's programs use: memory and open files of each process, at one moment."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.measure import resident_megabytes
from bench.soak.cluster import SoakCluster
from lab.process import State

LONG_SECONDS = 600.0
"""From here on memory that grows is a leak: before, a program still fills its caches."""
MOST_GROWTH_PERCENT, MOST_MORE_FILES = 5.0, 12
PARTS = {b"speaker.wire": "wire", b"speaker.bgp.exabgp.io.main": "exabgp"}


@dataclass(frozen=True)
class Use:
    """Of one process. `born`: its start, in clock ticks; with `pid` it says whether it is the same process."""

    pid: int
    born: int
    megabytes: float
    files: int

    def is_same(self, other: "Use") -> bool:
        return (self.pid, self.born) == (other.pid, other.born)


def uses(cluster: SoakCluster) -> dict[str, Use]:
    """By program: `allocator-1`, `speaker-node1`, `speaker-node1 wire`, `speaker-node1 exabgp 1`, `apiserver`."""
    found: dict[str, Use] = {}
    for name, process in cluster.processes.items():
        if name.startswith(("allocator-", "speaker-", "apiserver")) and process.state is State.RUNNING:
            for pid, label in _with_children(process.pid, name):
                with suppress(OSError, ValueError, IndexError):
                    found[label] = _use(pid)
    return found


def _with_children(pid: int, name: str) -> Iterator[tuple[int, str]]:
    yield pid, name
    count = 0
    with suppress(OSError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            part = next((label for word, label in PARTS.items() if word in command), "")
            count += part == "exabgp"
            if part:
                yield child, f"{name} {part}" + (f" {count}" if part == "exabgp" else "")


def _use(pid: int) -> Use:
    born = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Use(pid, born, round(resident_megabytes(pid), 1), files)


def growth(before: Mapping[str, Use], after: Mapping[str, Use]) -> dict[str, tuple[float, int]]:
    """Of processes that were there both times: how much memory grew, in percent, and how many files more."""
    return {
        name: (round(100 * (after[name].megabytes / use.megabytes - 1), 1), after[name].files - use.files)
        for name, use in before.items()
        if name in after and use.megabytes and use.is_same(after[name])
    }


def leaks(middle: dict[str, Use], end: dict[str, Use], seconds: float) -> list[str]:
    """Of processes that lived all that time, where it is long enough to tell."""
    found = []
    for name, (percent, files) in growth(middle, end).items():
        if name == "apiserver":
            continue  # not Berth's, and it keeps the history of all objects
        if seconds >= LONG_SECONDS and percent > MOST_GROWTH_PERCENT:
            found.append(f"memory of {name} grew by {percent:g}% in {seconds:.0f} s")
        if files > MOST_MORE_FILES:
            found.append(f"{name} has {files} more files open")
    return found
