"""A folder for what must not outlive the process: ExaBGP's configuration, with passwords in it, and its pipes.

Others may run on the same machine, in other network namespaces with nodes of the same name, so each process has a
folder of its own. One that was killed leaves its folder behind; the next one that starts removes it.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "berth-speaker-"
LOCK = "lock"


@contextlib.contextmanager
def run_directory() -> Iterator[Path]:
    """An empty folder that nobody else can read, in the system's place for temporary files. Raises OSError."""
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remove_abandoned(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(own: Path) -> None:
    for path in own.parent.glob(f"{PREFIX}*"):
        if path != own and not path.is_symlink() and _is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    """Ours, and nobody holds its lock. One without a lock is just being made."""
    try:
        if path.stat().st_uid != os.geteuid():
            return False
        lock = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
