"""What a CEL rule of a CRD may cost at worst, as the API server estimates it before it takes the CRD.

Written after the cost model of cel-go's checker and of Kubernetes' library, and never below it: where a size is not
known there, it is infinite here. Functions that our rules do not use are refused, so that a new one is looked up first.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from lab.apiserver.cel.nodes import Call, ListNode, Literal, Macro, Name, Node, Select
from lab.apiserver.cel.parser import parse

RULE_LIMIT = 10_000_000
CRD_LIMIT = 100_000_000
REQUEST_BYTES = 3 * 1024 * 1024
TRAVERSAL = 0.1
REGEX = 0.25
LIST_BASE = 10

Schema = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """The cost of a part of an expression, and what is known of its value; size is 1 for scalars."""

    cost: float
    size: float = math.inf
    schema: Schema | None = None

    def traversal(self) -> float:
        return math.ceil(self.size * TRAVERSAL) if self.size < math.inf else math.inf


@dataclass(frozen=True)
class _Scope:
    names: dict[str, Estimate] = field(default_factory=dict)


def rule_cost(expression: str, schema: Schema) -> float:
    """One evaluation of the rule on a value of this schema."""
    own = _of_schema(schema)
    return _estimate(parse(expression), _Scope({"self": own, "oldSelf": own})).cost


def schema_costs(schema: Schema, path: str = "", times: float = 1) -> Iterator[tuple[str, str, float]]:
    """Path, rule and cost of every rule at and below a schema, with how often it runs when all lists are full."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, rule["rule"], times * rule_cost(rule["rule"], schema)
    for name, child in schema.get("properties", {}).items():
        yield from schema_costs(child, f"{path}.{name}", times)
    for name, most in (("items", "maxItems"), ("additionalProperties", "maxProperties")):
        if name in schema:
            yield from schema_costs(schema[name], f"{path}.{name}", times * schema.get(most, REQUEST_BYTES))


def _of_schema(schema: Schema) -> Estimate:
    if schema.get("x-kubernetes-int-or-string"):
        return Estimate(1, REQUEST_BYTES, schema)
    match schema["type"]:
        case "string" if "enum" in schema:
            return Estimate(1, max(map(len, schema["enum"])), schema)
        case "string":  # in bytes: a character takes up to four
            return Estimate(1, 4 * schema["maxLength"] if "maxLength" in schema else REQUEST_BYTES, schema)
        case "array":
            return Estimate(1, schema.get("maxItems", REQUEST_BYTES), schema)
        case "object":
            return Estimate(1, schema.get("maxProperties", REQUEST_BYTES), schema)
        case _:
            return Estimate(1, 1, schema)


def _estimate(node: Node, scope: _Scope) -> Estimate:
    match node:
        case Literal(value=value):
            return Estimate(0, len(value) if isinstance(value, str) else 1)
        case Name(name=name):
            return scope.names.get(name, Estimate(1, 1))  # else the name of a type, as in type(self) == int
        case Select():
            return _select(node, scope)
        case ListNode(items=items):
            return Estimate(LIST_BASE + sum(_estimate(item, scope).cost for item in items), len(items))
        case Macro(name="all", target=target, variables=(variable,), args=(body,)):
            return _all(_estimate(target, scope), variable, body, scope)
        case Call():
            return _call(node, scope)
        case _:
            raise NotImplementedError(node)


def _select(node: Select, scope: _Scope) -> Estimate:
    operand = _estimate(node.operand, scope)
    if node.test:
        return Estimate(operand.cost + 1, 1)
    schema = (operand.schema or {}).get("properties", {}).get(node.field)
    if schema is None:  # metadata.name and the like
        return Estimate(operand.cost + 1, REQUEST_BYTES, {"properties": {}})
    return replace(_of_schema(schema), cost=operand.cost + 1)


def _all(target: Estimate, variable: str, body: Node, scope: _Scope) -> Estimate:
    items = (target.schema or {}).get("items")
    item = _of_schema(items) if items else Estimate(1)
    inner = _estimate(body, _Scope(scope.names | {variable: item}))
    return Estimate(target.cost + target.size * (inner.cost + 3), 1)  # the step's `&&`, and the loop's condition


def _call(node: Call, scope: _Scope) -> Estimate:
    parts = [_estimate(part, scope) for part in ((node.target, *node.args) if node.target is not None else node.args)]
    known = isinstance(node.target, Name) and node.target.name == "ip"  # ip.isCanonical: a function, not a field
    cost = sum(part.cost for part in (parts[1:] if known else parts))
    own, size = _function(node, parts)
    return Estimate(cost + own, size)


_TEXT_IN_TEXT_OUT = {"substring": 1, "replace": 2, "split": 2}
_PARSERS = frozenset("isIP isCIDR ip cidr startsWith endsWith indexOf lastIndexOf".split())  # noqa: SIM905
# As a member of a network, `ip` costs one, too: its size is 1.
_COSTS_ONE = frozenset(
    "_&&_ _||_ !_ _?_:_ _<_ _<=_ _>_ _>=_ _*_ int family isGlobalUnicast isLinkLocalUnicast masked type size".split()  # noqa: SIM905
)


def _function(node: Call, parts: list[Estimate]) -> tuple[float, float]:
    """The cost of the call itself, and the size of what it gives."""
    name, (first, *rest) = node.function, parts
    if name in _COSTS_ONE:
        return 1, 1
    if name in _TEXT_IN_TEXT_OUT:
        return _TEXT_IN_TEXT_OUT[name] * first.traversal(), first.size
    if name in _PARSERS:
        return max(part.traversal() for part in parts), 1
    match name:
        case "_[_]":
            return 1, math.inf
        case "_==_" | "_!=_":
            return (1 if _are_addresses(node) else max(1, min(part.traversal() for part in parts))), 1
        case "_+_":
            size = first.size + rest[0].size
            return (1, 1) if size <= 2 else (math.ceil(size * TRAVERSAL), size)
        case "contains":
            return first.traversal() * rest[0].traversal(), 1
        case "containsIP":  # two times 16 bytes are compared, and a text is parsed
            return math.ceil(32 * TRAVERSAL) + rest[0].traversal(), 1
        case "isCanonical":
            return 2 * rest[-1].traversal(), 1
        case "@in":
            return rest[0].size, 1
        case "matches":
            return math.ceil((first.size + 1) * TRAVERSAL) * math.ceil(rest[0].size * REGEX), 1
        case _:
            raise NotImplementedError(f"{name}: look up its cost in the API server before using it")


def _are_addresses(node: Call) -> bool:
    """Equality of addresses and networks costs 1 since Kubernetes 1.31; `!=` is not covered."""
    gives = {"ip", "cidr", "masked"}
    return node.function == "_==_" and all(isinstance(arg, Call) and arg.function in gives for arg in node.args)
