"""python -m tests.fuzz.target UNTIL FOLDER NAME...: strange input for these decoders, one after the other.

With atheris (libFuzzer), where it is installed: it looks for input that leads to other lines of the code. Without it
examples are changed at random. To make all modules ready for atheris takes ten seconds and more, so it is done once,
and each decoder is tried in a fork. UNTIL: when all must be over, of the monotonic clock; each decoder gets an equal
part of what is left. FOLDER/NAME has its examples in `corpus`; what it said is in `said`. What no decoder may do ends
the fork, and the input is in `FOLDER/NAME/crash-*` then. On stdout a line for each: its name, and how it ended.
"""

import contextlib
import ctypes
import importlib
import importlib.util
import multiprocessing
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 10
"""For one input. A decoder takes milliseconds."""
MOST_BYTES = 8192
ROOMS = ["allocator", "speaker", "kube", "crds", "cli"]
LEAST_SECONDS = 2
"""For one decoder: libFuzzer counts whole ones, and ends in the one after that which it is told."""
GRACE_SECONDS = 60
"""After its part of the time."""
NO_TIME, NO_END = "no-time", "no-end"


def main(until: float, folder: Path, names: list[str]) -> None:
    guide = None
    if importlib.util.find_spec("atheris") is not None:
        guide = importlib.import_module("atheris")
        with guide.instrument_imports(include=ROOMS):
            importlib.import_module("tests.fuzz.decoders")
    for number, name in enumerate(names):
        left = until - time.monotonic()
        seconds = max(LEAST_SECONDS, int(left / (len(names) - number)))
        print(name, NO_TIME if left < LEAST_SECONDS else _apart(guide, name, seconds, folder / name), flush=True)


def _apart(guide: Any, name: str, seconds: int, folder: Path) -> int | str:
    """In a fork: its status, or NO_END."""
    process = multiprocessing.get_context("fork").Process(target=_try, args=(guide, name, seconds, folder))
    process.start()
    process.join(seconds + GRACE_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return NO_END
    return process.exitcode


def _try(guide: Any, name: str, seconds: int, folder: Path) -> None:
    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT, 0o600)
    for stream in (1, 2):
        os.dup2(said, stream)
    run: Callable[[str, int, Path], None] = _at_random if guide is None else _guided
    try:
        run(name, seconds, folder)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        # libFuzzer writes the input when the process exits, which a fork of Python's does not by itself.
        ctypes.CDLL(None).exit(1)


def _guided(name: str, seconds: int, folder: Path) -> None:
    atheris: Any = importlib.import_module("atheris")
    decoder = importlib.import_module("tests.fuzz.decoders").BY_NAME[name]
    inputs = importlib.import_module("tests.fuzz.inputs")
    examples = inputs.kept(decoder.corpus)

    def one_input(raw: bytes) -> None:
        with contextlib.suppress(*decoder.raises):
            decoder.call(raw)

    def mutated(raw: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(raw, most))
        return bytes(inputs.another(raw, rng.choice(examples), rng)[:most])

    options = [f"-max_total_time={seconds - 1}", f"-timeout={LONGEST_SECONDS}", f"-max_len={MOST_BYTES}"]
    options += [f"-artifact_prefix={folder}/", "-rss_limit_mb=2048", "-print_final_stats=1", str(folder / "corpus")]
    atheris.Setup([sys.argv[0], *options], one_input, custom_mutator=mutated)
    atheris.Fuzz()


def _at_random(name: str, seconds: int, folder: Path) -> None:
    decoder = importlib.import_module("tests.fuzz.decoders").BY_NAME[name]
    changed = importlib.import_module("tests.fuzz.inputs").changed
    rng, until, tried = random.Random(), time.monotonic() + seconds, 0
    while time.monotonic() < until:
        raw = changed(decoder.corpus, rng)[:MOST_BYTES]
        tried += 1
        try:
            signal.alarm(LONGEST_SECONDS)
            decoder.call(raw)
        except decoder.raises:
            continue
        except BaseException:
            (folder / "crash-0").write_bytes(raw)
            raise
        finally:
            signal.alarm(0)
    print(f"stat::number_of_executed_units: {tried}", file=sys.stderr)


if __name__ == "__main__":
    main(float(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
