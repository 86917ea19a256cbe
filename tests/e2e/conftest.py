"""One cluster for most end-to-end tests, emptied through the API after each: that this works is itself a test.

Those of BGP have clusters of their own, one for each file, with a router.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab.apiserver import real
from lab.client import ApiFaults, LabClient
from lab.cluster import Cluster, Settings
from lab.net.netns import Unsupported
from lab.routers.base import Bfd, RouterSettings
from tests.e2e import bgp

NEEDS_FAULTS = "needs the stand-in's faults"
ANSWERS = "BERTH_KERNEL_ANSWERS"
"""The variable that says who answers in most tests: `off`, or `auto`, which is the default."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A real API server can't be told to misbehave."""
    if os.environ.get(real.ASSETS_VARIABLE):
        for item in items:
            if "api_faults" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=NEEDS_FAULTS))


@contextmanager
def brought_up(settings: Settings) -> Iterator[Cluster]:
    """Skips where this machine has not what a lab, or what is started in it, needs.

    Where a test does not say it, nodes' kernels answer; with BERTH_KERNEL_ANSWERS=off their speakers do. What depends
    on that is tested in both ways, see test_user_space.py.
    """
    speaker = {"kernelAnswers": os.environ.get(ANSWERS, "auto"), **settings.values.get("speaker", {})}
    try:
        with Cluster(replace(settings, values={**settings.values, "speaker": speaker})) as up:
            yield up
    except Unsupported as refused:
        pytest.skip(str(refused))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    values = {"allocator": {"lease": {"durationSeconds": 5}}, "speaker": {"failbackAfterSeconds": 3}}
    with brought_up(Settings(tmp_path_factory.mktemp("cluster"), name="e2e", values=values)) as up:
        yield up


@pytest.fixture
def lab(cluster: Cluster) -> Iterator[LabClient]:
    """With a cluster that has no pools and no Services; leaves it so."""
    lab = LabClient(cluster)
    yield lab
    lab.clear()


@pytest.fixture
def api_faults(lab: LabClient) -> ApiFaults:
    """Late and failing answers on demand. Tests that use it are skipped on a real API server, see above."""
    return ApiFaults(lab.kubectl)


@pytest.fixture(scope="module")
def bgp_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With BIRD on `router`, which leads the client to what it learns, and a peer `tor` for it."""
    with brought_up(Settings(tmp_path_factory.mktemp("bgp"), name="bgp", values=bgp.values())) as up:
        up.start_router("bird", settings=RouterSettings(installs=True, bfd=Bfd()))
        lab = LabClient(up)
        lab.all_serve(timeout_seconds=40)
        bgp.peering(lab)
        yield up


@pytest.fixture
def routed(bgp_cluster: Cluster) -> Iterator[LabClient]:
    """A lab with a pool and a BGPAdvertisement for all. Leaves nothing but the peer `tor` as it was."""
    lab = LabClient(bgp_cluster)
    bgp.settled(lab)
    lab.pool("pool", bgp.POOL, bgp.POOL_V6)
    lab.bgp_advertisement("all")
    yield lab
    bgp.heal(bgp_cluster)
    lab.clear(kinds=bgp.KEPT)
    for name in set(lab.kubectl("get", "bgppeers.berth.dev", "--output=name").split()) - {"bgppeer.berth.dev/tor"}:
        lab.kubectl("delete", name)
    bgp.peering(lab)
    lab.until("the router has no route left", lambda: not bgp.bird(lab).prefixes())
