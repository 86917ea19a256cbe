"""Virtual time goes on, and a life that would not end is told."""

import asyncio
import random
import re

import pytest

from tests.sim import clocks, run
from tests.sim.acts import Step
from tests.sim.clocks import Clock, Endless, ProcessLoop, World, bounded

ACTS = (Step(0, "node", ("n1",)), Step(1, "pool", ("edge", "addresses=192.0.2.10-192.0.2.12")))


def test_a_clock_shows_no_less_than_what_was_waited_for() -> None:
    rng = random.Random(1)
    for _ in range(1000):
        world = World()
        clock = Clock(world, rng.uniform(0.98, 1.02), rng.uniform(500, 5000))
        clock.sleep(rng.uniform(0, 3))
        wanted = clock.monotonic() + rng.uniform(0, 100)
        world.now = clock.true_time(wanted)
        assert wanted <= clock.monotonic() < wanted + 1e-9


def test_a_life_that_takes_turns_without_end_is_told_and_whose_they_are(monkeypatch) -> None:
    monkeypatch.setattr(clocks, "MOST_TURNS", 100)
    world = World()
    loop = ProcessLoop(world, Clock(world), "n1-machine-1.1")

    def again() -> None:
        loop.call_later(0.0, again)

    world.at(0.5, loop.call_soon, again)
    with pytest.raises(
        Endless, match=re.escape("turns by 0.500; the last 1000 took 0.000 s: ProcessLoop.turn n1-mach")
    ):
        world.run_until(1.0)


def test_a_life_one_turn_of_which_does_not_end_is_told_and_where_it_was(monkeypatch) -> None:
    """Though the program keeps to itself what it is interrupted by."""
    monkeypatch.setattr(clocks, "MOST_CPU_SECONDS", 0.1)
    world = World()
    loop = ProcessLoop(world, Clock(world))

    async def works_on() -> None:
        while True:
            pass

    async def program() -> None:
        await asyncio.gather(works_on(), return_exceptions=True)

    loop.start(program())
    with bounded(), pytest.raises(Endless, match=r"0\.1 s of CPU; it was in works_on \(test_clocks\.py:\d+\)"):
        world.run_until(1.0)


def test_it_is_a_violation_of_the_life(monkeypatch) -> None:
    monkeypatch.setattr(clocks, "MOST_TURNS", 10)
    monkeypatch.setattr(clocks, "LOOKED_AT_TURNS", 10)
    violation = run.live(3, ACTS).violation
    assert violation is not None
    assert violation.startswith("it does not end: ")
