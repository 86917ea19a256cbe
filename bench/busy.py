"""Load beside what is measured: processes that never sleep."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def busy(count: int) -> Iterator[list[int]]:
    """So many, while the block lasts, and no longer than this process lives. Their process ids."""
    command = ["setpriv", "--pdeathsig=KILL", sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield [each.pid for each in loops]
    finally:
        for each in loops:
            each.kill()
            each.wait()
