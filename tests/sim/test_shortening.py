"""What is left of a life that ended badly when its acts are left out one after the other."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.mutations.catalogue import MUTATIONS
from tests.mutations.planting import planted
from tests.sim import __main__ as program
from tests.sim import scenario
from tests.sim.acts import Step
from tests.sim.fate import drawn
from tests.sim.run import Outcome, live
from tests.sim.scenario import Scenario, read, shortened

GUILTY = {"kill n1", "delete default/a"}
STEPS = [Step(0, *one) for one in (("node", (f"n{number}",)) for number in range(20))]
STEPS[3:3] = [Step(0, "kill", ("n1",))]
STEPS[17:17] = [Step(0, "delete", ("default/a",))]


def live_badly(seed: int, steps: Sequence[Step]) -> Outcome:
    """Where both of those acts are there."""
    said = {" ".join((step.act, *step.words)) for step in steps}
    return Outcome(seed, "it is bad" if said >= GUILTY else None)


def test_the_acts_that_it_takes_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "live", live_badly)
    left, outcome = shortened(7, STEPS)
    assert [step.text for step in left] == ["0 kill n1", "0 delete default/a"]
    assert outcome.violation == "it is bad"


def test_a_life_that_ends_well_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenario, "live", lambda seed, steps: Outcome(seed))
    left, outcome = shortened(7, STEPS)
    assert left == STEPS
    assert outcome.violation is None


def test_each_life_that_ended_badly_is_printed_as_a_scenario(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(kind: Callable[[int], Scenario], numbers: Sequence[int], jobs: int) -> Iterator[Outcome]:
        return (Outcome(number, f"bad {number}", steps=5, transcript=["0 node n1"]) for number in numbers)

    def left(seed: int, steps: Sequence[Step]) -> tuple[list[Step], Outcome]:
        return [Step(0.5, "node", ("n1",))], Outcome(seed, f"still bad {seed}")

    monkeypatch.setenv("PYTHONHASHSEED", program.FIXED)
    monkeypatch.setattr("sys.argv", ["tests.sim", "--seeds", "4-5", "--shorten"])
    monkeypatch.setattr(program, "outcomes", ended)
    monkeypatch.setattr(program, "shortened", left)
    assert program.main() == 1
    said = capsys.readouterr().out
    for seed in (4, 5):
        expected = Scenario(f"still bad {seed}", seed, (Step(0.5, "node", ("n1",)),))
        assert expected.text in said
        assert read(expected.text) == expected
    assert "2 lives, 2 violations; 10 steps" in said


@pytest.mark.slow
def test_a_planted_fault_is_told_in_a_few_acts() -> None:
    with planted(MUTATIONS["everybody"]):
        left, outcome = shortened(4, drawn(4))
        assert outcome.violation is not None
        assert len(left) < len(drawn(4)) / 2
        assert read(Scenario("", 4, tuple(left)).text).live().violation == outcome.violation
    assert live(4, left).violation is None
