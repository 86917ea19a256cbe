"""Server-side apply and the bookkeeping of field managers (managedFields, KEP-555).

Pure: it merges and keeps `metadata.managedFields`; storing, defaulting and validating the outcome is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.apiserver.mergeschema import MergeNode


@dataclass(frozen=True, slots=True)
class FieldManager:
    """Who writes: the `fieldManager` parameter (or the User-Agent up to `/`), the request's apiVersion and subresource, and the time (RFC 3339)."""

    name: str
    api_version: str
    time: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """The fields that other managers own; `status()` is the 409 body."""

    conflicts: tuple[tuple[str, str], ...]  # (description of the manager, field path), sorted

    def status(self) -> dict[str, Any]:
        """The Status body of the 409."""
        raise NotImplementedError


def apply(
    live: dict[str, Any] | None,
    config: dict[str, Any],
    manager: FieldManager,
    schema: MergeNode,
    *,
    force: bool = False,
) -> dict[str, Any] | Conflict:
    """Server-side apply of `config` onto `live` (None: create). Returns the new object with its managedFields, or the Conflict.

    Call it before defaulting and pruning... of the result; prune `config` first (its unknown fields own nothing)."""
    raise NotImplementedError


def track_update(old: dict[str, Any] | None, new: dict[str, Any], manager: FieldManager, schema: MergeNode) -> None:
    """After a create, update or non-apply patch: set `new.metadata.managedFields` in place (operation Update).

    Fields that changed move to `manager`, fields that went leave everybody. An explicit empty managedFields in `new` resets it.
    Leaves managedFields exactly as in `old` when nothing changed, so that a no-op stays a no-op."""
    raise NotImplementedError
