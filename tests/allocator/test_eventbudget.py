"""What happens to thousands of Services at once is told in a few Events."""

from dataclasses import replace

from allocator.eventbudget import AT_ONCE, EVERY_SECONDS, GATHER_SECONDS, EventBudget
from allocator.notices import Common, Notice, ObjectNotice, of_move, of_object
from allocator.status.owners import Move
from crds.conditions import Reason
from crds.meta import Condition
from kube.objects import ServiceKey
from tests.allocator.build import address
from tests.allocator.status.records import stored

NODE1, POOL = Common("Speaker", "node1"), Common("IPPool", "edge")


def moved(number: int, common: Common | None = NODE1) -> Notice:
    return Notice(ServiceKey("default", f"s{number}"), f"u{number}", "Normal", Reason.Moved, f"m{number}", common)


def test_the_first_ones_are_told_each_and_the_rest_together() -> None:
    budget = EventBudget()
    told = [number for number in range(5000) if budget.admits(moved(number), 0.0)]
    assert told == list(range(AT_ONCE))
    assert list(budget.take_gathered(1.0)) == [], "more may follow"
    assert budget.has_gathered
    (gathered,) = budget.take_gathered(GATHER_SECONDS)
    assert isinstance(gathered, ObjectNotice)
    assert gathered.about == NODE1
    assert (gathered.type, gathered.reason) == ("Normal", "Moved")
    assert gathered.message == (
        "The same of 4975 more Services: default/s25, default/s26, default/s27 and 4972 more. Of the first: m25"
    )
    assert list(budget.take_gathered(100.0)) == []
    assert not budget.has_gathered


def test_each_object_and_reason_is_told_of_by_itself() -> None:
    budget = EventBudget()
    for number in range(100):
        budget.admits(moved(number), 0.0)
        budget.admits(replace(moved(number), common=Common("Speaker", "node2")), 0.0)
        budget.admits(replace(moved(number), common=POOL, reason=Reason.NotAnnounced), 0.0)
    gathered = [one for one in budget.take_gathered(9.0) if isinstance(one, ObjectNotice)]
    assert {(one.about.name, str(one.reason)) for one in gathered} == {
        ("node1", "Moved"),
        ("node2", "Moved"),
        ("edge", "NotAnnounced"),
    }


def test_later_ones_are_told_each_again() -> None:
    budget = EventBudget()
    assert sum(budget.admits(moved(number), 0.0) for number in range(100)) == AT_ONCE
    assert sum(budget.admits(moved(number), 3 * EVERY_SECONDS) for number in range(100)) == 3


def test_what_has_nothing_in_common_is_told_on_the_first_which_names_no_service_of_others() -> None:
    budget = EventBudget()
    assert sum(budget.admits(moved(number, None), 0.0) for number in range(1000)) == AT_ONCE
    (gathered,) = budget.take_gathered(GATHER_SECONDS)
    assert isinstance(gathered, Notice)
    assert gathered.service.name == "s25"
    assert gathered.message == "m25. The same of 974 more Services"


def test_one_alone_beyond_the_budget_is_told_as_it_is() -> None:
    budget = EventBudget()
    notices = [moved(number) for number in range(AT_ONCE + 1)]
    assert [budget.admits(one, 0.0) for one in notices][-1] is False
    assert list(budget.take_gathered(GATHER_SECONDS)) == notices[-1:]


def silent(number: int) -> ObjectNotice:
    return ObjectNotice(Common("Speaker", f"node{number}"), "Warning", Reason.NodeSilent, f"m{number}")


def test_many_objects_of_ours_are_told_of_on_the_first() -> None:
    budget = EventBudget()
    assert sum(budget.admits(silent(number), 0.0) for number in range(500)) == AT_ONCE
    (gathered,) = budget.take_gathered(GATHER_SECONDS)
    assert isinstance(gathered, ObjectNotice)
    assert gathered.about.name == "node25"
    assert gathered.message == "m25. The same of 474 more Speakers: node26, node27, node28 and 471 more"


def test_services_that_have_many_objects_in_common_are_few_events_all_the_same() -> None:
    budget = EventBudget()
    for number in range(5000):
        budget.admits(moved(number, Common("Speaker", f"node{number % 500}")), 0.0)
    told = list(budget.take_gathered(GATHER_SECONDS))
    told += budget.take_gathered(2 * GATHER_SECONDS)
    assert len(told) == AT_ONCE + 1
    assert list(budget.take_gathered(3 * GATHER_SECONDS)) == []


def test_a_move_is_told_to_each_holder_with_the_cause_where_it_is_known() -> None:
    move = Move(address("192.0.2.10"), "node1", "node2")
    (notice,) = of_move(stored(), move, "has stopped")
    assert (notice.reason, notice.common) == ("Moved", NODE1)
    assert notice.message == "192.0.2.10 moved from node1 to node2: node1 has stopped"
    assert next(of_move(stored(), move, "")).message == "192.0.2.10 moved from node1 to node2"


def condition(type: str, status: str, reason: str) -> Condition:
    return Condition(type=type, status=status, reason=reason, last_transition_time="2026-03-01T00:00:00Z")  # type: ignore[arg-type]


def told(before: list[Condition], after: list[Condition]) -> list[tuple[str, str]]:
    return [(one.type, str(one.reason)) for one in of_object(POOL, before, after) if isinstance(one, ObjectNotice)]


def test_an_object_of_ours_has_an_event_when_a_condition_changes_and_none_for_what_is_well_at_first() -> None:
    well = [condition("Ready", "True", "Valid"), condition("Exhausted", "False", "NotExhausted")]
    full = [well[0], condition("Exhausted", "True", "NoAddressesLeft")]
    wrong = [condition("Ready", "False", "EmptyPool"), well[1]]
    assert told([], well) == []
    assert told(well, well) == []
    assert told(well, full) == [("Warning", "NoAddressesLeft")]
    assert told(full, well) == [("Normal", "NotExhausted")]
    assert told([], wrong) == [("Warning", "EmptyPool")]
    assert told([], [condition("Ready", "False", "NoSessions")]) == []
    up, some = [condition("Ready", "True", "SessionsUp")], [condition("Ready", "True", "SomeSessionsDown")]
    assert told(up, some) == [("Warning", "SomeSessionsDown")]
    assert told(some, up) == [("Normal", "SessionsUp")]
