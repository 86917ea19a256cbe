"""When something is due next, on any clock: a number of seconds, or None when nothing is planned."""

from __future__ import annotations

AT_ONCE = float("-inf")


def earliest(*deadlines: float | None) -> float | None:
    """The first of these; None when there is none."""
    first = None
    for deadline in deadlines:
        if deadline is not None and (first is None or deadline < first):
            first = deadline
    return first


def is_due(deadline: float | None, now: float) -> bool:
    """Whether it has come."""
    return deadline is not None and deadline <= now
