"""What is seen of programs that break a promise, whatever the cluster."""

import pytest

from kube.resource import IPALLOCATIONS, SERVICES
from tests.sim.acts import finalizers_off
from tests.sim.api import Body
from tests.sim.cluster import Cluster
from tests.sim.judge import MOST_REPEATS, Judge

RECORD = "v4-192-0-2-10"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(1)


@pytest.fixture
def judge(cluster: Cluster) -> Judge:
    """A Service has an address."""
    judge = Judge(cluster)
    metadata = {"finalizers": ["berth.dev/address"]}
    cluster.do("POST", SERVICES, "a", {"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": []}}, "default")
    stored = cluster.api.get("services", "a", "default")
    assert stored is not None
    holder = {"namespace": "default", "name": "a", "uid": stored["metadata"]["uid"], "ports": []}
    spec = {"address": "192.0.2.10", "pool": "edge", "holders": [holder], "releasing": False}
    cluster.do("POST", IPALLOCATIONS, RECORD, {"spec": spec})
    judge.violation = None  # there is no pool
    return judge


def patch_service(cluster: Cluster, body: Body) -> None:
    assert cluster.do("PATCH", SERVICES, "a", body, "default")


def test_a_record_is_deleted_when_it_is_released(cluster: Cluster, judge: Judge) -> None:
    cluster.do("PATCH", IPALLOCATIONS, RECORD, {"spec": {"releasing": True}})
    cluster.delete(IPALLOCATIONS, RECORD)
    assert judge.violation is None


def test_a_record_is_not_deleted_before(cluster: Cluster, judge: Judge) -> None:
    cluster.delete(IPALLOCATIONS, RECORD)
    assert judge.violation is not None
    assert "was not being released" in judge.violation


def test_a_service_is_gone_after_its_address(cluster: Cluster, judge: Judge) -> None:
    cluster.delete(SERVICES, "a", "default")
    patch_service(cluster, {"metadata": {"finalizers": []}})
    assert judge.violation is not None
    assert "default/a is gone, and 192.0.2.10 is not released" in judge.violation


def test_hands_may_take_its_finalizer_off(cluster: Cluster, judge: Judge) -> None:
    cluster.delete(SERVICES, "a", "default")
    assert finalizers_off(cluster, "default/a")
    assert cluster.api.get("services", "a", "default") is None
    assert judge.violation is None


def test_a_write_that_is_refused_is_not_sent_again_and_again(cluster: Cluster, judge: Judge) -> None:
    for count in range(2 * MOST_REPEATS):
        cluster.world.now = float(count)
        judge._refused("PATCH", "/x")
    assert judge.violation is None
    for _ in range(MOST_REPEATS):
        judge._refused("PATCH", "/x")
    assert judge.violation is not None
