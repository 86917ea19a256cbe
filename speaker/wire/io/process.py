"""How the wire process presents itself to the kernel: dies with the agent, outlives its signals, runs soon when woken.

Heartbeats that leave late look like a death. So it runs in the real-time class, where neither the share nor the limit
of a cgroup holds it up, nor any number of other processes. It sleeps after some microseconds of work. Where it takes
more than a fifth of a core (speaker.wire.share), it is one among others for a while; and where it has not slept for
50 ms, since frames come faster than it takes them, the kernel says so, with the same effect.

What is not permitted is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
NICENESS = -10  # needs CAP_SYS_NICE
# Linux 6.12 lets anybody ask for short time slices, and gives the CPU sooner to who does. With 4 busy processes on 2
# CPUs, p99 of the reply time fell from 0.6 to 3.7 ms to 0.06 ms. Older kernels accept it and change nothing.
TIME_SLICE_NANOSECONDS = 100_000
REAL_TIME_PRIORITY = 1  # sched(7); needs CAP_SYS_NICE, and where the kernel has groups of them a share of its cgroup
REAL_TIME_MICROSECONDS = 50_000  # without sleep: RLIMIT_RTTIME of getrlimit(2)
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
    become_one_of_many()
    signal.signal(signal.SIGXCPU, lambda *_: become_one_of_many())
    become_real_time()
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write("berth-wire")


def become_real_time() -> None:
    """To be called again and again: the right ends when it is used for long."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_RTTIME, (REAL_TIME_MICROSECONDS, resource.RLIM_INFINITY))
        # Nothing that is started from here inherits it.
        policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
        os.sched_setscheduler(0, policy, os.sched_param(REAL_TIME_PRIORITY))


def become_one_of_many() -> None:
    """In the class of all other processes, with short time slices."""
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is not None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, os.SCHED_OTHER, 0, nice, 0, TIME_SLICE_NANOSECONDS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
