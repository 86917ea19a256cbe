"""Tells when no answer can leave any more that a program gave by the maps as they were at a given moment.

First no program may run any more that ran then. The kernel has no call for that, but one that does it: an update of a
map of maps returns only after all programs have ended that may still use the map that was there before
(`maybe_wait_bpf_programs`, since Linux 4.20). It waits for an RCU grace period, and that is for every program,
whichever map it uses. It takes 5 to 20 ms. Then what programs sent may wait in a device's queue (drain.py).

A thread of its own waits for both, and the loop never does (docs/decisions/027). But the two share the interpreter: a
thread that has it and gets no CPU would stop the loop. So the thread runs in the loop's class, and gives the
interpreter up soon.
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Callable

from speaker.wire.neighbours.bpf.io import calls, drain

_ONLY = bytes(4)
SWITCH_SECONDS = 0.0002
"""How long the loop waits for the interpreter, at most. Python itself has 5 ms."""


class Barrier:
    """Moments are numbers. `fd` can be read when `on_readable` has to be called; then more of them may have passed."""

    def __init__(
        self,
        wait_until_sent: Callable[[], None] = drain.wait_until_sent,
        run_as_the_loop: Callable[[], None] = lambda: None,
    ) -> None:
        """`wait_until_sent`: called in the thread, after programs have ended. `run_as_the_loop`: puts the thread that
        calls it into the loop's scheduling class; called while nothing
        is waited for. Raises calls.BpfError and OSError."""
        self._inner = calls.create_map(calls.ARRAY, 4, 4, 1, name="berth_inner")
        self._outer = calls.create_map(calls.ARRAY_OF_MAPS, 4, 4, 1, name="berth_barrier", inner=self._inner)
        self._wait_until_sent = wait_until_sent
        self._run_as_the_loop = run_as_the_loop
        self._asked = os.eventfd(0, os.EFD_CLOEXEC)
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._failure: OSError | None = None
        self._waited_for = 0  # the moment that the thread waits for, or waited for last
        self._wanted = 0  # the last one that somebody wants to know of
        self._passed = 0
        sys.setswitchinterval(SWITCH_SECONDS)
        _thread.start_new_thread(self._run, ())

    def moment(self) -> int:
        """This moment. It has passed when no answer can leave of a program that runs now or ran before."""
        self._wanted = self._waited_for + 1
        if self._waited_for == self._passed:
            self._wait_for_next()
        return self._wanted

    def has_passed(self, moment: int) -> bool:
        return moment <= self._passed

    def on_readable(self) -> None:
        """Raises OSError when the kernel would not wait: nothing can be confirmed then."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return
        if self._failure is not None:
            raise self._failure
        self._passed = self._waited_for
        if self._wanted > self._passed:
            self._wait_for_next()

    def close(self) -> None:
        """The thread ends. Its descriptors stay until the process ends: it may be about to use them."""
        self._inner = -1
        os.eventfd_write(self._asked, 1)

    def _wait_for_next(self) -> None:
        self._waited_for += 1
        os.eventfd_write(self._asked, 1)

    def _run(self) -> None:
        """The thread."""
        while True:
            self._run_as_the_loop()
            os.eventfd_read(self._asked)
            inner = self._inner
            if inner < 0:
                return
            try:
                calls.put(self._outer, _ONLY, inner.to_bytes(4, "little"))
                self._wait_until_sent()
            except OSError as error:
                self._failure = error
            os.eventfd_write(self.fd, 1)
