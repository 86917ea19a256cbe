"""The Common Expression Language as Kubernetes speaks it: compile once (with types), evaluate often.

An expression becomes a tree of Python closures over a frame of variables. Every name and call is resolved and
type-checked when compiled, so that what a real API server refuses is refused, in cel-go's words. The cost of a rule is
not estimated. Which rules a schema has, and what their failure means, is in schema/celrules.py
and access/policy.py.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lab.apiserver.cel import types as t
from lab.apiserver.cel.closures import (
    Compiled,
    Eval,
    Frame,
    adapted,
    adapter,
    equality_of,
    invocation,
    optional_indexing,
    optional_selection,
    or_value,
    presence,
    selection,
    short_circuit,
)
from lab.apiserver.cel.kubernetes import FUNCTIONS
from lab.apiserver.cel.library import Overload
from lab.apiserver.cel.macros import comprehension, range_types, refuse, steps
from lab.apiserver.cel.syntax import Call as CallNode
from lab.apiserver.cel.syntax import (
    CelSyntaxError,
    ListNode,
    Literal,
    Macro,
    MapNode,
    Name,
    Node,
    Select,
    UInt,
    parse,
)
from lab.apiserver.cel.types import DYN, Type, is_assignable, join, list_of, map_of, optional_of, substitute
from lab.apiserver.cel.values import NO_OVERLOAD, NONE, CelError, Optional


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


class _Compiler:
    """Turns one tree into closures; keeps the scope while it goes down."""

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._scope: dict[str, tuple[int, Type]] = {
            name: (slot, each) for slot, (name, each) in enumerate(variables.items())
        }
        self.slots = {name: slot for name, (slot, _) in self._scope.items()}
        self.size = len(self._scope)
        self.used: set[str] = set()

    def compile(self, node: Node) -> Compiled:
        match node:
            case Literal():
                value = node.value
                return Compiled(_LITERALS[type(value)], lambda frame: value)
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

    def _name(self, node: Name) -> Compiled:
        found = self._scope.get(node.name)
        if found is None:
            if node.name in _TYPE_NAMES:
                value = _TYPE_NAMES[node.name]
                return Compiled(t.TYPE, lambda frame: value)
            raise refuse(f"undeclared reference to '{node.name}' (in container '')", node)
        slot, declared = found
        if self.slots.get(node.name) == slot:
            self.used.add(node.name)
        return adapted(declared, operator.itemgetter(slot))

    def _select(self, node: Select) -> Compiled:
        operand = self.compile(node.operand)
        inner, is_optional = operand.type, False
        if inner.name == "optional_type":
            inner, is_optional = inner.params[0], True
        key, result = self._field(inner, node)
        if node.test:
            return Compiled(t.BOOL, presence(operand.eval, key))
        if not is_optional and not node.optional:
            return adapted(result, selection(operand.eval, key))
        result_type = result if result.name == "optional_type" else optional_of(result)
        return Compiled(result_type, optional_selection(operand.eval, key, adapter(result)))

    def _field(self, operand: Type, node: Select) -> tuple[str, Type]:
        match operand.name:
            case "object":
                found = (operand.fields or {}).get(node.field)
                if found is None:
                    raise refuse(f"undefined field '{node.field}'", node)
                return found.json_name, found.type
            case "map":
                return node.field, operand.params[1] if operand.params else DYN
            case "dyn":
                return node.field, DYN
        raise refuse(f"type '{operand}' does not support field selection", node)

    # calls

    def _call(self, node: CallNode) -> Compiled:
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
            return or_value(args[0], args[1])
        return self._resolved(node, node.function, args, member=True)

    def _qualified(self, node: CallNode) -> str | None:
        """`sets.contains` is one function when `sets` is no variable."""
        if isinstance(node.target, Name) and node.target.name not in self._scope:
            name = f"{node.target.name}.{node.function}"
            return name if name in FUNCTIONS else None
        return None

    def _resolved(self, node: CallNode, name: str, args: list[Compiled], *, member: bool) -> Compiled:
        overloads = [each for each in FUNCTIONS.get(name, ()) if each.member == member]
        if name == "_[_]" and args[0].type.name == "optional_type":
            return self._optional_index(node)
        if not overloads:
            raise refuse(f"undeclared reference to '{name}' (in container '')", node)
        types = [each.type for each in args]
        matching = _matching(overloads, types)
        if not matching:
            raise refuse(f"found no matching overload for '{name}' applied to '{_applied(types, member)}'", node)
        result = matching[0][1]
        for _, other in matching[1:]:
            result = join(result, other)
        return adapted(result, invocation([each for each, _ in matching], args, types))

    def _logical(self, node: CallNode) -> Compiled:
        sides = [self.compile(arg) for arg in node.args]
        for side in sides:
            if side.type.name not in ("bool", "dyn"):
                types = [each.type for each in sides]
                raise refuse(
                    f"found no matching overload for '{node.function}' applied to '{_applied(types, False)}'", node
                )
        return Compiled(t.BOOL, short_circuit(sides[0].eval, sides[1].eval, stops_at=node.function == "_||_"))

    def _conditional(self, node: CallNode) -> Compiled:
        condition, then, other = (self.compile(arg) for arg in node.args)
        types = [condition.type, then.type, other.type]
        agree = is_assignable(then.type, other.type) or is_assignable(other.type, then.type)
        if condition.type.name not in ("bool", "dyn") or not agree:
            raise refuse(f"found no matching overload for '_?_:_' applied to '{_applied(types, False)}'", node)
        test, yes, no = condition.eval, then.eval, other.eval

        def choose(frame: Frame) -> Any:
            outcome = test(frame)
            if outcome is True:
                return yes(frame)
            if outcome is False:
                return no(frame)
            raise CelError(NO_OVERLOAD)

        result = other.type if then.type.name == "null_type" else then.type
        return Compiled(
            join(then.type, other.type) if "null_type" not in (then.type.name, other.type.name) else result, choose
        )

    def _equality(self, node: CallNode) -> Compiled:
        one, other = (self.compile(arg) for arg in node.args)
        numeric = {one.type.name, other.type.name} <= {"int", "uint", "double"}
        if not (numeric and one.type == other.type) and not (
            is_assignable(one.type, other.type) or is_assignable(other.type, one.type)
        ):
            types = [one.type, other.type]
            raise refuse(
                f"found no matching overload for '{node.function}' applied to '{_applied(types, False)}'", node
            )
        left, right = one.eval, other.eval
        same = equality_of(one.type, other.type)
        if node.function == "_==_":
            return Compiled(t.BOOL, lambda frame: same(left(frame), right(frame)))
        return Compiled(t.BOOL, lambda frame: not same(left(frame), right(frame)))

    def _optional_index(self, node: CallNode) -> Compiled:
        operand, index = self.compile(node.args[0]), self.compile(node.args[1])
        container = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        if container.name not in ("list", "map", "dyn"):
            types = [operand.type, index.type]
            raise refuse(
                f"found no matching overload for '{node.function}' applied to '{_applied(types, False)}'", node
            )
        inner = container.params[-1] if container.params else DYN
        return Compiled(optional_of(inner), optional_indexing(operand.eval, index.eval, adapter(inner)))

    # literals with parts

    def _list(self, node: ListNode) -> Compiled:
        items = [self.compile(item) for item in node.items]
        types = [
            each.type.params[0] if index in node.optionals and each.type.params else each.type
            for index, each in enumerate(items)
        ]
        evals = [each.eval for each in items]
        item_type = _joined(types)
        if not node.optionals:
            return Compiled(list_of(item_type), lambda frame: [each(frame) for each in evals])
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

        return Compiled(list_of(item_type), build)

    def _map(self, node: MapNode) -> Compiled:
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

        return Compiled(map_of(key_type, value_type), build)

    # macros

    def _bound(self, name: str, variable: Type) -> int:
        slot = self.size
        self.size += 1
        self._scope[name] = (slot, variable)
        return slot

    def _macro(self, node: Macro) -> Compiled:
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

    def _bind(self, node: Macro, value: Compiled) -> Compiled:
        slot = self._bound(node.variables[0], value.type)
        body = self.compile(node.args[0])
        compute, then = value.eval, body.eval

        def bind(frame: Frame) -> Any:
            frame[slot] = compute(frame)
            return then(frame)

        return Compiled(body.type, bind)

    def _opt_map(self, node: Macro, target: Compiled) -> Compiled:
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

        return Compiled(body.type if flat else optional_of(body.type), mapped)

    def _comprehension(self, node: Macro, target: Compiled) -> Compiled:
        key_type, value_type = range_types(target.type, node)
        is_map = target.type.name in ("map", "object")
        if len(node.variables) == 2:
            slots = [self._bound(node.variables[0], key_type), self._bound(node.variables[1], value_type)]
        else:
            slots = [self._bound(node.variables[0], key_type if is_map else value_type)]
        bodies = [self.compile(arg) for arg in node.args]
        return comprehension(node, key_type, bodies, steps(target.eval, slots), target, slots)


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


__all__ = ["CelError", "CompileError", "Environment", "Program"]
