"""`make soak MINUTES=60`: a whole lab under random faults, judged from outside. Exit code 1 when something was wrong.

One JSON object on stdout, the report as text on stderr and in the directory (`report.txt`, `report.json`), with the
logs of all programs and `acts.log`, which has each act with its monotonic time. Which order things happen in depends on
the machine too, so a seed shows the same acts at about the same times, not the same run.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path

from bench.measure import progress
from bench.soak.course import Plan, soak
from bench.soak.report import figures, text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=None, help="for the same acts; random if left out")
    parser.add_argument("--directory", type=Path, default=None, help="keeps the logs; a temporary one if left out")
    parser.add_argument("--without-frr", action="store_true", help="BIRD alone: for a machine without FRR or root")
    parser.add_argument("--keep-cpu", action="store_true", help="no busy processes: others work on this machine, too")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    directory = given.directory or Path(tempfile.mkdtemp(prefix="berth-soak-"))
    plan = Plan(directory, given.minutes * 60, seed, takes_cpu=not given.keep_cpu, with_frr=not given.without_frr)
    result = soak(plan)
    line = json.dumps({"bench": "soak", **figures(result)})
    (directory / "report.json").write_text(line + "\n")
    (directory / "report.txt").write_text(text(result) + "\n")
    print(line, flush=True)
    progress(text(result))
    progress(f"logs are in {directory}")
    return 0 if result.is_right else 1


if __name__ == "__main__":
    raise SystemExit(main())
