import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.decoding import DEEPEST_LEVEL, decoder, without_depths
from kube.objects import decode_service

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def nested(levels: int, inside: bytes = b"") -> bytes:
    return b"[" * levels + inside + b"]" * levels


@given(JSON)
def test_what_is_not_deep_stays_as_it_is(value: object) -> None:
    raw = json.dumps(value, ensure_ascii=False).encode()
    assert without_depths(raw) == raw


@given(JSON, JSON)
def test_what_is_too_deep_becomes_null_and_the_rest_stays(before: object, after: object) -> None:
    deep = nested(DEEPEST_LEVEL - 1, b'["]", {"[": 1}]')
    raw = b"[%s, %s, %s]" % (json.dumps(before).encode(), deep, json.dumps(after).encode())
    kept = json.loads(nested(DEEPEST_LEVEL - 1, b"null"))
    assert json.loads(without_depths(raw)) == [before, kept, after]


def test_the_deepest_level_that_is_kept_is_exact() -> None:
    assert without_depths(nested(DEEPEST_LEVEL)) == nested(DEEPEST_LEVEL)
    assert without_depths(nested(DEEPEST_LEVEL + 1)) == nested(DEEPEST_LEVEL, b"null")


@given(st.binary())
def test_any_bytes_are_taken(raw: bytes) -> None:
    without_depths(raw)


@pytest.mark.parametrize("unfinished", [b'"' + b'\\"' * 500_000, b"[" * 1_000_000, b"]" * 1_000_000])
def test_what_has_no_end_costs_no_more_than_what_has_one(unfinished: bytes) -> None:
    without_depths(unfinished)  # takes hours when each quotation mark is looked at to the end


def test_a_service_whose_managed_fields_are_nested_ten_thousand_times_is_read() -> None:
    fields = b'{"metadata":{"name":"web","managedFields":[{"fieldsV1":%s}]}}' % nested(9_990)
    assert decode_service(fields).metadata.name == "web"


@pytest.mark.parametrize("raw", [b"", b"\xe9", b'"caf\xe9"', b'{"a":"caf\xe9"}', nested(50_000), b"[" * 50_000])
def test_whatever_the_bytes_are_the_error_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever class: that is the contract
        decoder(dict[str, int])(raw)


def test_an_error_of_msgspec_passes_as_it_is() -> None:
    with pytest.raises(msgspec.ValidationError):
        decoder(int)(b'"text"')
