"""How the wire process presents itself to the kernel: dies with the agent, outlives its signals, runs soon when woken.

What is not permitted is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
NICENESS = -10  # needs CAP_SYS_NICE
# Linux 6.12 lets anybody ask for short time slices, and gives the CPU sooner to who does. With 4 busy processes on 2
# CPUs, p99 of the reply time fell from 0.6 to 3.7 ms to 0.06 ms. Older kernels accept it and change nothing.
TIME_SLICE_NANOSECONDS = 100_000
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "s390x": 345, "ppc64le": 355}  # asm/unistd.h
_SCHED_ATTR = struct.Struct("IIQiIQQQ")  # linux/sched/types.h, version 0


def become_the_wire() -> None:
    """To be called first."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The order to stop comes from the agent, after its goodbye, also when a terminal or init system signals the group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    _ask_for_short_time_slices(libc)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write("berth-wire")


def _ask_for_short_time_slices(libc: ctypes.CDLL) -> None:
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is not None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, TIME_SLICE_NANOSECONDS, 0, 0)
        libc.syscall(number, 0, attributes, 0)
