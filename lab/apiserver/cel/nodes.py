"""The tree of an expression: what the parser makes, and the compiler goes through.

Operators are calls under cel-go's names. Names and types are not resolved here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class CelSyntaxError(ValueError):
    """The text is no expression; `position` is a 0-based offset."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class UInt(int):
    """A CEL uint, kept apart from int."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression; `position` is where cel-go would point in an error."""

    position: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable, or the first part of a qualified name."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`operand.field`, `operand.?field`, and `has(operand.field)` (test)."""

    operand: Node
    field: str
    optional: bool = False
    test: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`function(args)`, `target.function(args)`, and operators under cel-go's names (`_+_`, `_[_]`, `!_`)."""

    function: str
    args: tuple[Node, ...]
    target: Node | None = None


@dataclass(frozen=True, slots=True)
class ListNode(Node):
    """`[a, ?b]`; `optionals` are the indexes of the optional elements."""

    items: tuple[Node, ...]
    optionals: frozenset[int]


@dataclass(frozen=True, slots=True)
class MapNode(Node):
    """`{k: v, ?k: v}`; entries are (key, value, optional)."""

    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Macro(Node):
    """`target.all(x, p)` and the like; `variables` are the names it binds."""

    name: str
    target: Node
    variables: tuple[str, ...]
    args: tuple[Node, ...]
