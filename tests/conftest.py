"""How many examples property tests try, what the garbage collector looks at, and what labs end with.

Hypothesis' profile is `full` (100) as a rule, `quick` in `make check`. What takes an own number of examples says it by
`tests.examples.examples`, which follows the profile.
"""

import asyncio
import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Whatever starts a lab by the command: it ends with us, also when we are killed (lab/command.py).
os.environ["BERTH_LAB_WITH"] = str(os.getpid())

# An example may take long on a busy machine: no deadlines.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=10)
settings.load_profile("full")


def pytest_sessionstart() -> None:
    """pytest-asyncio keeps the current event loop while a test has another, and a policy that was never asked makes one
    then. `asyncio.run` in a synchronous test would make that one forgotten, which is reported as unclosed at some later
    test or at the end: so there is none."""
    asyncio.set_event_loop(None)


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: to look through it again and again takes a sixth of CPU."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder for programs that give up their rights, as FRR's do. None is in `tmp_path`: each pytest that starts on
    this machine, beside others too, closes the folder above theirs to all but their owner."""
    with tempfile.TemporaryDirectory(prefix="berth-test-") as made:
        Path(made).chmod(0o777)
        yield Path(made)
