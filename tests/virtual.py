"""Virtual time: an event loop whose clock jumps to the next timer when nothing is left to do.

Sockets and threads are real. The clock jumps only while no socket is ready and no job of the executor is under way.
Over loopback what was sent can be read as soon as it was sent, so a socket that is not ready has nothing to come.
Work takes time too: each turn of the loop takes TURN_SECONDS, about what it takes on a machine at rest. So what happens
in several turns has a before and an after, and whoever looks in between sees it half done.
"""

import asyncio
import contextlib
import random
import selectors
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar
from unittest import mock

import pytest

T = TypeVar("T")

TURN_SECONDS = 0.0001
BOOTED_BEFORE_SECONDS = 5000.0
"""By which CLOCK_BOOTTIME is ahead of the monotonic clock: whoever mixes them is far off."""


class Clock:
    """The clocks of one test, in seconds."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._epoch = time.time() - self._now

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._epoch + self._now

    def gettime(self, clock: int) -> float:
        match clock:
            case time.CLOCK_BOOTTIME:
                return self._now + BOOTED_BEFORE_SECONDS
            case time.CLOCK_MONOTONIC:
                return self._now
            case time.CLOCK_REALTIME:
                return self.wall()
        raise ValueError(f"clock {clock} is not virtual")

    def advance(self, seconds: float) -> None:
        self._now += seconds

    @contextlib.contextmanager
    def in_the_place_of_time(self) -> Iterator[None]:
        """What reads the clock as `time.monotonic()` and the like reads this one."""
        clocks = {"monotonic": self.monotonic, "time": self.wall, "clock_gettime": self.gettime}
        with mock.patch.multiple(time, **clocks):
            yield


class JumpingSelector(selectors.DefaultSelector):
    """Never sleeps where it can jump."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.jobs = 0
        """How many threads are at work that will wake the loop."""
        self.watchers: list[asyncio.Future[None]] = []
        """Resolved in the next turn, if there was one since they last were in which others did something."""
        self._is_news = True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        is_busy = bool(ready) or timeout == 0
        has_watchers = self._is_news and self._wake_watchers()
        self._is_news = is_busy or (self._is_news and not has_watchers)
        if is_busy or has_watchers:
            self._clock.advance(TURN_SECONDS)
            return ready
        self._is_news = True
        if self.jobs or timeout is None:
            return super().select(timeout)
        self._clock.advance(timeout)
        return ready

    def _wake_watchers(self) -> bool:
        woken, self.watchers = [one for one in self.watchers if not one.done()], []
        for watcher in woken:
            watcher.set_result(None)
        return bool(woken)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jumping = JumpingSelector(clock)
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._clock.monotonic()

    def next_turn(self) -> asyncio.Future[None]:
        """Done when something has happened that the caller has not seen yet: so that it can look at each state in
        which the loop passes from one turn to the next."""
        watcher = self.create_future()
        self._jumping.watchers.append(watcher)
        return watcher

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        job = super().run_in_executor(executor, func, *args)
        self._jumping.jobs += 1
        job.add_done_callback(self._job_done)
        return job

    def _job_done(self, _: object) -> None:
        self._jumping.jobs -= 1

    async def shutdown_default_executor(self) -> None:
        self._jumping.jobs += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._jumping.jobs -= 1


class VirtualPolicy(asyncio.DefaultEventLoopPolicy):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def new_event_loop(self) -> VirtualLoop:
        return VirtualLoop(self._clock)


@pytest.fixture
def event_loop_policy() -> Iterator[VirtualPolicy]:
    """A module that imports this has its asynchronous tests run in virtual time, with the same random numbers each."""
    clock, state = Clock(), random.getstate()
    random.seed(1)
    with clock.in_the_place_of_time():
        yield VirtualPolicy(clock)
    random.setstate(state)


async def turns(seconds: float, pause_seconds: float = 0.01) -> AsyncIterator[None]:
    """Comes back after each turn of the loop in which something happened, for so long, and once more at the end.

    In a loop in real time: every now and then.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    end = loop.call_at(deadline, lambda: None)  # the last turn
    try:
        yield
        while loop.time() < deadline:
            await (loop.next_turn() if isinstance(loop, VirtualLoop) else asyncio.sleep(pause_seconds))
            yield
    finally:
        end.cancel()


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    clock = Clock()
    with (
        clock.in_the_place_of_time(),
        asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner,
    ):
        return runner.run(main())


def now() -> float:
    return asyncio.get_running_loop().time()
