"""The subset of Kubernetes' JSONPath that printer columns, selectable fields and `kubectl -o jsonpath` users write.

`.a.b`, `['a.b']`, `[0]`, `[-1]`, `[*]`, `[1:3]`, `..a`, `[?(@.type=="Ready")]`. No template text around it (no `{range}`).
"""

from __future__ import annotations

from typing import Any


class JsonPathError(ValueError):
    """The path can't be parsed."""


class JsonPath:
    """A compiled path."""

    def __init__(self, path: str) -> None:
        raise NotImplementedError

    def find(self, obj: Any) -> list[Any]:
        """All values the path leads to; an empty list when there is none."""
        raise NotImplementedError
