"""The OpenAPI v2 document as protobuf (openapi.v2.Document of google/gnostic): kubectl reads it in no other form.

kubectl asks for it where the v3 documents say nothing: for a List, and for a kind that is not served. Of each message
only those fields are written that openapi.py puts into a document, and of schemas those that clients go by; bounds,
patterns, defaults and the like are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

Json = Mapping[str, Any]

MEDIA: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_ASKED: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"

_VARINT: Final = 0  # wire types of protobuf
_BYTES: Final = 2


def is_wanted(accept: str) -> bool:
    """Whether the first form that an Accept header asks for is this one."""
    first = accept.partition(",")[0].partition(";")[0].strip()
    return first in (_ASKED, MEDIA)


def encode(document: Json) -> bytes:
    """A Swagger 2.0 document as openapi.v2.Document."""
    info = _text(1, document["info"]["title"]) + _text(2, document["info"]["version"])
    paths = _named(2, document["paths"].items(), _path_item)
    definitions = _named(1, document["definitions"].items(), _schema)
    return _text(1, document["swagger"]) + _bytes(2, info) + _bytes(8, paths) + _bytes(9, definitions)


def _path_item(item: Json) -> bytes:
    return _bytes(8, _operation(item["patch"])) if "patch" in item else b""


def _operation(operation: Json) -> bytes:
    return b"".join(
        (
            _text(3, operation["description"]),
            _text(5, operation["operationId"]),
            *(_bytes(8, _parameter(each)) for each in operation["parameters"]),
            _bytes(9, _named(1, operation["responses"].items(), lambda each: _bytes(1, _text(1, each["description"])))),
            _extensions(13, operation),
        )
    )


def _parameter(parameter: Json) -> bytes:
    """A ParametersItem that is a Parameter that is a NonBodyParameter that is a QueryParameterSubSchema."""
    query = _text(2, parameter["in"]) + _text(4, parameter["name"]) + _text(5, parameter["type"])
    return _bytes(1, _bytes(2, _bytes(3, query + _flag(20, bool(parameter.get("uniqueItems"))))))


def _schema(schema: Json) -> bytes:
    return b"".join(_schema_fields(schema))


def _schema_fields(schema: Json) -> Iterator[bytes]:
    """The fields of a Schema, in the order of their numbers."""
    for number, name in ((1, "$ref"), (2, "format"), (4, "description")):
        if isinstance(schema.get(name), str):
            yield _text(number, schema[name])
    for each in schema.get("required") or ():
        yield _text(19, each)
    for each in schema.get("enum") or ():
        yield _bytes(20, _any(each))
    match schema.get("additionalProperties"):
        case bool(allowed):
            yield _bytes(21, _flag(2, allowed))
        case dict(values):
            yield _bytes(21, _bytes(1, _schema(values)))
    if schema.get("type"):
        yield _bytes(22, _text(1, schema["type"]))
    if isinstance(schema.get("items"), dict):
        yield _bytes(23, _bytes(1, _schema(schema["items"])))
    if schema.get("properties"):
        yield _bytes(25, _named(1, schema["properties"].items(), _schema))
    yield _extensions(31, schema)


def _extensions(number: int, holder: Json) -> bytes:
    """Vendor extensions: NamedAny messages."""
    return _named(number, ((name, value) for name, value in holder.items() if name.startswith("x-")), _any)


def _any(value: Any) -> bytes:
    """An Any: its YAML, for which JSON does."""
    return _bytes(2, msgspec.json.encode(value))


def _named(number: int, entries: Iterable[tuple[str, Any]], encode_value: Callable[[Any], bytes]) -> bytes:
    """A map as gnostic writes it: repeated messages of name and value."""
    return b"".join(_bytes(number, _text(1, name) + _bytes(2, encode_value(value))) for name, value in entries)


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _flag(number: int, value: bool) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(int(value))


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
