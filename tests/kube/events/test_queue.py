from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kube.events.queue import BURST, REFILL_SECONDS, REMEMBERED, EventQueue, ObjectRef, Occurrence


def of(name: str = "web", message: str = "m", wall: str = "t0") -> Occurrence:
    return Occurrence(ObjectRef("v1", "Service", name, "default", f"uid-{name}"), "Normal", "Allocated", message, wall)


def test_the_first_of_a_series_is_created_and_the_next_counts_it_up() -> None:
    queue = EventQueue()
    queue.record(of(wall="t0"), 0.0)
    first = queue.take()
    assert first is not None
    assert (first.count, first.written_as) == (1, None)
    queue.written(first, "web.1")
    queue.record(of(wall="t9"), 9.0)
    second = queue.take()
    assert second is not None
    assert (second.count, second.first_wall, second.last_wall, second.written_as) == (2, "t0", "t9", "web.1")


def test_what_repeats_while_it_waits_is_written_once() -> None:
    queue = EventQueue()
    assert queue.record(of(), 0.0) == []
    assert queue.record(of(wall="t5"), 0.0) == ["Aggregated"]
    series = queue.take()
    assert series is not None
    assert (series.count, series.last_wall) == (2, "t5")
    assert queue.take() is None


def test_what_repeats_while_it_is_written_waits_for_the_name() -> None:
    queue = EventQueue()
    queue.record(of(), 0.0)
    series = queue.take()
    assert series is not None
    queue.record(of(), 0.0)
    assert queue.take() is None
    queue.written(series, "web.1")
    again = queue.take()
    assert again is not None
    assert (again.written_as, again.count) == ("web.1", 2)


def test_another_message_is_another_event() -> None:
    queue = EventQueue()
    queue.record(of(message="a"), 0.0)
    queue.record(of(message="b"), 0.0)
    assert [series.occurrence.message for series in (queue.take(), queue.take()) if series] == ["a", "b"]


def test_an_object_may_say_25_things_at_once_and_then_one_in_five_minutes() -> None:
    queue = EventQueue()
    outcomes = [outcome for n in range(30) for outcome in queue.record(of(message=str(n)), 0.0)]
    assert outcomes == ["Suppressed"] * 5
    assert queue.record(of("other"), 0.0) == []
    assert queue.record(of(message="x"), REFILL_SECONDS - 1) == ["Suppressed"]
    assert queue.record(of(message="x"), REFILL_SECONDS + 1) == []
    assert len(queue) == BURST + 2


def test_suppressed_ones_show_in_the_count_of_the_next_that_is_written() -> None:
    queue = EventQueue()
    for n in range(int(BURST)):
        queue.record(of(message=str(n)), 0.0)
    for _ in range(3):
        assert queue.record(of(message="x"), 0.0) == ["Suppressed"]
    queue.record(of(message="x"), 2 * REFILL_SECONDS)
    last = [series for series in iter(queue.take, None)][-1]
    assert (last.occurrence.message, last.count) == ("x", 4)


def test_a_full_queue_drops_the_oldest() -> None:
    queue = EventQueue(capacity=2)
    assert [queue.record(of(f"s{n}"), 0.0) for n in range(3)] == [[], [], ["Dropped"]]
    assert [series.occurrence.ref.name for series in iter(queue.take, None)] == ["s1", "s2"]


def test_a_failed_write_goes_first_again_or_is_given_up() -> None:
    queue = EventQueue()
    for name in ("a", "b"):
        queue.record(of(name), 0.0)
    series = queue.take()
    assert series is not None
    queue.failed(series, again=True)
    retried = queue.take()
    assert retried is series
    assert retried.attempts == 1
    queue.failed(retried, again=False)
    following = queue.take()
    assert following is not None
    assert following.occurrence.ref.name == "b"
    assert queue.take() is None


def test_memory_is_bounded_however_many_objects_speak() -> None:
    queue = EventQueue(capacity=10)
    for n in range(REMEMBERED + 100):
        queue.record(of(f"s{n}"), 0.0)
        series = queue.take()
        assert series is not None
        queue.written(series, "x")
    assert len(queue._at_rest) == len(queue._buckets) == REMEMBERED


@given(st.lists(st.tuples(st.sampled_from(["record", "take", "written", "again", "given up"]), st.integers(0, 3))))
def test_no_series_is_written_twice_at_a_time_and_counts_are_true(steps: list[tuple[str, int]]) -> None:
    queue = EventQueue(capacity=3)
    recorded: Counter[str] = Counter()
    taken = []
    for number, (step, which) in enumerate(steps):
        if step == "record":
            recorded[f"s{which}"] += 1
            queue.record(of(f"s{which}"), 0.0)
        elif step == "take":
            series = queue.take()
            if series is not None:
                assert series not in taken
                assert series.count == recorded[series.occurrence.ref.name]
                taken.append(series)
        elif taken:
            series = taken.pop(which % len(taken))
            if step == "written":
                queue.written(series, f"name{number}")
            else:
                queue.failed(series, again=step == "again")
        assert len(queue) <= 3
