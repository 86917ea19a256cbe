"""The Common Expression Language as Kubernetes speaks it: compile once (with types), evaluate often.

An expression becomes a tree of Python closures over a frame of variables. Every name and call is resolved and
type-checked when compiled, so that what a real API server refuses is refused, in cel-go's words. The cost of a rule is
not estimated. Which rules a schema has, and what their failure means, is in celrules.py and policy.py.
"""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver import celtypes as t
from lab.apiserver.cellib import FUNCTIONS, Overload, no_overload, sort_values
from lab.apiserver.celsyntax import Call as CallNode
from lab.apiserver.celsyntax import CelSyntaxError, ListNode, Literal, Macro, MapNode, Name, Node, Select, UInt, parse
from lab.apiserver.celtypes import DYN, Type, is_assignable, join, list_of, map_of, optional_of, substitute
from lab.apiserver.celvalues import NO_OVERLOAD, NONE, CelError, Optional, equal, fits, parse_duration, parse_timestamp
from lab.apiserver.listtypes import item_key

Frame = list[Any]
Eval = Callable[[Frame], Any]  # of expressions that are boolean by type, the value is a bool


class CompileError(ValueError):
    """The expression does not compile; the text is cel-go's, with the line and a mark under the place."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. `uses` are the variables it reads."""

    type: Type
    uses: frozenset[str]
    _slots: tuple[tuple[str, int], ...]
    _size: int
    _eval: Eval

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value, given all variables in `uses`. Raises CelError."""
        frame: Frame = [None] * self._size
        for name, slot in self._slots:
            frame[slot] = values[name]
        try:
            return self._eval(frame)
        except RecursionError:
            raise CelError("expression recursion limit exceeded") from None
        except (AttributeError, TypeError):  # a value that is not of its declared type, let be when it was stored
            raise CelError(NO_OVERLOAD) from None


class Environment:
    """The variables that expressions may use, and their types."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._variables = dict(variables)

    def compile(self, text: str) -> Program:
        """Parse, check and compile. Raises CompileError."""
        try:
            compiler = _Compiler(self._variables)
            compiled = compiler.compile(parse(text))
        except CelSyntaxError as error:
            raise CompileError(_pointed(text, str(error), error.position)) from None
        slots = tuple((name, slot) for name, slot in compiler.slots.items() if name in compiler.used)
        return Program(compiled.type, frozenset(compiler.used), slots, compiler.size, compiled.eval)


def _pointed(text: str, message: str, position: int) -> str:
    before = text[:position]
    line = before.count("\n") + 1
    column = position - (before.rfind("\n") + 1)
    return f"ERROR: <input>:{line}:{column + 1}: {message}\n | {text.split(chr(10))[line - 1]}\n | {'.' * column}^"


@dataclass(frozen=True, slots=True)
class _Compiled:
    type: Type
    eval: Eval


def _refuse(message: str, node: Node) -> CelSyntaxError:
    return CelSyntaxError(message, node.position)


_TYPE_NAMES: Final = {
    "bool": t.BOOL,
    "int": t.INT,
    "uint": t.UINT,
    "double": t.DOUBLE,
    "string": t.STRING,
    "bytes": t.BYTES,
    "list": Type("list"),
    "map": Type("map"),
    "null_type": t.NULL,
    "type": t.TYPE,
}
_LITERALS: Final[dict[type, Type]] = {
    bool: t.BOOL,
    int: t.INT,
    UInt: t.UINT,
    float: t.DOUBLE,
    str: t.STRING,
    bytes: t.BYTES,
    type(None): t.NULL,
}
_PLAIN: Final = frozenset({"int", "string", "double", "uint", "bytes"})


