"""Runs the world with one rule of the code left out: python -m tests.protocol.mutant NAME [EXAMPLES]

First the stories, then, with EXAMPLES, what chance finds. Each mutation replaces one passage of a module, as it is
imported. Prints "found" and what, or "survived". A passage that is not there (any more) is an error: then the mutation
has to follow the code.

Each has a story that finds it. What chance finds it does not find again after an unrelated change: what Hypothesis
tries depends on the constants in all modules that are loaded.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import pathlib
import sys
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutation:
    """`rule` is what docs/model/README.md calls it."""

    rule: str
    module: str
    passage: str
    instead: str


FENCING, RELEASE, RELEASES = "speaker.fencing", "allocator.release.barrier", "speaker.releases"
CORE = "speaker.core"
CONFIRMING, CONFIRMATIONS = "speaker.own.confirming", "allocator.release.confirmations"
MUTATIONS = {
    "leases-after-mark": Mutation(
        "Leases read after the mark", RELEASE, "until <= mark.known_at or round_.sent < leases.read_at", "False"
    ),
    "word-contradicted": Mutation(
        "who renews its Lease is not shut down",
        RELEASE,
        '    if silent < needed:\n        return f"its Lease has been silent for {silent:.0f} of {needed:.0f} s only"',
        "    if False:\n        pass",
    ),
    "word-after-mark": Mutation(
        "Leases read after the mark, also where a word counts",
        RELEASE,
        "if leases.silent_until(node) <= mark.known_at or round_.sent < leases.read_at:",
        "if False:",
    ),
    "ack-uid": Mutation(
        "acknowledged by uid",
        RELEASE,
        "(released or remembered).get(mark.uid, -1) >=",
        "max((released or remembered).values(), default=-1) >=",
    ),
    "everybody": Mutation("everybody must be off", RELEASE, "(one.node, one.why))", "(one.node, one.why))[1:]"),
    "withdraw-first": Mutation(
        "withdraw before the acknowledgement",
        RELEASES,
        "not any(course.may_be_heard(",
        "not any(None and course.may_be_heard(",
    ),
    "contact-to-promise": Mutation(
        "a promise is made in contact", FENCING, "now - renewal_sent >= limits.outlived", "now < 0 * limits.outlived"
    ),
    "look-back": Mutation(
        "look back when contact returns", FENCING, "if self._lost is None and now >=", "if now < 0 >="
    ),
    "silence": Mutation("silent before the fence", FENCING, "self._is_cut_off = now >= deadline", "deadline = 1e9"),
    "sending": Mutation(
        "a renewal counts from its sending", FENCING, "else self._renewal + self", "else self._renewal + 60 + self"
    ),
    "outvoting": Mutation(
        "a majority outlived it",
        RELEASE,
        "outlived_by = leases.outlived_by(speaker.node, speaker.witnesses, after)",
        "outlived_by = dict.fromkeys(speaker.witnesses, -1e9)",
    ),
    "settle": Mutation(
        "time to hear of it", RELEASE, "if until - since >= SETTLE_SECONDS +", "if until - since >= 0 *"
    ),
    "proof": Mutation("contact proven, not shown", RELEASE, "Proof(ends[0], received)", "Proof(ends[-1], received)"),
    "island-majority": Mutation(
        "a majority of the witnesses lost contact", FENCING, "2 * len(some & witnesses) > len(witnesses)", "bool(some)"
    ),
    "same-time": Mutation(
        "... when we lost it", FENCING, "before = self._renewal + self", "before = self._renewal + 1000 + self"
    ),
    "heard-limit": Mutation(
        "what was said long ago does not count", FENCING, "now - contact.heard <= HEARD_SECONDS", "True"
    ),
    "start-counts": Mutation(
        "a restarted witness counts from its start", FENCING, "return started if", "return 0.0 if"
    ),
    "anew": Mutation(
        "read everything anew after what may have been a fence",
        CORE,
        "            self._begin(now)\n\n    def _removed",
        "            self.right.registered(now.boottime)\n\n    def _removed",
    ),
    "confirmed-by-whom": Mutation(
        "acknowledged by the process that the Speaker names",
        CONFIRMATIONS,
        "or self.status.incarnation != incarnation",
        "",
    ),
    "late-confirmation": Mutation(
        "a write names the version that it follows",
        CONFIRMING,
        "own.uid, own.resource_version, status",
        '"", "", status',
    ),
    "refused-confirmation": Mutation(
        "what was refused was not acknowledged",
        CONFIRMING,
        "self._refused(failed.request, failed, now)",
        'self._released.confirm(failed.request.status["released"])',
    ),
    "other-machine": Mutation(
        "nobody acknowledges for another machine", CORE, "if not self._is_alone(now):", "if False:"
    ),
    "other-machine-persists": Mutation(
        "what is waited for outlives the process that waits",
        "speaker.own.report",
        "[elsewhere(one) for one in others]",
        "[]",
    ),
    "confirmed-alone": Mutation(
        "an acknowledgement waits for no other write",
        "speaker.own.writers",
        "confirmation = self.confirmation.next_request(now)",
        "confirmation = None if self.speaker.attempts.have_failed else self.confirmation.next_request(now)",
    ),
    "witnesses": Mutation(
        "the promise names its witnesses",
        RELEASE,
        "leases.outlived_by(speaker.node, speaker.witnesses, after)",
        "leases.outlived_by(speaker.node, [one.node for one in round_.speakers], after)",
    ),
}


class Planter(importlib.abc.MetaPathFinder):
    """Gives one module another source."""

    def __init__(self, mutation: Mutation) -> None:
        self._mutation = mutation

    def find_spec(self, fullname, path=None, target=None):
        if fullname != self._mutation.module:
            return None
        file = ROOT / (fullname.replace(".", "/") + ".py")
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_Loader(fullname, str(file), self._mutation)
        )


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, mutation: Mutation) -> None:
        super().__init__(fullname, path)
        self._mutation = mutation

    def get_code(self, fullname):  # type: ignore[override]
        source = pathlib.Path(self.path).read_text()
        passage = self._mutation.passage
        if source.count(passage) != 1:
            raise SystemExit(f"{self.path} has {source.count(passage)} times: {passage}")
        return compile(source.replace(passage, self._mutation.instead), self.path, "exec")


def main(name: str, examples: int) -> None:
    if name != "none":
        sys.meta_path.insert(0, Planter(MUTATIONS[name]))
    importlib.import_module("tests.conftest")  # Hypothesis' profiles, which pytest is not here to load
    try:
        tell_stories()
        if examples:
            try_at_random(examples)
    except AssertionError as error:
        print("found:", str(error).splitlines()[0])
    else:
        print("survived")


def tell_stories() -> None:
    from tests.protocol.stories import stories, tell

    for story in stories():
        tell(story)


def try_at_random(examples: int) -> None:
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
    run_state_machine_as_test(World, settings=bounded)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
