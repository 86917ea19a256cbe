"""CEL's own functions: operators, containers, conversions, times, strings, lists, sets, regular expressions.

This is a table of data, and so longer than most modules: name, parameter types, result type and the Python function of
each overload. Operators are in it under cel-go's names. What Kubernetes adds is in kubernetes.py; macros, `&&`, `||`,
`?:`, `==` and field selection are in compiler.py.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key
from itertools import pairwise
from typing import Any, Final
from zoneinfo import ZoneInfo

from lab.apiserver.cel import formatting
from lab.apiserver.cel import types as t
from lab.apiserver.cel.nodes import UInt
from lab.apiserver.cel.overloads import add, member
from lab.apiserver.cel.regexes import GoRegexError, compile_go
from lab.apiserver.cel.types import A, B, Type
from lab.apiserver.cel.values import (
    CelError,
    equal,
    format_double,
    format_duration,
    format_timestamp,
    order,
    parse_duration,
    parse_timestamp,
    type_name,
)


def parsed(parse: Callable[[str], Any], complaint: str) -> Callable[[str], Any]:
    """A conversion from text: `parse` gives None for what is wrong, and the conversion raises CelError then."""

    def convert(text: str) -> Any:
        value = parse(text)
        if value is None:
            raise CelError(f'{complaint} "{text}"')
        return value

    return convert


# Arithmetic. CEL's integers are 64 bits wide, and overflow is an error.


def to_int(value: int) -> int:
    """The same number, if an int (64 bits) can hold it. Raises CelError on overflow."""
    if -(2**63) <= value < 2**63:
        return value
    raise CelError("integer overflow")


def _uint(value: int) -> UInt:
    if 0 <= value < 2**64:
        return UInt(value)
    raise CelError("unsigned integer overflow")


def _quotient(one: int, other: int) -> int:
    if other == 0:
        raise CelError("division by zero")
    whole = abs(one) // abs(other)
    return whole if (one < 0) == (other < 0) else -whole


def _remainder(one: int, other: int) -> int:
    if other == 0:
        raise CelError("modulus by zero")
    rest = abs(one) % abs(other)
    return -rest if one < 0 else rest


def _divide(one: float, other: float) -> float:
    if other == 0:
        return float("nan") if one == 0 else float("inf") if one > 0 else float("-inf")
    return one / other


add("_+_", (t.INT, t.INT), t.INT, lambda a, b: to_int(a + b))
add("_+_", (t.STRING, t.STRING), t.STRING, lambda a, b: a + b)
add("_+_", (t.UINT, t.UINT), t.UINT, lambda a, b: _uint(int(a) + int(b)))
add("_+_", (t.DOUBLE, t.DOUBLE), t.DOUBLE, lambda a, b: a + b)
add("_+_", (t.BYTES, t.BYTES), t.BYTES, lambda a, b: a + b)
add("_+_", (t.list_of(A), t.list_of(A)), t.list_of(A), lambda a, b: a + b)
add("_+_", (t.TIMESTAMP, t.DURATION), t.TIMESTAMP, lambda a, b: a + b)
add("_+_", (t.DURATION, t.TIMESTAMP), t.TIMESTAMP, lambda a, b: a + b)
add("_+_", (t.DURATION, t.DURATION), t.DURATION, lambda a, b: a + b)
add("_-_", (t.INT, t.INT), t.INT, lambda a, b: to_int(a - b))
add("_-_", (t.UINT, t.UINT), t.UINT, lambda a, b: _uint(int(a) - int(b)))
add("_-_", (t.DOUBLE, t.DOUBLE), t.DOUBLE, lambda a, b: a - b)
add("_-_", (t.TIMESTAMP, t.TIMESTAMP), t.DURATION, lambda a, b: a - b)
add("_-_", (t.TIMESTAMP, t.DURATION), t.TIMESTAMP, lambda a, b: a - b)
add("_-_", (t.DURATION, t.DURATION), t.DURATION, lambda a, b: a - b)
add("_*_", (t.INT, t.INT), t.INT, lambda a, b: to_int(a * b))
add("_*_", (t.UINT, t.UINT), t.UINT, lambda a, b: _uint(int(a) * int(b)))
add("_*_", (t.DOUBLE, t.DOUBLE), t.DOUBLE, lambda a, b: a * b)
add("_/_", (t.INT, t.INT), t.INT, lambda a, b: to_int(_quotient(a, b)))
add("_/_", (t.UINT, t.UINT), t.UINT, lambda a, b: UInt(_quotient(a, b)))
add("_/_", (t.DOUBLE, t.DOUBLE), t.DOUBLE, _divide)
add("_%_", (t.INT, t.INT), t.INT, _remainder)
add("_%_", (t.UINT, t.UINT), t.UINT, lambda a, b: UInt(_remainder(a, b)))
add("-_", (t.INT,), t.INT, lambda a: to_int(-a))
add("-_", (t.DOUBLE,), t.DOUBLE, lambda a: -a)
add("!_", (t.BOOL,), t.BOOL, lambda a: not a)

_ORDERED: Final = (t.INT, t.STRING, t.DOUBLE, t.UINT, t.BOOL, t.BYTES, t.TIMESTAMP, t.DURATION)
_NUMBERS: Final = (t.INT, t.UINT, t.DOUBLE)


def _comparisons() -> None:
    direct: dict[str, Callable[[Any, Any], bool]] = {
        "_<_": lambda a, b: a < b,
        "_<=_": lambda a, b: a <= b,
        "_>_": lambda a, b: a > b,
        "_>=_": lambda a, b: a >= b,
    }
    for name, call in direct.items():
        for each in _ORDERED:
            add(name, (each, each), t.BOOL, call)
        for one in _NUMBERS:
            for other in _NUMBERS:
                if one is not other:
                    add(name, (one, other), t.BOOL, call)


_comparisons()

# Containers


def _index_list(items: list[Any], index: int | float) -> Any:
    if 0 <= index < len(items) and index == int(index):
        return items[int(index)]
    raise CelError(f"index out of bounds: {format_double(float(index))}")


def _index_map(entries: dict[Any, Any], key: Any) -> Any:
    try:
        return entries[key]
    except KeyError:
        raise CelError(f"no such key: {key}") from None


def _contains(item: Any, items: Iterable[Any]) -> bool:
    return any(equal(item, each) for each in items)


def _has_key(key: Any, entries: dict[Any, Any]) -> bool:
    return not isinstance(key, list | dict) and key in entries


add("_[_]", (t.list_of(A), t.INT), A, _index_list)
add("_[_]", (t.map_of(A, B), A), B, _index_map)
add("@in", (A, t.list_of(A)), t.BOOL, _contains)
add("@in", (A, t.map_of(A, B)), t.BOOL, _has_key)
for _kind in (t.STRING, t.BYTES, t.list_of(A), t.map_of(A, B)):
    add("size", (_kind,), t.INT, len)
    member("size", (_kind,), t.INT, len)


def _is_sorted(items: list[Any]) -> bool:
    return all(order(one, other) <= 0 for one, other in pairwise(items))


def _sum(items: list[Any]) -> Any:
    if items and isinstance(items[0], timedelta):
        return sum(items, timedelta(0))
    return sum(items) if items else 0


def _extreme(sign: int, name: str) -> Callable[[list[Any]], Any]:
    def pick(items: list[Any]) -> Any:
        if not items:
            raise CelError(f"{name} called on empty list")
        best = items[0]
        for item in items[1:]:
            if order(item, best) * sign > 0:
                best = item
        return best

    return pick


def _index_of(items: list[Any], item: Any) -> int:
    return next((index for index, each in enumerate(items) if equal(each, item)), -1)


def _last_index_of(items: list[Any], item: Any) -> int:
    return next((index for index in reversed(range(len(items))) if equal(items[index], item)), -1)


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not _contains(item, kept):
            kept.append(item)
    return kept


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end > len(items) or start > end:
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        if isinstance(item, list) and depth > 0:
            flat += _flatten(item, depth - 1)
        else:
            flat.append(item)
    return flat


def sort_values(items: list[Any], keys: list[Any]) -> list[Any]:
    """The items by the order of their keys; stable."""

    def compare(one: tuple[Any, Any], other: tuple[Any, Any]) -> int:
        return order(one[0], other[0])

    return [item for _, item in sorted(zip(keys, items, strict=True), key=cmp_to_key(compare))]


_LIST: Final = t.list_of(A)
member("isSorted", (_LIST,), t.BOOL, _is_sorted)
member("sum", (_LIST,), A, _sum)
member("min", (_LIST,), A, _extreme(-1, "min"))
member("max", (_LIST,), A, _extreme(1, "max"))
member("indexOf", (_LIST, A), t.INT, _index_of)
member("lastIndexOf", (_LIST, A), t.INT, _last_index_of)
member("distinct", (_LIST,), _LIST, _distinct)
member("slice", (_LIST, t.INT, t.INT), _LIST, _slice)
member("flatten", (_LIST,), t.list_of(t.DYN), _flatten)
member("flatten", (_LIST, t.INT), t.list_of(t.DYN), _flatten)
member("sort", (_LIST,), _LIST, lambda items: sort_values(items, items))
member("reverse", (_LIST,), _LIST, lambda items: items[::-1])
add("lists.range", (t.INT,), t.list_of(t.INT), lambda count: list(range(count)))
add("sets.contains", (_LIST, _LIST), t.BOOL, lambda a, b: all(_contains(each, a) for each in b))
add(
    "sets.equivalent",
    (_LIST, _LIST),
    t.BOOL,
    lambda a, b: all(_contains(each, a) for each in b) and all(_contains(each, b) for each in a),
)
add("sets.intersects", (_LIST, _LIST), t.BOOL, lambda a, b: any(_contains(each, a) for each in b))


def _greatest(*values: Any) -> Any:
    return _extreme(1, "math.greatest")(values[0] if isinstance(values[0], list) else list(values))


def _least(*values: Any) -> Any:
    return _extreme(-1, "math.least")(values[0] if isinstance(values[0], list) else list(values))


for _name, _function in (("math.greatest", _greatest), ("math.least", _least)):
    add(_name, (_LIST,), A, _function)
    for _count in range(1, 6):
        add(_name, (A,) * _count, A, _function)
add("math.abs", (t.INT,), t.INT, lambda value: to_int(abs(value)))
add("math.abs", (t.DOUBLE,), t.DOUBLE, abs)

# Conversions


def _string_to_int(text: str) -> int:
    try:
        return to_int(int(text, 10))
    except ValueError:
        raise CelError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _double_to_int(value: float) -> int:
    if value != value or not -(2.0**63) < value < 2.0**63:
        raise CelError("integer overflow")
    return int(value)


def _string_to_double(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CelError(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from None


def _string_to_bool(text: str) -> bool:
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise CelError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


add("int", (t.INT,), t.INT, lambda value: value)
add("int", (t.UINT,), t.INT, lambda value: to_int(int(value)))
add("int", (t.DOUBLE,), t.INT, _double_to_int)
add("int", (t.STRING,), t.INT, _string_to_int)
add("int", (t.TIMESTAMP,), t.INT, lambda value: int(value.timestamp()))
add("uint", (t.INT,), t.UINT, _uint)
add("uint", (t.UINT,), t.UINT, lambda value: value)
add("uint", (t.DOUBLE,), t.UINT, lambda value: _uint(int(value)))
add("uint", (t.STRING,), t.UINT, lambda value: _uint(_string_to_int(value)))
add("double", (t.INT,), t.DOUBLE, float)
add("double", (t.UINT,), t.DOUBLE, float)
add("double", (t.DOUBLE,), t.DOUBLE, lambda value: value)
add("double", (t.STRING,), t.DOUBLE, _string_to_double)
add("string", (t.STRING,), t.STRING, lambda value: value)
add("string", (t.INT,), t.STRING, str)
add("string", (t.UINT,), t.STRING, lambda value: str(int(value)))
add("string", (t.DOUBLE,), t.STRING, lambda value: format_double(float(value)))
add("string", (t.BOOL,), t.STRING, lambda value: "true" if value else "false")
add("string", (t.BYTES,), t.STRING, lambda value: value.decode())
add("string", (t.TIMESTAMP,), t.STRING, format_timestamp)
add("string", (t.DURATION,), t.STRING, format_duration)
add("string", (t.IP,), t.STRING, str)
add("string", (t.CIDR,), t.STRING, str)
add("bytes", (t.STRING,), t.BYTES, lambda value: value.encode())
add("bytes", (t.BYTES,), t.BYTES, lambda value: value)
add("bool", (t.BOOL,), t.BOOL, lambda value: value)
add("bool", (t.STRING,), t.BOOL, _string_to_bool)
add("timestamp", (t.STRING,), t.TIMESTAMP, parsed(parse_timestamp, "invalid timestamp"))
add("timestamp", (t.INT,), t.TIMESTAMP, lambda value: datetime.fromtimestamp(value, UTC))
add("timestamp", (t.TIMESTAMP,), t.TIMESTAMP, lambda value: value)
add("duration", (t.STRING,), t.DURATION, parsed(parse_duration, "invalid duration"))
add("duration", (t.DURATION,), t.DURATION, lambda value: value)
add("dyn", (A,), t.DYN, lambda value: value)
add("type", (A,), t.TYPE, lambda value: Type(type_name(value)))
add("base64.encode", (t.BYTES,), t.STRING, lambda value: base64.b64encode(value).decode())
add("base64.decode", (t.STRING,), t.BYTES, lambda value: base64.b64decode(value))

# Times


def _zoned(value: datetime, zone: str = "UTC") -> datetime:
    return value.astimezone(ZoneInfo(zone))


def _time_parts() -> None:
    parts: dict[str, Callable[[datetime], int]] = {
        "getFullYear": lambda at: at.year,
        "getMonth": lambda at: at.month - 1,
        "getDate": lambda at: at.day,
        "getDayOfMonth": lambda at: at.day - 1,
        "getDayOfWeek": lambda at: at.isoweekday() % 7,
        "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
        "getHours": lambda at: at.hour,
        "getMinutes": lambda at: at.minute,
        "getSeconds": lambda at: at.second,
        "getMilliseconds": lambda at: at.microsecond // 1000,
    }
    for name, part in parts.items():
        member(name, (t.TIMESTAMP,), t.INT, lambda value, part=part: part(_zoned(value)))
        member(name, (t.TIMESTAMP, t.STRING), t.INT, lambda value, zone, part=part: part(_zoned(value, zone)))
    spans = {"getHours": 3600, "getMinutes": 60, "getSeconds": 1}
    for name, seconds in spans.items():
        member(name, (t.DURATION,), t.INT, lambda value, seconds=seconds: int(value.total_seconds() / seconds))
    member("getMilliseconds", (t.DURATION,), t.INT, lambda value: int(value.total_seconds() * 1000) % 1000)


_time_parts()

# Strings


def _matches(text: str, pattern: str) -> bool:
    return _regex(pattern).search(text) is not None


def _regex(pattern: str) -> Any:
    try:
        return compile_go(pattern)
    except GoRegexError as error:
        raise CelError(str(error)) from None


def _find(text: str, pattern: str) -> str:
    found = _regex(pattern).search(text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _regex(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _char_at(text: str, index: int) -> str:
    if 0 <= index <= len(text):
        return text[index : index + 1]
    raise CelError(f"index out of range: {index}")


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    if not 0 <= stop <= len(text):
        raise CelError(f"index out of range: {stop}")
    if start > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return text[start:stop]


def _text_index(text: str, part: str, offset: int = 0) -> int:
    if not 0 <= offset <= len(text):
        raise CelError(f"index out of range: {offset}")
    return text.find(part, offset)


def _text_last_index(text: str, part: str, offset: int | None = None) -> int:
    return text.rfind(part) if offset is None else text.rfind(part, 0, offset + len(part))


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator == "":
        pieces = list(text)
        return pieces if limit < 0 or limit >= len(pieces) else [*pieces[: limit - 1], "".join(pieces[limit - 1 :])]
    return text.split(separator, limit - 1 if limit > 0 else -1)


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    return text.replace(old, new, limit)


def _ascii_case(upper: bool) -> Callable[[str], str]:
    change: Callable[[str], str] = str.upper if upper else str.lower
    return lambda text: "".join(change(letter) if letter.isascii() else letter for letter in text)


_S: Final = t.STRING
member("contains", (_S, _S), t.BOOL, lambda text, part: part in text)
member("startsWith", (_S, _S), t.BOOL, str.startswith)
member("endsWith", (_S, _S), t.BOOL, str.endswith)
member("matches", (_S, _S), t.BOOL, _matches)
add("matches", (_S, _S), t.BOOL, _matches)
member("find", (_S, _S), _S, _find)
member("findAll", (_S, _S), t.list_of(_S), _find_all)
member("findAll", (_S, _S, t.INT), t.list_of(_S), _find_all)
member("charAt", (_S, t.INT), _S, _char_at)
member("indexOf", (_S, _S), t.INT, _text_index)
member("indexOf", (_S, _S, t.INT), t.INT, _text_index)
member("lastIndexOf", (_S, _S), t.INT, _text_last_index)
member("lastIndexOf", (_S, _S, t.INT), t.INT, _text_last_index)
member("lowerAscii", (_S,), _S, _ascii_case(False))
member("upperAscii", (_S,), _S, _ascii_case(True))
member("replace", (_S, _S, _S), _S, _replace)
member("replace", (_S, _S, _S, t.INT), _S, _replace)
member("split", (_S, _S), t.list_of(_S), _split)
member("split", (_S, _S, t.INT), t.list_of(_S), _split)
member("substring", (_S, t.INT), _S, _substring)
member("substring", (_S, t.INT, t.INT), _S, _substring)
member("trim", (_S,), _S, str.strip)
member("reverse", (_S,), _S, lambda text: text[::-1])
member("join", (t.list_of(_S),), _S, "".join)
member("join", (t.list_of(_S), _S), _S, lambda items, separator: separator.join(items))
member("format", (_S, t.list_of(t.DYN)), _S, formatting.format_text)
add("strings.quote", (_S,), _S, formatting.quote)
