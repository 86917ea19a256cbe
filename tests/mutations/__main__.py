"""python -m tests.mutations [NAME...]: plant each fault, or those named, and say what finds it.

    --seeds N      look for a life of the simulation in which it shows: all scenarios, then the seeds 1 to N
    --examples N   also with so many examples of the protocol's world
    --keep         remember that life, in lives.txt
    --write        write docs/mutations.md, and plant nothing

Its story or test has to find it, and the life that is known. Prints a line for each, and ends with 1 when one does not.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

from tests.mutations import lives, page
from tests.mutations.catalogue import MUTATIONS
from tests.mutations.finding import FinderError, found, lived, prepare, tried
from tests.mutations.mutation import Finder, Life, Mutation

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
    kept = dict(lives.KNOWN)
    for one in chosen:
        said = [(str(finder), _tried(one, partial(found, one, finder))) for finder in _finders(one, options)]
        survived += not all(what for _, what in said)
        for who, what in (*said, *_looked_for(one, options, kept)):
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


def _finders(one: Mutation, options: argparse.Namespace) -> Iterator[Finder]:
    """What has to find it."""
    yield one.finder
    if not options.seeds and one.name in lives.KNOWN:
        yield lives.KNOWN[one.name]


def _looked_for(one: Mutation, options: argparse.Namespace, kept: dict[str, Life]) -> Iterator[tuple[str, str]]:
    """What might find it, and what that says."""
    if options.examples:
        yield f"{options.examples} examples", _tried(one, partial(tried, one, options.examples))
    if options.seeds:
        kept.pop(one.name, None)
        word, _, what = _tried(one, partial(lived, one, options.seeds)).partition(" ")
        if what:
            kept[one.name] = lives.life_of(word)
        if options.keep:
            lives.keep(kept)
        yield str(kept[one.name]) if what else f"{options.seeds} seeds", what


def _tried(one: Mutation, attempt: Callable[[], str]) -> str:
    """What it says; nothing also where it could not be tried."""
    try:
        return attempt()
    except FinderError as error:
        print(f"{one.name}: {error}", file=sys.stderr)
        return ""


if __name__ == "__main__":
    raise SystemExit(main())
