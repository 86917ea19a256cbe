"""One cluster for all end-to-end tests, emptied through the API after each: that this works is itself a test."""

from collections.abc import Iterator

import pytest

from lab.cluster import Cluster, Settings
from lab.desk import Desk
from lab.netns import Unsupported


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    values = {"allocator": {"lease": {"durationSeconds": 5}}, "speaker": {"failbackAfterSeconds": 3}}
    try:
        up = Cluster(Settings(tmp_path_factory.mktemp("cluster"), name="e2e", values=values))
        with up:
            yield up
    except Unsupported as refused:
        pytest.skip(str(refused))


@pytest.fixture
def desk(cluster: Cluster) -> Iterator[Desk]:
    """With a cluster that has no pools and no Services; leaves it so."""
    desk = Desk(cluster)
    yield desk
    desk.clear()
