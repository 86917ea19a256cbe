"""Lives as text: what happens, a line for each act, so that people can read, keep and change them.

    # What it shows, in words.
    seed 17
    0 node n1
    0.5 service default/a families=4
    1 expect shows default/a 192.0.2.10

A line is a pause in seconds, an act (tests.sim.acts), and its words. The seed is that of the network's chances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.sim.acts import Step, parsed
from tests.sim.run import Outcome, live

FOLDER = Path(__file__).with_name("scenarios")


@dataclass(frozen=True)
class Scenario:
    """`about`: the comment that it begins with."""

    about: str
    seed: int
    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        about = [f"# {line}" for line in self.about.splitlines()]
        return "\n".join([*about, f"seed {self.seed}", *(step.text for step in self.steps)]) + "\n"

    def live(self) -> Outcome:
        return live(self.seed, self.steps)


def read(text: str) -> Scenario:
    """Raises ValueError for what is no scenario."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    about = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    rest = [line for line in lines if not line.startswith("#")]
    word, _, number = rest[0].partition(" ")
    if word != "seed":
        raise ValueError("a scenario begins with its seed")
    return Scenario("\n".join(about), int(number), tuple(map(parsed, rest[1:])))


@cache
def kept() -> Mapping[str, Scenario]:
    """By name, those in the folder."""
    return {path.stem: read(path.read_text()) for path in sorted(FOLDER.glob("*.txt"))}


def shortened(seed: int, steps: Sequence[Step]) -> tuple[list[Step], Outcome]:
    """As few of these acts as still end badly, and how. Each attempt is a life.

    Halves, then quarters and so on are left out, as long as what is left ends badly in any way (Zeller's ddmin).
    """
    left, outcome = list(steps), live(seed, steps)
    size = max(1, len(left) // 2)
    while size and outcome.violation is not None:
        at, has_shrunk = 0, False
        while at < len(left):
            tried = left[:at] + left[at + size :]
            if (worse := live(seed, tried)).violation is not None:
                left, outcome, has_shrunk = tried, worse, True
            else:
                at += size
        if size == 1 and not has_shrunk:
            break
        size = max(1, size // 2) if size > 1 else 1
    return left, outcome
