"""ValidatingAdmissionPolicy: compiled policies, and what they say of one request.

Which policies exist and which bindings point to them is the caller's to know; nothing is stored here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lab.apiserver.fielderrors import FieldError


class Operation(StrEnum):
    """What the request does."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """The request as policies see it. `resource` is the plural, `subresource` "" for the object itself."""

    operation: Operation
    group: str
    version: str
    resource: str
    kind: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    username: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    object: dict[str, Any] | None = None
    old_object: dict[str, Any] | None = None
    dry_run: bool = False
    namespace_object: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the policies together say: `denied` is the Status body to answer, or None to go on; warnings go to the client."""

    denied: dict[str, Any] | None
    warnings: tuple[str, ...] = ()


def default_policy(policy: dict[str, Any]) -> None:
    """Fill the defaults of a ValidatingAdmissionPolicy in place (matchPolicy, selectors, rule scope, failurePolicy)."""
    raise NotImplementedError


def validate_policy(policy: dict[str, Any]) -> list[FieldError]:
    """Everything wrong with a policy, expressions that do not compile included."""
    raise NotImplementedError


class CompiledPolicy:
    """One policy, its expressions compiled."""

    def __init__(self, policy: dict[str, Any]) -> None:
        raise NotImplementedError


def review(
    request: AdmissionRequest,
    policies: Iterable[CompiledPolicy],
    bindings: Iterable[dict[str, Any]],
) -> Verdict:
    """Judge the request by every policy that a binding puts in force. No binding, no effect."""
    raise NotImplementedError
