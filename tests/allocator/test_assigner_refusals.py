"""Records that the API server refuses: who is the cause is told and leaves, and nobody else is held up."""

from typing import Any

from allocator.rejections import AGAIN_SECONDS
from allocator.writes import PatchAllocation
from crds.conditions import Reason
from kube.objects import ServiceKey
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import EDGE, FIRST, OTHER, WEB, Allocator, Body, FakeApi, reasons, settled

BAD = 6666
"""A port that the API server of these tests refuses in a record."""
KEY = {"berth.dev/sharing-key": "k"}
ONE = pools(pool("edge", "192.0.2.10"))
THIRD = ServiceKey("default", "third")


def has_bad_port(spec: Body) -> bool:
    return any(port["port"] == BAD for holder in spec["holders"] for port in holder["ports"])


def sharing(name: str, port: int, **more: Any) -> Body:
    return service_body(name, annotations=KEY, ports=[("TCP", port)], **more)


def holders(api: FakeApi) -> list[str]:
    (record,) = api.allocations.values()
    return [one["name"] for one in record["spec"]["holders"]]


def reason(api: FakeApi, key: ServiceKey) -> str:
    condition = api.condition(key)
    assert condition is not None
    return str(condition["reason"])


def test_a_service_that_can_not_be_recorded_is_told_so_and_keeps_no_address(api: FakeApi) -> None:
    api.refuses = has_bad_port
    api.put_service(service_body("web", ports=[("TCP", BAD)]))
    api.put_service(service_body("other", created="2026-01-09T00:00:00Z"))
    allocator = Allocator(api, ONE)
    allocator.run(until=10.0)
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == Reason.RecordRefused
    assert "no such ports" in condition["message"]
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_it_is_tried_again_later_and_at_once_when_it_changes(api: FakeApi) -> None:
    api.refuses = has_bad_port
    api.put_service(service_body("web", ports=[("TCP", BAD)]))
    allocator = Allocator(api, ONE)
    allocator.run(until=10.0)
    api.refuses = lambda _: False
    allocator.run(until=10.0)
    assert api.ingress(WEB) == []
    allocator.run(until=AGAIN_SECONDS + 1)
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_a_service_that_was_refused_and_changes_is_served_at_once(api: FakeApi) -> None:
    api.refuses = has_bad_port
    api.put_service(service_body("web", ports=[("TCP", BAD)]))
    allocator = Allocator(api, ONE)
    allocator.run(until=10.0)
    api.edit_service(WEB, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": 80}]))
    allocator.run(until=20.0)
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_of_several_that_join_at_once_the_one_that_is_refused_leaves_alone(api: FakeApi) -> None:
    """Nothing says which it is: they are written one by one then."""
    api.refuses = has_bad_port
    for name, port in (("third", 80), ("other", BAD), ("web", 443)):
        api.put_service(sharing(name, port))
    allocator = Allocator(api, ONE)
    allocator.run(until=10.0)
    assert holders(api) == ["third", "web"]
    assert reason(api, OTHER) == Reason.RecordRefused
    assert api.ingress(OTHER) == []
    assert api.ingress(WEB) == api.ingress(THIRD) == ["192.0.2.10"]
    assert reasons(allocator) == []


def test_who_joined_while_the_write_was_under_way_is_not_the_cause(api: FakeApi) -> None:
    """By the time of the answer the cause has left, and another one came: only what was written was refused."""
    allocator = Allocator(api, ONE)
    api.put_service(sharing("third", 80))
    allocator.run()
    api.refuses = has_bad_port
    api.put_service(sharing("web", BAD))
    allocator.watch()
    assigner = allocator.assigner
    assigner.step(WEB, 0.0, "")
    write = assigner.step(FIRST, 0.0, "")
    assert isinstance(write, PatchAllocation)
    api.delete_service(WEB)
    api.put_service(sharing("other", 443))
    allocator.watch()
    assigner.step(WEB, 0.0, "")
    assigner.step(OTHER, 0.0, "")
    assert assigner.record_refused(write.claim, "no such ports", 0.0)
    allocator.run(until=10.0)
    assert holders(api) == ["other", "third"]
    assert reason(api, OTHER) == Reason.Allocated


def test_a_holder_whose_change_is_refused_keeps_what_is_recorded(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=ONE)
    api.refuses = has_bad_port
    api.edit_service(WEB, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": BAD}]))
    allocator.run(until=10.0)
    assert reason(api, WEB) == Reason.RecordRefused
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert not has_bad_port(next(iter(api.allocations.values()))["spec"])


def test_a_holder_whose_change_is_refused_takes_no_port_back_that_another_was_given_meanwhile(api: FakeApi) -> None:
    for name, port in (("web", 80), ("third", 25)):
        api.put_service(sharing(name, port))
    allocator = Allocator(api, ONE)
    allocator.run()
    api.refuses = has_bad_port
    api.edit_service(WEB, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": BAD}]))
    api.put_service(sharing("other", 80))
    allocator.watch()
    for key in (WEB, OTHER):  # both are decided before anything is written
        allocator.assigner.step(key, 0.0, "")
    allocator.run(until=10.0)
    assert reason(api, WEB) == Reason.RecordRefused
    assert reason(api, OTHER) == Reason.Allocated
    (record,) = api.allocations.values()
    assert {one["name"]: [port["port"] for port in one["ports"]] for one in record["spec"]["holders"]} == {
        "other": [80],
        "third": [25],
        "web": [],
    }


def test_a_policy_that_is_refused_leaves_the_record_as_it_is(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=ONE)
    api.refuses = lambda spec: bool(spec["trafficPolicy"] == "Local")
    api.edit_service(WEB, lambda body: body["spec"].update(externalTrafficPolicy="Local"))
    allocator.run(until=10.0)
    assert reason(api, WEB) == Reason.RecordRefused
    api.delete_service(WEB)
    allocator.run(until=20.0)
    assert api.allocations == {}


def test_that_a_holder_left_is_written_later_each_time_while_that_is_refused(api: FakeApi) -> None:
    """Nobody who stays is the cause, so nothing else is to be written."""
    for name, port in (("web", 80), ("other", 25)):
        api.put_service(sharing(name, port))
    allocator = Allocator(api, ONE)
    allocator.run()
    refused: list[Body] = []

    def refuses(spec: Body) -> bool:
        refused.append(spec)
        return True

    api.refuses = refuses
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run(until=10.0)
    assert 2 <= len(refused) <= 20
    api.refuses = lambda _: False
    allocator.run(until=60.0)
    assert holders(api) == ["other"]


def test_the_mark_of_a_release_is_a_write_of_its_own(api: FakeApi) -> None:
    """Whatever else would have to be put right in the record: that might be refused."""
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": BAD}]))
    allocator.watch()
    allocator.assigner.step(WEB, 0.0, "")
    api.delete_service(WEB)
    allocator.watch()
    allocator.assigner.step(WEB, 0.0, "")
    write = allocator.assigner.step(FIRST, 0.0, "")
    assert isinstance(write, PatchAllocation)
    assert write.body["spec"] == {"releasing": True}


def test_a_release_waits_for_nothing_that_is_refused(api: FakeApi) -> None:
    """A record may hold what is not valid by the definitions of today."""
    for name, port in (("web", 80), ("other", BAD)):
        api.put_service(sharing(name, port))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.refuses = has_bad_port
    for key in (WEB, OTHER):
        api.delete_service(key)
    allocator.run(until=30.0)
    assert api.allocations == {}
    assert api.services == {}


def test_a_lost_record_that_is_made_only_to_be_released_says_no_more_than_who_had_it(api: FakeApi) -> None:
    allocator = settled(api, "web")
    (record,) = api.allocations.values()
    allocator.assigner.allocation_gone(FIRST, record["metadata"]["uid"])
    allocator.assigner.service_gone(WEB, api.services[WEB]["metadata"]["uid"])
    allocator.assigner.step(WEB, 0.0, "")
    write = allocator.assigner.step(FIRST, 0.0, "")
    assert write is not None
    assert write.body["spec"]["holders"][0] | {"uid": ""} == {  # type: ignore[union-attr]
        "namespace": "default",
        "name": "web",
        "uid": "",
        "ports": [],
        "labels": {},
    }
