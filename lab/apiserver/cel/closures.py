"""What compiled CEL expressions are made of: closures over a frame of variables.

Calls, logic, equality, and reading of fields, with what JSON carries as text turned into CEL's own values. Names and
types are resolved in compiler.py; macros are in macros.py.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver.cel.overloads import Overload, no_overload
from lab.apiserver.cel.types import DYN, Type, join
from lab.apiserver.cel.values import (
    NO_OVERLOAD,
    NONE,
    CelError,
    Optional,
    equal,
    fits,
    item_key,
    parse_duration,
    parse_timestamp,
)

Frame = list[Any]
Eval = Callable[[Frame], Any]  # of expressions that are boolean by type, the value is a bool


@dataclass(frozen=True, slots=True)
class Compiled:
    """An expression as compiled: its type, and the closure that gives its value for a frame."""

    type: Type
    eval: Eval


_PLAIN: Final = frozenset({"int", "string", "double", "uint", "bytes"})


def invocation(overloads: list[Overload], args: list[Compiled], types: list[Type]) -> Eval:
    """A call with compiled arguments, whose static types are `types`.

    With one overload that certainly fits, it is called directly; otherwise the values choose among the overloads.
    """
    evals = [each.eval for each in args]
    exact = len(overloads) == 1 and not any(each.name == "dyn" for each in types)
    if exact or (len(overloads) == 1 and all(p.name in ("A", "B", "dyn") for p in overloads[0].params)):
        call = overloads[0].call
        match evals:
            case [one]:
                return lambda frame: call(one(frame))
            case [one, two]:
                return lambda frame: call(one(frame), two(frame))
        return lambda frame: call(*[each(frame) for each in evals])

    def dispatch(frame: Frame) -> Any:
        values = [each(frame) for each in evals]
        for overload in overloads:
            if all(map(fits, values, overload.params)):
                return overload.call(*values)
        return no_overload()

    return dispatch


def short_circuit(left: Eval, right: Eval, *, stops_at: bool) -> Eval:
    """`&&` stops at false, `||` at true; an error on one side counts only if the other side does not decide."""

    outcome: bool = stops_at

    def logical(frame: Frame) -> bool:
        try:
            first = left(frame)
        except CelError:
            if right(frame) is stops_at:
                return outcome
            raise
        if first is stops_at:
            return outcome
        second = right(frame)
        if second is stops_at:
            return outcome
        if isinstance(first, bool) and isinstance(second, bool):
            return not outcome
        raise CelError(NO_OVERLOAD)

    return logical


def choice(condition: Eval, then: Eval, other: Eval) -> Eval:
    """`condition ? then : other`; only one of the two is evaluated."""

    def choose(frame: Frame) -> Any:
        outcome = condition(frame)
        if outcome is True:
            return then(frame)
        if outcome is False:
            return other(frame)
        raise CelError(NO_OVERLOAD)

    return choose


def equality_of(one: Type, other: Type) -> Callable[[Any, Any], bool]:
    """The `==` of two static types: the fastest that gives the same answer as `equal`."""
    if one.name in _PLAIN and other.name in _PLAIN:
        return operator.eq
    if one.name == "list" and one.list_type in ("set", "map"):
        return _unordered(one.list_type, one.list_keys)
    return equal


def _unordered(list_type: str, keys: tuple[str, ...]) -> Callable[[Any, Any], bool]:
    """Lists that are sets or maps are equal whatever their order."""

    def same(one: Any, other: Any) -> bool:
        if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
            return False
        former = {item_key(item, list_type, keys): item for item in other}
        return all(
            key in former and equal(item, former[key])
            for item in one
            if (key := item_key(item, list_type, keys)) is not None
        )

    return same


# Values as JSON carries them become CEL values when they are read: times, bytes, and numbers typed as double.


def _timestamp(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parsed = parse_timestamp(value)
    if parsed is None:
        raise CelError(f'invalid timestamp "{value}"')
    return parsed


def _duration(value: Any) -> Any:
    return parse_duration(value) or value if isinstance(value, str) else value


def _bytes(value: Any) -> Any:
    return base64.b64decode(value) if isinstance(value, str) else value


def _double(value: Any) -> Any:
    return float(value) if type(value) is int else value


_ADAPTERS: Final[dict[str, Callable[[Any], Any]]] = {
    "timestamp": _timestamp,
    "duration": _duration,
    "bytes": _bytes,
    "double": _double,
}


def adapter(declared: Type) -> Callable[[Any], Any] | None:
    """What turns a JSON value of a declared type into its CEL value; None where they are the same."""
    return _ADAPTERS.get(declared.name)


def adapted(declared: Type, read: Eval) -> Compiled:
    """A compiled read of a field, variable or item, with its value turned into a CEL value."""
    adapt = adapter(declared)
    return Compiled(declared, read if adapt is None else lambda frame: adapt(read(frame)))


# Fields and indexes


def selection(operand: Eval, key: str) -> Eval:
    """`operand.key`. Raises CelError, when evaluated, for a key that is not there."""

    def select(frame: Frame) -> Any:
        try:
            return operand(frame)[key]
        except KeyError:
            raise CelError(f"no such key: {key}") from None
        except (TypeError, IndexError):
            raise CelError(NO_OVERLOAD) from None

    return select


def presence(operand: Eval, key: str) -> Eval:
    """`has(operand.key)`; an optional without a value has no keys."""

    def has(frame: Frame) -> bool:
        value = operand(frame)
        if isinstance(value, Optional):
            value = value.value if value.present else {}
        if isinstance(value, dict):
            return key in value
        raise CelError(NO_OVERLOAD)

    return has


def optional_selection(operand: Eval, key: str, adapt: Callable[[Any], Any] | None) -> Eval:
    """`operand.?key`: an optional, without a value where there is no such key. `adapt` as `adapter` gives it."""

    def select(frame: Frame) -> Optional:
        value = operand(frame)
        if isinstance(value, Optional):
            if not value.present:
                return NONE
            value = value.value
        if not isinstance(value, dict):
            raise CelError(NO_OVERLOAD)
        if key not in value:
            return NONE
        return Optional(True, adapt(value[key]) if adapt else value[key])

    return select


def optional_indexing(operand: Eval, index: Eval, adapt: Callable[[Any], Any] | None) -> Eval:
    """`operand[?index]`: an optional, without a value where there is no such index or key."""

    def select(frame: Frame) -> Optional:
        value, key = operand(frame), index(frame)
        if isinstance(value, Optional):
            if not value.present:
                return NONE
            value = value.value
        if not _holds(value, key):
            return NONE
        return Optional(True, adapt(value[key]) if adapt else value[key])

    return select


def _holds(container: Any, key: Any) -> bool:
    if isinstance(container, list):
        return isinstance(key, int) and 0 <= key < len(container)
    return key in container


def or_value(optional: Compiled, default: Compiled) -> Compiled:
    """As the function of that name; apart from it because the default is evaluated only when needed."""
    first, second = optional.eval, default.eval

    def value(frame: Frame) -> Any:
        found = first(frame)
        return found.value if found.present else second(frame)

    return Compiled(join(optional.type.params[0] if optional.type.params else DYN, default.type), value)


# Literals with parts


def list_literal(items: list[Eval], optionals: frozenset[int]) -> Eval:
    """`[a, ?b]`: an optional element without a value is left out."""
    if not optionals:
        return lambda frame: [each(frame) for each in items]

    def build(frame: Frame) -> list[Any]:
        values: list[Any] = []
        for index, each in enumerate(items):
            value = each(frame)
            if index not in optionals:
                values.append(value)
            elif value.present:
                values.append(value.value)
        return values

    return build


def map_literal(entries: list[tuple[Eval, Eval, bool]]) -> Eval:
    """`{k: v, ?k: v}`: an optional entry without a value is left out. Entries are (key, value, optional)."""

    def build(frame: Frame) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, value, optional in entries:
            made_value = value(frame)
            if not optional:
                made[key(frame)] = made_value
            elif made_value.present:
                made[key(frame)] = made_value.value
        return made

    return build
