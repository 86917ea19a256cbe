"""Virtual time: one order of events for the whole world, and an event loop with a clock of its own for each process.

Nothing here is asyncio's own loop: a process takes its turns when the world says so, so that it can be frozen, and its
clock may run a little faster or slower than the others'. Within one turn no time passes.
"""

import asyncio
import contextlib
import contextvars
import datetime
import heapq
import itertools
import math
import random
import signal
import threading
import time
import traceback
import types
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import kube.io.clock

MOST_HANDLES = 20_000
"""Of one turn: a program that does more finds no rest."""
MOST_CPU_SECONDS = 60.0
"""Of one life and its twin, a hundred times what they take: one turn of it may not end."""
MOST_TURNS = 100_000
"""Of one life: ten times what the longest one takes, and a life that takes more does not end."""
LOOKED_AT_TURNS = 1000
"""So many of them tell who does not let it end."""
SLOT_SECONDS = 0.004
BOOTED_BEFORE_SECONDS = 5000.0
"""By which CLOCK_BOOTTIME is ahead of the monotonic clock: whoever mixes them is far off."""
EPOCH = 1_800_000_000.0


class Restless(Exception):
    """A program works on and on without waiting for anything."""


class Endless(BaseException):
    """A life does not end. No Exception, so that no program which it interrupts takes it for a fault of its own."""


_overdue: Endless | None = None
"""The life is to end at once, though a program that was interrupted may have kept that for itself."""


@contextlib.contextmanager
def bounded(seconds: float | None = None) -> Iterator[None]:
    """What takes more of the CPU (MOST_CPU_SECONDS) ends with Endless, and says where it was. In the main thread
    only: others have no signals, and no bound."""
    global _overdue

    def end(_: int, frame: types.FrameType | None) -> None:
        global _overdue
        calls = traceback.extract_stack(frame)[-6:]
        where = " < ".join(f"{one.name} ({Path(one.filename).name}:{one.lineno})" for one in reversed(calls))
        _overdue = _overdue or Endless(f"it does not end: more than {seconds:g} s of CPU; it was in {where}")
        raise _overdue

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seconds, _overdue = MOST_CPU_SECONDS if seconds is None else seconds, None
    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)
        _overdue = None


