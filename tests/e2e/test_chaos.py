"""Everything at random for a short time, judged by what others saw: `bench.chaos`, which people run for longer."""

from pathlib import Path

import pytest

from bench.chaos import chaos
from lab.net.netns import Unsupported

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow]

SECONDS = 40.0
SEED = 11


def test_under_chaos_no_address_is_on_the_wire_without_its_holder_and_nothing_is_left_behind(tmp_path: Path) -> None:
    try:
        result = chaos(tmp_path, SECONDS, SEED)
    except Unsupported as refused:
        pytest.skip(str(refused))
    assert [str(one) for one in result.violations] == []
    assert result.left == []
    assert result.frames
    assert result.routes
