"""CEL's macros as closures: `all`, `exists`, `map`, `filter` and the rest, and those that bind one value.

Variables are bound in compiler.py; here they are slots of the frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.apiserver.cel import types as t
from lab.apiserver.cel.closures import Compiled, Eval, Frame
from lab.apiserver.cel.library import sort_values
from lab.apiserver.cel.nodes import CelSyntaxError, Macro, Node
from lab.apiserver.cel.types import DYN, Type, list_of, map_of
from lab.apiserver.cel.values import NO_OVERLOAD, NONE, CelError, Optional


def refuse(message: str, node: Node) -> CelSyntaxError:
    """The error for a tree that can not be compiled, pointing at a node."""
    return CelSyntaxError(message, node.position)


_Steps = Callable[[Frame], Any]


def range_types(target: Type, node: Macro) -> tuple[Type, Type]:
    """The types of key and value that a comprehension over `target` binds.

    Raises CelSyntaxError if nothing can be bound.
    """
    match target.name:
        case "list":
            return t.INT, target.params[0] if target.params else DYN
        case "map":
            return (target.params[0], target.params[1]) if target.params else (DYN, DYN)
        case "dyn":
            return DYN, DYN
    raise refuse(
        f"expression of type '{target}' cannot be range of a comprehension (must be list, map, or dynamic)", node.target
    )


def steps(target: Eval, slots: list[int]) -> _Steps:
    """Sets the bound variables for one element after the other."""

    def walk(frame: Frame) -> Any:
        container = target(frame)
        if isinstance(container, list):
            if len(slots) == 2:
                for index, item in enumerate(container):
                    frame[slots[0]], frame[slots[1]] = index, item
                    yield item
            else:
                slot = slots[0]
                for item in container:
                    frame[slot] = item
                    yield item
        elif isinstance(container, dict):
            for key, value in container.items():
                frame[slots[0]] = key
                if len(slots) == 2:
                    frame[slots[1]] = value
                yield key
        else:
            raise CelError(NO_OVERLOAD)

    return walk


def binding(slot: int, value: Eval, body: Eval) -> Eval:
    """`cel.bind(x, value, body)`."""

    def bind(frame: Frame) -> Any:
        frame[slot] = value(frame)
        return body(frame)

    return bind


def optional_mapping(slot: int, optional: Eval, body: Eval, *, flat: bool) -> Eval:
    """`optional.optMap(x, body)`; `flat`: optFlatMap, whose body gives an optional itself."""

    def mapped(frame: Frame) -> Any:
        value = optional(frame)
        if not value.present:
            return NONE
        frame[slot] = value.value
        return body(frame) if flat else Optional(True, body(frame))

    return mapped


def comprehension(
    node: Macro,
    key_type: Type,
    bodies: list[Compiled],
    steps: _Steps,
    target: Compiled,
    slots: list[int],
) -> Compiled:
    """A macro over a list or a map. Raises CelSyntaxError for a body of the wrong type.

    `steps` sets the bound variables, whose places in the frame are `slots`. `bodies` are the macro's arguments: the
    last one is its result, and of two the first one is a condition.
    """
    body = bodies[-1].eval
    condition = bodies[0].eval if len(bodies) == 2 else None
    if node.name in ("all", "exists", "exists_one", "existsOne", "filter") and bodies[0].type.name not in (
        "bool",
        "dyn",
    ):
        raise refuse(f"expected type 'bool' but found '{bodies[0].type}'", node.args[0])
    match node.name:
        case "all":
            return Compiled(t.BOOL, _quantifier(steps, body, stops_at=False))
        case "exists":
            return Compiled(t.BOOL, _quantifier(steps, body, stops_at=True))
        case "exists_one" | "existsOne":
            return Compiled(t.BOOL, lambda frame: sum(1 for _ in steps(frame) if body(frame) is True) == 1)
        case "filter":
            kept = target.type if target.type.name == "list" else list_of(key_type)
            return Compiled(kept, lambda frame: [item for item in steps(frame) if body(frame) is True])
        case "map" | "transformList":
            return Compiled(list_of(bodies[-1].type), _mapping(steps, condition, body))
        case "sortBy":
            return Compiled(target.type, _sorting(steps, body))
        case "transformMap":
            result = map_of(key_type, bodies[-1].type)
            return Compiled(result, _map_transform(steps, condition, body, slots[0]))
        case "transformMapEntry":
            return Compiled(bodies[-1].type, _entry_transform(steps, condition, body))
    raise AssertionError(node.name)


def _quantifier(steps: _Steps, body: Eval, *, stops_at: bool) -> Eval:
    """An element that decides outweighs an error in another (CEL specification, Macros)."""

    outcome: bool = stops_at

    def quantify(frame: Frame) -> bool:
        failure: CelError | None = None
        for _ in steps(frame):
            try:
                if body(frame) is stops_at:
                    return outcome
            except CelError as error:
                failure = error
        if failure is not None:
            raise failure
        return not outcome

    return quantify


def _mapping(steps: _Steps, condition: Eval | None, body: Eval) -> Eval:
    if condition is None:
        return lambda frame: [body(frame) for _ in steps(frame)]
    return lambda frame: [body(frame) for _ in steps(frame) if condition(frame) is True]


def _sorting(steps: _Steps, body: Eval) -> Eval:
    def by_key(frame: Frame) -> list[Any]:
        pairs = [(item, body(frame)) for item in steps(frame)]
        return sort_values([item for item, _ in pairs], [key for _, key in pairs])

    return by_key


def _map_transform(steps: _Steps, condition: Eval | None, body: Eval, key_slot: int) -> Eval:
    def transform(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for _ in steps(frame):
            if condition is None or condition(frame) is True:
                made[frame[key_slot]] = body(frame)
        return made

    return transform


def _entry_transform(steps: _Steps, condition: Eval | None, body: Eval) -> Eval:
    def transform(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for _ in steps(frame):
            if condition is None or condition(frame) is True:
                made |= body(frame)
        return made

    return transform
