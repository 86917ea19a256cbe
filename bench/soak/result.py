"""What a soak found, as a value. No I/O."""

from dataclasses import dataclass

from bench.soak.programs import Use
from bench.soak.timing import Times


@dataclass(frozen=True)
class Result:
    """All figures of a run. `unsettled`: what calm did not bring; `left`: what was still there in peace."""

    seed: int
    seconds: float
    acts: dict[str, int]
    faults: dict[str, int]
    records: int
    frames: int
    routes: int
    answers: int
    ended_by_themselves: dict[str, int]
    times: dict[str, dict[str, Times]]
    calms: list[float]
    peace_seconds: float
    uses: dict[str, dict[str, Use]]
    violations: list[str]
    unsettled: list[str]
    left: list[str]
    leaks: list[str]
    left_out: list[str]

    @property
    def is_right(self) -> bool:
        return not (self.violations or self.unsettled or self.left or self.leaks)
