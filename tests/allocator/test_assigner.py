"""The assigner against a small API server: a Service's way to its address and back, and hands in the works."""

import json
from dataclasses import replace

import pytest

from allocator.objects import decode_allocation
from allocator.release.barrier import Mark
from allocator.stage import Stage
from allocator.writes import CreateAllocation
from crds.conditions import Reason
from crds.names import FINALIZER, allocation_name
from kube.objects import ServiceKey
from tests.allocator.build import address, pool, pools, service_body
from tests.allocator.fakeapi import Allocator, Body, FakeApi

EDGE = pools(pool("edge", "192.0.2.10-192.0.2.13"))
WEB = ServiceKey("default", "web")
OTHER = ServiceKey("default", "other")
FIRST = address("192.0.2.10")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


def reasons(allocator: Allocator) -> list[Reason]:
    return [notice.reason for notice in allocator.assigner.notices]


def test_a_service_gets_an_address_with_two_writes(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    Allocator(api, EDGE).run()
    assert api.log == ["create v4-192-0-2-10", "patch service default/web"]
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]
    condition = api.condition(WEB)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "Allocated")
    assert condition["message"] == "192.0.2.10 from pool edge"
    spec = api.allocations["v4-192-0-2-10"]["spec"]
    assert spec["holders"] == [
        {
            "namespace": "default",
            "name": "web",
            "uid": "s1",
            "ports": [{"protocol": "TCP", "port": 80}],
            "labels": {},
        }
    ]


def test_others_conditions_and_finalizers_are_kept(api: FakeApi) -> None:
    body = service_body("web")
    body["metadata"]["finalizers"] = ["example.org/theirs"]
    body["status"]["conditions"] = [{"type": "Theirs", "status": "True", "reason": "R", "message": "m"}]
    api.put_service(body)
    Allocator(api, EDGE).run()
    assert api.services[WEB]["metadata"]["finalizers"] == ["example.org/theirs", FINALIZER]
    assert [one["type"] for one in api.services[WEB]["status"]["conditions"]] == ["Theirs", "berth.dev/Allocated"]
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    Allocator(api, EDGE).run()
    assert api.services[WEB]["metadata"]["finalizers"] == ["example.org/theirs"]
    assert [one["type"] for one in api.services[WEB]["status"]["conditions"]] == ["Theirs"]


def test_a_settled_cluster_needs_no_write_after_a_restart(api: FakeApi) -> None:
    for name in ("web", "other"):
        api.put_service(service_body(name))
    Allocator(api, EDGE).run()
    api.log.clear()
    restarted = Allocator(api, EDGE)
    restarted.run()
    assert api.log == []
    assert restarted.assigner.notices == []


