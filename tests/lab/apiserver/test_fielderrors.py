"""Field errors in Kubernetes' words."""

from __future__ import annotations

import pytest

from lab.apiserver import fielderrors as f


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (f.invalid("spec.size", -1, "must be positive"), "spec.size: Invalid value: -1: must be positive"),
        (f.invalid("spec.size", 'a"b', "no"), 'spec.size: Invalid value: "a\\"b": no'),
        (f.invalid("spec", f.OMIT, "big widgets are red"), "spec: Invalid value: big widgets are red"),
        (f.invalid("spec.on", True, "no"), "spec.on: Invalid value: true: no"),
        (f.invalid("<nil>", None, "no"), "<nil>: Invalid value: null: no"),
        (f.invalid("spec.ratio", 2.0, "no"), "spec.ratio: Invalid value: 2: no"),
        (f.required("spec.a"), "spec.a: Required value"),
        (f.required("spec.a", "or else"), "spec.a: Required value: or else"),
        (f.forbidden("spec.a", "not now"), "spec.a: Forbidden: not now"),
        (f.not_found("spec.a", "x"), 'spec.a: Not found: "x"'),
        (f.duplicate("spec.a[1]", {"type": "A"}), 'spec.a[1]: Duplicate value: {"type":"A"}'),
        (f.unsupported("c", "g", ("r", "b")), 'c: Unsupported value: "g": supported values: "r", "b"'),
        (f.too_long("n", 63), "n: Too long: may not be more than 63 bytes"),
        (f.too_many("a", 65, 64), "a: Too many: 65: must have at most 64 items"),
    ],
)
def test_an_error_reads_as_kubernetes_writes_it(error: f.FieldError, text: str) -> None:
    assert str(error) == text


def test_a_status_lists_every_cause_and_says_each_text_once() -> None:
    same = f.invalid("metadata.uid", "x", "field is immutable")
    status = f.invalid_status("", "Service", "oc", [same, same])
    assert status["message"] == 'Service "oc" is invalid: metadata.uid: Invalid value: "x": field is immutable'
    assert len(status["details"]["causes"]) == 2
    assert "group" not in status["details"]


def test_several_errors_stand_in_brackets() -> None:
    errors = [f.required("spec.a"), f.required("spec.b")]
    message = f.invalid_status("example.dev", "Widget", "w", errors)["message"]
    assert message == 'Widget.example.dev "w" is invalid: [spec.a: Required value, spec.b: Required value]'
