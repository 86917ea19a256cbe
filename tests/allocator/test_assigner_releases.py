"""The assigner gives an address back: marked, past the barrier, deleted, free; and what interrupts that."""

import json
from dataclasses import replace

from allocator.objects import decode_allocation
from allocator.release.barrier import Mark
from allocator.stage import Stage
from allocator.writes import CreateAllocation
from crds.conditions import Reason
from tests.allocator.build import service_body
from tests.allocator.fakeapi import EDGE, FIRST, WEB, Allocator, FakeApi, reasons, settled


def test_a_deleted_service_stays_until_its_address_is_withdrawn(api: FakeApi) -> None:
    allocator = settled(api, "web")
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
    allocator = settled(api, "web")
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
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    released_and_made_anew(api, allocator)
    entry = allocator.assigner.ledger.get(FIRST)
    assert entry is not None
    assert entry.stage is Stage.MARKED
    allocator.run(withdraw=False)
    assert "v4-192-0-2-10" in api.allocations


def test_a_barrier_that_is_passed_late_says_nothing_about_the_next_record_of_that_address(api: FakeApi) -> None:
    """Both marks are of the same generation."""
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    mark = allocator.assigner.marks[FIRST]
    released_and_made_anew(api, allocator)
    assert allocator.assigner.marks[FIRST].generation == mark.generation
    allocator.assigner.barrier_passed(mark)
    allocator.run(withdraw=False)
    assert "v4-192-0-2-10" in api.allocations


def test_the_mark_of_another_record_is_known_only_since_it_was_seen(api: FakeApi) -> None:
    """Speakers that were listed before that may not know it yet."""
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    known_at = allocator.assigner.marks[FIRST].known_at
    released_and_made_anew(api, allocator)
    assert allocator.assigner.marks[FIRST] == Mark(FIRST, "another", 2, known_at + 5)


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
    allocator = settled(api, "web")
    api.services.pop(WEB)
    api.put_service(service_body("web"))
    allocator.run(withdraw=False)
    assert api.ingress(WEB) == ["192.0.2.11"]


def test_the_address_of_a_vanished_service_still_passes_the_barrier(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.services.pop(WEB)
    allocator.run(withdraw=False)
    assert reasons(allocator) == [Reason.FinalizerRemoved]
    assert api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    allocator.run()
    assert api.allocations == {}


def test_a_late_word_about_a_record_that_we_deleted_brings_nothing_back(api: FakeApi) -> None:
    allocator = settled(api, "web")
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
    allocator = settled(api, "web")
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
