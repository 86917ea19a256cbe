"""python -m tests.fuzz [NAME...] [--seconds 600] [--jobs 2] [--keep]: strange input for every decoder, or those named.

--seconds: for all of them together, and what it takes to begin. Decoders for which no time was left are told.
--keep: add the shortest input that led to other lines of the code to corpora/.
Ends with 1 when a decoder did what its contract does not say, and prints the input as Python writes it.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from tests.fuzz.decoders import BY_NAME, Decoder
from tests.fuzz.inputs import keep, kept
from tests.fuzz.target import NO_END, NO_TIME

KEPT, SHORT_BYTES = 3, 300
KEEPING = Lock()
"""Decoders of several parts have one corpus."""


@dataclass(frozen=True)
class Ended:
    """`fault`: the last line that it said, "" = none. `culprits`: the input that did it. `new`: input worth keeping."""

    decoder: Decoder
    tried: int
    fault: str
    culprits: tuple[bytes, ...]
    new: tuple[bytes, ...]


def main() -> int:
    began = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *BY_NAME])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    chosen = [BY_NAME[name] for name in options.names or BY_NAME]
    random.shuffle(chosen)  # a short run leaves out others each time
    until = began + options.seconds
    parts = [part for number in range(options.jobs) if (part := chosen[number :: options.jobs])]
    with ThreadPoolExecutor(len(parts)) as pool:
        faults = sum(pool.map(lambda part: _part(part, until, is_kept=options.keep), parts))
    return bool(faults)


def _part(decoders: Sequence[Decoder], until: float, *, is_kept: bool) -> int:
    """How many of these have a fault."""
    faults = 0
    for one in _fuzz(decoders, until):
        print("\n    ".join([f"{one.decoder.name}: {one.tried} inputs", *_told(one)]), flush=True)
        faults += bool(one.fault)
        if is_kept:
            with KEEPING:
                keep(one.decoder.corpus, one.new)
    return faults


def _told(one: Ended) -> Iterator[str]:
    if one.fault:
        yield f"FAULT: {one.fault}"
        yield from (repr(raw) for raw in one.culprits)
    elif not one.tried:
        yield "no time was left for it"


def _fuzz(decoders: Sequence[Decoder], until: float) -> Iterator[Ended]:
    """What came of each, as soon as it ended."""
    with tempfile.TemporaryDirectory() as name:
        for decoder in decoders:
            corpus = Path(name) / decoder.name / "corpus"
            corpus.mkdir(parents=True)
            for number, raw in enumerate(kept(decoder.corpus)):
                (corpus / f"{number:04}").write_bytes(raw)
        command = [sys.executable, "-m", "tests.fuzz.target", str(until), name, *(one.name for one in decoders)]
        waiting = list(decoders)
        log = Path(name) / "said"
        with (
            log.open("wb") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as target,
        ):
            assert target.stdout is not None
            for line in target.stdout:
                yield _ended(waiting.pop(0), line.split()[1], Path(name))
        said = log.read_text(errors="replace")
        for decoder in waiting:  # nobody tried them: the target itself ended
            yield Ended(decoder, 0, _fault(said, str(target.returncode)), (), ())


def _ended(decoder: Decoder, status: str, folder: Path) -> Ended:
    if status == NO_TIME:
        return Ended(decoder, 0, "", (), ())
    folder /= decoder.name
    said = (folder / "said").read_text(errors="replace")
    examples = kept(decoder.corpus)
    culprits = tuple(path.read_bytes() for path in sorted(folder.glob("*-*")) if path.is_file())
    found = (path.read_bytes() for path in (folder / "corpus").iterdir())
    new = sorted((raw for raw in found if raw not in examples and len(raw) <= SHORT_BYTES), key=len)[:KEPT]
    tried = re.search(r"number_of_executed_units: (\d+)", said)
    fault = "it did not end in time" if status == NO_END else ""
    if not fault and (status != "0" or culprits):
        fault = _fault(said, status)
    return Ended(decoder, int(tried[1]) if tried else 0, fault, culprits, tuple(new))


def _fault(said: str, status: str) -> str:
    lines = [line.strip() for line in said.splitlines() if re.match(r"\s*[\w.]*(Error|Exception)\b|ERROR: ", line)]
    return lines[0] if lines else f"it ended with {status}: {said[-300:]}"


if __name__ == "__main__":
    raise SystemExit(main())
