"""Sets of field paths, as `managedFields` keeps them (FieldsV1), and what changed between two objects as such a set.

A path is a tuple of elements in FieldsV1's spelling: `f:name`, `k:{"type":"Ready"}`, `v:"value"`. The
owners of sets, and their conflicts, are in apply.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from lab.apiserver.schema.merging import MergeNode

Path = tuple[str, ...]
FieldSet = frozenset[Path]


def parse_fields(fields: dict[str, Any]) -> FieldSet:
    """The set that a fieldsV1 object says."""
    return frozenset(_walk_fields(fields, ()))


def _walk_fields(fields: dict[str, Any], path: Path) -> Iterator[Path]:
    for name, below in fields.items():
        if name == ".":
            yield path
        elif below:
            yield from _walk_fields(below, (*path, name))
        else:
            yield (*path, name)


def format_fields(paths: Iterable[Path]) -> dict[str, Any]:
    """The fieldsV1 object of a set."""
    members = set(paths)
    root: dict[str, Any] = {}
    for path in sorted(members):
        node = root
        for depth, name in enumerate(path, 1):
            if name not in node:
                node[name] = {}
            elif not node[name] and path[:depth] in members and depth < len(path):
                node[name] = {".": {}}
            node = node[name]
    return root


def path_text(path: Path) -> str:
    """A path as messages show it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, _, rest = element.partition(":")
    match kind:
        case "f":
            return f".{rest}"
        case "k":
            keys = json.loads(rest)
            return f"[{','.join(f'{name}={json.dumps(value)}' for name, value in sorted(keys.items()))}]"
        case "v":
            return f"[={rest}]"
    return f"[{rest}]"


def item_elements(items: list[Any], schema: MergeNode) -> list[str] | None:
    """The path elements of a list's items; None when the list is atomic, or its items are not what they should be."""
    if schema.list_type == "set":
        return _distinct([f"v:{_compact(item)}" for item in items])
    if schema.list_type != "map" or not schema.keys:
        return None
    elements: list[str] = []
    for item in items:
        if not isinstance(item, dict):
            return None
        keys = {name: item.get(name, schema.defaults.get(name)) for name in schema.keys}
        present = {name: value for name, value in sorted(keys.items()) if value is not None}
        if not present:
            return None
        elements.append(f"k:{_compact(present)}")
    return _distinct(elements)


def _distinct(elements: list[str]) -> list[str] | None:
    return elements if len(set(elements)) == len(elements) else None


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def fields_of(value: Any, schema: MergeNode) -> FieldSet:
    """The set that a manager owns after it applied this value."""
    return frozenset(_applied(value, schema, ()))


def _applied(value: Any, schema: MergeNode, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and not schema.is_atomic and value:
        for name, child in value.items():
            below = (*path, f"f:{name}")
            child_schema = schema.child(name)
            if schema.type != "object" and isinstance(child, dict | list):
                yield below  # a key of a map is owned itself, a field of a struct through what is in it
            yield from _applied(child, child_schema, below)
        return
    if isinstance(value, list) and value:  # an empty list is owned itself, as an empty object is
        elements = item_elements(value, schema)
        if elements is not None:
            for element, item in zip(elements, value, strict=True):
                yield (*path, element)
                if isinstance(item, dict | list):
                    yield from _applied(item, schema.item, (*path, element))
            return
    if path:
        yield path


@dataclass(slots=True)
class Difference:
    """What is in the new value only or has another value (`changed`), and what is in the old one only (`removed`)."""

    changed: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


def compare(old: Any, new: Any, schema: MergeNode) -> Difference:
    """The difference of two values, to the depth that the schema merges at."""
    found = Difference()
    _compare(old, new, schema, (), found)
    return found


def _compare(old: Any, new: Any, schema: MergeNode, path: Path, found: Difference) -> None:
    if old is new or old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and not schema.is_atomic:
        for name, value in new.items():
            below = (*path, f"f:{name}")
            if name in old:
                _compare(old[name], value, schema.child(name), below, found)
            else:
                found.changed.update(_all_paths(value, schema.child(name), below))
        for name, value in old.items():
            if name not in new:
                found.removed.update(_all_paths(value, schema.child(name), (*path, f"f:{name}")))
        return
    if isinstance(old, list) and isinstance(new, list) and _compare_lists(old, new, schema, path, found):
        return
    found.changed.update(_all_paths(new, schema, path))


def _compare_lists(old: list[Any], new: list[Any], schema: MergeNode, path: Path, found: Difference) -> bool:
    olds, news = item_elements(old, schema), item_elements(new, schema)
    if olds is None or news is None:
        return False
    before = dict(zip(olds, old, strict=True))
    for element, item in zip(news, new, strict=True):
        below = (*path, element)
        if element in before:
            _compare(before[element], item, schema.item, below, found)
        else:
            found.changed.update(_all_paths(item, schema.item, below))
    for element in before.keys() - set(news):
        found.removed.update(_all_paths(before[element], schema.item, (*path, element)))
    return True


def _all_paths(value: Any, schema: MergeNode, path: Path) -> Iterator[Path]:
    """Every path of a value that came or went, containers included."""
    yield path
    if isinstance(value, dict) and not schema.is_atomic:
        for name, child in value.items():
            yield from _all_paths(child, schema.child(name), (*path, f"f:{name}"))
    elif isinstance(value, list):
        elements = item_elements(value, schema)
        for element, item in zip(elements or (), value, strict=False):
            yield from _all_paths(item, schema.item, (*path, element))


def merge(live: Any, config: Any, schema: MergeNode) -> Any:
    """The live value with an applied one laid over it. Shares parts with both."""
    if isinstance(live, dict) and isinstance(config, dict) and not schema.is_atomic:
        result = dict(live)
        for name, value in config.items():
            result[name] = merge(live[name], value, schema.child(name)) if name in live else value
        return result
    if isinstance(live, list) and isinstance(config, list):
        lives, configs = item_elements(live, schema), item_elements(config, schema)
        if lives is not None and configs is not None:
            return _merge_items(dict(zip(lives, live, strict=True)), dict(zip(configs, config, strict=True)), schema)
    return config


def _merge_items(live: dict[str, Any], config: dict[str, Any], schema: MergeNode) -> list[Any]:
    """In the order of the applied list; what only the live one has comes where it stood before."""
    result: list[Any] = []
    waiting = list(live)
    for element, item in config.items():
        while waiting and waiting[0] != element and (waiting[0] not in config or element not in live):
            first = waiting[0]
            if first in config:
                break
            result.append(live[first])
            waiting.pop(0)
        if element in live:
            if element in waiting:
                waiting.remove(element)
            result.append(merge(live[element], item, schema.item))
        else:
            result.append(item)
    return result + [live[element] for element in waiting if element not in config]


def remove(value: Any, paths: Iterable[Path], schema: MergeNode) -> Any:
    """The value without the parts at these paths."""
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node[""] = {}
    return _remove(value, tree, schema)


def _remove(value: Any, tree: dict[str, Any], schema: MergeNode) -> Any:
    if isinstance(value, dict):
        result: Any = {}
        for name, child in value.items():
            below = tree.get(f"f:{name}")
            if below is None:
                result[name] = child
            elif "" not in below:
                result[name] = _remove(child, below, schema.child(name))
        return result
    if isinstance(value, list):
        elements = item_elements(value, schema)
        if elements is None:
            return value
        result = []
        for element, item in zip(elements, value, strict=True):
            below = tree.get(element)
            if below is None:
                result.append(item)
            elif "" not in below:
                result.append(_remove(item, below, schema.item))
        return result
    return value
