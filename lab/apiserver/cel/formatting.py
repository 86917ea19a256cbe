"""CEL's `string.format()` and quoting, and the checks of the `format` library.

Types and dispatch are in library.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from lab.apiserver.cel.types import Type
from lab.apiserver.cel.values import CelError, format_double, format_duration, format_timestamp

_CLAUSE: Final = re.compile(r"%(%|(?:\.(\d+))?([sdfebxXo]))")


def quote(text: str) -> str:
    """A double-quoted literal."""
    return json.dumps(text, ensure_ascii=False)


def shown(value: Any) -> str:
    """A value as `%s` shows it."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return format_double(value)
        case list():
            return f"[{', '.join(shown(each) for each in value)}]"
        case dict():
            return f"{{{', '.join(f'{shown(key)}: {shown(each)}' for key, each in sorted(value.items()))}}}"
        case datetime():
            return format_timestamp(value)
        case timedelta():
            return format_duration(value)
        case bytes():
            return value.decode(errors="replace")
        case Type():
            return value.name
        case _:
            return str(value)


def format_text(template: str, args: list[Any]) -> str:
    """`"%s of %d".format([a, b])`. Raises CelError for a clause without an argument, or of the wrong type."""
    remaining = iter(enumerate(args))

    def clause(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        index, value = next(remaining, (-1, None))
        if index < 0:
            raise CelError(f"index {len(args)} out of range")
        return _clause(match[3], int(match[2]) if match[2] else None, value)

    return _CLAUSE.sub(clause, template)


def _clause(letter: str, precision: int | None, value: Any) -> str:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    match letter:
        case "s":
            return shown(value)
        case "d" if is_integer or isinstance(value, float):
            return str(int(value)) if is_integer else format_double(value)
        case "f" if is_integer or isinstance(value, float):
            return f"{float(value):.{6 if precision is None else precision}f}"
        case "e" if is_integer or isinstance(value, float):
            return f"{float(value):.{6 if precision is None else precision}e}"
        case "b" if is_integer or isinstance(value, bool):
            return f"{int(value):b}"
        case "o" if is_integer:
            return f"{int(value):o}"
        case "x" | "X" if is_integer or isinstance(value, str | bytes):
            text = f"{value:x}" if is_integer else (value.encode() if isinstance(value, str) else value).hex()
            return text.upper() if letter == "X" else text
    raise CelError(f"error during formatting: {letter} clause does not take a {type(value).__name__}")


_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_1035: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_QUALIFIED: Final = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
)

NAMED: Final[Mapping[str, Callable[[str], bool]]] = {
    "dns1123Label": lambda text: len(text) <= 63 and _LABEL.fullmatch(text) is not None,
    "dns1035Label": lambda text: len(text) <= 63 and _LABEL_1035.fullmatch(text) is not None,
    "dns1123Subdomain": lambda text: len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None,
    "qualifiedName": lambda text: _QUALIFIED.fullmatch(text) is not None,
    "labelValue": lambda text: len(text) <= 63 and _LABEL_VALUE.fullmatch(text) is not None,
}


def format_errors(name: str, text: str) -> list[str]:
    """Why a text is not of a named format; empty when it is."""
    return [] if NAMED[name](text) else [f"{quote(text)} is not a valid {name}"]
