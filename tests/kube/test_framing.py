import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.errors import ApiError, Gone, ServerError, Unreachable
from kube.framing import LONGEST_LINE_BYTES, LineBuffer, decode_event, decode_page


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.data())
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines) + b"partial"
    buffer, got = LineBuffer(), []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        got += buffer.feed(whole[:size])
        whole = whole[size:]
    assert got == [line for line in lines if line]


def test_a_stream_without_newlines_does_not_fill_the_memory() -> None:
    buffer = LineBuffer()
    buffer.feed(b"x" * LONGEST_LINE_BYTES)
    with pytest.raises(Unreachable):
        buffer.feed(b"x")


def test_a_page_gives_its_objects_untouched() -> None:
    page = decode_page(b'{"metadata":{"resourceVersion":"5","continue":"t"},"items":[{"a": 1},{"b":"\\u00e9"}]}')
    assert page.items == [b'{"a": 1}', b'{"b":"\\u00e9"}']
    assert (page.resource_version, page.continue_token) == ("5", "t")


@pytest.mark.parametrize(
    "body", [b'{"metadata":{"resourceVersion":"5"},"items":null}', b'{"metadata":{"resourceVersion":"5"}}']
)
def test_an_empty_list_may_say_null(body: bytes) -> None:
    assert decode_page(body).items == []


def test_what_is_no_list_is_not_taken_for_an_empty_one() -> None:
    with pytest.raises(Unreachable):
        decode_page(b"<html>log in</html>")
    with pytest.raises(Unreachable):
        decode_page(b'{"items": []}')


@pytest.mark.parametrize("text", ["caf\u00e9".encode("latin-1"), b"\xff\xfe"])
def test_bytes_that_are_no_utf_8_are_no_answer_of_an_api_server(text: bytes) -> None:
    with pytest.raises(Unreachable):
        decode_page(b'{"metadata":{"resourceVersion":"%s"},"items":[]}' % text)
    with pytest.raises(Unreachable):
        decode_event(b'{"type":"%s","object":{}}' % text)


def test_an_object_nested_ten_thousand_times_hides_no_other() -> None:
    deep = b'{"metadata":{"name":"a","resourceVersion":"9"},"x":%s}' % (b"[" * 9_990 + b"]" * 9_990)
    page = decode_page(b'{"metadata":{"resourceVersion":"9"},"items":[%s,{"b":1}]}' % deep)
    assert [json.loads(item).get("b") for item in page.items] == [None, 1]
    assert decode_event(b'{"type":"ADDED","object":%s}' % deep).resource_version == "9"


def test_an_event_carries_the_version_of_its_object() -> None:
    event = decode_event(b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"9"}}}')
    assert (event.type, event.resource_version) == ("ADDED", "9")
    assert json.loads(event.raw_object)["metadata"]["name"] == "a"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"reason": "Expired", "code": 410, "message": "too old resource version: 1 (274)"}, Gone),
        ({"reason": "Expired"}, Gone),
        ({"reason": "InternalError", "code": 500}, ServerError),
        ({}, ServerError),
    ],
)
def test_an_error_event_is_raised(status: dict[str, object], expected: type[ApiError]) -> None:
    with pytest.raises(expected):
        decode_event(json.dumps({"type": "ERROR", "object": {"kind": "Status", **status}}).encode())


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"type":"ADDED"}', b'{"type":"ADDED","object":{"metadata":[]}}'])
def test_a_line_that_is_no_event_breaks_the_stream(line: bytes) -> None:
    with pytest.raises(Unreachable):
        decode_event(line)
