"""What the barrier says has ended has ended, judged by a program that says itself when it runs."""

import os
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from speaker.wire.neighbours.bpf import assembler as a
from speaker.wire.neighbours.bpf.io import calls
from speaker.wire.neighbours.bpf.io.barrier import Barrier

pytestmark = pytest.mark.root

BOOT_NANOSECONDS = 125
READINGS = 60_000  # of the clock: a run takes some milliseconds
TIMES = struct.Struct("=QQ")


def slow_program(times: int) -> bytes:
    """Writes when it began and 0, and at its end when that is."""
    return a.assemble(
        [
            a.call(BOOT_NANOSECONDS),
            a.load_map_value(a.R6, times),
            a.set_value(a.R1, 0),
            a.store(a.DOUBLE, a.R6, 8, a.R1),
            a.store(a.DOUBLE, a.R6, 0, a.R0),
            a.set_value(a.R7, READINGS),
            a.labelled("again", a.call(BOOT_NANOSECONDS)),
            a.compute(a.R7, "-", 1),
            a.jump_if(a.R7, "!=", 0, "again"),
            a.store(a.DOUBLE, a.R6, 8, a.R0),
            a.set_value(a.R0, a.NEXT_PROGRAM),
            a.leave(),
        ]
    )


@pytest.fixture
def times() -> Iterator[Callable[[], tuple[int, int]]]:
    """When the program began to run last, and when that run ended, 0 if it has not. It runs again and again."""
    stored = calls.create_map(calls.ARRAY, 4, TIMES.size, 1, name="times")
    program = calls.load_program(slow_program(stored), name="slow")
    is_over = threading.Event()

    # Apart from us: a kernel that does not preempt would let us look only between two runs.
    cpus = sorted(os.sched_getaffinity(0))

    def run() -> None:
        os.sched_setaffinity(0, cpus[1:] or cpus)
        while not is_over.is_set():
            calls.run(program, bytes(60))

    thread = threading.Thread(target=run)
    thread.start()
    os.sched_setaffinity(0, cpus[:1])
    yield lambda: TIMES.unpack(calls.get(stored, bytes(4), TIMES.size) or b"")
    is_over.set()
    thread.join()
    os.sched_setaffinity(0, cpus)
    os.close(program)
    os.close(stored)


def unfinished(times: Callable[[], tuple[int, int]], wait: Callable[[], None]) -> int:
    """How often, of 40 times, a run that began before the wait had not ended after it."""
    found = 0
    for _ in range(40):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        wait()
        began, ended = times()
        found += began < before and not ended
        time.sleep(0.001)
    return found


def passed(barrier: Barrier) -> None:
    moment = barrier.moment()
    while not barrier.has_passed(moment):
        time.sleep(0.0005)
        barrier.on_readable()


def test_what_ran_at_a_moment_has_ended_when_it_has_passed(times: Callable[[], tuple[int, int]]) -> None:
    barrier = Barrier(lambda: None)
    assert unfinished(times, lambda: passed(barrier)) == 0
    barrier.close()


def test_without_the_barrier_it_has_not(times: Callable[[], tuple[int, int]]) -> None:
    """So the test above can find something."""
    assert unfinished(times, lambda: None)


def test_a_moment_while_another_is_waited_for_passes_later() -> None:
    barrier = Barrier()
    first = barrier.moment()
    second, third = barrier.moment(), barrier.moment()
    assert first < second == third
    while not barrier.has_passed(first):
        barrier.on_readable()
    assert not barrier.has_passed(second)
    while not barrier.has_passed(second):
        barrier.on_readable()
    assert barrier.has_passed(0)
    barrier.close()


def test_a_kernel_that_would_not_wait_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    barrier = Barrier()

    def refuse(descriptor: int, key: bytes, value: bytes) -> None:
        raise calls.BpfError(1, "refused")

    monkeypatch.setattr(calls, "put", refuse)
    barrier.moment()
    select.select([barrier.fd], [], [])
    with pytest.raises(calls.BpfError, match="refused"):
        barrier.on_readable()
    barrier.close()
