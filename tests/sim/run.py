"""One life of a cluster from its seed, and what came of it: the entry for everybody who runs the simulation."""

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What came of one life. `violation`: what must not be, in words; None = all went well. `reached`: the rows of the
    phase table, the conditions and the faults that it met, as `phase Serving`, `condition Allocated/...`, `fault ...`.
    """

    seed: int
    violation: str | None = None
    steps: int = 0
    faults: int = 0
    virtual_seconds: float = 0.0
    reached: set[str] = field(default_factory=set)
    transcript: list[str] = field(default_factory=list)


def run(seed: int) -> Outcome:
    """Deterministic where PYTHONHASHSEED is set."""
    return Outcome(seed)
