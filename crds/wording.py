"""Lists in messages for people: the first few, and how many more there are."""

from collections.abc import Sequence


def listed(parts: Sequence[str], most: int, joint: str = ", ", *, of: int | None = None) -> str:
    """At most `most` of the parts: "a, b", "a, b and 3 more"; with joint "; ": "a; b", "a; b; and 3 more".

    `of`: how many there are in all, where `parts` are but the first ones.
    """
    count = len(parts) if of is None else of
    if count <= most:
        return joint.join(parts)
    last = " " if joint == ", " else joint
    return f"{joint.join(parts[:most])}{last}and {count - most} more"
