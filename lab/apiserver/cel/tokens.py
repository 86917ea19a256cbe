"""The words of an expression: text to tokens, and what a number or a string among them stands for.

Grammar: the CEL specification (cel-spec, langdef.md, Syntax).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lab.apiserver.cel.nodes import CelSyntaxError, Literal, UInt

_TOKEN: Final = re.compile(
    r"""
    (?P<space>[ \t\n\f\r]+|//[^\n]*)
  | (?P<string>(?:[rR][bB]?|[bB][rR]?)?
      (?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^\\'\n\r]|\\.)*'|"(?:[^\\"\n\r]|\\.)*"))
  | (?P<rawstring>[rR](?:'[^'\n\r]*'|"[^"\n\r]*"))
  | (?P<float>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
  | (?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<quoted>`[^`\n\r]+`)
  | (?P<op>==|!=|<=|>=|&&|\|\||[<>+\-*/%!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
RESERVED: Final = frozenset(
    (
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"),
        *("namespace", "return", "var", "void", "while"),
    )
)
_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "`": "`",
    "?": "?",
}
_ESCAPE: Final = re.compile(
    r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word; `kind` is the name of a group of the pattern above, `position` a 0-based offset."""

    kind: str
    text: str
    position: int


def tokens(text: str) -> list[Token]:
    """The words of a text, without space and comments. Raises CelSyntaxError."""
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CelSyntaxError(f"Syntax error: token recognition error at: '{text[position]}'", position)
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token("string" if kind == "rawstring" else kind, match[0], position))
        position = match.end()
    return found


def number_of(token: Token, position: int, *, negative: bool = False) -> Literal:
    """The constant that a number stands for. Raises CelSyntaxError for an int beyond 64 bits."""
    sign = -1 if negative else 1
    match token.kind:
        case "float":
            return Literal(position, sign * float(token.text))
        case "uint":
            value = int(token.text[:-1], 0) if "x" in token.text else int(token.text[:-1])
            return Literal(position, UInt(value))
        case _:
            number = sign * (int(token.text, 16) if token.text.startswith("0x") else int(token.text))
            if not -(2**63) <= number < 2**63:
                raise CelSyntaxError("invalid int literal", position)
            return Literal(position, number)


def text_of(token: Token) -> str | bytes:
    """What stands between the quotes, unescaped unless it is raw; bytes with the prefix `b`."""
    prefix, text = re.match(r"([rRbB]*)(.*)", token.text, re.DOTALL).groups()  # type: ignore[union-attr]
    quotes = 3 if text[:3] in ("'''", '"""') and len(text) >= 6 else 1
    body = text[quotes:-quotes]
    if "r" not in prefix.lower():
        body = _ESCAPE.sub(lambda match: _unescaped(match[1], token.position), body)
    return body.encode() if "b" in prefix.lower() else body


def _unescaped(code: str, position: int) -> str:
    if code[0] in "xXuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "0123" and len(code) == 3:
        return chr(int(code, 8))
    if code in _ESCAPES:
        return _ESCAPES[code]
    raise CelSyntaxError("Syntax error: unable to unescape string", position)
