"""python -m tests.fuzz.target NAME SECONDS FOLDER: strange input for one decoder, for so long.

With atheris (libFuzzer), where it is installed: it looks for input that leads to other lines of the code. Without it
examples are changed at random. FOLDER has the examples in `corpus`. What no decoder may do ends the process, and the
input is in `FOLDER/crash-*` then.
"""

import contextlib
import importlib
import importlib.util
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 10
"""For one input. A decoder takes milliseconds."""
MOST_BYTES = 8192
ROOMS = ["allocator", "speaker", "kube", "crds", "cli"]


def main(name: str, seconds: int, folder: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        _at_random(name, seconds, folder)
    else:
        _guided(name, seconds, folder)


def _guided(name: str, seconds: int, folder: Path) -> None:
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=ROOMS):
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

    options = [f"-max_total_time={seconds}", f"-timeout={LONGEST_SECONDS}", f"-max_len={MOST_BYTES}"]
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
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
