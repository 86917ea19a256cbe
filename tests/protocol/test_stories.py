"""The stories end well. With a rule left out of the code one of them does not: tests/mutations."""

import itertools
from collections.abc import Iterator

import pytest
from _pytest.mark.structures import ParameterSet

from tests.protocol.stories import Story, stories, tell

SHOWN = 9
"""One of so many stories that differ in their seconds alone is not slow."""


def name_of(story: Story) -> str:
    return story.__qualname__.split(".")[0]


def chosen() -> Iterator[ParameterSet]:
    """All of them; of those that differ in their seconds alone, all but some are slow."""
    for _, alike in itertools.groupby(stories(), key=name_of):
        for number, story in enumerate(alike):
            marks = [pytest.mark.slow] if number % SHOWN else []
            yield pytest.param(story, id=name_of(story), marks=marks)


@pytest.mark.parametrize("story", list(chosen()))
def test_every_story_ends_well(story) -> None:
    tell(story)
