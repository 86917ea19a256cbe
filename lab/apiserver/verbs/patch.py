"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902).

Strategic merge patch is in strategic.py, server-side apply in apply.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

Json = Any


class PatchError(ValueError):
    """The patch does not apply to this object (a failed test, a path that is not there)."""


class MalformedPatch(ValueError):
    """What was sent is no patch at all."""


def merge_patch(target: Json, patch: Json) -> Json:
    """The patched object; changes and reuses `target`."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge_patch(target.get(key), value)
    return target


def json_patch(target: Json, operations: Json) -> Json:
    """The patched object; changes and reuses `target`."""
    if not isinstance(operations, list):
        raise MalformedPatch("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    for operation in operations:
        target = _apply_one(target, operation)
    return target


def _apply_one(target: Json, operation: Json) -> Json:
    match operation:
        case {"op": "test", "path": path, **rest}:
            if _at(target, _tokens(path)) != rest.get("value"):
                raise PatchError(f"testing value {path} failed: test failed")
            return target
        case {"op": "add", "path": path, "value": value}:
            return _change(target, _tokens(path), _adder(value))
        case {"op": "replace", "path": path, "value": value}:
            return _change(target, _tokens(path), _replacer(value))
        case {"op": "remove", "path": path}:
            return _change(target, _tokens(path), _remover)
        case {"op": "move", "from": source, "path": path}:
            value = _at(target, _tokens(source))
            target = _change(target, _tokens(source), _remover)
            return _change(target, _tokens(path), _adder(value))
        case {"op": "copy", "from": source, "path": path}:
            return _change(target, _tokens(path), _adder(copy.deepcopy(_at(target, _tokens(source)))))
        case _:
            raise MalformedPatch(f"unexpected kind of operation: {operation!r}")


def _tokens(path: str) -> list[str]:
    if path == "":
        return []
    if not path.startswith("/"):
        raise PatchError(f"path {path!r} does not start with /")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _index(sequence: list[Json], token: str, *, beyond: int = 0) -> int:
    try:
        index = int(token)
    except ValueError:
        raise PatchError(f"index {token!r} is not a number") from None
    if index < 0:
        index += len(sequence)
    if not 0 <= index < len(sequence) + beyond:
        raise PatchError(f"index {token} is out of bounds")
    return index


def _step(node: Json, token: str) -> Json:
    match node:
        case dict() if token in node:
            return node[token]
        case list():
            return node[_index(node, token)]
        case _:
            raise PatchError(f"there is nothing at {token!r}")


def _at(target: Json, tokens: list[str]) -> Json:
    for token in tokens:
        target = _step(target, token)
    return target


def _change(target: Json, tokens: list[str], change: Callable[[Json, str], Json]) -> Json:
    if not tokens:
        return change({"": target}, "")[""] if change is not _remover else None
    change(_at(target, tokens[:-1]), tokens[-1])
    return target


def _adder(value: Json) -> Callable[[Json, str], Json]:
    def add(node: Json, token: str) -> Json:
        match node:
            case dict():
                node[token] = value
            case list():
                node.insert(len(node) if token == "-" else _index(node, token, beyond=1), value)
            case _:
                raise PatchError(f"can't add {token!r} to a value")
        return node

    return add


def _replacer(value: Json) -> Callable[[Json, str], Json]:
    def replace(node: Json, token: str) -> Json:
        _step(node, token)
        node[token if isinstance(node, dict) else _index(node, token)] = value
        return node

    return replace


def _remover(node: Json, token: str) -> Json:
    _step(node, token)
    del node[token if isinstance(node, dict) else _index(node, token)]
    return node
