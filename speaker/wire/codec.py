"""Messages as bytes: what a field may be, how a message is read from its packet, and how one is cut to fit packets.

No I/O, and the standard library only. Which messages there are is in speaker.wire.messages.

A packet is one message in JSON, `[sequence, kind, field, ...]`, with the fields in their order and bytes as hex. Both
ends are of one build, so no other version has to understand this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

MAX_MESSAGE_BYTES = 32 * 1024

_to_json = json.JSONEncoder(separators=(",", ":"), default=bytes.hex).encode
_from_json = json.JSONDecoder().decode


class MessageError(Exception):
    """Not a message, or one that no packet can carry: one of the two ends is wrong."""


# ---- what a field may be: each returns the value, or raises TypeError or ValueError

Shape = Callable[[Any], Any]
M = TypeVar("M")


def text(value: Any) -> str:
    if type(value) is str:
        return value
    raise TypeError("not a text")


def flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise TypeError("not a boolean")


def whole(value: Any) -> int:
    if type(value) is int:
        return value
    raise TypeError("not a whole number")


def number(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return value
    raise TypeError("not a number")


def texts(value: Any) -> tuple[str, ...]:
    "".join(listed(value))  # raises TypeError when one is no text: the fastest way to look at them all
    return tuple(value)


def listed(value: Any) -> list[Any]:
    if type(value) is list:
        return value
    raise TypeError("not a list")


def key(value: Any) -> bytes:
    """Bytes, written in hex."""
    return bytes.fromhex(text(value))


def many(shape: Shape) -> Shape:
    """A list of such values, as a tuple."""
    return lambda value: tuple([shape(one) for one in listed(value)])


def by_name(shape: Shape) -> Shape:
    """An object with such values."""
    return lambda value: {name: shape(one) for name, one in value.items()}


def or_none(shape: Shape) -> Shape:
    """Such a value, or null."""
    return lambda value: None if value is None else shape(value)


def row(*shapes: Shape) -> Shape:
    """A list with just these values, as a tuple."""
    return lambda value: tuple([shape(one) for shape, one in zip(shapes, listed(value), strict=True)])


def record(made: Callable[..., Any], *shapes: Shape) -> Shape:
    """A list with just these values, as the NamedTuple that `made` makes of them."""
    return lambda value: made(*[shape(one) for shape, one in zip(shapes, listed(value), strict=True)])


class _Kind(NamedTuple):
    """How messages of one kind are read, and cut: along the field `cut`, `most` items at a time; "" = never."""

    read: Shape
    cut: str
    most: int


_KINDS: dict[str, _Kind] = {}


def _differs(one: Any, other: Any) -> bool:
    return not one == other  # noqa: SIM201


def distinct(kind: type[M]) -> type[M]:
    """Makes values of this NamedTuple equal only to values of the same class; tuples compare their fields alone."""
    kind.__eq__ = lambda self, other: type(self) is type(other) and tuple.__eq__(self, other)  # type: ignore
    kind.__ne__ = _differs  # type: ignore
    kind.__hash__ = tuple.__hash__  # type: ignore
    return kind


def message(*shapes: Shape, cut: str = "", most: int = 0) -> Callable[[type[M]], type[M]]:
    """Makes a NamedTuple a kind of message, with the shapes of its fields. `cut` and `most`: see _Kind."""

    def known(kind: type[M]) -> type[M]:
        _KINDS[kind.__name__] = _Kind(record(kind, *shapes), cut, most)
        return distinct(kind)

    return known


# ---- packets


def encode(message: Any, sequence: int = 0) -> bytes:
    """As a packet, however long; see `packets`."""
    kind = type(message).__name__
    if not message:  # as confirmations: too many to take the long way
        return f'[{sequence},"{kind}"]'.encode()
    return _to_json((sequence, kind, *message)).encode()


def decode(packet: bytes) -> tuple[int, Any]:
    """The sequence number and the message. Raises MessageError."""
    try:
        sequence, kind, *fields = _from_json(packet.decode())
        return whole(sequence), _KINDS[kind].read(fields)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MessageError(f"not a message: {packet[:80]!r}: {error}") from None


def packets(message: Any, sequences: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """The message in as many packets as it needs, at least one, each with the next of the sequence numbers.

    Raises MessageError when a single item is too long.
    """
    most = _KINDS[type(message).__name__].most
    for piece in _cut(message, most) if most else [message]:
        yield from _fitting(piece, sequences)


def joined(before: M | None, part: M) -> M:
    """What was cut, put together again part by part: all of it when `is_last` is set.

    `before`: what this returned last; parts of an order that never came to its end are forgotten.
    """
    whole: Any = part
    if not whole.is_first:
        if before is None:
            raise MessageError(f"the first part is missing: {type(part).__name__}")
        field = _KINDS[type(part).__name__].cut
        whole = whole._replace(**{field: {**getattr(before, field), **getattr(part, field)}, "is_first": True})
    return whole  # type: ignore[no-any-return]


def _fitting(piece: Any, sequences: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    sequence = next(sequences)
    packet = encode(piece, sequence)
    if len(packet) <= MAX_MESSAGE_BYTES:
        yield sequence, packet
        return
    field = _KINDS[type(piece).__name__].cut
    items = len(getattr(piece, field)) if field else 0
    if items < 2:
        raise MessageError(f"longer than {MAX_MESSAGE_BYTES} bytes: {packet[:80]!r}")
    for half in _cut(piece, (items + 1) // 2):
        yield from _fitting(half, sequences)


def _cut(message: Any, most: int) -> Iterator[Any]:
    """Pieces of at most so many items, and at least one piece."""
    field = _KINDS[type(message).__name__].cut
    items = getattr(message, field)
    if len(items) <= most:
        yield message
        return
    is_mapping = isinstance(items, dict)
    rest = tuple(items.items()) if is_mapping else items
    has_parts = "is_first" in message._fields
    for at in range(0, len(rest), most):
        some = rest[at : at + most]
        piece = message._replace(**{field: dict(some) if is_mapping else some})
        if has_parts:
            is_end = at + most >= len(rest)
            piece = piece._replace(is_first=message.is_first and at == 0, is_last=message.is_last and is_end)
        yield piece
