"""JSON from outside into values: whatever the bytes are, the only error is a ValueError.

msgspec follows nesting by recursion, also in fields that nobody reads, and gives up at about a thousand levels. An API
server stores ten times as many (`managedFields` takes what a client writes), and one such object must not hide a page.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")

DEEPEST_LEVEL = 100
"""Of nesting that is kept where all of it is too much; what Berth reads is within the first ten."""

# Each token is matched in one way only, and a text without its end goes to the end of all: the time is linear.
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+\\?(?:"|\Z)|[\[{]|[\]}]', re.DOTALL)


def decoder(type: type[T]) -> Callable[[bytes], T]:
    """Decodes such values. Raises ValueError for what is no JSON, no UTF-8, or has other types."""
    decode = msgspec.json.Decoder(type).decode  # noqa: TID251

    def tolerant(raw: bytes) -> T:
        try:
            return decode(raw)
        except RecursionError:
            return decode(without_depths(raw))

    return tolerant


def without_depths(raw: bytes) -> bytes:
    """The same JSON with null for every array and object below DEEPEST_LEVEL. Takes any bytes, and never recurses."""
    kept: list[bytes] = []
    level = began = 0
    for token in _TOKENS.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            level += 1
            if level == DEEPEST_LEVEL + 1:
                kept += [raw[began : token.start()], b"null"]
        elif first in b"]}":
            level -= 1
            if level == DEEPEST_LEVEL:
                began = token.end()
    if level <= DEEPEST_LEVEL:
        kept.append(raw[began:])
    return b"".join(kept)
