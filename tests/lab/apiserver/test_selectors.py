"""Label and field selectors select what Kubernetes' own do."""

from __future__ import annotations

import pytest

from lab.apiserver.selectors import field_text, labels_of_selector, parse_fields, parse_labels
from lab.apiserver.status import StatusError


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a=b", {}, False),
        ("a!=b", {"a": "c"}, True),
        ("a!=b", {}, True),
        ("a=", {"a": ""}, True),
        ("a", {"a": ""}, True),
        ("!a", {}, True),
        ("!a", {"a": "x"}, False),
        ("a in (b,c)", {"a": "c"}, True),
        ("a in (b, c)", {"a": "d"}, False),
        ("a notin (b,c)", {"a": "d"}, True),
        ("a notin (b,c)", {}, True),
        ("a notin (b)", {"a": "b"}, False),
        ("x.example/a in (b),c!=d,!e", {"x.example/a": "b", "c": "f"}, True),
        ("x.example/a in (b),c!=d,!e", {"x.example/a": "b", "e": ""}, False),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], matches: bool) -> None:
    assert parse_labels(selector).matches(labels) is matches


@pytest.mark.parametrize("selector", ["a=b=c", "a in b", "a b", "a in (b", "(a)"])
def test_a_malformed_label_selector_is_a_bad_request(selector: str) -> None:
    with pytest.raises(StatusError) as refusal:
        parse_labels(selector)
    assert refusal.value.code == 400


def test_selector_objects_combine_labels_and_expressions() -> None:
    selector = labels_of_selector(
        {
            "matchLabels": {"a": "b"},
            "matchExpressions": [
                {"key": "c", "operator": "In", "values": ["d", "e"]},
                {"key": "f", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.matches({"a": "b", "c": "e"})
    assert not selector.matches({"a": "b", "c": "e", "f": ""})
    assert not selector.matches({"a": "b"})
    assert labels_of_selector({}).matches({})


def test_field_selectors_compare_text_and_take_a_missing_field_as_empty() -> None:
    fields = frozenset({"spec.type", "spec.on", "spec.host"})
    selector = parse_fields("spec.type=A,spec.host!=x,metadata.name=n", fields, namespaced=False)
    assert selector.matches({"metadata": {"name": "n"}, "spec": {"type": "A"}})
    assert not selector.matches({"metadata": {"name": "n"}, "spec": {"type": "A", "host": "x"}})
    assert field_text({"spec": {"on": True}}, "spec.on") == "true"


def test_a_field_that_is_not_offered_is_refused() -> None:
    with pytest.raises(StatusError, match="field label not supported"):
        parse_fields("spec.size=1", frozenset({"spec.color"}), namespaced=False)
    with pytest.raises(StatusError, match=r"metadata\.namespace"):
        parse_fields("metadata.namespace=default", frozenset(), namespaced=False)
