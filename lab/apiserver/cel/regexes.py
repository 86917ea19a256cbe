"""Go's regular expressions (RE2) for Python's `re`: the same strings match, and what Go refuses is refused.

Used for `pattern` in schemas and for `matches` in CEL. Not a full RE2: Unicode classes (`\\pL`) are refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final


class GoRegexError(ValueError):
    """Go would not compile it; the text is Go's."""


_POSIX: Final = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": "\\x00-\\x7F",
    "blank": "\\t ",
    "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\t\\n\\v\\f\\r ",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_TOKEN: Final = re.compile(
    r"\\.|\[:(?P<posix>\w+):\]|\[\^?\]?|\]|\$|\(\?(?P<group>P?[<=!#:]?[=!>(]?)|[*+?}][+]|.", re.DOTALL
)


@lru_cache(maxsize=4096)
def compile_go(pattern: str) -> re.Pattern[str]:
    """The compiled pattern, for `search`. Raises GoRegexError."""
    out: list[str] = []
    in_class = False
    for match in _TOKEN.finditer(pattern):
        token = match[0]
        out.append(_translated(token, match["posix"], in_class))
        if token.startswith("[") and not match["posix"] and not in_class:
            in_class = True
        elif token == "]":
            in_class = False
    try:
        return re.compile("".join(out), re.ASCII)
    except re.error as error:
        raise GoRegexError(f"error parsing regexp: {error.msg}: `{pattern}`") from None


def _translated(token: str, posix: str | None, in_class: bool) -> str:
    if in_class:
        if posix is not None:
            return _posix(posix)
        return "\\[" if token.startswith("[") else token
    if token.startswith("\\"):
        return _escape(token)
    if token == "$":
        return "\\Z"
    if token.startswith("(?"):
        return _group(token)
    if len(token) == 2 and token[1] == "+" and token[0] in "*+?":
        raise GoRegexError(f"error parsing regexp: invalid nested repetition operator: `{token}`")
    return token


def _posix(name: str) -> str:
    if name not in _POSIX:
        raise GoRegexError(f"error parsing regexp: invalid character class range: `[:{name}:]`")
    return _POSIX[name]


def _escape(token: str) -> str:
    letter = token[1]
    if letter == "z":
        return "\\Z"
    if letter.isdigit() and letter != "0":
        raise GoRegexError(f"error parsing regexp: invalid escape sequence: `{token}`")
    if letter in "ZpPGXuUN":
        raise GoRegexError(f"error parsing regexp: invalid escape sequence: `{token}`")
    return token


def _group(token: str) -> str:
    inner = token[2:]
    if inner in ("=", "!", "<=", "<!", "P=", "P>", "#", "(", ">"):
        raise GoRegexError(f"error parsing regexp: invalid or unsupported Perl syntax: `{token}`")
    return "(?P<" if inner == "<" else token
