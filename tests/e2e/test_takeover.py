"""Services move from MetalLB to Berth: each keeps its address, and clients notice nothing."""

from pathlib import Path

import pytest

from bench.takeover import Ways, install, prepared, take_over
from lab.cluster import Settings
from tests.e2e.conftest import brought_up

pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow, pytest.mark.alone]

WAYS = Ways.of(10)
SESSION_MILLISECONDS = 10_000
"""What one change of a session may cost, on a busy machine."""


def test_a_takeover_from_metallb_loses_no_address_and_no_packet(tmp_path: Path) -> None:
    settings = Settings(tmp_path, name="takeover", node_count=2, with_berth=False)
    with brought_up(settings) as cluster, prepared(cluster, WAYS) as past:
        install(cluster, WAYS)
        found = take_over(cluster, WAYS)
        assert found.code == 0, found.said
        assert found.after == found.before
        assert len(found.after) == 22
        assert past.nodes == set()
        assert found.router == {"layer2": set(), "bgp": {"node1", "node2"}, "single": {"node1"}}
        assert found.lost["layer2"].sent > 400
        assert found.lost["layer2"].lost == found.lost["bgp"].lost == 0, found.lost
        assert found.lost["single"].longest_milliseconds <= SESSION_MILLISECONDS, found.lost