class _Compiler:
    """Turns one tree into closures; keeps the scope while it goes down."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._scope: dict[str, tuple[int, Type]] = {
            name: (slot, each) for slot, (name, each) in enumerate(variables.items())
        }
        self.slots = {name: slot for name, (slot, _) in self._scope.items()}
        self.size = len(self._scope)
        self.used: set[str] = set()

    def compile(self, node: Node) -> _Compiled:
        match node:
            case Literal():
                value = node.value
                return _Compiled(_LITERALS[type(value)], lambda frame: value)
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case CallNode():
                return self._call(node)
            case ListNode():
                return self._list(node)
            case MapNode():
                return self._map(node)
            case Macro():
                return self._macro(node)
        raise AssertionError(node)

    # names and fields

    def _name(self, node: Name) -> _Compiled:
        found = self._scope.get(node.name)
        if found is None:
            if node.name in _TYPE_NAMES:
                value = _TYPE_NAMES[node.name]
                return _Compiled(t.TYPE, lambda frame: value)
            raise _refuse(f"undeclared reference to '{node.name}' (in container '')", node)
        slot, declared = found
        if self.slots.get(node.name) == slot:
            self.used.add(node.name)
        return _adapted(declared, operator.itemgetter(slot))

    def _select(self, node: Select) -> _Compiled:
        operand = self.compile(node.operand)
        inner, is_optional = operand.type, False
        if inner.name == "optional_type":
            inner, is_optional = inner.params[0], True
        key, result = self._field(inner, node)
        if node.test:
            return _Compiled(t.BOOL, _presence(operand.eval, key))
        if not is_optional and not node.optional:
            return _adapted(result, _selection(operand.eval, key))
        result_type = result if result.name == "optional_type" else optional_of(result)
        return _Compiled(result_type, _optional_selection(operand.eval, key, _adapter(result)))

    def _field(self, operand: Type, node: Select) -> tuple[str, Type]:
        match operand.name:
            case "object":
                found = (operand.fields or {}).get(node.field)
                if found is None:
                    raise _refuse(f"undefined field '{node.field}'", node)
                return found.json_name, found.type
            case "map":
                return node.field, operand.params[1] if operand.params else DYN
            case "dyn":
                return node.field, DYN
        raise _refuse(f"type '{operand}' does not support field selection", node)

    # calls

    def _call(self, node: CallNode) -> _Compiled:
        match node.function:
            case "_&&_" | "_||_":
                return self._logical(node)
            case "_?_:_":
                return self._conditional(node)
            case "_==_" | "_!=_":
                return self._equality(node)
            case "_[?_]":
                return self._optional_index(node)
        qualified = self._qualified(node)
        if qualified is not None:
            return self._resolved(node, qualified, [self.compile(arg) for arg in node.args], member=False)
        if node.target is None:
            return self._resolved(node, node.function, [self.compile(arg) for arg in node.args], member=False)
        args = [self.compile(node.target), *(self.compile(arg) for arg in node.args)]
        if node.function == "orValue" and args[0].type.name == "optional_type" and len(args) == 2:
            return _or_value(args[0], args[1])
        return self._resolved(node, node.function, args, member=True)

    def _qualified(self, node: CallNode) -> str | None:
        """`sets.contains` is one function when `sets` is no variable."""
        if isinstance(node.target, Name) and node.target.name not in self._scope:
            name = f"{node.target.name}.{node.function}"
            return name if name in FUNCTIONS else None
        return None

    def _resolved(self, node: CallNode, name: str, args: list[_Compiled], *, member: bool) -> _Compiled:
        overloads = [each for each in FUNCTIONS.get(name, ()) if each.member == member]
        if name == "_[_]" and args[0].type.name == "optional_type":
            return self._optional_index(node)
        if not overloads:
            raise _refuse(f"undeclared reference to '{name}' (in container '')", node)
        types = [each.type for each in args]
        matching = _matching(overloads, types)
        if not matching:
            raise _refuse(f"found no matching overload for '{name}' applied to '{_applied(types, member)}'", node)
        result = matching[0][1]
        for _, other in matching[1:]:
            result = join(result, other)
        return _adapted(result, _invocation([each for each, _ in matching], args, types))

    def _logical(self, node: CallNode) -> _Compiled:
        sides = [self.compile(arg) for arg in node.args]
        for side in sides:
            if side.type.name not in ("bool", "dyn"):
                types = [each.type for each in sides]
                raise _refuse(
                    f"found no matching overload for '{node.function}' applied to '{_applied(types, False)}'", node
                )
        return _Compiled(t.BOOL, _short_circuit(sides[0].eval, sides[1].eval, stops_at=node.function == "_||_"))

    def _conditional(self, node: CallNode) -> _Compiled:
        condition, then, other = (self.compile(arg) for arg in node.args)
        types = [condition.type, then.type, other.type]
        agree = is_assignable(then.type, other.type) or is_assignable(other.type, then.type)
        if condition.type.name not in ("bool", "dyn") or not agree:
            raise _refuse(f"found no matching overload for '_?_:_' applied to '{_applied(types, False)}'", node)
        test, yes, no = condition.eval, then.eval, other.eval

        def choose(frame: Frame) -> Any:
            outcome = test(frame)
            if outcome is True:
                return yes(frame)
            if outcome is False:
                return no(frame)
            raise CelError(NO_OVERLOAD)

        result = other.type if then.type.name == "null_type" else then.type
        return _Compiled(
            join(then.type, other.type) if "null_type" not in (then.type.name, other.type.name) else result, choose
        )

    def _equality(self, node: CallNode) -> _Compiled:
        one, other = (self.compile(arg) for arg in node.args)
        numeric = {one.type.name, other.type.name} <= {"int", "uint", "double"}
        if not (numeric and one.type == other.type) and not (
            is_assignable(one.type, other.type) or is_assignable(other.type, one.type)
        ):
            types = [one.type, other.type]
            raise _refuse(
                f"found no matching overload for '{node.function}' applied to '{_applied(types, False)}'", node
            )
        left, right = one.eval, other.eval
        same = _equality(one.type, other.type)
        if node.function == "_==_":
            return _Compiled(t.BOOL, lambda frame: same(left(frame), right(frame)))
        return _Compiled(t.BOOL, lambda frame: not same(left(frame), right(frame)))

    def _optional_index(self, node: CallNode) -> _Compiled:
        operand, index = self.compile(node.args[0]), self.compile(node.args[1])
        container = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        if container.name not in ("list", "map", "dyn"):
            types = [operand.type, index.type]
            raise _refuse(
                f"found no matching overload for '{node.function}' applied to '{_applied(types, False)}'", node
            )
        inner = container.params[-1] if container.params else DYN
        return _Compiled(optional_of(inner), _optional_indexing(operand.eval, index.eval, _adapter(inner)))

    # literals with parts

    def _list(self, node: ListNode) -> _Compiled:
        items = [self.compile(item) for item in node.items]
        types = [
            each.type.params[0] if index in node.optionals and each.type.params else each.type
            for index, each in enumerate(items)
        ]
        evals = [each.eval for each in items]
        item_type = _joined(types)
        if not node.optionals:
            return _Compiled(list_of(item_type), lambda frame: [each(frame) for each in evals])
        optionals = node.optionals

        def build(frame: Frame) -> list[Any]:
            values: list[Any] = []
            for index, each in enumerate(evals):
                value = each(frame)
                if index not in optionals:
                    values.append(value)
                elif value.present:
                    values.append(value.value)
            return values

        return _Compiled(list_of(item_type), build)

    def _map(self, node: MapNode) -> _Compiled:
        entries = [(self.compile(key), self.compile(value), optional) for key, value, optional in node.entries]
        key_type = _joined([key.type for key, _, _ in entries])
        value_type = _joined([value.type if not o else value.type.params[0] for _, value, o in entries])
        parts = [(key.eval, value.eval, optional) for key, value, optional in entries]

        def build(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key, value, optional in parts:
                made_value = value(frame)
                if not optional:
                    made[key(frame)] = made_value
                elif made_value.present:
                    made[key(frame)] = made_value.value
            return made

        return _Compiled(map_of(key_type, value_type), build)

    # macros

    def _bound(self, name: str, variable: Type) -> int:
        slot = self.size
        self.size += 1
        self._scope[name] = (slot, variable)
        return slot

    def _macro(self, node: Macro) -> _Compiled:
        target = self.compile(node.target)
        outer = dict(self._scope)
        try:
            if node.name == "bind":
                return self._bind(node, target)
            if node.name in ("optMap", "optFlatMap"):
                return self._opt_map(node, target)
            return self._comprehension(node, target)
        finally:
            self._scope = outer

    def _bind(self, node: Macro, value: _Compiled) -> _Compiled:
        slot = self._bound(node.variables[0], value.type)
        body = self.compile(node.args[0])
        compute, then = value.eval, body.eval

        def bind(frame: Frame) -> Any:
            frame[slot] = compute(frame)
            return then(frame)

        return _Compiled(body.type, bind)

    def _opt_map(self, node: Macro, target: _Compiled) -> _Compiled:
        inner = target.type.params[0] if target.type.params else DYN
        slot = self._bound(node.variables[0], inner)
        body = self.compile(node.args[0])
        optional, then, flat = target.eval, body.eval, node.name == "optFlatMap"

        def mapped(frame: Frame) -> Any:
            value = optional(frame)
            if not value.present:
                return NONE
            frame[slot] = value.value
            return then(frame) if flat else Optional(True, then(frame))

        return _Compiled(body.type if flat else optional_of(body.type), mapped)

    def _comprehension(self, node: Macro, target: _Compiled) -> _Compiled:
        key_type, value_type = _range_types(target.type, node)
        is_map = target.type.name in ("map", "object")
        if len(node.variables) == 2:
            slots = [self._bound(node.variables[0], key_type), self._bound(node.variables[1], value_type)]
        else:
            slots = [self._bound(node.variables[0], key_type if is_map else value_type)]
        bodies = [self.compile(arg) for arg in node.args]
        steps = _steps(target.eval, slots)
        return _comprehension(node, key_type, value_type, bodies, steps, target, slots)


def _joined(types: list[Type]) -> Type:
    if not types:
        return DYN
    result = types[0]
    for each in types[1:]:
        result = join(result, each)
    return result


def _applied(types: list[Type], member: bool) -> str:
    shown = [str(each) for each in types]
    return f"{shown[0]}.({', '.join(shown[1:])})" if member else f"({', '.join(shown)})"


def _matching(overloads: list[Overload], types: list[Type]) -> list[tuple[Overload, Type]]:
    found = []
    for each in overloads:
        bound: dict[str, Type] = {}
        if len(each.params) == len(types) and all(
            is_assignable(actual, wanted, bound) for actual, wanted in zip(types, each.params, strict=True)
        ):
            found.append((each, substitute(each.result, bound)))
    return found


def _invocation(overloads: list[Overload], args: list[_Compiled], types: list[Type]) -> Eval:
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


def _short_circuit(left: Eval, right: Eval, *, stops_at: bool) -> Eval:
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


def _equality(one: Type, other: Type) -> Callable[[Any, Any], bool]:
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


def _adapter(declared: Type) -> Callable[[Any], Any] | None:
    return _ADAPTERS.get(declared.name)


def _adapted(declared: Type, read: Eval) -> _Compiled:
    adapt = _adapter(declared)
    return _Compiled(declared, read if adapt is None else lambda frame: adapt(read(frame)))


# Fields and indexes


def _selection(operand: Eval, key: str) -> Eval:
    def select(frame: Frame) -> Any:
        try:
            return operand(frame)[key]
        except KeyError:
            raise CelError(f"no such key: {key}") from None
        except (TypeError, IndexError):
            raise CelError(NO_OVERLOAD) from None

    return select


def _presence(operand: Eval, key: str) -> Eval:
    def has(frame: Frame) -> bool:
        value = operand(frame)
        if isinstance(value, Optional):
            value = value.value if value.present else {}
        if isinstance(value, dict):
            return key in value
        raise CelError(NO_OVERLOAD)

    return has


def _optional_selection(operand: Eval, key: str, adapt: Callable[[Any], Any] | None) -> Eval:
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


def _optional_indexing(operand: Eval, index: Eval, adapt: Callable[[Any], Any] | None) -> Eval:
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


def _or_value(optional: _Compiled, default: _Compiled) -> _Compiled:
    """As the function of that name; apart from it because the default is evaluated only when needed."""
    first, second = optional.eval, default.eval

    def value(frame: Frame) -> Any:
        found = first(frame)
        return found.value if found.present else second(frame)

    return _Compiled(join(optional.type.params[0] if optional.type.params else DYN, default.type), value)


# Comprehensions

_Steps = Callable[[Frame], Any]


def _range_types(target: Type, node: Macro) -> tuple[Type, Type]:
    match target.name:
        case "list":
            return t.INT, target.params[0] if target.params else DYN
        case "map":
            return (target.params[0], target.params[1]) if target.params else (DYN, DYN)
        case "dyn":
            return DYN, DYN
    raise _refuse(
        f"expression of type '{target}' cannot be range of a comprehension (must be list, map, or dynamic)", node.target
    )


def _steps(target: Eval, slots: list[int]) -> _Steps:
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


def _comprehension(
    node: Macro,
    key_type: Type,
    value_type: Type,
    bodies: list[_Compiled],
    steps: _Steps,
    target: _Compiled,
    slots: list[int],
) -> _Compiled:
    body = bodies[-1].eval
    condition = bodies[0].eval if len(bodies) == 2 else None
    if node.name in ("all", "exists", "exists_one", "existsOne", "filter") and bodies[0].type.name not in (
        "bool",
        "dyn",
    ):
        raise _refuse(f"expected type 'bool' but found '{bodies[0].type}'", node.args[0])
    match node.name:
        case "all":
            return _Compiled(t.BOOL, _quantifier(steps, body, stops_at=False))
        case "exists":
            return _Compiled(t.BOOL, _quantifier(steps, body, stops_at=True))
        case "exists_one" | "existsOne":
            return _Compiled(t.BOOL, lambda frame: sum(1 for _ in steps(frame) if body(frame) is True) == 1)
        case "filter":
            kept = target.type if target.type.name == "list" else list_of(key_type)
            return _Compiled(kept, lambda frame: [item for item in steps(frame) if body(frame) is True])
        case "map" | "transformList":
            return _Compiled(list_of(bodies[-1].type), _mapping(steps, condition, body))
        case "sortBy":
            return _Compiled(target.type, _sorting(steps, body))
        case "transformMap":
            result = map_of(key_type, bodies[-1].type)
            return _Compiled(result, _map_transform(steps, condition, body, slots[0]))
        case "transformMapEntry":
            return _Compiled(bodies[-1].type, _entry_transform(steps, condition, body))
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


__all__ = ["CelError", "CompileError", "Environment", "Program"]
