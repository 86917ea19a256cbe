"""Another program that writes a Service's status, too: it is answered at once at first, then rarely, and named."""

import json
from typing import Any

import pytest

from allocator.notices import of_change
from allocator.overwrites import AT_ONCE, EVERY_SECONDS, MOST, QUIET_SECONDS, Overwrites
from allocator.plan import Verdict
from allocator.status.service import Wanted
from crds.conditions import Reason
from kube.objects import decode_service
from tests.allocator.fakeapi import WEB, Allocator, FakeApi, reasons, settled

OTHERS = "198.51.100.7"
OURS = "192.0.2.10"


def take_over(body: dict[str, Any]) -> None:
    body["status"]["loadBalancer"] = {"ingress": [{"ip": OTHERS}]}


def start_anew(body: dict[str, Any]) -> None:
    """As a program does that writes the whole status."""
    body["status"] = {"loadBalancer": {"ingress": [{"ip": OTHERS}]}}


def fight(api: FakeApi, allocator: Allocator, times: int, how: Any = take_over) -> int:
    """The other one writes whenever it sees something else. How often the allocator wrote meanwhile."""
    before = len(api.log)
    for _ in range(times):
        if api.ingress(WEB) != [OTHERS]:
            api.edit_service(WEB, how)
        allocator.run(until=allocator.now + 1.0)
        allocator.now += 0.1
    return sum(1 for one in api.log[before:] if one.startswith("patch service"))


def told(allocator: Allocator) -> tuple[str, str, str]:
    condition = allocator.api.condition(WEB)
    assert condition is not None
    return condition["status"], condition["reason"], condition["message"]


def test_what_somebody_undoes_once_is_restored_at_once_and_is_no_event(api) -> None:
    allocator = settled(api, "web")
    assert fight(api, allocator, 1) == 1
    assert api.ingress(WEB) == [OURS]
    assert told(allocator)[:2] == ("True", "Allocated")
    assert reasons(allocator) == []
    assert allocator.told == [Reason.Allocated]


@pytest.mark.slow
def test_who_undoes_it_again_and_again_is_answered_rarely(api) -> None:
    allocator = settled(api, "web")
    assert fight(api, allocator, 100) <= AT_ONCE + 2
    later = allocator.now + 10 * EVERY_SECONDS
    while allocator.now < later:
        fight(api, allocator, 1)
    writes = len(api.log)
    later = allocator.now + 10 * EVERY_SECONDS
    while allocator.now < later:
        fight(api, allocator, 1)
    assert 9 <= len(api.log) - writes <= 11


def test_the_condition_names_the_other_writer_and_the_way_out(api) -> None:
    allocator = settled(api, "web")
    allocator.other_writer = "k3s"
    fight(api, allocator, 20)
    status, reason, message = told(allocator)
    assert (status, reason) == ("True", "StatusOverwritten")
    assert message.startswith(f"{OURS} from pool edge. k3s, as managedFields call it, writes the status")
    assert "spec.loadBalancerClass: berth.dev/berth" in message


def test_a_program_that_writes_the_whole_status_is_no_other_case(api) -> None:
    allocator = settled(api, "web")
    assert fight(api, allocator, 100, start_anew) <= AT_ONCE + 2


def test_a_finalizer_that_is_taken_off_again_and_again_comes_back_rarely(api) -> None:
    allocator = settled(api, "web")
    before = len(api.log)
    for _ in range(50):
        api.edit_service(WEB, lambda body: body["metadata"].update(finalizers=[]))
        allocator.run(until=allocator.now + 1.0)
        allocator.now += 0.1
    assert len(api.log) - before <= AT_ONCE + 2


def test_what_is_new_to_be_shown_waits_for_no_quarrel(api) -> None:
    allocator = settled(api, "web")
    fight(api, allocator, 20)
    assert api.ingress(WEB) == [OTHERS]
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.12"}))
    allocator.run(until=allocator.now + 1.0)
    assert api.ingress(WEB) == ["192.0.2.12"]


