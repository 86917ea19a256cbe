"""The work queue and the waiting Services."""

import pytest

from allocator.waiting import ChangeOf, FreeIn, Waiter, Waiting
from allocator.workqueue import BACKOFF, WorkQueue
from crds.addresses import Family
from kube.objects import ServiceKey


def test_keys_come_once_and_in_order() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [queue.take(0.0), queue.take(0.0), queue.take(0.0)] == ["a", "b", None]


def test_a_key_that_changes_while_in_work_comes_again_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert queue.take(0.0) == "a"
    queue.add("a")
    assert queue.take(0.0) is None
    queue.done("a")
    assert queue.take(0.0) == "a"
    queue.done("a")
    assert queue.take(0.0) is None
    assert len(queue) == 0


def test_failures_wait_longer_each_time_up_to_a_limit_and_success_forgets_them() -> None:
    queue: WorkQueue[str] = WorkQueue()
    now, delays = 0.0, []
    for _ in range(14):
        queue.add("a")
        assert queue.take(now) == "a"
        delays.append(queue.failed("a", now, 1.0))
        now += delays[-1]
    assert delays[:3] == [0.05, 0.1, 0.2]
    assert delays[-1] == BACKOFF.cap_seconds
    assert queue.take(now) == "a"
    queue.done("a")
    queue.add("a")
    assert queue.take(now) == "a"
    assert queue.failed("a", now, 1.0) == 0.05


def test_a_failed_key_is_due_at_its_time_and_a_change_does_not_wait_for_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.take(0.0)
    delay = queue.failed("a", 0.0, 0.0, after_seconds=3.0)
    assert delay == 3.0
    assert queue.deadline() == 3.0
    assert queue.take(2.9) is None
    queue.add("a")
    assert queue.take(2.9) == "a"
    queue.done("a")
    assert queue.take(10.0) is None


def key(name: str) -> ServiceKey:
    return ServiceKey("default", name)


def test_the_oldest_waiter_comes_first_whatever_it_waits_for() -> None:
    waiting = Waiting()
    pool, vip = FreeIn("edge", Family.IPv4), ChangeOf("192.0.2.10")
    waiting.put(key("young"), "2026-03", frozenset({pool}))
    waiting.put(key("old"), "2026-01", frozenset({vip}))
    waiting.put(key("middle"), "2026-02", frozenset({pool, vip}))
    order, after = [], None
    while (waiter := waiting.next_for((pool, vip), after)) is not None:
        order.append(waiter.key.name)
        after = waiter
    assert order == ["old", "middle", "young"]
    assert [one.name for one in waiting.everybody()] == order


def test_who_waits_for_nothing_special_is_still_pending() -> None:
    waiting = Waiting()
    waiting.put(key("a"), "2026-01", frozenset())
    assert len(waiting) == 1
    assert waiting.everybody() == [key("a")]
    waiting.remove(key("a"))
    waiting.remove(key("a"))
    assert len(waiting) == 0


def test_a_change_of_wish_replaces_the_old_one() -> None:
    waiting = Waiting()
    one, other = ChangeOf("192.0.2.10"), ChangeOf("192.0.2.11")
    waiting.put(key("a"), "2026-01", frozenset({one}))
    waiting.put(key("a"), "2026-01", frozenset({other}))
    assert waiting.next_for((one,), None) is None
    assert waiting.next_for((other,), None) == Waiter("2026-01", key("a"))
    assert key("a") in waiting


@pytest.mark.parametrize("count", [1, 2, 50])
def test_waiters_leave_in_any_order(count: int) -> None:
    waiting = Waiting()
    pool = FreeIn("edge", Family.IPv4)
    for number in range(count):
        waiting.put(key(f"s{number:02}"), "2026-01", frozenset({pool}))
    for number in range(0, count, 2):
        waiting.remove(key(f"s{number:02}"))
    left = waiting.next_for((pool,), None)
    assert (left.key.name if left else None) == ("s01" if count > 1 else None)
