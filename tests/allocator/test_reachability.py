"""A Service says whether its addresses are announced: true cause, no write of its own where it can be helped."""

from typing import Any

import pytest

from allocator.reachability import Reachability
from allocator.status.entries import Announcement
from allocator.status.onservices import briefly
from crds.conditions import ConditionType, Reason
from crds.names import allocation_name
from crds.observation import Observation
from kube.objects import ServiceKey
from tests.allocator.build import address, pool, pools, service_body
from tests.allocator.fakeapi import EDGE, WEB, Allocator, Body, FakeApi, settled

ON_A = briefly({"node-a": Announcement(("Layer2",), ("eth0",))})
ON_B = briefly({"node-b": Announcement(("Layer2",), ("eth0",))})
NOBODY = Observation(ConditionType.Announced, False, Reason.NoEligibleNode, "No node announces the address: why")


def said(api: FakeApi, key: ServiceKey = WEB) -> Body | None:
    conditions = api.services[key]["status"].get("conditions", [])
    return next((one for one in conditions if one["type"] == "berth.dev/Announced"), None)


def judge(allocator: Allocator, observed: Observation, *only: str) -> None:
    """Every address, or these, is judged to be so."""
    for entry in allocator.assigner.ledger:
        if not only or str(entry.address) in only:
            allocator.assigner.reachability.judge(entry.claim, observed, allocator.now)


def look(allocator: Allocator) -> Reachability:
    """As the watch has it done after each write."""
    for key in allocator.api.services:
        allocator.assigner.reachability.look_at(key, allocator.now)
    return allocator.assigner.reachability


def wait(allocator: Allocator, seconds: float) -> int:
    """How many writes were made in that time."""
    before, until = len(allocator.api.log), allocator.now + seconds
    while allocator.now < until:
        allocator.now += 0.5
        for key in look(allocator).take_turn(allocator.now):
            allocator.assigner.queue.add(key)
        allocator.run(until=allocator.now)
        look(allocator)
    return len(allocator.api.log) - before


def test_it_says_by_which_node_and_how_once_it_is_announced(api: FakeApi) -> None:
    allocator = settled(api, "web")
    assert said(api) is None
    judge(allocator, ON_A)
    assert wait(allocator, 3.0) == 1
    condition = said(api)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "Announcing")
    assert condition["message"] == "192.0.2.10: announced, Layer2 on node-a"
    assert allocator.told == [Reason.Allocated], "the first time is no Event"
    assert wait(allocator, 120.0) == 0


def test_it_says_why_nobody_does_after_some_seconds_and_that_it_is_over_at_once(api: FakeApi) -> None:
    allocator = settled(api, "web")
    judge(allocator, NOBODY)
    assert wait(allocator, 4.0) == 0
    assert wait(allocator, 2.0) == 1
    condition = said(api)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "NoEligibleNode")
    assert condition["message"] == "192.0.2.10: No node announces the address: why"
    judge(allocator, ON_A)
    assert wait(allocator, 2.0) == 1
    assert allocator.told == [Reason.Allocated, Reason.NotAnnounced, Reason.Announced]


def test_a_gap_that_a_move_makes_is_not_said(api: FakeApi) -> None:
    allocator = settled(api, "web")
    judge(allocator, ON_A)
    wait(allocator, 3.0)
    judge(allocator, NOBODY)
    wait(allocator, 3.0)
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ip": "typo"}))
    allocator.watch()
    assert wait(allocator, 1.0) == 1, "for the annotation"
    assert said(api)["status"] == "True"  # type: ignore[index]
    judge(allocator, ON_B)
    wait(allocator, 10.0)
    condition = said(api)
    assert condition is not None
    assert condition["message"].endswith("node-b")
    assert Reason.NotAnnounced not in allocator.told


