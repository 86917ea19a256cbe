"""python -m tests.sim: run lives, print a summary, and of each that failed its transcript.

--seeds A-B    which, or one
--varied A-B   instead of seeds: lives near the scenarios of the folder (tests.sim.varied)
--jobs N       in so many processes
--coverage     and what they reached
--shorten      of those that failed also the fewest acts that still do, as a scenario (tests.sim.scenario)
NAME...        scenarios of the folder, or files, instead of seeds
"""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.sim.fate import drawn
from tests.sim.run import Outcome
from tests.sim.scenario import Scenario, kept, read, shortened
from tests.sim.varied import varied

FIXED = "0"
"""PYTHONHASHSEED: without it sets have another order in each process."""


def main() -> int:
    if os.environ.get("PYTHONHASHSEED") != FIXED:
        os.environ["PYTHONHASHSEED"] = FIXED
        os.execv(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]])
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("--seeds", default="1-100", help="A-B, or one")
    parser.add_argument("--varied", metavar="A-B", help="instead of seeds, lives near the scenarios of the folder")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--coverage", action="store_true", help="what was reached")
    parser.add_argument("--shorten", action="store_true", help="of failed lives, the fewest acts that still fail")
    parser.add_argument("scenarios", nargs="*", metavar="NAME", help="a scenario of the folder, or a file")
    options = parser.parse_args()
    if options.scenarios:
        return told(options.scenarios, is_counted=options.coverage)
    kind = varied if options.varied else of_seed
    first, _, last = (options.varied or options.seeds).partition("-")
    numbers = range(int(first), int(last or first) + 1)
    began = time.perf_counter()
    reached: Counter[str] = Counter()
    lives = failed = steps = faults = 0
    seconds = 0.0
    for one in outcomes(kind, numbers, options.jobs):
        lives, steps, faults, seconds = lives + 1, steps + one.steps, faults + one.faults, seconds + one.virtual_seconds
        reached.update(one.reached)
        if one.violation is not None:
            failed += 1
            life = kind(one.seed)
            print(f"{life.about}: {one.violation}", *one.transcript, sep="\n    ", flush=True)
            if options.shorten:
                left, worse = shortened(life.seed, life.steps)
                print(Scenario(str(worse.violation), one.seed, tuple(left)).text, flush=True)
    took = time.perf_counter() - began
    if options.coverage:
        count(reached)
    print(
        f"{lives} lives, {failed} violations; {steps} steps, {faults} faults, {seconds / 3600:.1f} virtual hours; "
        f"{lives / took:.1f} lives a second"
    )
    return bool(failed)


def of_seed(number: int) -> Scenario:
    """The life of that seed."""
    return Scenario(f"seed {number}", number, tuple(drawn(number)))


def told(names: list[str], *, is_counted: bool) -> int:
    """These scenarios."""
    failed, reached = 0, Counter[str]()
    for name in names:
        path = Path(name)
        outcome = (read(path.read_text()) if path.exists() else kept()[name]).live()
        print(f"{name}: {outcome.violation or 'as it should be'}", *outcome.transcript, sep="\n    ", flush=True)
        failed += outcome.violation is not None
        reached.update(outcome.reached)
    if is_counted:
        count(reached)
    return bool(failed)


def count(reached: Counter[str]) -> None:
    """How many lives reached what."""
    for what, lives in sorted(reached.items()):
        print(f"{lives:6} {what}")


def outcomes(kind: Callable[[int], Scenario], numbers: Iterable[int], jobs: int) -> Iterable[Outcome]:
    gc.freeze()
    live = partial(_live, kind)
    if jobs == 1:
        yield from map(live, numbers)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(live, numbers, chunksize=4)


def _live(kind: Callable[[int], Scenario], number: int) -> Outcome:
    gc.disable()
    outcome = kind(number).live()
    gc.collect()
    return outcome


if __name__ == "__main__":
    raise SystemExit(main())
