"""Lists in messages for people: the first few, and how many more there are."""

from collections.abc import Iterable, Sequence


def listed(parts: Sequence[str], most: int, joint: str = ", ", *, of: int | None = None) -> str:
    """At most `most` of the parts: "a, b", "a, b and 3 more"; with joint "; ": "a; b", "a; b; and 3 more".

    `of`: how many there are in all, where `parts` are but the first ones.
    """
    count = len(parts) if of is None else of
    if count <= most:
        return joint.join(parts)
    last = " " if joint == ", " else joint
    return f"{joint.join(parts[:most])}{last}and {count - most} more"


IN_COLUMN = 3
"""Names in a column of a table."""

COLUMN_CHARACTERS = 253 * IN_COLUMN + 32
"""The most that `column` gives, where names are those of objects."""


def column(names: Iterable[str], *, of: int | None = None) -> str:
    """Names as a table shows them: "a,b", "a,b,c+7", "*" for all, where none is named.

    `of`: how many there are in all, where `names` are but the first ones.
    """
    every = list(names)
    more = (len(every) if of is None else of) - min(len(every), IN_COLUMN)
    return ",".join(every[:IN_COLUMN]) + (f"+{more}" if more else "") if every else "*"
