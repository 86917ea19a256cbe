"""The assigner when somebody else writes records and Services: it puts them right, and says so."""

from crds.conditions import Reason
from crds.names import FINALIZER
from tests.allocator.build import service_body
from tests.allocator.fakeapi import EDGE, OTHER, WEB, Allocator, FakeApi, reasons, settled


def test_a_finalizer_taken_off_is_reported_and_put_back(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["metadata"].update(finalizers=[]))
    allocator.run()
    assert reasons(allocator) == [Reason.FinalizerRemoved]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


def test_a_record_edited_by_hand_is_put_right(api: FakeApi) -> None:
    allocator = settled(api, "web")
    stored = api.allocations["v4-192-0-2-10"]
    good = dict(stored["spec"])
    stored["spec"] = {**good, "pool": "nonsense", "trafficPolicy": "Local", "sharingKey": "k", "selector": {"a": "b"}}
    stored["metadata"]["generation"] += 1
    api._stamp(stored)
    allocator.run()
    assert reasons(allocator) == [Reason.AllocationLost]
    assert api.allocations["v4-192-0-2-10"]["spec"] == good


def test_holders_edited_by_hand_are_put_right_also_after_a_restart(api: FakeApi) -> None:
    settled(api, "web")
    stored = api.allocations["v4-192-0-2-10"]
    stored["spec"]["holders"] = [{"namespace": "x", "name": "y", "uid": "z", "ports": [], "labels": {}}]
    api._stamp(stored)
    Allocator(api, EDGE).run()
    # The stranger's record is released; the Service's own address is in its status, but it is not free any more.
    assert api.ingress(WEB) == ["192.0.2.11"]
    assert [name for name in api.allocations] == ["v4-192-0-2-11"]


def test_a_record_deleted_by_hand_comes_back_for_its_service(api: FakeApi) -> None:
    allocator = settled(api, "web")
    del api.allocations["v4-192-0-2-10"]
    api.put_service(service_body("other"))
    allocator.run()
    assert reasons(allocator) == [Reason.AllocationLost]
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]
    assert api.allocations["v4-192-0-2-10"]["spec"]["holders"][0]["name"] == "web"


def test_a_record_deleted_by_hand_during_its_release_is_written_again_as_releasing(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    del api.allocations["v4-192-0-2-10"]
    allocator.run(withdraw=False)
    assert api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    assert WEB in api.services
    allocator.run()
    assert WEB not in api.services


def test_a_release_marked_by_hand_is_carried_through_and_the_service_moves(api: FakeApi) -> None:
    allocator = settled(api, "web")
    stored = api.allocations["v4-192-0-2-10"]
    stored["spec"]["releasing"] = True
    stored["metadata"]["generation"] += 1
    api._stamp(stored)
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.11"]
    assert list(api.allocations) == ["v4-192-0-2-11"]


def test_a_name_that_is_taken_teaches_who_holds_the_address(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    api.put_service(service_body("web"))
    other = Allocator(api, EDGE)  # a second allocator that believes to lead
    other.run()
    api.put_service(service_body("other"))
    allocator.known_allocations = {}
    for key in list(api.services):
        allocator.assigner.service_seen(api.service(key))
    while allocator.step():
        pass
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]
