"""Lives of a cluster: some from their seeds, and those that were written down. `make sim` lives many more."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speaker.phases import TABLE, Cause, Phase
from tests.sim.acts import ACTS, PAUSE, Step
from tests.sim.fate import drawn
from tests.sim.run import run
from tests.sim.scenario import Scenario, kept, read
from tests.sim.varied import varied

ROOT = Path(__file__).resolve().parents[2]


def lived(*arguments: str) -> str:
    """In a process of its own, where the order of sets is the same each time. What it says; raises AssertionError with
    that when a life ended badly."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.sim", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_no_life_of_a_cluster_breaks_a_promise() -> None:
    assert "2 lives, 0 violations" in lived("--seeds", "1-2")


@pytest.mark.slow
def test_no_more_lives_of_a_cluster_break_a_promise() -> None:
    assert "40 lives, 0 violations" in lived("--seeds", "3-42")


@pytest.mark.slow
def test_no_life_near_those_that_were_written_down_breaks_a_promise() -> None:
    assert "12 lives, 0 violations" in lived("--varied", "1-12")


@pytest.mark.slow
def test_lives_that_were_written_down_end_well() -> None:
    """And take every way from phase to phase, but those by which a speaker begins anew before it serves: they take a
    word about its Speaker in just that moment."""
    said = lived("--coverage", *kept())
    assert said.count("as it should be") == len(kept())
    ways = {f"phase {phase.value}: {cause.value}" for phase, row in TABLE.items() for cause in row.ends}
    before = (Phase.RENEWING, Phase.REGISTERING, Phase.READING, Phase.LISTENING)
    seldom = {f"phase {one.value}: {Cause.MAY_BE_FENCED.value}" for one in before}
    assert not [one for one in ways - seldom if one not in said]


def test_the_same_seed_is_the_same_life() -> None:
    assert run(3) == run(3)


@pytest.mark.parametrize("name", list(kept()))
def test_a_scenario_says_what_it_shows_and_does_what_there_is(name: str) -> None:
    scenario = kept()[name]
    assert scenario.about
    assert read(scenario.text) == scenario
    assert {step.act for step in scenario.steps} <= ACTS.keys()


def test_lives_near_the_scenarios_take_turns_and_begin_as_these_do() -> None:
    names = list(kept())
    lives = [varied(number) for number in range(2 * len(names))]
    assert [one.about.split(": ")[1] for one in lives] == [*names, *names]
    for one, name in zip(lives, [*names, *names], strict=True):
        begun = list(itertools.takewhile(lambda step: not step.pause_seconds, kept()[name].steps))
        assert list(one.steps[: len(begun)]) == begun
        assert one.steps[len(begun) :] != kept()[name].steps[len(begun) :]
        assert "expect" not in {step.act for step in one.steps[len(begun) :]}
        assert read(one.text).steps == one.steps
    assert [varied(number) for number in range(2 * len(names))] == lives


def test_every_act_is_in_some_life() -> None:
    lives = [step.act for seed in range(1, 400) for step in drawn(seed)]
    written = [step.act for one in kept().values() for step in one.steps]
    assert set(lives) | set(written) | {PAUSE} == ACTS.keys()


def test_a_scenario_begins_with_its_seed() -> None:
    with pytest.raises(ValueError, match="begins with its seed"):
        read("0 node n1")


def test_a_scenario_is_read_as_it_is_written() -> None:
    scenario = Scenario("Two lines\nof words.", 7, (Step(0.5, "node", ("n1",)), Step(1.0, "delete", ("default/a",))))
    assert scenario.text == "# Two lines\n# of words.\nseed 7\n0.5 node n1\n1 delete default/a\n"
    assert read(scenario.text) == scenario
