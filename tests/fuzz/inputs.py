"""Strange input: kept examples of what a decoder understands, and what becomes of them by small changes.

corpora/ has a file for each kind of input, with an example in each line, written as Python writes bytes. A change is a
change of bytes, or, of JSON, of one value in it. Pure: randomness is an argument.
"""

import ast
import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

CORPORA = Path(__file__).with_name("corpora")
LONGEST = 4096
"""Bytes of an example that is changed: what is longer takes long, and shows no more."""

STRANGE: tuple[Any, ...] = (
    "", "a" * 5000, "\0", "\ud7ff\n; announce", "\ud800", "²", "٣.٣.٣.٣", "1" * 5000, "-1", "1e999", "0x", "%",
    "10.0.0.1", "192.0.2.11,192.0.2.12", "::ffff:10.0.0.1", "fe80::1%eth0", "0.0.0.0/0", "2001:db8::/129",
    "65536:1", "large:1:2:4294967296", "/((\\w+)+)+-/", "[" * 64, "*" * 64, "2026-11-27", "2026-11-27T00:00:00Z",
    0, -1, 1, 65536, 2**31, 2**63 - 1, 2**63, 2**64, 10**400, 1e308, 0.5, True, None, [], {}, [None], [[]], {"": ""},
    ["eth0"] * 300, [{}] * 300, {"a" * 300: None},
)  # fmt: skip

BYTES = (
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b"\\",
    b"1" * 5000,
    b"\xd9\xa3",
    b"\xed\xa0\x80",
    b" " * 300,
)


@cache
def kept(corpus: str) -> tuple[bytes, ...]:
    """The examples of that file."""
    lines = (CORPORA / f"{corpus}.txt").read_text().splitlines()
    return tuple(ast.literal_eval(line) for line in lines if line)


def keep(corpus: str, examples: Sequence[bytes]) -> None:
    """Add them to the file."""
    every = dict.fromkeys([*kept(corpus), *examples])
    (CORPORA / f"{corpus}.txt").write_text("".join(f"{one!r}\n" for one in every))


def changed(corpus: str, rng: random.Random) -> bytes:
    """One of the examples, changed in a few places, or not at all."""
    examples = kept(corpus)
    raw = rng.choice(examples)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 8))):
        raw = another(raw, rng.choice(examples), rng)
    return raw


def another(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    """Changed in one place. `other`: a part of it may be a part of the result."""
    if raw[:1] in (b"{", b"[") and rng.random() < 0.7:
        return _with_another_value(raw, rng)
    return _with_other_bytes(raw[:LONGEST], other, rng)


def _with_other_bytes(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    at, end = sorted((rng.randint(0, len(raw)), rng.randint(0, len(raw))))
    match rng.randrange(6):
        case 0:
            return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + raw[end:]
        case 2:
            return raw[:end] + raw[at:]
        case 3:
            return raw[:at] + rng.choice(BYTES) + raw[at:]
        case 4:
            return raw[:at] + other[rng.randint(0, len(other)) :][:LONGEST]
        case _:
            return raw[:at]


def _with_another_value(raw: bytes, rng: random.Random) -> bytes:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    places = list(_places(value))
    if not places:
        return raw
    container, key = rng.choice(places)
    match rng.randrange(6):
        case 0 if isinstance(container, dict):
            del container[key]
        case 1:
            container[key] = [container[key]] * rng.choice((1, 2, 300))
        case 2:
            container[key] = _nested(rng.choice((5, 50, 2000)))
        case _:
            container[key] = rng.choice(STRANGE)
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 2000 + b"]" * 2000


def _nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels if levels < 900 else 900):
        value = [value]
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and every item, with what holds it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)
