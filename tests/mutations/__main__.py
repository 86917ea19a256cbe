"""python -m tests.mutations [NAME...]: plant each fault, or those named, and say what finds it.

    --seeds N      also look for it with the seeds 1 to N of the simulation
    --examples N   also with so many examples of the protocol's world
    --keep         remember the seeds that found one, in seeds.txt
    --write        write docs/mutations.md, and plant nothing

Prints a line for each, and ends with 1 when nothing finds one.
"""

import argparse
import gc
import os
import sys
from collections.abc import Iterator

from tests.mutations import page, seeds
from tests.mutations.catalogue import MUTATIONS
from tests.mutations.finding import FinderError, Searched, found, prepare, searched
from tests.mutations.mutation import Mutation, Seed

FIXED = "0"
"""PYTHONHASHSEED: without it sets have another order in each process, and a seed another life."""


def main() -> int:
    options = _options()
    if options.write:
        page.PATH.write_text(page.text())
        return 0
    if os.environ.get("PYTHONHASHSEED") != FIXED:
        os.environ["PYTHONHASHSEED"] = FIXED
        os.execv(sys.executable, [sys.executable, "-m", "tests.mutations", *sys.argv[1:]])
    chosen = [MUTATIONS[name] for name in options.names or MUTATIONS]
    prepare(one.finder for one in chosen)
    gc.freeze()
    survived = 0
    kept = dict(seeds.KNOWN)
    for one in chosen:
        said = list(_said(one, options, kept))
        survived += not any(what for _, what in said)
        for who, what in said:
            print(f"{one.name}: {'found by' if what else 'SURVIVED'} {who}{': ' if what else ''}{what}", flush=True)
    return bool(survived)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *MUTATIONS])
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--examples", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def _said(one: Mutation, options: argparse.Namespace, kept: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Who looked for it, and what they found."""
    try:
        yield str(one.finder), found(one, one.finder)
    except FinderError as error:
        print(f"{one.name}: {error}", file=sys.stderr)
        yield str(one.finder), ""
    if options.examples:
        yield f"{options.examples} examples", searched(one, Searched(examples=options.examples))[1]
    if options.seeds:
        try:
            number, what = searched(one, Searched(seeds=options.seeds))
        except FinderError as error:
            print(f"{one.name}: {error}", file=sys.stderr)
            number, what = 0, ""
        yield str(Seed(number)) if what else f"{options.seeds} seeds", what
        if what:
            kept[one.name] = number
        else:
            kept.pop(one.name, None)
        if options.keep:
            seeds.keep(kept)


if __name__ == "__main__":
    raise SystemExit(main())
