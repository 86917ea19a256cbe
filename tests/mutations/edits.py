"""Small changes of one function's syntax tree: a passage of it is found by its shape, and replaced.

A passage is source text: an expression, or statements. It fits whatever has the same syntax tree, so line breaks,
brackets and comments do not matter. Names that begin with an underscore and a digit (`_1`, `_2`) fit any expression,
each of them the same wherever it stands, and stand for it in what replaces the passage. `...` as a body fits any.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Found = dict[str, ast.AST]
"""What fitted each of the names, by name."""

_IGNORED = frozenset({"ctx", "kind", "type_comment"})


class UnfitError(Exception):
    """The passage is not there, or not as often as it should be."""


@dataclass(frozen=True)
class Edit:
    """`passage` becomes `instead`. `nth`: which one of several, from 0; None = there is one."""

    passage: str
    instead: str
    nth: int | None = None

    def apply(self, function: ast.AST) -> None:
        """Change the function in place. Raises UnfitError."""
        passage = _parsed(self.passage)
        places = list(_statements_like(passage, function) if isinstance(passage, list) else _like(passage, function))
        if not places or (self.nth is None and len(places) != 1) or (self.nth or 0) >= len(places):
            wanted = "once" if self.nth is None else f"more than {self.nth} times"
            raise UnfitError(f"it should be there {wanted}, and is there {len(places)} times: {self.passage}")
        places[self.nth or 0].put(self.instead)


@dataclass
class _Place:
    """Where a passage was found: in a list of statements, or as a child of a node."""

    parent: Any
    key: str | int
    count: int
    found: Found

    def put(self, instead: str) -> None:
        new = _parsed(instead)
        if isinstance(self.parent, list):
            at = int(self.key)
            old = self.parent[at]
            if isinstance(old, ast.stmt):
                new = new if isinstance(new, list) else [ast.Expr(new)]
            self.parent[at : at + self.count] = [self._filled(one, old) for one in _as_list(new)]
        else:
            setattr(self.parent, str(self.key), self._filled(_as_list(new)[0], getattr(self.parent, str(self.key))))

    def _filled(self, new: ast.AST, old: ast.AST) -> Any:
        filled = _Filler(self.found).visit(new)
        return ast.fix_missing_locations(ast.copy_location(filled, old))


class _Filler(ast.NodeTransformer):
    def __init__(self, found: Found) -> None:
        self._found = found

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return self._found[node.id] if _is_hole(node.id) else node


def _as_list(new: ast.expr | list[ast.stmt]) -> list[ast.AST]:
    return [*new] if isinstance(new, list) else [new]


def _parsed(text: str) -> ast.expr | list[ast.stmt]:
    body = ast.parse(text).body
    if len(body) == 1 and isinstance(body[0], ast.Expr):
        return body[0].value
    return body


def _is_hole(name: str) -> bool:
    return len(name) > 1 and name[0] == "_" and name[1:].isdigit()


def _like(passage: ast.expr, function: ast.AST) -> list[_Place]:
    """In the order of the source."""
    found = list(_all_like(passage, function))
    return [place for _, place in sorted(found, key=lambda one: one[0])]


def _all_like(passage: ast.expr, function: ast.AST) -> Iterator[tuple[tuple[int, int], _Place]]:
    for node in ast.walk(function):
        for key, value in ast.iter_fields(node):
            for parent, at, one in _children(node, key, value):
                found: Found = {}
                if isinstance(one, ast.expr) and _fits(passage, one, found):
                    yield (one.lineno, one.col_offset), _Place(parent, at, 1, found)


def _children(node: ast.AST, key: str, value: Any) -> Iterator[tuple[Any, str | int, Any]]:
    if isinstance(value, list):
        yield from ((value, at, one) for at, one in enumerate(value))
    else:
        yield node, key, value


def _statements_like(passage: list[ast.stmt], function: ast.AST) -> Iterator[_Place]:
    for node in ast.walk(function):
        for _, value in ast.iter_fields(node):
            if not (isinstance(value, list) and value and isinstance(value[0], ast.stmt)):
                continue
            for at in range(len(value) - len(passage) + 1):
                found: Found = {}
                if all(_fits(one, value[at + number], found) for number, one in enumerate(passage)):
                    yield _Place(value, at, len(passage), found)


def _fits(passage: Any, node: Any, found: Found) -> bool:
    if isinstance(passage, ast.Name) and _is_hole(passage.id):
        known = found.setdefault(passage.id, node)
        return isinstance(node, ast.expr) and ast.dump(known) == ast.dump(node)
    if isinstance(passage, list):
        if _is_any_body(passage):
            return isinstance(node, list)
        same = isinstance(node, list) and len(passage) == len(node)
        return same and all(_fits(one, other, found) for one, other in zip(passage, node, strict=True))
    if isinstance(passage, ast.AST):
        return type(passage) is type(node) and all(
            _fits(value, getattr(node, key), found) for key, value in ast.iter_fields(passage) if key not in _IGNORED
        )
    return type(passage) is type(node) and bool(passage == node)


def _is_any_body(passage: list[Any]) -> bool:
    match passage:
        case [ast.Expr(ast.Constant(value=value))]:
            return value is ...
    return False
