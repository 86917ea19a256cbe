"""How the parts of an object merge: which lists are maps, sets or atomic, and by which keys.

One answer for strategic merge patch and server-side apply, from Kubernetes' own schemas for built-in kinds and from the CRD for custom ones.
"""

from __future__ import annotations

from typing import Any


class MergeNode:
    """How one field merges, and the way to its children."""


def builtin_merge_schema(group: str, version: str, kind: str) -> MergeNode:
    """The merge schema of a built-in kind; of an unknown kind, one where all lists are atomic."""
    raise NotImplementedError


def crd_merge_schema(openapi_v3_schema: dict[str, Any]) -> MergeNode:
    """The merge schema of a CRD version."""
    raise NotImplementedError
