"""Lists that are maps or sets: duplicates in them, and the old item that a new one replaces.

Merging such lists is in verbs/strategic.py and verbs/apply.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lab.apiserver.cel.values import item_key
from lab.apiserver.fielderrors import FieldError, duplicate


def duplicates(value: list[Any], list_type: str, keys: Sequence[str], path: str) -> list[FieldError]:
    """One error for each item that is there already."""
    seen: set[bytes] = set()
    errors: list[FieldError] = []
    for index, item in enumerate(value):
        key = item_key(item, list_type, keys)
        if key is None:
            continue
        if key in seen:
            shown = item if list_type == "set" else {each: item[each] for each in keys if each in item}
            errors.append(duplicate(f"{path}[{index}]", shown))
        seen.add(key)
    return errors


def correlate(value: list[Any], old: Any, list_type: str, keys: Sequence[str]) -> Callable[[int], Any]:
    """A function from an index of the new list to the item of the old one that it is the successor of, or None.

    Only items of map lists have successors: by index nothing is known after an insertion."""
    if list_type != "map" or not isinstance(old, list):
        return _nothing
    former = {item_key(item, list_type, keys): item for item in old}
    return lambda index: former.get(item_key(value[index], list_type, keys))


def _nothing(index: int) -> None:
    return None
