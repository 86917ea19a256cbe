"""Whether a CustomResourceDefinition is one that a real API server would take.

Covers names, versions, structural schemas, printer columns, selectable fields, and that CEL rules compile.
Conversion webhooks and the Established/NamesAccepted conditions are not here: the server core writes those.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.apiserver.fielderrors import FieldError


def default_crd(crd: dict[str, Any]) -> None:
    """Fill what the API server fills, in place: singular, listKind, conversion.strategy."""
    raise NotImplementedError


def validate_crd(crd: dict[str, Any], old: dict[str, Any] | None = None) -> list[FieldError]:
    """Everything wrong with a (defaulted) CustomResourceDefinition; with `old`, also what may not change."""
    raise NotImplementedError


def name_conflicts(crd: dict[str, Any], others: Iterable[dict[str, Any]]) -> str | None:
    """Why NamesAccepted is False: a name, short name or kind that another CRD of the group has accepted; None if accepted."""
    raise NotImplementedError
