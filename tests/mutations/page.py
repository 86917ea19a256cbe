"""docs/mutations.md: all planted faults in a table. `python -m tests.mutations --write` writes it."""

from collections.abc import Iterator

from tests.mutations import lives
from tests.mutations.catalogue import ROOMS
from tests.mutations.mutation import Mutation, Seed, Story, Written
from tests.mutations.planting import ROOT

PATH = ROOT / "docs/mutations.md"

HEAD = """# Planted faults

Each row is a rule of Berth's code, and what notices when the code does not keep it.
To leave a rule out, one function of the code is changed in one place.
So the tests are tested: a rule that nobody would miss is no rule.

    python -m tests.mutations                     # plant each of them, and say what finds it
    python -m tests.mutations settle --seeds 200  # one of them, also by the simulation
    python -m tests.mutations --write             # write this page anew

`make test` does the first of these.
A fault is known by the function that it is in, and by the passage that it changes there (`tests/mutations/catalogue`).
When that passage is not there any more, it is an error that names the fault: then it has to follow the code.

The last column is a life of the [simulated cluster](simulation.md) in which the fault shows, a scenario or a seed.
`make test` plants the fault and lives that life, too.
Each night `make mutations-nightly` looks for such lives anew, in all scenarios and then in 200 seeds.
What no life can show, a story or a test does, and the column says why.

A story is one of `tests/protocol/stories.py`: whole speakers and allocators in one order of events.
"""


def text() -> str:
    """The page."""
    return HEAD + "".join(section for room in ROOMS for section in _section(room.__doc__ or "", room.MUTATIONS))


def _section(doc: str, mutations: tuple[Mutation, ...]) -> Iterator[str]:
    title, _, rest = doc.splitlines()[0].rstrip(".").partition(": ")
    yield f"\n## {title}\n\n{rest[:1].upper()}{rest[1:]}.\n\n"
    yield "| fault | the rule that is left out | where | found by | life |\n|---|---|---|---|---|\n"
    for one in mutations:
        yield f"| `{one.name}` | {one.rule} | `{one.function}` | {_finder(one)} | {_life(one)} |\n"


def _finder(one: Mutation) -> str:
    if isinstance(one.finder, Story):
        return f"the story `{one.finder.name}`"
    file, _, test = one.finder.name.partition("::")
    return f"`{file}`" + (f" `{test}`" if test else "")


def _life(one: Mutation) -> str:
    match lives.KNOWN.get(one.name):
        case Seed(number):
            return f"seed {number}"
        case Written(name):
            return f"`{name}`"
    return one.finder.why
