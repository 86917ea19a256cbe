"""Lists in messages for people: the first few, and how many more there are."""

from collections.abc import Sequence


def listed(parts: Sequence[str], most: int, joint: str = ", ") -> str:
    """At most `most` of the parts: "a, b", "a, b and 3 more"; with joint "; ": "a; b", "a; b; and 3 more"."""
    if len(parts) <= most:
        return joint.join(parts)
    last = " " if joint == ", " else joint
    return f"{joint.join(parts[:most])}{last}and {len(parts) - most} more"
