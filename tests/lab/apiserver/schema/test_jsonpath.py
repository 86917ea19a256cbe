"""Kubernetes JSONPath."""

from __future__ import annotations

from typing import Any

import pytest

from lab.apiserver.schema.jsonpath import JsonPath, JsonPathError

OBJECT: dict[str, Any] = {
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "False", "n": 3}]},
    "metadata": {"annotations": {"a.b/c": "z", "it's": "q"}},
    "n": [1, 2, 3],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".status.conditions[?(@.type=='Ready')].status", ["True"]),
        ('.status.conditions[?(@.type=="X")].status', ["False"]),
        (".status.conditions[?(@.n>2)].type", ["X"]),
        (".status.conditions[?(@.n)].type", ["X"]),
        (".status.conditions[?(@.type!='X')].type", ["Ready"]),
        (".metadata.annotations['a.b/c']", ["z"]),
        (".metadata.annotations.a\\.b/c", ["z"]),
        (".metadata.annotations['it\\'s']", ["q"]),
        (".n[0]", [1]),
        (".n[-1]", [3]),
        (".n[1:3]", [2, 3]),
        (".n[9]", []),
        (".n[*]", [1, 2, 3]),
        (".n[?(@>1)]", [2, 3]),
        ("..type", ["Ready", "X"]),
        ("{.status.conditions[*].type}", ["Ready", "X"]),
        ("$.n[1]", [2]),
        (".nothing.here", []),
        ("n", [[1, 2, 3]]),
    ],
)
def test_a_path_finds_what_it_leads_to(path: str, found: list[Any]) -> None:
    assert JsonPath(path).find(OBJECT) == found


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(@.b==c)]", ".a b"])
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(JsonPathError):
        JsonPath(path)