def test_a_deleted_service_stays_until_its_address_is_withdrawn(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    assert api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    assert WEB in api.services
    assert allocator.assigner.ledger.get(FIRST) is not None
    allocator.pass_barrier(FIRST)
    api.log.clear()
    allocator.run()
    assert api.log == ["delete v4-192-0-2-10", "patch service default/web"]
    assert WEB not in api.services
    assert allocator.assigner.ledger.get(FIRST) is None
    assert reasons(allocator) == []


def test_a_barrier_passed_for_an_earlier_generation_does_not_count(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    api.allocations["v4-192-0-2-10"]["metadata"]["generation"] += 1
    api._stamp(api.allocations["v4-192-0-2-10"])
    allocator.pass_barrier(FIRST)
    allocator.watch()
    allocator.run(withdraw=False)
    assert "v4-192-0-2-10" in api.allocations


def released_and_made_anew(api: FakeApi, allocator: Allocator) -> None:
    """By somebody who took the record away and made another one in its place, which is being released too."""
    record = api.allocations["v4-192-0-2-10"]
    record["metadata"]["uid"] = "another"
    api._stamp(record)
    allocator.now += 5
    stored = decode_allocation(json.dumps(record).encode())
    allocator.assigner.allocation_seen(stored, allocator.now)


def test_a_barrier_passed_for_a_record_says_nothing_about_another_one_in_its_place(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    released_and_made_anew(api, allocator)
    entry = allocator.assigner.ledger.get(FIRST)
    assert entry is not None
    assert entry.stage is Stage.MARKED
    allocator.run(withdraw=False)
    assert "v4-192-0-2-10" in api.allocations


def test_the_mark_of_another_record_is_known_only_since_it_was_seen(api: FakeApi) -> None:
    """Speakers that were listed before that may not know it yet."""
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    known_at = allocator.assigner.marks[FIRST].known_at
    released_and_made_anew(api, allocator)
    assert allocator.assigner.marks[FIRST] == Mark(FIRST, "another", 2, known_at + 5)


def test_a_type_change_releases_and_takes_condition_and_finalizer_off(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run(withdraw=False)
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]
    allocator.run()
    assert api.services[WEB]["metadata"]["finalizers"] == []
    assert api.condition(WEB) is None
    assert api.allocations == {}


def test_a_type_change_while_nobody_ran_is_cleaned_up_at_start(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    Allocator(api, EDGE).run()
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    Allocator(api, EDGE).run()
    assert api.allocations == {}
    assert api.services[WEB]["metadata"]["finalizers"] == []


def test_a_pending_service_that_stops_being_one_loses_its_condition(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, pools())
    allocator.run()
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == "NoPools"
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run()
    assert api.condition(WEB) is None


def test_going_back_to_load_balancer_gets_another_address_at_once(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run(withdraw=False)
    api.edit_service(WEB, lambda body: body["spec"].update(type="LoadBalancer"))
    allocator.run(withdraw=False)
    assert api.ingress(WEB) == ["192.0.2.11"]
    allocator.run()
    assert list(api.allocations) == ["v4-192-0-2-11"]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.parametrize("load_balancer_class", [None, "example.org/ours"])
def test_a_foreign_class_is_never_touched(api: FakeApi, load_balancer_class: str | None) -> None:
    body = service_body("web", loadBalancerClass="example.org/theirs", ingress=["192.0.2.10"])
    body["metadata"]["finalizers"] = [FINALIZER]
    api.put_service(body)
    Allocator(api, EDGE, load_balancer_class=load_balancer_class).run()
    api.delete_service(WEB)
    Allocator(api, EDGE, load_balancer_class=load_balancer_class).run()
    assert api.log == []
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


def test_with_a_class_configured_services_without_one_are_somebody_elses(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    api.put_service(service_body("other", loadBalancerClass="example.org/ours"))
    Allocator(api, EDGE, load_balancer_class="example.org/ours").run()
    assert api.ingress(WEB) == []
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_another_class_takes_the_address_out_of_the_status_before_it_is_released(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    Allocator(api, EDGE).run()
    api.log.clear()
    allocator = Allocator(api, EDGE, load_balancer_class="example.org/ours")
    allocator.run()
    assert api.ingress(WEB) == []
    assert api.condition(WEB) is None
    assert api.services[WEB]["metadata"]["finalizers"] == []
    assert api.log[:2] == ["patch service default/web", "patch v4-192-0-2-10"]


def test_a_move_serves_at_the_new_address_before_the_old_one_goes(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.log.clear()
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.13"}))
    allocator.run()
    assert api.log == [
        "create v4-192-0-2-13",
        "patch service default/web",
        "patch v4-192-0-2-10",
        "delete v4-192-0-2-10",
    ]
    assert api.ingress(WEB) == ["192.0.2.13"]


def test_a_service_recreated_under_its_name_is_another_holder(api: FakeApi) -> None:
    api.put_service(service_body("web", loadBalancerIP="192.0.2.10"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.services.pop(WEB)  # as if its finalizer had been taken off
    api.put_service(service_body("web", loadBalancerIP="192.0.2.10"))
    allocator.run(withdraw=False)
    assert Reason.FinalizerRemoved in reasons(allocator)
    assert api.ingress(WEB) == []
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == "AddressInUse"
    assert "being withdrawn" in condition["message"]
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.allocations["v4-192-0-2-10"]["spec"]["holders"][0]["uid"] == api.services[WEB]["metadata"]["uid"]


def test_a_recreated_service_without_a_wish_takes_another_address(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.services.pop(WEB)
    api.put_service(service_body("web"))
    allocator.run(withdraw=False)
    assert api.ingress(WEB) == ["192.0.2.11"]


def test_a_finalizer_taken_off_is_reported_and_put_back(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.edit_service(WEB, lambda body: body["metadata"].update(finalizers=[]))
    allocator.run()
    assert reasons(allocator) == [Reason.FinalizerRemoved]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


def test_the_address_of_a_vanished_service_still_passes_the_barrier(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.services.pop(WEB)
    allocator.run(withdraw=False)
    assert reasons(allocator) == [Reason.FinalizerRemoved]
    assert api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    allocator.run()
    assert api.allocations == {}


def test_a_record_edited_by_hand_is_put_right(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    stored = api.allocations["v4-192-0-2-10"]
    good = dict(stored["spec"])
    stored["spec"] = {**good, "pool": "nonsense", "trafficPolicy": "Local", "sharingKey": "k", "selector": {"a": "b"}}
    stored["metadata"]["generation"] += 1
    api._stamp(stored)
    allocator.run()
    assert reasons(allocator) == [Reason.AllocationLost]
    assert api.allocations["v4-192-0-2-10"]["spec"] == good


def test_holders_edited_by_hand_are_put_right_also_after_a_restart(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    Allocator(api, EDGE).run()
    stored = api.allocations["v4-192-0-2-10"]
    stored["spec"]["holders"] = [{"namespace": "x", "name": "y", "uid": "z", "ports": [], "labels": {}}]
    api._stamp(stored)
    Allocator(api, EDGE).run()
    # The stranger's record is released; the Service's own address is in its status, but it is not free any more.
    assert api.ingress(WEB) == ["192.0.2.11"]
    assert [name for name in api.allocations] == ["v4-192-0-2-11"]


def test_a_record_deleted_by_hand_comes_back_for_its_service(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    del api.allocations["v4-192-0-2-10"]
    api.put_service(service_body("other"))
    allocator.run()
    assert reasons(allocator) == [Reason.AllocationLost]
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]
    assert api.allocations["v4-192-0-2-10"]["spec"]["holders"][0]["name"] == "web"


def test_a_record_deleted_by_hand_during_its_release_is_written_again_as_releasing(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    del api.allocations["v4-192-0-2-10"]
    allocator.run(withdraw=False)
    assert api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    assert WEB in api.services
    allocator.run()
    assert WEB not in api.services


def test_a_release_marked_by_hand_is_carried_through_and_the_service_moves(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
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


def test_a_full_pool_serves_who_waited_longest_when_an_address_frees(api: FakeApi) -> None:
    small = pools(pool("edge", "192.0.2.10"))
    allocator = Allocator(api, small)
    api.put_service(service_body("web"))
    allocator.run()
    api.put_service(service_body("young", created="2026-01-09T00:00:00Z"))
    api.put_service(service_body("old", created="2026-01-03T00:00:00Z"))
    allocator.run()
    for name in ("young", "old"):
        condition = api.condition(ServiceKey("default", name))
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "PoolExhausted")
        assert api.ingress(ServiceKey("default", name)) == []
    api.delete_service(WEB)
    allocator.run()
    assert api.ingress(ServiceKey("default", "old")) == ["192.0.2.10"]
    assert api.ingress(ServiceKey("default", "young")) == []


def test_an_address_that_a_status_still_shows_is_given_to_nobody(api: FakeApi) -> None:
    small = pools(pool("edge", "192.0.2.10"))
    allocator = Allocator(api, small)
    api.put_service(service_body("web"))
    allocator.run()
    api.put_service(service_body("other"))
    api.delete_service(WEB)
    allocator.run()
    assert api.log.index("delete v4-192-0-2-10") < api.log.index("patch service default/web", 3)
    assert api.log.index("patch service default/web", 3) < len(api.log) - 1 - api.log[::-1].index(
        "create v4-192-0-2-10"
    )


def test_ingress_that_others_wrote_stays_when_there_is_nothing_to_give(api: FakeApi) -> None:
    api.put_service(service_body("web", ingress=["203.0.113.5"]))
    Allocator(api, pools()).run()
    assert api.ingress(WEB) == ["203.0.113.5"]
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_an_address_in_the_status_is_adopted_before_pending_services_are_served(api: FakeApi) -> None:
    api.put_service(service_body("other", created="2026-01-01T00:00:00Z"))
    api.put_service(service_body("web", ingress=["192.0.2.10"], created="2026-01-05T00:00:00Z"))
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


def test_of_two_statuses_with_one_address_the_older_service_keeps_it(api: FakeApi) -> None:
    api.put_service(service_body("other", ingress=["192.0.2.10"], created="2026-01-05T00:00:00Z"))
    api.put_service(service_body("web", ingress=["192.0.2.10"], created="2026-01-03T00:00:00Z"))
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]


def test_a_pool_edit_moves_nobody(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    allocator.assigner.set_pools(pools(pool("edge", "198.51.100.0/24")))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    condition = api.condition(WEB)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "OutsidePool")
    allocator.assigner.set_pools(pools())
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    allocator.assigner.set_pools(EDGE)
    allocator.run()
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == "Allocated"


def test_pending_services_are_served_when_a_pool_comes(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, pools())
    allocator.run()
    allocator.assigner.set_pools(EDGE)
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_nothing_is_decided_before_the_namespaces_labels_are_known(api: FakeApi) -> None:
    chosen = pools(
        pool("edge", "192.0.2.10", namespace_selector={"matchLabels": {"team": "a"}}, priority=1),
        pool("rest", "198.51.100.1"),
    )
    allocator = Allocator(api, chosen, namespaces={})
    api.put_service(service_body("web"))
    allocator.run()
    assert api.log == []
    allocator.assigner.namespace_seen("default", {"team": "a"})
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_a_bad_annotation_leaves_the_service_with_what_it_has(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "nonsense"}))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    condition = api.condition(WEB)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "InvalidRequest")
    assert "keeps 192.0.2.10" in condition["message"]


def test_changed_ports_and_labels_reach_the_record(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()

    def change(body: Body) -> None:
        body["metadata"]["labels"] = {"tier": "front"}
        body["spec"]["ports"] = [{"protocol": "UDP", "port": 53}]
        body["spec"]["externalTrafficPolicy"] = "Local"

    api.edit_service(WEB, change)
    allocator.run()
    spec = api.allocations["v4-192-0-2-10"]["spec"]
    assert spec["holders"][0]["labels"] == {"tier": "front"}
    assert spec["holders"][0]["ports"] == [{"protocol": "UDP", "port": 53}]
    assert (spec["trafficPolicy"], spec["selector"]) == ("Local", {"app": "web"})


def test_services_share_and_leave_an_address_one_by_one(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    for name, port in (("web", 80), ("other", 443)):
        api.put_service(service_body(name, ports=[("TCP", port)], annotations={"berth.dev/sharing-key": "k"}))
    allocator.run()
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.10"]
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    assert WEB not in api.services
    spec = api.allocations["v4-192-0-2-10"]["spec"]
    assert [holder["name"] for holder in spec["holders"]] == ["other"]
    assert not spec["releasing"]
    api.delete_service(OTHER)
    allocator.run()
    assert api.allocations == {}


def test_a_service_that_leaves_a_shared_address_for_nothing_loses_its_finalizer(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    api.put_service(service_body("first"))
    for name, port in (("web", 80), ("other", 443)):
        api.put_service(service_body(name, ports=[("TCP", port)], annotations={"berth.dev/sharing-key": "k"}))
    allocator.run()
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.11"]
    wish = {"berth.dev/ips": "192.0.2.10"}  # which the first one holds
    api.edit_service(WEB, lambda body: body["metadata"].update(annotations=wish))
    allocator.run()
    assert api.ingress(WEB) == []
    assert not api.services[WEB]["metadata"].get("finalizers")
    assert api.ingress(OTHER) == ["192.0.2.11"]


def test_colliding_ports_on_a_shared_address_move_the_service_that_changed(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    for name, port in (("web", 80), ("other", 443)):
        api.put_service(service_body(name, ports=[("TCP", port)], annotations={"berth.dev/sharing-key": "k"}))
    allocator.run()
    api.edit_service(OTHER, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": 80}]))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]


def test_a_rested_address_is_handed_on(api: FakeApi) -> None:
    resting = pools(pool("edge", "192.0.2.10", reuse_after_seconds=60))
    allocator = Allocator(api, resting)
    api.put_service(service_body("web"))
    allocator.run()
    api.put_service(service_body("other"))
    api.delete_service(WEB)
    allocator.run()
    assert api.ingress(OTHER) == []
    allocator.now += 61
    allocator.assigner.wake(allocator.now)
    allocator.run()
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_names_of_records_follow_from_addresses() -> None:
    assert allocation_name(FIRST) == "v4-192-0-2-10"


def test_while_a_status_shows_an_address_the_ledger_keeps_it(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    while "delete v4-192-0-2-10" not in api.log:
        assert allocator.step()
    # The address is looked at before the Service is: it is withdrawn, but shown.
    allocator.assigner.queue.add(FIRST, first=True)
    allocator.step()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert allocator.assigner.ledger.get(FIRST) is not None
    allocator.run()
    assert allocator.assigner.ledger.get(FIRST) is None


def test_an_old_address_is_not_given_up_before_the_status_names_the_new_one(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.13"}))
    allocator.watch()
    while "create v4-192-0-2-13" not in api.log:
        assert allocator.step()
    api.edit_service(WEB, lambda body: body["metadata"]["labels"].update({"somebody": "else"}))
    while allocator.step():  # its patch of the status meets a conflict
        pass
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert not api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.13"]


def test_a_late_word_about_a_record_that_we_deleted_brings_nothing_back(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    entry = allocator.assigner.ledger.get(FIRST)
    assert entry is not None
    assert entry.recorded is not None
    late = replace(entry.recorded, resource_version=10_000)
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    while allocator.step():  # the watch lags behind
        pass
    assert api.allocations == {}
    allocator.assigner.allocation_seen(late, 0.0)
    assert allocator.assigner.ledger.get(FIRST) is None
    allocator.assigner.allocation_gone(FIRST, late.uid)
    api.log.clear()
    allocator.run()
    assert api.log == []


def test_an_address_whose_record_was_refused_needs_no_barrier(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    assigner = Allocator(api, EDGE).assigner
    assigner.step(WEB, 0.0, "")
    assert isinstance(assigner.step(FIRST, 0.0, ""), CreateAllocation)
    assigner.create_sent(FIRST)
    assigner.create_refused(FIRST)
    assigner.service_gone(WEB, "s1")
    assigner.step(WEB, 0.0, "")
    assert assigner.step(FIRST, 0.0, "") is None
    assert assigner.ledger.get(FIRST) is None


def test_an_address_whose_record_may_exist_is_recorded_to_be_released(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    assigner = Allocator(api, EDGE).assigner
    assigner.step(WEB, 0.0, "")
    assigner.step(FIRST, 0.0, "")
    assigner.create_sent(FIRST)
    assigner.service_gone(WEB, "s1")
    assigner.step(WEB, 0.0, "")
    write = assigner.step(FIRST, 0.0, "")
    assert isinstance(write, CreateAllocation)
    assert write.body["spec"]["releasing"]


def test_an_address_whose_record_was_lost_passes_the_barrier_though_a_new_record_is_refused(api: FakeApi) -> None:
    """Speakers knew the record that somebody deleted: that nothing was created since says nothing about them."""
    api.put_service(service_body("web"))
    allocator = Allocator(api, EDGE)
    allocator.run()
    assigner, (record,) = allocator.assigner, allocator.api.allocations.values()
    assigner.allocation_gone(FIRST, record["metadata"]["uid"])
    assert isinstance(assigner.step(FIRST, 0.0, ""), CreateAllocation)
    assigner.create_sent(FIRST)
    assigner.create_refused(FIRST)
    assigner.service_gone(WEB, "s1")
    assigner.step(WEB, 0.0, "")
    write = assigner.step(FIRST, 0.0, "")
    assert isinstance(write, CreateAllocation)
    assert write.body["spec"]["releasing"]


def test_a_create_without_an_answer_may_have_made_a_record_though_the_next_one_is_refused(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    assigner = Allocator(api, EDGE).assigner
    assigner.step(WEB, 0.0, "")
    for _ in range(2):
        assert isinstance(assigner.step(FIRST, 0.0, ""), CreateAllocation)
        assigner.create_sent(FIRST)
    assigner.create_refused(FIRST)
    assigner.service_gone(WEB, "s1")
    assigner.step(WEB, 0.0, "")
    assert isinstance(assigner.step(FIRST, 0.0, ""), CreateAllocation)


def test_what_a_status_shows_is_reserved_before_anybody_is_given_an_address(api: FakeApi) -> None:
    """Whoever is served first must not take an address that another Service shows, though nothing records it."""
    api.put_service(service_body("web", families=["IPv4"], ingress=["203.0.113.1"]))
    api.put_service(service_body("other", ingress=["192.0.2.10"]))
    Allocator(api, EDGE).run()
    assert api.ingress(OTHER) == ["192.0.2.10"]
    assert api.ingress(WEB) == ["192.0.2.11"]
