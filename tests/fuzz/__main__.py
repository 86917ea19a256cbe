"""python -m tests.fuzz [NAME...] [--seconds 600] [--jobs 2] [--keep]: strange input for every decoder, or those named.

--seconds: for all of them together. --keep: add the shortest input that led to other lines of the code to corpora/.
Ends with 1 when a decoder did what its contract does not say, and prints the input as Python writes it.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.decoders import BY_NAME, Decoder
from tests.fuzz.inputs import keep, kept

KEPT, SHORT_BYTES = 3, 300
GRACE_SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """`fault`: the last line that it said, "" = none. `culprits`: the input that did it. `new`: input worth keeping."""

    decoder: Decoder
    tried: int
    fault: str
    culprits: tuple[bytes, ...]
    new: tuple[bytes, ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *BY_NAME])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    chosen = [BY_NAME[name] for name in options.names or BY_NAME]
    each = max(1, options.seconds * options.jobs // len(chosen))
    faults = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for one in pool.map(lambda decoder: _fuzz(decoder, each), chosen):
            print(f"{one.decoder.name}: {one.tried} inputs", *_told(one), sep="\n    ", flush=True)
            faults += bool(one.fault)
            if options.keep:
                keep(one.decoder.corpus, one.new)
    return bool(faults)


def _told(one: Ended) -> Iterator[str]:
    if one.fault:
        yield f"FAULT: {one.fault}"
        yield from (repr(raw) for raw in one.culprits)


def _fuzz(decoder: Decoder, seconds: int) -> Ended:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        examples = kept(decoder.corpus)
        for number, raw in enumerate(examples):
            (folder / "corpus" / f"{number:04}").write_bytes(raw)
        command = [sys.executable, "-m", "tests.fuzz.target", decoder.name, str(seconds), name]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds + GRACE_SECONDS,
                check=False,
            )
            said, status = done.stdout, done.returncode
        except subprocess.TimeoutExpired:
            said, status = "it did not end in time", 1
        culprits = tuple(path.read_bytes() for path in sorted(folder.glob("*-*")) if path.is_file())
        found = (path.read_bytes() for path in (folder / "corpus").iterdir())
        new = sorted((raw for raw in found if raw not in examples and len(raw) <= SHORT_BYTES), key=len)[:KEPT]
    tried = re.search(r"number_of_executed_units: (\d+)", said)
    fault = _fault(said, status) if status or culprits else ""
    return Ended(decoder, int(tried[1]) if tried else 0, fault, culprits, tuple(new))


def _fault(said: str, status: int) -> str:
    lines = [line.strip() for line in said.splitlines() if re.match(r"\s*[\w.]*(Error|Exception)\b|ERROR: ", line)]
    return lines[0] if lines else f"it ended with {status}: {said[-300:]}"


if __name__ == "__main__":
    raise SystemExit(main())
