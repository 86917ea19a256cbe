"""The subset of Kubernetes' JSONPath that printer columns, selectable fields and `kubectl -o jsonpath` users write.

`.a.b`, `['a.b']`, `[0]`, `[-1]`, `[*]`, `[1:3]`, `..a`, `[?(@.type=="Ready")]`. No template text around it (`{range}`).
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

Step = Callable[[Any], Iterator[Any]]


class JsonPathError(ValueError):
    """The path can't be parsed."""


class JsonPath:
    """A compiled path."""

    def __init__(self, path: str) -> None:
        text = path.strip()
        if text.startswith("{") and text.endswith("}"):
            text = text[1:-1]
        self.text = text
        self._steps = _parse(text.removeprefix("$"))

    def find(self, obj: Any) -> list[Any]:
        """All values the path leads to; an empty list when there is none."""
        values = [obj]
        for step in self._steps:
            values = [found for value in values for found in step(value)]
            if not values:
                break
        return values


_STEP: Final = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*)
      | \.?\[\?\((?P<filter>(?:"[^"]*"|'[^']*'|[^()"']|\([^()]*\))*)\)\]
      | \.?\[(?P<inside>(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\]'"])*)\]
      | \.(?P<name>(?:\\.|[^.\[\]\\\s()])+)
      | \.(?=$)
    """,
    re.VERBOSE,
)


def _parse(text: str) -> list[Step]:
    steps: list[Step] = []
    position = 0
    if text and text[0] not in ".[":
        text = f".{text}"
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise JsonPathError(f"unrecognized character in action: {text[position:]}")
        steps += _steps(match)
        position = match.end()
    return steps


def _steps(match: re.Match[str]) -> list[Step]:
    if match["deep"] is not None:
        return [_descend(match["deep"])]
    if match["filter"] is not None:
        return [_filter(match["filter"])]
    if match["inside"] is not None:
        return [_bracket(match["inside"].strip())]
    if match["name"] is not None:
        name = match["name"]
        return [_all_items if name == "*" else _field(re.sub(r"\\(.)", r"\1", name))]
    return []


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _all_items(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        yield from value.values()


def _descend(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for child in _all_items(value):
            if name == "*":
                yield child
            yield from step(child)

    return step


def _bracket(inside: str) -> Step:
    if inside == "*":
        return _all_items
    if re.fullmatch(r"-?\d+", inside):
        return _item(int(inside))
    if re.fullmatch(r"-?\d*:-?\d*(:\d+)?", inside):
        parts = [int(part) if part else None for part in inside.split(":")]
        chosen = slice(*parts)
        return lambda value: iter(value[chosen] if isinstance(value, list) else ())
    names = re.findall(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", inside)
    if not names:
        raise JsonPathError(f"invalid array index {inside}")
    fields = [_field(re.sub(r"\\(.)", r"\1", one or other)) for one, other in names]
    return lambda value: (found for field in fields for found in field(value))


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


_FILTER: Final = re.compile(r"^\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*$")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _filter(condition: str) -> Step:
    match = _FILTER.match(condition)
    if match is None:
        present = _operand(condition.strip())
        return lambda value: (item for item in _all_items(value) if present(item))
    left, right, compare = _operand(match[1]), _operand(match[3]), _COMPARISONS[match[2]]

    def step(value: Any) -> Iterator[Any]:
        for item in _all_items(value):
            one, other = left(item), right(item)
            if one and other and _holds(compare, one[0], other[0]):
                yield item

    return step


def _holds(compare: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    try:
        return compare(one, other)
    except TypeError:
        return False


def _operand(text: str) -> Callable[[Any], list[Any]]:
    if text.startswith("@"):
        steps = JsonPath(text[1:] or ".")
        return steps.find
    if text[:1] == "'" and text[-1:] == "'":
        constant: Any = text[1:-1]
    else:
        try:
            constant = json.loads(text)
        except ValueError:
            raise JsonPathError(f"unrecognized identifier {text}") from None
    return lambda _: [constant]
