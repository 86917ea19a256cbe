"""From a tree to closures: every name and call is resolved and type-checked, in cel-go's words.

What a real API server refuses is refused. The cost of an expression is not estimated. How closures do what they do is
in closures.py and macros.py.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Final

from lab.apiserver.cel import kubernetes, library  # noqa: F401  they fill the table of functions
from lab.apiserver.cel import types as t
from lab.apiserver.cel.closures import (
    Compiled,
    adapted,
    adapter,
    choice,
    equality_of,
    invocation,
    list_literal,
    map_literal,
    optional_indexing,
    optional_selection,
    or_value,
    presence,
    selection,
    short_circuit,
)
from lab.apiserver.cel.macros import binding, comprehension, optional_mapping, range_types, refuse, steps
from lab.apiserver.cel.nodes import Call, ListNode, Literal, Macro, MapNode, Name, Node, Select, UInt
from lab.apiserver.cel.overloads import FUNCTIONS, matching, mismatch
from lab.apiserver.cel.types import DYN, Type, is_assignable, join, list_of, map_of, optional_of

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


class Compiler:
    """Turns one tree into closures; keeps the scope while it goes down.

    Afterwards `slots` are the places of the given variables in a frame, `used` those of them that the expression reads,
    and `size` is the length of a frame.
    """

    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._scope: dict[str, tuple[int, Type]] = {
            name: (slot, each) for slot, (name, each) in enumerate(variables.items())
        }
        self.slots = {name: slot for name, (slot, _) in self._scope.items()}
        self.size = len(self._scope)
        self.used: set[str] = set()

    def compile(self, node: Node) -> Compiled:
        """The closure and the type of a tree. Raises CelSyntaxError, also for names and types that do not fit."""
        match node:
            case Literal():
                value = node.value
                return Compiled(_LITERALS[type(value)], lambda frame: value)
            case Name():
                return self._name(node)
            case Select():
                return self._select(node)
            case Call():
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

    def _call(self, node: Call) -> Compiled:
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

    def _qualified(self, node: Call) -> str | None:
        """`sets.contains` is one function when `sets` is no variable."""
        if isinstance(node.target, Name) and node.target.name not in self._scope:
            name = f"{node.target.name}.{node.function}"
            return name if name in FUNCTIONS else None
        return None

    def _resolved(self, node: Call, name: str, args: list[Compiled], *, member: bool) -> Compiled:
        overloads = [each for each in FUNCTIONS.get(name, ()) if each.member == member]
        if name == "_[_]" and args[0].type.name == "optional_type":
            return self._optional_index(node)
        if not overloads:
            raise refuse(f"undeclared reference to '{name}' (in container '')", node)
        types = [each.type for each in args]
        found = matching(overloads, types)
        if not found:
            raise refuse(mismatch(name, types, member=member), node)
        result = found[0][1]
        for _, other in found[1:]:
            result = join(result, other)
        return adapted(result, invocation([each for each, _ in found], args, types))

    def _logical(self, node: Call) -> Compiled:
        sides = [self.compile(arg) for arg in node.args]
        for side in sides:
            if side.type.name not in ("bool", "dyn"):
                types = [each.type for each in sides]
                raise refuse(mismatch(node.function, types), node)
        return Compiled(t.BOOL, short_circuit(sides[0].eval, sides[1].eval, stops_at=node.function == "_||_"))

    def _conditional(self, node: Call) -> Compiled:
        condition, then, other = (self.compile(arg) for arg in node.args)
        types = [condition.type, then.type, other.type]
        agree = is_assignable(then.type, other.type) or is_assignable(other.type, then.type)
        if condition.type.name not in ("bool", "dyn") or not agree:
            raise refuse(mismatch("_?_:_", types), node)
        result = other.type if then.type.name == "null_type" else then.type
        if "null_type" not in (then.type.name, other.type.name):
            result = join(then.type, other.type)
        return Compiled(result, choice(condition.eval, then.eval, other.eval))

    def _equality(self, node: Call) -> Compiled:
        one, other = (self.compile(arg) for arg in node.args)
        numeric = {one.type.name, other.type.name} <= {"int", "uint", "double"}
        if not (numeric and one.type == other.type) and not (
            is_assignable(one.type, other.type) or is_assignable(other.type, one.type)
        ):
            types = [one.type, other.type]
            raise refuse(mismatch(node.function, types), node)
        left, right = one.eval, other.eval
        same = equality_of(one.type, other.type)
        if node.function == "_==_":
            return Compiled(t.BOOL, lambda frame: same(left(frame), right(frame)))
        return Compiled(t.BOOL, lambda frame: not same(left(frame), right(frame)))

    def _optional_index(self, node: Call) -> Compiled:
        operand, index = self.compile(node.args[0]), self.compile(node.args[1])
        container = operand.type.params[0] if operand.type.name == "optional_type" else operand.type
        if container.name not in ("list", "map", "dyn"):
            types = [operand.type, index.type]
            raise refuse(mismatch(node.function, types), node)
        inner = container.params[-1] if container.params else DYN
        return Compiled(optional_of(inner), optional_indexing(operand.eval, index.eval, adapter(inner)))

    # literals with parts

    def _list(self, node: ListNode) -> Compiled:
        items = [self.compile(item) for item in node.items]
        types = [
            each.type.params[0] if index in node.optionals and each.type.params else each.type
            for index, each in enumerate(items)
        ]
        return Compiled(list_of(_joined(types)), list_literal([each.eval for each in items], node.optionals))

    def _map(self, node: MapNode) -> Compiled:
        entries = [(self.compile(key), self.compile(value), optional) for key, value, optional in node.entries]
        key_type = _joined([key.type for key, _, _ in entries])
        value_type = _joined([value.type if not o else value.type.params[0] for _, value, o in entries])
        parts = [(key.eval, value.eval, optional) for key, value, optional in entries]
        return Compiled(map_of(key_type, value_type), map_literal(parts))

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
        return Compiled(body.type, binding(slot, value.eval, body.eval))

    def _opt_map(self, node: Macro, target: Compiled) -> Compiled:
        inner = target.type.params[0] if target.type.params else DYN
        slot = self._bound(node.variables[0], inner)
        body = self.compile(node.args[0])
        flat = node.name == "optFlatMap"
        result = body.type if flat else optional_of(body.type)
        return Compiled(result, optional_mapping(slot, target.eval, body.eval, flat=flat))

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
