"""The OpenAPI v2 document as protobuf; that kubectl can read it is shown in test_kubectl.py."""

from __future__ import annotations

import pytest

from lab.apiserver.documents.openapiproto import MEDIA, encode, is_wanted

JSON = "application/json"
KUBECTL = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (KUBECTL, True),
        (f"{MEDIA};q=1, {JSON}", True),
        (f"{JSON}, {KUBECTL}", False),
        (JSON, False),
        ("*/*", False),
        ("", False),
    ],
)
def test_it_is_given_to_clients_that_ask_for_it_first(accept: str, wanted: bool) -> None:
    assert is_wanted(accept) is wanted


def test_a_schema_is_written_field_by_field() -> None:
    document = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "v"},
        "paths": {},
        "definitions": {
            "A": {
                "type": "object",
                "required": ["b"],
                "properties": {"b": {"$ref": "#/definitions/B"}, "c": {"type": "array", "items": {"type": "string"}}},
                "additionalProperties": False,
                "x-kind": {"k": 1},
            }
        },
    }
    b = b"\x0a\x01b\x12\x11\x0a\x0f#/definitions/B"
    items = b"\xb2\x01\x08\x0a\x06string"
    array = b"\xb2\x01\x07\x0a\x05array" + b"\xba\x01\x0d\x0a\x0b" + items
    c = b"\x0a\x01c\x12" + bytes([len(array)]) + array
    properties = b"\x0a" + bytes([len(b)]) + b + b"\x0a" + bytes([len(c)]) + c
    schema = (
        b"\x9a\x01\x01b"
        + b"\xaa\x01\x02\x10\x00"
        + b"\xb2\x01\x08\x0a\x06object"
        + b"\xca\x01"
        + bytes([len(properties)])
        + properties
        + b'\xfa\x01\x13\x0a\x06x-kind\x12\x09\x12\x07{"k":1}'
    )
    named = b"\x0a\x01A\x12" + bytes([len(schema)]) + schema
    definitions = b"\x0a" + bytes([len(named)]) + named
    expected = b"\x0a\x032.0" + b"\x12\x06\x0a\x01T\x12\x01v" + b"\x42\x00" + b"\x4a" + bytes([len(definitions)])
    assert encode(document) == expected + definitions
