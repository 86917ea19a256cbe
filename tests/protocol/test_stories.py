"""The stories end well; and with a rule left out of the code, one of them does not."""

import itertools
import subprocess
import sys
from collections.abc import Iterator

import pytest
from _pytest.mark.structures import ParameterSet

from tests.protocol.mutant import MUTATIONS, ROOT
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


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_rule_left_out_of_the_code_is_noticed(name) -> None:
    command = [sys.executable, "-m", "tests.protocol.mutant", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert "found:" in done.stdout, done.stdout + done.stderr


def test_the_page_of_the_models_names_each_rule_that_is_left_out() -> None:
    page = (ROOT / "docs/model/README.md").read_text()
    told = page.split("`tests/protocol/mutant.py` plants broken rules")[1].partition(":")[2].partition(".")[0]
    assert sorted(told.replace(",", " ").split()) == sorted(MUTATIONS)
    assert f"All {len(MUTATIONS)} are found" in page
