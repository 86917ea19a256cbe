"""How a life is compared with the same acts without faults; tests.sim.run does it with every fourth life."""

from dataclasses import replace

import pytest

from tests.sim.acts import Step
from tests.sim.cluster import Cluster, surroundings
from tests.sim.run import live
from tests.sim.twin import End, differences, end_of, too_large

WELL = End({"ippools /edge": {"spec": {"addresses": ["192.0.2.10"]}}}, {"default/a": (("IPv4",), "Allocated")})
LACKING = replace(WELL, services={"default/a": ((), "NoPools")})
ACTS = (
    Step(0, "node", ("n1",)),
    Step(0, "pool", ("edge", "addresses=192.0.2.10-192.0.2.12")),
    Step(0, "l2", ("all",)),
    Step(1, "service", ("default/a", "families=4")),
    Step(1, "expect", ("shows", "default/a", "192.0.2.10")),
    Step(0, "kill", ("leader",)),
    Step(1, "service", ("default/b", "families=4")),
)


def test_the_same_end_is_none_to_tell_of() -> None:
    assert differences(WELL, WELL) == []


def test_a_service_without_the_address_that_it_had_without_faults_is_told() -> None:
    assert differences(LACKING, WELL) == [
        "default/a has no address (NoPools), and IPv4 (Allocated) where there were no faults"
    ]


def test_one_that_is_told_nothing_though_it_would_be_without_faults_is_told() -> None:
    assert differences(replace(WELL, services={}), WELL)


def test_where_another_wish_was_taken_nothing_can_be_said() -> None:
    assert differences(replace(LACKING, wishes={}), WELL) is None


def test_where_services_compete_nothing_can_be_said_of_who_came_first() -> None:
    lost = replace(WELL, services={"default/a": ((), "PoolExhausted"), "default/b": (("IPv4",), "Allocated")})
    won = replace(WELL, services={"default/a": (("IPv4",), "Allocated"), "default/b": ((), "PoolExhausted")})
    assert differences(lost, won) is None
    assert differences(lost, lost) == []


@pytest.mark.parametrize("why", ["InvalidRequest", "PoolNotFound"])
def test_whether_an_address_came_before_the_request_became_wrong_is_a_matter_of_time(why: str) -> None:
    early = replace(WELL, services={"default/a": (("IPv4",), why)})
    late = replace(WELL, services={"default/a": ((), why)})
    assert differences(late, early) == []
    assert differences(late, WELL) != []


def test_a_life_is_compared_with_one_without_faults() -> None:
    outcome = live(2, ACTS)
    assert outcome.violation is None
    assert "twin: the same end" in outcome.reached


def test_an_object_that_grows_is_told() -> None:
    with surroundings(2):
        cluster = Cluster(2)
        cluster.install()
        assert too_large(cluster) == []
        assert end_of(cluster).services == {}
        cluster.api.table("ipallocations").objects.update(cluster.api.table("namespaces").objects)
        stored = next(iter(cluster.api.table("ipallocations").objects.values()))
        stored.raw *= 1000
        assert any("bytes" in one for one in too_large(cluster))
