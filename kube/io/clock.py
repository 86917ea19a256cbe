"""What time it is: on the monotonic clock that durations are counted on, and on the wall clock as objects show it."""

import asyncio
import datetime

from kube.times import micro_time, rfc3339


def monotonic() -> float:
    """The event loop's clock, in seconds: the machine's monotonic one, unless a test runs its own."""
    return asyncio.get_running_loop().time()


def timestamp() -> str:
    """Now, as metav1.Time."""
    return rfc3339(datetime.datetime.now(datetime.UTC))


def micro_timestamp() -> str:
    """Now, as metav1.MicroTime."""
    return micro_time(datetime.datetime.now(datetime.UTC))
