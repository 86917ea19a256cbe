"""python -m tests.sim [--seeds A-B] [--jobs 2]: run lives, print a summary, and of each that failed its transcript."""

import argparse

from tests.sim.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim")
    parser.add_argument("--seeds", default="1-100")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    outcomes = [run(seed) for seed in range(int(first), int(last or first) + 1)]
    failed = [one for one in outcomes if one.violation is not None]
    for one in failed:
        print(f"seed {one.seed}: {one.violation}", *one.transcript, sep="\n    ")
    print(f"{len(outcomes)} lives, {len(failed)} violations")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
