"""The stories end well; and with a rule left out of the code, they or chance find two Services on the wire."""

import subprocess
import sys

import pytest

from tests.protocol.mutant import MUTATIONS, ROOT
from tests.protocol.stories import stories, tell


@pytest.mark.parametrize("story", list(stories()), ids=lambda story: story.__qualname__.split(".")[0])
def test_every_story_ends_well(story) -> None:
    tell(story)


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_rule_left_out_of_the_code_is_noticed(name) -> None:
    command = [sys.executable, "-m", "tests.protocol.mutant", name, "300"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert "found:" in done.stdout, done.stdout + done.stderr
