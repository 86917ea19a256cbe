"""Pruning, defaults and validation by a CRD's schema."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.apiserver.fielderrors import invalid_status
from lab.apiserver.schema.compiled import CompiledSchema, unknown_field_warnings, unknown_fields_message
from tests.examples import examples
from tests.lab.apiserver.replay import steps_of

STEPS = steps_of("custom-resources")
WIDGET_SCHEMA = STEPS[0]["request"]["body"]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
WIDGETS = CompiledSchema(WIDGET_SCHEMA)


def of(properties: dict[str, Any], **more: Any) -> CompiledSchema:
    spec = {"type": "object", "properties": properties, **more}
    return CompiledSchema({"type": "object", "properties": {"spec": spec}})


def errors(schema: CompiledSchema, spec: Any, old: Any = None) -> list[str]:
    before = None if old is None else {"spec": old}
    return [str(each) for each in schema.validate({"spec": spec}, before)]


REFUSED = [step for step in STEPS if step["response"]["code"] == 422 and step["request"]["method"] == "POST"]


@pytest.mark.parametrize("step", [s for s in REFUSED if s["request"]["body"]["metadata"]["name"] != "B_ad"])
def test_a_refusal_is_word_for_word_that_of_a_real_server(step: dict[str, Any]) -> None:
    body = copy.deepcopy(step["request"]["body"])
    WIDGETS.prune(body)
    WIDGETS.default(body)
    found = WIDGETS.validate(body)
    assert invalid_status("example.dev", "Widget", body["metadata"]["name"], found) == step["response"]["body"]


def test_unknown_fields_go_and_are_named() -> None:
    body = {
        "apiVersion": "example.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "a", "odd": 1},
        "spec": {"addresses": ["192.0.2.0/24"], "unknown": 1},
        "status": {"conditions": [{"type": "A", "status": "True", "extra": 1}]},
        "more": {},
    }
    unknown = WIDGETS.prune(body)
    assert unknown == ["metadata.odd", "spec.unknown", "status.conditions[0].extra", "more"]
    assert body["metadata"] == {"name": "a"}
    assert "more" not in body
    message = unknown_fields_message("Widget", "v1", ["spec.unknown"])
    strict = next(step for step in STEPS if step["note"].startswith("strict"))
    assert message == strict["response"]["body"]["message"]
    assert unknown_field_warnings(["spec.unknown"]) == ['unknown field "spec.unknown"']


def test_what_preserves_unknown_fields_keeps_them_but_known_ones_below_are_still_pruned() -> None:
    known = {"type": "object", "properties": {"b": {"type": "string"}}}
    schema = of({"a": known}, **{"x-kubernetes-preserve-unknown-fields": True})
    body: dict[str, Any] = {"spec": {"x": {"y": 1}, "a": {"b": "c", "z": 1}}}
    assert schema.prune(body) == ["spec.a.z"]
    assert body == {"spec": {"x": {"y": 1}, "a": {"b": "c"}}}


def test_defaults_fill_what_is_missing_and_null_where_null_is_not_allowed() -> None:
    schema = of(
        {
            "size": {"type": "integer", "default": 7},
            "maybe": {"type": "string", "nullable": True, "default": "x"},
            "inner": {"type": "object", "default": {}, "properties": {"deep": {"type": "string", "default": "d"}}},
            "items": {
                "type": "array",
                "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}},
            },
            "map": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"q": {"type": "integer", "default": 1}}},
            },
        }
    )
    body: dict[str, Any] = {"spec": {"size": None, "maybe": None, "items": [{}], "map": {"k": {}}}}
    schema.default(body)
    assert body["spec"] == {
        "size": 7,
        "maybe": None,
        "inner": {"deep": "d"},
        "items": [{"p": "TCP"}],
        "map": {"k": {"q": 1}},
    }


def test_a_default_object_is_a_copy_each_time() -> None:
    schema = of({"list": {"type": "array", "items": {"type": "string"}, "default": ["a"]}})
    one: dict[str, Any] = {"spec": {}}
    other: dict[str, Any] = {"spec": {}}
    schema.default(one)
    schema.default(other)
    one["spec"]["list"].append("b")
    assert other["spec"]["list"] == ["a"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ({"type": "integer"}, "x", 'spec.f: Invalid value: "string": spec.f in body must be of type integer: "string"'),
        (
            {"type": "integer"},
            True,
            'spec.f: Invalid value: "boolean": spec.f in body must be of type integer: "boolean"',
        ),
        ({"type": "integer"}, 1.5, 'spec.f: Invalid value: "number": spec.f in body must be of type integer: "number"'),
        ({"type": "integer"}, 2.0, None),
        ({"type": "number"}, 2, None),
        ({"type": "string"}, None, 'spec.f: Invalid value: "null": spec.f in body must be of type string: "null"'),
        ({"type": "string", "nullable": True}, None, None),
        ({"type": "string", "maxLength": 2}, "abc", "spec.f: Too long: may not be more than 2 bytes"),
        (
            {"type": "string", "minLength": 1},
            "",
            'spec.f: Invalid value: "": spec.f in body should be at least 1 chars long',
        ),
        (
            {"type": "string", "pattern": "^a+$"},
            "b",
            "spec.f: Invalid value: \"b\": spec.f in body should match '^a+$'",
        ),
        (
            {"type": "string", "format": "date-time"},
            "soon",
            'spec.f: Invalid value: "soon": spec.f in body must be of type date-time: "soon"',
        ),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00.5+01:00", None),
        (
            {"type": "string", "format": "cidr"},
            "192.0.2.0/33",
            'spec.f: Invalid value: "192.0.2.0/33": spec.f in body must be of type cidr: "192.0.2.0/33"',
        ),
        ({"type": "string", "format": "nobody-knows"}, "x", None),
        (
            {"type": "integer", "format": "int32"},
            2**31,
            "spec.f: Invalid value: 2147483648: Checked value must be of type integer with format int32 in spec.f",
        ),
        (
            {"type": "integer", "maximum": 3, "exclusiveMaximum": True},
            3,
            "spec.f: Invalid value: 3: spec.f in body should be less than 3",
        ),
        ({"type": "integer", "multipleOf": 2}, 3, "spec.f: Invalid value: 3: spec.f in body should be a multiple of 2"),
        ({"x-kubernetes-int-or-string": True}, "50%", None),
        (
            {"x-kubernetes-int-or-string": True},
            True,
            'spec.f: Invalid value: "boolean": spec.f in body must be of type integer,string: "boolean"',
        ),
        (
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
            [],
            "spec.f: Invalid value: 0: spec.f in body should have at least 1 items",
        ),
        (
            {"type": "array", "maxItems": 1, "items": {"type": "string"}},
            ["a", "b"],
            "spec.f: Too many: 2: must have at most 1 items",
        ),
        (
            {"type": "array", "items": {"type": "string"}},
            ["a", 1],
            'spec.f[1]: Invalid value: "integer": spec.f[1] in body must be of type string: "integer"',
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            ["a", "b", "a"],
            'spec.f[2]: Duplicate value: "a"',
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {"type": "object", "properties": {"type": {"type": "string"}}},
            },
            [{"type": "A"}, {"type": "A"}],
            'spec.f[1]: Duplicate value: {"type":"A"}',
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"k": 1},
            'spec.f.k: Invalid value: "integer": spec.f.k in body must be of type string: "integer"',
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
            {"apiVersion": "v1"},
            "spec.f.kind: Required value: must not be empty",
        ),
    ],
)
def test_a_value_is_judged_in_kubernetes_words(field: dict[str, Any], value: Any, expected: str | None) -> None:
    assert errors(of({"f": field}), {"f": value}) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("field", "value", "first"),
    [
        (
            {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]},
            3,
            '"spec.f" must validate at least one schema (anyOf)',
        ),
        ({"type": "integer", "allOf": [{"minimum": 5}]}, 3, '"spec.f" must validate all the schemas (allOf)'),
        ({"type": "integer", "not": {"minimum": 1}}, 3, '"spec.f" must not validate the schema (not)'),
        (
            {"type": "integer", "oneOf": [{"minimum": 1}, {"minimum": 2}]},
            3,
            '"spec.f" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ),
    ],
)
def test_logical_parts_are_judged(field: dict[str, Any], value: Any, first: str) -> None:
    assert errors(of({"f": field}), {"f": value})[0].endswith(first)


def test_what_was_wrong_before_and_did_not_change_is_let_be() -> None:
    schema = of({"a": {"type": "string", "maxLength": 2}, "b": {"type": "string"}})
    old = {"a": "too long", "b": "x"}
    assert errors(schema, {"a": "too long", "b": "y"}, old) == []
    assert errors(schema, {"a": "too long too", "b": "x"}, old) == ["spec.a: Too long: may not be more than 2 bytes"]


def test_metadata_is_left_to_the_caller() -> None:
    schema = CompiledSchema({"type": "object", "properties": {"metadata": {"type": "object"}}})
    body = {"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}}}
    assert schema.prune(body) == []
    assert schema.validate(body) == []
    assert body["metadata"]["labels"] == {"a": "b"}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["size", "color", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_SPEC = st.dictionaries(st.sampled_from(["addresses", "size", "color", "fixed", "x", "y"]), _JSON, max_size=5)


@given(spec=_SPEC, status=_JSON)
@settings(max_examples=examples(150), deadline=None)
def test_pruning_and_defaults_are_idempotent_and_validation_never_fails(spec: Any, status: Any) -> None:
    body = {"apiVersion": "example.dev/v1", "kind": "Widget", "metadata": {}, "spec": spec, "status": status}
    WIDGETS.prune(body)
    WIDGETS.default(body)
    once = copy.deepcopy(body)
    assert WIDGETS.prune(body) == []
    WIDGETS.default(body)
    assert body == once
    WIDGETS.validate(body)
    assert WIDGETS.validate(body, once) == []
