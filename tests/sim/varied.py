"""Lives near those that were written down: each is one of them, with other pauses, other durations, and more bad luck.

What was once worth a scenario is where the next fault is likely. A number is a life, as a seed is: they take turns with
the scenarios, in the order of their names.
"""

import random
from collections.abc import Iterator

from tests.sim.acts import PAUSE, Step
from tests.sim.fate import ROUTED, some_step
from tests.sim.scenario import Scenario, kept

STRETCHED = (0.3, 0.7, 0.9, 1.1, 1.5)
DURATIONS = ("seconds", "for")


def varied(number: int) -> Scenario:
    """A life. What the scenario expects in between is not asked for: it is true of the scenario as it is."""
    names = list(kept())
    name = names[number % len(names)]
    scenario, rng = kept()[name], random.Random(f"varied {number}")
    steps = scenario.steps
    while steps == scenario.steps:  # a short one may come out as it was
        steps = tuple(_changed(scenario, rng))
    return Scenario(f"varied {number}: {name}", number, steps)


def _changed(scenario: Scenario, rng: random.Random) -> Iterator[Step]:
    has_bgp = any(step.act in ROUTED for step in scenario.steps)
    has_begun = False
    for step in scenario.steps:
        has_begun = has_begun or step.pause_seconds > 0
        if not has_begun:  # the cluster as it is to begin with
            yield step
        elif step.act == "expect" or rng.random() < 0.05:
            yield Step(_stretched(step.pause_seconds, rng), PAUSE)
        else:
            yield Step(_stretched(step.pause_seconds, rng), step.act, tuple(_lasting(word, rng) for word in step.words))
            if rng.random() < 0.25:
                yield some_step(rng, has_bgp=has_bgp)


def _stretched(seconds: float, rng: random.Random) -> float:
    return seconds if rng.random() < 0.6 else round(seconds * rng.choice(STRETCHED), 3)


def _lasting(word: str, rng: random.Random) -> str:
    name, sign, value = word.partition("=")
    return f"{name}={_stretched(float(value), rng):g}" if sign and name in DURATIONS else word
