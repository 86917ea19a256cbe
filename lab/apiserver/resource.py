"""What a resource is: a collection of objects in one group and version, with its names, verbs and subresources.

The built-in resources are listed in kinds/builtins.py, and kinds/customresources.py makes the custom ones. What a kind
does in its own way (defaults, validation) is a behaviour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object, such as `status`, and the kind that it speaks."""

    name: str
    kind: str
    verbs: tuple[str, ...] = STATUS_VERBS
    group: str | None = None  # None: that of the resource
    version: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One resource in one version, as discovery shows it. Compared by identity."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    list_kind: str = ""
    definition: Mapping[str, Any] | None = None  # the entry of spec.versions in its CustomResourceDefinition
    storage: str = ""  # resources with the same storage are views of the same objects
    field_labels: frozenset[str] = field(
        default_factory=frozenset
    )  # fields that a fieldSelector may name, beside metadata

    def __post_init__(self) -> None:
        if not self.list_kind:
            object.__setattr__(self, "list_kind", self.kind + "List")
        if not self.storage:
            object.__setattr__(self, "storage", self.group_resource)

    @property
    def api_version(self) -> str:
        """As objects write it: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """As error messages name it: `services`, `widgets.example.dev`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition defines it."""
        return self.definition is not None

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name; None if there is none."""
        return next((sub for sub in self.subresources if sub.name == name), None)
