"""How the parts of an object merge: which lists are maps, sets or atomic, and by which keys.

One answer for strategic merge patch and server-side apply: from Kubernetes' own schemas for built-in kinds, from the
CRD for custom ones. The merging itself is in verbs/strategic.py and verbs/apply.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from lab.apiserver.schema.builtin import Definition, definition_of, resolve, type_of


def _unknown_child(name: str) -> MergeNode:
    return UNKNOWN


def _unknown_item() -> MergeNode:
    return UNKNOWN


@dataclass(slots=True, eq=False)
class MergeNode:
    """How one field merges, and the way to its children.

    `list_type` is atomic, set or map (with `keys`), as server-side apply sees a list; `patch_key` and `patch_merges`
    are what a strategic merge patch goes by. `is_atomic` objects are replaced whole. Children are built when first
    asked for: Kubernetes' schemas are recursive."""

    type: str = ""  # object, map, array, scalar, or "" for not known (deduced from the value)
    is_atomic: bool = False
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()
    patch_key: str = ""
    patch_merges: bool = False
    is_builtin: bool = False  # of the root: a kind that Kubernetes itself defines
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of the keys of a map list's items
    _child: Callable[[str], MergeNode] = field(default=_unknown_child)
    _item: Callable[[], MergeNode] = field(default=_unknown_item)
    _children: dict[str, MergeNode] = field(default_factory=dict)
    _item_node: MergeNode | None = None

    def child(self, name: str) -> MergeNode:
        """The node of an object's field, or of a map's values."""
        found = self._children.get(name)
        if found is None:
            found = self._children[name] = self._child(name)
        return found

    @property
    def item(self) -> MergeNode:
        """The node of a list's items."""
        if self._item_node is None:
            self._item_node = self._item()
        return self._item_node


UNKNOWN: Final[MergeNode] = MergeNode()
"""Where no schema says anything: objects merge by field, lists are atomic."""


@lru_cache(maxsize=256)
def builtin_merge_schema(group: str, version: str, kind: str) -> MergeNode:
    """The merge schema of a built-in kind; of an unknown kind, one where all lists are atomic."""
    definition = definition_of(group, version, kind)
    if definition is None:
        return UNKNOWN
    node = _node(definition)
    node.is_builtin = True
    return node


def object_meta() -> MergeNode:
    """The merge schema of `metadata`, the same for all kinds."""
    return builtin_merge_schema("", "v1", "Service").child("metadata")


def crd_merge_schema(openapi_v3_schema: dict[str, Any]) -> MergeNode:
    """The merge schema of a CRD version."""
    own = _node(openapi_v3_schema)
    metadata = object_meta()
    return MergeNode(type="object", _child=lambda name: metadata if name == "metadata" else own.child(name))


def _node(source: Definition) -> MergeNode:
    schema = resolve(source)
    strategies = tuple(str(source.get("x-kubernetes-patch-strategy", "")).split(","))
    node = MergeNode(
        is_atomic=source.get("x-kubernetes-map-type", schema.get("x-kubernetes-map-type")) == "atomic",
        list_type=source.get("x-kubernetes-list-type", "atomic"),
        keys=tuple(source.get("x-kubernetes-list-map-keys", ())),
        patch_key=source.get("x-kubernetes-patch-merge-key", ""),
        patch_merges="merge" in strategies,
    )
    properties, additional, items = schema.get("properties"), schema.get("additionalProperties"), schema.get("items")
    if isinstance(additional, dict) and not properties:
        node.type, node._child = "map", lambda name: _node(additional)
    elif properties:
        node.type, node._child = "object", lambda name: _property(properties, name)
    elif isinstance(items, dict):
        node.type, node._item = "array", lambda: _node(items)
        node.defaults = dict(_key_defaults(resolve(items), node.keys))
    elif (
        type_of(schema) not in ("", "object", "array") or schema.get("x-kubernetes-int-or-string") or "oneOf" in schema
    ):
        node.type = "scalar"
    return node


def _property(properties: Mapping[str, Definition], name: str) -> MergeNode:
    found = properties.get(name)
    return UNKNOWN if found is None else _node(found)


def _key_defaults(item: Definition, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key in keys:
        own = item.get("properties", {}).get(key, {}).get("default")
        default = "TCP" if own is None and key == "protocol" else own  # the package drops Kubernetes' own defaults
        if default is not None:
            yield key, default
