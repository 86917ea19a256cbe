"""One moment on the three clocks that a speaker goes by. A value: whoever looks at the clocks is at the edge."""

from functools import lru_cache
from typing import NamedTuple

from kube.times import rfc3339_at


class Moment(NamedTuple):
    """`monotonic`: seconds for everything within this process. `boottime`: seconds of CLOCK_BOOTTIME, which goes on
    while the machine is suspended: for permits, promises and contact. `unix`: seconds since 1970, for people."""

    monotonic: float
    boottime: float
    unix: float

    @property
    def text(self) -> str:
        """RFC 3339, to the second."""
        return _text(int(self.unix))


@lru_cache(maxsize=16)
def _text(unix: int) -> str:
    return rfc3339_at(unix)


def earliest(*deadlines: float | None) -> float | None:
    """The first of some deadlines; None = there is none."""
    found = None
    for one in deadlines:
        if one is not None and (found is None or one < found):
            found = one
    return found