def test_a_service_that_is_deleted_in_the_middle_of_it_goes_at_once(api) -> None:
    allocator = settled(api, "web")
    fight(api, allocator, 20)
    api.delete_service(WEB)
    allocator.run(until=allocator.now + 1.0)
    assert WEB not in api.services
    assert not api.allocations


def test_when_the_other_one_is_quiet_it_is_over_and_said_to_be(api) -> None:
    allocator = settled(api, "web")
    fight(api, allocator, 20)
    allocator.run()
    assert api.ingress(WEB) == [OURS]
    assert told(allocator)[:2] == ("True", "Allocated")
    assert fight(api, allocator, 2) == 2, "as if there had been nothing"


def test_a_service_that_waits_for_an_address_keeps_its_reason(api) -> None:
    allocator = settled(api, "web", "a", "b", "c", "other")
    waiting = next(key for key in api.services if not api.ingress(key))
    for _ in range(20):
        api.edit_service(waiting, lambda body: body["status"].update(conditions=[]))
        allocator.run(until=allocator.now + 1.0)
        allocator.now += 0.1
    allocator.now += EVERY_SECONDS
    allocator.run(until=allocator.now + 1.0)
    condition = api.condition(waiting)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "PoolExhausted")
    assert "Another program writes the status of this Service, too" in condition["message"]


def test_what_a_change_of_type_took_away_was_undone_by_nobody(api) -> None:
    allocator = settled(api, "web")
    for kind in ("ClusterIP", "LoadBalancer") * 10:
        api.edit_service(WEB, lambda body, kind=kind: body["spec"].update(type=kind))
        allocator.run()
    assert api.ingress(WEB) == [OURS]
    assert allocator.told == [Reason.Allocated] * 11


def test_what_can_not_be_written_is_undone_by_nobody() -> None:
    """Once it was, and the API server refuses what would put it right: nobody is blamed, and it is tried on."""
    known, wanted = Overwrites("berth.dev/berth"), Wanted((), True, Verdict(True, Reason.Allocated, "well"))
    known.shows("uid", wanted)
    for number in range(3 * AT_ONCE):
        assert known.restore_at("uid", 1.0 + number) == 1.0 + number
        known.sent("uid", wanted)
    assert known.told("uid", wanted, 20.0) == wanted
    assert not known.wants_writer("uid", 20.0)


@pytest.mark.parametrize("how", ["the answer says so", "a watch shows it"])
def test_what_was_put_right_and_is_undone_again_counts(how: str) -> None:
    known, wanted = Overwrites("berth.dev/berth"), Wanted((), True, Verdict(True, Reason.Allocated, "well"))
    known.shows("uid", wanted)
    for number in range(AT_ONCE):
        assert known.told("uid", wanted, number) == wanted
        known.restore_at("uid", number)
        known.sent("uid", wanted)
        if how == "the answer says so":
            known.arrived("uid")
        else:
            known.shows("uid", wanted)
    assert known.told("uid", wanted, AT_ONCE).verdict != wanted.verdict
    assert known.restore_at("uid", AT_ONCE) == AT_ONCE - 1 + EVERY_SECONDS


def test_few_services_are_remembered_however_many_are_undone() -> None:
    known = Overwrites("berth.dev/berth")
    wanted = Wanted((), True, None)
    for number in range(3 * MOST):
        known.shows(str(number), wanted)
        assert known.restore_at(str(number), 1.0) == 1.0
    assert sum(known.over_at(str(number), 2.0) is not None for number in range(3 * MOST)) == MOST
    assert all(known.over_at(str(number), 1.0 + QUIET_SECONDS) is None for number in range(3 * MOST))


def test_it_is_told_once_and_is_a_warning(api) -> None:
    allocator = settled(api, "web")
    fight(api, allocator, 20)
    assert allocator.told == [Reason.Allocated, Reason.StatusOverwritten]
    over = Wanted((), True, Verdict(True, Reason.StatusOverwritten, "k3s"))
    allocated = {"status": {"conditions": [{"type": "berth.dev/Allocated", "status": "True", "reason": "Allocated"}]}}
    before = decode_service(json.dumps(api.services[WEB] | allocated).encode())
    assert [one.type for one in of_change(before, over)] == ["Warning"]
