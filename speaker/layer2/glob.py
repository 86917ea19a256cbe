"""Names of interfaces as an L2Advertisement gives them: a name, or a shell's pattern for whole names.

    *       any characters, or none
    ?       one character
    [ab0-9] one of these; [!ab0-9] one that is none of these

Whoever may write an L2Advertisement must not be able to make every speaker compute for minutes, so this is no regular
expression: a name is compared in at most as many steps as name and pattern have characters, multiplied.
"""

from functools import lru_cache
from typing import NamedTuple

MOST_CHARACTERS = 64
"""Of a pattern. The API server takes no longer one (crds.rules)."""


class _Set(NamedTuple):
    """One character: in one of these ranges, or in none of them."""

    ranges: tuple[tuple[str, str], ...]
    is_negated: bool = False

    def has(self, character: str) -> bool:
        return any(first <= character <= last for first, last in self.ranges) is not self.is_negated


_ANY = _Set((), is_negated=True)

Part = _Set | None
"""None = any characters."""


class Glob(NamedTuple):
    """A pattern. Made by `glob`."""

    parts: tuple[Part, ...]

    def fits(self, name: str) -> bool:
        """Whether it is a pattern for the whole name."""
        at, star, tried = 0, -1, 0
        position = 0
        while position < len(name):
            part = self.parts[at] if at < len(self.parts) else _NOTHING
            if part is None:
                star, tried = at, position
                at += 1
            elif part.has(name[position]):
                at += 1
                position += 1
            elif star >= 0:  # the latest star takes one character more; no earlier one could do better
                tried += 1
                at, position = star + 1, tried
            else:
                return False
        return all(part is None for part in self.parts[at:])


_NOTHING = _Set(())


@lru_cache(maxsize=256)
def glob(pattern: str) -> Glob | None:
    """None for what is no pattern: a bracket without its end, a range that ends before it starts, a slash."""
    if not 0 < len(pattern) <= MOST_CHARACTERS or "/" in pattern:
        return None
    parts: list[Part] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        end = at
        if character == "[":
            end = pattern.find("]", at)
            members = _set_of(pattern[at + 1 : end]) if end > at else None
            if members is None:
                return None
            parts.append(members)
        elif character == "*":
            parts.append(None)
        else:
            parts.append(_ANY if character == "?" else _Set(((character, character),)))
        at = end + 1
    return Glob(tuple(parts))


def _set_of(text: str) -> _Set | None:
    """What stands between brackets."""
    is_negated = text.startswith("!") and len(text) > 1
    left = text.removeprefix("!") if is_negated else text
    ranges: list[tuple[str, str]] = []
    while left:
        first, last = left[0], left[0]
        if len(left) > 2 and left[1] == "-":
            last = left[2]
        if last < first:
            return None
        ranges.append((first, last))
        left = left[3 if len(left) > 2 and left[1] == "-" else 1 :]
    return _Set(tuple(ranges), is_negated) if ranges else None
