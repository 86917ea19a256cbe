"""A CRD version's openAPIV3Schema, compiled once: pruning, defaults and validation of its objects.

It does no CEL itself (cel.py), does not judge whether the schema is a proper one (structural.py), and knows nothing of storage.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.fielderrors import FieldError

Json = Any


class CompiledSchema:
    """What one version of a CRD says about its objects. Compile once, use for each request."""

    def __init__(self, schema: dict[str, Json], *, namespaced: bool = False) -> None:
        raise NotImplementedError

    def prune(self, obj: dict[str, Json]) -> list[str]:
        """Remove unknown fields in place; return their paths (`spec.unknown`) for Strict (400) and Warn."""
        raise NotImplementedError

    def default(self, obj: dict[str, Json]) -> None:
        """Fill defaults in place (after pruning); also drops nulls of defaulted, non-nullable fields."""
        raise NotImplementedError

    def validate(self, obj: dict[str, Json], old: dict[str, Json] | None = None) -> list[FieldError]:
        """Everything wrong with obj: schema, list types, then CEL (with `old`: transition rules, and ratcheting:
        what was wrong in an unchanged part is let be). Object metadata is validated by the caller."""
        raise NotImplementedError


def unknown_fields_message(kind: str, version: str, paths: list[str]) -> str:
    """The message of the 400 of fieldValidation=Strict."""
    raise NotImplementedError


def unknown_field_warnings(paths: list[str]) -> list[str]:
    """The texts of the Warning headers of fieldValidation=Warn (the caller puts `299 - "..."` around)."""
    raise NotImplementedError