def test_it_rides_along_with_what_is_written_anyway(api: FakeApi) -> None:
    allocator = settled(api, "web")
    judge(allocator, ON_A)
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ip": "typo"}))
    allocator.watch()
    before = len(api.log)
    allocator.run(until=allocator.now)
    assert len(api.log) - before == 1
    assert said(api) is not None
    assert wait(allocator, 60.0) == 0


def test_a_service_with_two_addresses_is_announced_when_both_are(api: FakeApi) -> None:
    both = pools(pool("edge", "192.0.2.10", "2001:db8::10"))
    api.put_service(service_body("web", families=("IPv4", "IPv6"), policy="RequireDualStack"))
    allocator = Allocator(api, both)
    allocator.run()
    judge(allocator, ON_A, "192.0.2.10")
    assert wait(allocator, 10.0) == 0, "the other one has not been judged"
    judge(allocator, NOBODY, "2001:db8::10")
    wait(allocator, 10.0)
    condition = said(api)
    assert condition is not None
    assert condition["status"] == "False"
    assert condition["message"] == (
        "192.0.2.10: announced, Layer2 on node-a; 2001:db8::10: No node announces the address: why"
    )


def test_it_goes_with_the_last_address_and_with_the_service_of_another_type(api: FakeApi) -> None:
    allocator = settled(api, "web")
    judge(allocator, ON_A)
    wait(allocator, 3.0)
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.watch()
    allocator.run()
    api.allocations.pop(allocation_name(address("192.0.2.10")), None)
    allocator.watch()
    allocator.run()
    assert said(api) is None


@pytest.mark.slow
def test_many_services_that_move_are_written_by_the_budget_and_those_that_move_back_not_at_all(
    api: FakeApi,
) -> None:
    many = 60
    allocator = settled(api, *(f"s{number}" for number in range(many)), edge=pools(pool("edge", "10.0.0.0/22")))
    judge(allocator, ON_A)
    assert wait(allocator, 1.5) <= 30
    wait(allocator, 5.0)
    judge(allocator, ON_B)
    assert wait(allocator, 4.5) == 0
    moved = wait(allocator, 2.5)
    assert 0 < moved <= 35
    judge(allocator, ON_A)
    assert wait(allocator, 10.0) == moved, "the others moved back before their turn"


def test_whoever_takes_the_condition_away_is_not_fought(api: FakeApi) -> None:
    allocator = settled(api, "web")
    judge(allocator, ON_A)
    wait(allocator, 3.0)

    def take_away(body: dict[str, Any]) -> None:
        conditions = body["status"]["conditions"]
        body["status"]["conditions"] = [one for one in conditions if one["type"] != "berth.dev/Announced"]

    writes = 0
    for _ in range(100):
        if said(api) is not None:
            api.edit_service(WEB, take_away)
            allocator.watch()
        writes += wait(allocator, 3.0)
    assert 5 <= writes <= 13, "three at once, then one in 30 s"
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == "Allocated", "and the other condition does not speak of it"


def test_a_new_leader_that_finds_everything_said_writes_nothing(api: FakeApi) -> None:
    allocator = settled(api, "web")
    judge(allocator, ON_A)
    wait(allocator, 3.0)
    successor = Allocator(api, EDGE)
    successor.run()
    judge(successor, ON_A)
    assert wait(successor, 60.0) == 0


def test_of_many_nodes_it_is_said_that_they_are_many() -> None:
    bgp = Announcement(("BGP",), (), ("tor1",))
    assert briefly({"n1": bgp, "n2": bgp}).message == "announced, BGP from n1, n2"
    many = {f"n{number}": bgp for number in range(4)}
    assert briefly(many).message == "announced, BGP from more than 3 nodes"
    assert briefly(many) == briefly({**many, "n9": bgp})
    both = {**many, "n1": Announcement(("BGP", "Layer2"), ("eth0",), ("tor1",))}
    assert briefly(both).message == "announced, Layer2 on n1, BGP from more than 3 nodes"
