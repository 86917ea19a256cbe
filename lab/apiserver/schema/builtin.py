"""The schemas of Kubernetes' built-in kinds, as the `kubernetes-validate` package carries them.

Read once, when first asked for. It says nothing of custom resources.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import msgspec

Definition = Mapping[str, Any]

VERSION: Final = "v1.36.0"  # the minor version that the stand-in claims to be


@lru_cache(maxsize=1)
def definitions() -> Mapping[str, Definition]:
    """All definitions by their full names (`io.k8s.api.core.v1.Service`)."""
    source = files("kubernetes_validate") / "kubernetes-json-schema" / f"{VERSION}-local" / "_definitions.json"
    found: dict[str, Definition] = msgspec.json.decode(source.read_bytes())["$defs"]
    return found


@lru_cache(maxsize=1)
def _by_kind() -> Mapping[tuple[str, str, str], str]:
    """Full names by group, version and kind; where several say so (DeleteOptions, WatchEvent), the first."""
    names: dict[tuple[str, str, str], str] = {}
    for name, definition in definitions().items():
        for each in definition.get("x-kubernetes-group-version-kind", ()):
            names.setdefault((each["group"], each["version"], each["kind"]), name)
    return names


def name_of(group: str, version: str, kind: str) -> str | None:
    """The full name of a kind's definition."""
    return _by_kind().get((group, version, kind))


def definition_of(group: str, version: str, kind: str) -> Definition | None:
    """The definition of a kind."""
    name = name_of(group, version, kind)
    return None if name is None else definitions()[name]


def reference(definition: Definition) -> str | None:
    """The full name that a definition refers to, if it is a reference."""
    target = definition.get("$ref")
    return target.rpartition("/")[2] if isinstance(target, str) else None


def resolve(definition: Definition) -> Definition:
    """The definition itself, or the one it refers to."""
    name = reference(definition)
    return definition if name is None else definitions()[name]


def type_of(definition: Definition) -> str:
    """The type of a (resolved) definition, "" when it allows several. The package adds null to every optional type."""
    declared = definition.get("type", "")
    if isinstance(declared, str):
        return declared
    others = [each for each in declared if each != "null"]
    return str(others[0]) if len(others) == 1 else ""
