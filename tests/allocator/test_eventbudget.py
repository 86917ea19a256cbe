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
    (gathered,) = budget.take_gathered(GATHER_SECONDS)
    assert gathered.about == NODE1
    assert (gathered.type, gathered.reason) == ("Normal", "Moved")
    assert gathered.message == (
        "The same of 4975 more Services: default/s25, default/s26, default/s27 and 4972 more. Of the first: m25"
    )
    assert list(budget.take_gathered(100.0)) == []


def test_each_object_and_reason_is_told_of_by_itself() -> None:
    budget = EventBudget()
    for number in range(100):
        budget.admits(moved(number), 0.0)
        budget.admits(replace(moved(number), common=Common("Speaker", "node2")), 0.0)
        budget.admits(replace(moved(number), common=POOL, reason=Reason.NotAnnounced), 0.0)
    assert {(one.about.name, str(one.reason)) for one in budget.take_gathered(9.0)} == {
        ("node1", "Moved"),
        ("node2", "Moved"),
        ("edge", "NotAnnounced"),
    }


def test_later_ones_are_told_each_again_and_what_has_nothing_in_common_always() -> None:
    budget = EventBudget()
    assert all(budget.admits(moved(number, None), 0.0) for number in range(1000))
    assert sum(budget.admits(moved(number), 0.0) for number in range(100)) == AT_ONCE
    assert sum(budget.admits(moved(number), 3 * EVERY_SECONDS) for number in range(100)) == 3


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
