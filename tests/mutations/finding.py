"""What finds a planted fault: a story of tests/protocol, a life of tests/sim, or a test of the suite.

Each attempt runs in a process of its own, forked from this one, so that nothing of the fault is left, and one that
never ends is ended.
"""

import contextlib
import importlib
import io
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutations.mutation import Finder, Mutation, Seed, Story, Test, Written
from tests.mutations.planting import ROOT, planted

SIMULATION = "tests.sim.run"
CPU_SECONDS = 60
SEARCH_SECONDS = 600
ENDLESS = "it never ends"
WALL_SECONDS = 240.0
"""A test may wait for real time; the machine may be busy."""


class FinderError(Exception):
    """What should find a fault can't be run: it says nothing about the fault."""


def prepare(finders: Iterable[Finder]) -> None:
    """Import what they need, so that each attempt need not do so."""
    importlib.import_module("tests.conftest")  # Hypothesis' profiles
    importlib.import_module("tests.protocol.stories")
    files = sorted({one.name.partition("::")[0] for one in finders if isinstance(one, Test)})
    with contextlib.redirect_stdout(io.StringIO()):
        _pytest("--collect-only", *files)


def lived(mutation: Mutation, seeds: int) -> str:
    """The first life of the simulation that shows the fault, and what it says: of the scenarios, then of the seeds 1 to
    `seeds`; "" = none does, as far as the time allows. Raises FinderError, and MutationError."""

    def attempt() -> str:
        importlib.import_module(SIMULATION)
        return next(_lives_that_show(mutation, seeds), "")

    said = _isolated(attempt, cpu_seconds=SEARCH_SECONDS)
    return said if said != ENDLESS else ""


def _lives_that_show(mutation: Mutation, seeds: int) -> Iterator[str]:
    """But not those that end badly by themselves."""
    from tests.sim.scenario import kept

    for life in [*map(Written, kept()), *map(Seed, range(1, seeds + 1))]:
        with planted(mutation):
            said = _run(life)
        if said and not _run(life):
            yield f"{life.word} {_line(said)}"


def tried(mutation: Mutation, examples: int) -> str:
    """What so many examples of the protocol's world say of the fault; "" = nothing. Raises FinderError, and
    MutationError."""

    def attempt() -> str:
        with planted(mutation):
            return _tried(examples)

    return _isolated(attempt, cpu_seconds=SEARCH_SECONDS)


def found(mutation: Mutation | None, finder: Finder) -> str:
    """What it says of the fault, in a line; "" = it notices nothing. Without a mutation: of the code as it is.

    Raises FinderError, and MutationError.
    """

    def attempt() -> str:
        with contextlib.ExitStack() as stack:
            _prepare(finder)
            if mutation is not None:
                stack.enter_context(planted(mutation))
            return _run(finder)

    return _isolated(attempt)


def _prepare(finder: Finder) -> None:
    """Import what it needs before the fault is there: it is for what runs, not for what is imported."""
    importlib.import_module("tests.conftest")  # Hypothesis' profiles
    match finder:
        case Story():
            importlib.import_module("tests.protocol.stories")
        case Seed() | Written():
            importlib.import_module(SIMULATION)
        case Test(name):
            if _pytest("--collect-only", name)[0]:
                raise FinderError(f"no such test: {name}")


def _run(finder: Finder) -> str:
    match finder:
        case Story(name):
            return _told(name)
        case Test(name):
            code, failures = _pytest(name)
            if code not in (0, 1):
                raise FinderError(f"pytest ended with {code}: {name}")
            return failures[0] if failures else ""
        case Seed(number):
            return str(importlib.import_module(SIMULATION).run(number).violation or "")
        case Written(name):
            return _scenario(name)


def _scenario(name: str) -> str:
    from tests.sim.scenario import kept

    if name not in kept():
        raise FinderError(f"there is no scenario {name}")
    return str(kept()[name].live().violation or "")


def _told(name: str) -> str:
    from tests.protocol.stories import stories, tell

    alike = [one for one in stories() if one.__qualname__.split(".")[0] == name]
    if not alike:
        raise FinderError(f"there is no story {name}")
    for one in alike:
        try:
            tell(one)
        except AssertionError as error:
            return _line(str(error))
        except Exception as error:
            return _line(repr(error))
    return ""


def _tried(examples: int) -> str:
    """What chance finds it does not find again after an unrelated change: what Hypothesis tries depends on the
    constants in all modules that are loaded."""
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.protocol.test_world import World

    bounded = settings(
        max_examples=examples,
        stateful_step_count=12,
        deadline=None,
        database=None,
        derandomize=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    try:
        run_state_machine_as_test(World, settings=bounded)
    except AssertionError as error:
        return _line(str(error))
    return ""


class _Failures:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.lines.append(_line(f"{report.nodeid}: {crash.message if crash else report.when}"))


def _pytest(*arguments: str) -> tuple[int, list[str]]:
    """Its exit status, and what failed, in order."""
    failures = _Failures()
    quiet = ("-W", "ignore::pytest.PytestAssertRewriteWarning")  # of plugins that are here already
    options = ["-q", "-x", *quiet, "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(ROOT), "-m", ""]
    code = pytest.main([*options, *arguments], plugins=[failures])
    return int(code), failures.lines


def _line(text: str) -> str:
    return " ".join(text.split())[:200] or "it fails without a word"


# ---- a process of its own


def _isolated(work: Callable[[], str], cpu_seconds: int = CPU_SECONDS) -> str:
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answer:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            _as_child(work, cpu_seconds, said.fileno(), answer.fileno())
        status = _ended(pid, WALL_SECONDS * cpu_seconds / CPU_SECONDS)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU:
            return ENDLESS
        answer.seek(0)
        outcome = answer.read()
        if not outcome:
            said.seek(0)
            raise FinderError(f"it ended with {status}: {said.read()[-2000:].decode(errors='replace')}")
    result = pickle.loads(outcome)
    if isinstance(result, Exception):
        raise result
    return str(result)


def _as_child(work: Callable[[], str], cpu_seconds: int, said: int, answer: int) -> None:
    status = 1
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with _in_a_folder():
            try:
                result: str | Exception = work()
            except Exception as error:
                result = type(error)(str(error))
            os.write(answer, pickle.dumps(result))
        status = 0
    finally:
        os._exit(status)


@contextlib.contextmanager
def _in_a_folder() -> Iterator[None]:
    """What Hypothesis would keep of its examples is no example of ours."""
    from hypothesis.configuration import set_hypothesis_home_dir

    with tempfile.TemporaryDirectory() as folder:
        set_hypothesis_home_dir(Path(folder))
        yield


def _ended(pid: int, seconds: float) -> int:
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise FinderError(f"it took more than {seconds:.0f} s")
        time.sleep(0.02)
