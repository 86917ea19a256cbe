"""Everything at random for a short time, judged by what others saw: `bench.soak`, which people run for longer."""

from pathlib import Path

import pytest

from bench.soak.course import Plan, soak
from lab.net.netns import Unsupported

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

SECONDS = 40.0
SEED = 11


def test_under_faults_no_address_is_on_the_wire_without_its_holder_and_nothing_is_left_behind(tmp_path: Path) -> None:
    try:
        result = soak(Plan(tmp_path, SECONDS, SEED, takes_cpu=False))
    except Unsupported as refused:
        pytest.skip(str(refused))
    assert (result.violations, result.unsettled, result.left, result.leaks) == ([], [], [], [])
    assert result.frames
    assert result.routes
    assert result.answers
    assert result.times["released"]