class World:
    """What happens when. `now`: seconds of the true time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0
        self._numbers = itertools.count()
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._whose: Counter[str] = Counter()
        self._noted_since = 0.0

    def at(self, when: float, what: Callable[..., None], *arguments: Any) -> None:
        """Have it happen then; what is to happen at one moment happens in the order in which it was said."""
        heapq.heappush(self._heap, (when, next(self._numbers), what, arguments))

    def after(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + seconds, what, *arguments)

    def slot(self, when: float) -> float:
        """The next moment at which packets arrive: those of one moment are one turn of the program that gets them."""
        return math.ceil(when / SLOT_SECONDS - 1e-6) * SLOT_SECONDS

    def run_until(self, end: float, check: Callable[[], None] = lambda: None) -> None:
        """`check` is called whenever something has happened. Raises Endless."""
        heap = self._heap
        while heap and heap[0][0] <= end:
            when, _, what, arguments = heapq.heappop(heap)
            if when > self.now:
                self.now = when
            self.turns += 1
            if self.turns > MOST_TURNS:
                self._note(what)
            what(*arguments)
            if _overdue is not None:
                raise _overdue
            check()
        self.now = end

    def _note(self, what: Callable[..., None]) -> None:
        """Whose turn it is, of a life that has had too many; raises Endless after some."""
        if not self._whose:
            self._noted_since = self.now
        self._whose[f"{getattr(what, '__qualname__', what)} {getattr(getattr(what, '__self__', ''), 'name', '')}"] += 1
        if self.turns >= MOST_TURNS + LOOKED_AT_TURNS:
            most = ", ".join(f"{name.strip()} {count}" for name, count in self._whose.most_common(4))
            raise Endless(
                f"it does not end: {self.turns} turns by {self.now:.3f}; the last {LOOKED_AT_TURNS} took "
                f"{self.now - self._noted_since:.3f} s: {most}"
            )


class Clock:
    """Of one machine. `rate`: its seconds in one second of the true time."""

    def __init__(self, world: World, rate: float = 1.0, ahead: float = 1000.0) -> None:
        self._world = world
        self.rate = rate
        self._ahead = ahead
        self._slept = 0.0

    def monotonic(self) -> float:
        return self._at(self._world.now)

    def _at(self, true_time: float) -> float:
        return self._ahead + true_time * self.rate - self._slept

    def boottime(self) -> float:
        return self.monotonic() + self._slept + BOOTED_BEFORE_SECONDS

    def sleep(self, seconds: float) -> None:
        """The machine is suspended for so long of the true time: CLOCK_BOOTTIME alone goes on."""
        self._slept += seconds * self.rate

    def wall(self) -> float:
        return EPOCH + self._world.now

    def true_time(self, monotonic: float) -> float:
        """When it will be so late on this clock, and not a rounding less: a timer that waits for that again would be
        due at the same moment, and time would go no further."""
        true_time = (monotonic - self._ahead + self._slept) / self.rate
        while self._at(true_time) < monotonic:
            true_time += math.ulp(monotonic)
        return true_time

    def gettime(self, clock: int) -> float:
        if clock == time.CLOCK_BOOTTIME:
            return self.boottime()
        return self.monotonic() if clock == time.CLOCK_MONOTONIC else self.wall()


class _Handle:
    """As asyncio.Handle, of which a life has thousands: what was asked for without a context has none of its own."""

    __slots__ = ("arguments", "callback", "context", "is_cancelled")

    def __init__(self, callback: Any, arguments: tuple[Any, ...], context: contextvars.Context | None) -> None:
        self.callback, self.arguments, self.context = callback, arguments, context
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback = self.arguments = self.context = None  # type: ignore[assignment]


class ProcessLoop(asyncio.AbstractEventLoop):
    """The event loop of one process in the world. What is in no program of ours is not here."""

    def __init__(self, world: World, clock: Clock, name: str = "") -> None:
        self.world = world
        self.clock = clock
        self.name = name
        self.frozen_until = 0.0
        self.is_dead = False
        self.fault: BaseException | None = None
        """What nobody caught."""
        self.turns = 0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._numbers = itertools.count()
        self._wakes_at = float("inf")
        self._is_running = False

    # ---- for the world

    def start(self, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.create_task(main)

    def freeze(self, seconds: float) -> None:
        """As SIGSTOP, and SIGCONT after so long."""
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)
        self._wake_at(self.frozen_until)

    def kill(self) -> None:
        """Nothing of it runs any more, but what Python makes of coroutines that are thrown away, which reaches
        nobody."""
        self.is_dead = True
        for _ in range(20):
            left = [task for task in asyncio.all_tasks(self) if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self._run_ready()
        self._ready.clear()
        self._timers.clear()

    def turn(self) -> None:
        """Run what is due."""
        now = self.world.now
        if now < self._wakes_at - 1e-9 and not self._ready:
            return
        self._wakes_at = float("inf")
        if self.is_dead:
            return
        if now < self.frozen_until:
            self._wake_at(self.frozen_until)
            return
        self._take_due()
        self._run_ready()
        if self._timers:
            self._wake_at(self.clock.true_time(self._timers[0][0]))

    def _take_due(self) -> None:
        local = self.clock.monotonic() + 1e-9
        timers = self._timers
        while timers and (timers[0][0] <= local or timers[0][2].is_cancelled):
            handle = heapq.heappop(timers)[2]
            if not handle.is_cancelled:
                self._ready.append(handle)

    def _run_ready(self) -> None:
        with seen_by(self.clock):
            asyncio._set_running_loop(self)
            self._is_running = True
            try:
                self._run_handles()
            finally:
                self._is_running = False
                asyncio._set_running_loop(None)

    def _run_handles(self) -> None:
        count, ready = 0, self._ready
        while ready:
            handle = ready.popleft()
            count += 1
            if count > MOST_HANDLES:
                raise Restless(f"{self.name}: more than {MOST_HANDLES} steps in one moment")
            if handle.is_cancelled:
                continue
            try:
                if handle.context is None:
                    handle.callback(*handle.arguments)
                else:
                    handle.context.run(handle.callback, *handle.arguments)
            except (SystemExit, KeyboardInterrupt, Endless):
                raise
            except BaseException as error:
                self.call_exception_handler({"exception": error})
        self.turns += count

    def _wake_at(self, when: float) -> None:
        when = max(when, self.frozen_until)
        if when < self._wakes_at - 1e-9:
            self._wakes_at = when
            self.world.at(when, self.turn)

    # ---- for asyncio

    def time(self) -> float:
        return self.clock.monotonic()

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        handle = _Handle(callback, args, context)
        self._ready.append(handle)
        if not self._is_running:
            self._wake_at(self.world.now)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        handle = _Handle(callback, args, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        if not self._is_running:
            self._wake_at(self.clock.true_time(when))
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Any:
        return self.call_at(self.clock.monotonic() + delay, callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is not None and not self.is_dead:
            self.fault = error

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)


_current: Clock | None = None
"""Of the process whose turn it is: only processes look at clocks."""
_monotonic = math.nan
"""What it shows: within a turn no time passes."""


def _now() -> Clock:
    assert _current is not None, "only processes look at clocks"
    return _current


class seen_by:
    """What looks at a clock in this block looks at this one."""

    __slots__ = ("_before", "_clock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __enter__(self) -> None:
        global _current, _monotonic
        self._before = (_current, _monotonic)
        _current, _monotonic = self._clock, self._clock.monotonic()

    def __exit__(self, *_: object) -> None:
        global _current, _monotonic
        _current, _monotonic = self._before


class _WallClock:
    """In the place of the class datetime.datetime, as kube.io.clock uses it."""

    @staticmethod
    def now(zone: datetime.tzinfo) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(_now().wall(), zone)


@contextlib.contextmanager
def in_the_place_of_time(seed: int) -> Iterator[None]:
    """Clocks and random numbers are the world's, until the end of the block."""
    state = random.getstate()
    random.seed(seed)
    clocks = {
        "monotonic": lambda: _monotonic,
        "time": lambda: _now().wall(),
        "time_ns": lambda: int(_now().wall() * 1e9),
        "clock_gettime": lambda clock: _now().gettime(clock),
    }
    shown = types.SimpleNamespace(datetime=_WallClock, UTC=datetime.UTC)
    try:
        with mock.patch.multiple(time, **clocks), mock.patch.object(kube.io.clock, "datetime", shown):
            yield
    finally:
        random.setstate(state)
