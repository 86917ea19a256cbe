"""Server-side apply and the bookkeeping of field managers (managedFields, KEP-555).

Pure: it merges and keeps `metadata.managedFields`; storing, defaulting and validating the outcome is the caller's.
Objects of one version only: sets are never converted between versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lab.apiserver.schema.merging import MergeNode
from lab.apiserver.verbs.fieldsets import (
    FieldSet,
    Path,
    compare,
    fields_of,
    format_fields,
    merge,
    parse_fields,
    path_text,
    remove,
)

Obj = dict[str, Any]

# These have no owners: they identify the object, or the server writes them.
_STRIPPED: Final[frozenset[Path]] = frozenset(
    {
        ("f:apiVersion",),
        ("f:kind",),
        ("f:metadata",),
        *(
            ("f:metadata", f"f:{name}")
            for name in (
                "name",
                "namespace",
                "creationTimestamp",
                "selfLink",
                "uid",
                "generation",
                "managedFields",
                "resourceVersion",
            )
        ),
    }
)


@dataclass(frozen=True, slots=True)
class FieldManager:
    """The writer of fields: the `fieldManager` parameter (or the User-Agent up to `/`), with the apiVersion of the
    object, the subresource and the time (RFC 3339)."""

    name: str
    api_version: str
    time: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class _Identity:
    """What tells the entries of managedFields apart."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Identity:
        return cls(
            entry.get("manager", ""),
            entry.get("operation", ""),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )

    def __str__(self) -> str:
        text = f'"{self.manager}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True, slots=True)
class _Owned:
    time: str
    fields: FieldSet


_Managers = dict[_Identity, _Owned]


@dataclass(frozen=True, slots=True)
class Conflict:
    """The fields that other managers own; `status()` is the 409 body."""

    conflicts: tuple[tuple[str, str], ...]  # (description of the manager, field path), sorted

    def message(self) -> str:
        """The message of the 409."""
        if len(self.conflicts) == 1:
            manager, path = self.conflicts[0]
            return f"Apply failed with 1 conflict: conflict with {manager}: {path}"
        lines: list[str] = []
        for manager in sorted({manager for manager, _ in self.conflicts}):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {path}" for each, path in self.conflicts if each == manager]
        return f"Apply failed with {len(self.conflicts)} conflicts: " + "\n".join(lines)

    def status(self) -> Obj:
        """The Status body of the 409."""
        causes = [
            {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
            for manager, path in self.conflicts
        ]
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message(),
            "reason": "Conflict",
            "details": {"causes": causes},
            "code": 409,
        }


def apply(
    live: Obj | None,
    config: Obj,
    manager: FieldManager,
    schema: MergeNode,
    *,
    force: bool = False,
    ignored: frozenset[str] = frozenset(),
) -> Obj | Conflict:
    """Server-side apply of `config` onto `live` (None: create). Returns the new object with its managedFields, or the
    Conflict. When nothing changes it returns `live` itself.

    `ignored` are the top-level fields that this endpoint does not write: `status` of the object itself, `spec` and
    `metadata` of its status subresource. Prune `config` before (unknown fields own nothing), default afterwards."""
    wanted = _written(config, ignored)
    base = {} if live is None else {name: value for name, value in live.items() if name != "metadata"}
    base["metadata"] = _without_managed_fields((live or {}).get("metadata") or {})
    own_fields = fields_of(wanted, schema) - _STRIPPED
    identity = _Identity(manager.name, "Apply", manager.api_version, manager.subresource)
    managers = _managers(live)
    merged = merge(base, wanted, schema)
    difference = compare(base, merged, schema)
    others = {each: owned for each, owned in managers.items() if each != identity}
    conflicts = {each: owned.fields & difference.changed for each, owned in others.items()}
    conflicts = {each: fields for each, fields in conflicts.items() if fields}
    if conflicts and not force and live is not None:
        return _conflict(conflicts)
    for each, fields in conflicts.items():
        others[each] = replace(others[each], fields=others[each].fields - fields)
    former = managers.get(identity)
    if former is not None:
        merged = _drop_abandoned(merged, former.fields, own_fields, others, schema)
    others[identity] = _Owned(manager.time, own_fields)
    return _finished(live, base, merged, managers, others)


def _written(config: Obj, ignored: frozenset[str]) -> Obj:
    wanted = {name: value for name, value in config.items() if name not in ignored}
    metadata = dict(config.get("metadata") or {})
    metadata.pop("managedFields", None)
    if "metadata" in ignored:
        metadata = {name: metadata[name] for name in ("name", "namespace") if name in metadata}
    wanted["metadata"] = metadata
    return wanted


def _conflict(conflicts: Mapping[_Identity, Iterable[Path]]) -> Conflict:
    pairs = [(str(each), path_text(path)) for each, paths in conflicts.items() for path in paths]
    return Conflict(tuple(sorted(pairs)))


def _with_parents(fields: Iterable[Path]) -> set[Path]:
    return {path[:depth] for path in fields for depth in range(1, len(path) + 1)}


def _drop_abandoned(
    merged: Obj, before: FieldSet, now: FieldSet, others: Mapping[_Identity, _Owned], schema: MergeNode
) -> Obj:
    """Without what this manager applied before, applies no longer, and no other manager owns."""
    abandoned = _with_parents(before) - _with_parents(now) - _STRIPPED
    for owned in others.values():
        abandoned -= _with_parents(owned.fields)
    if not abandoned:
        return merged
    result: Obj = remove(merged, abandoned, schema)
    return result


def _finished(live: Obj | None, base: Obj, merged: Obj, before: _Managers, after: _Managers) -> Obj:
    after = {each: owned for each, owned in after.items() if owned.fields or each.operation == "Apply"}
    for each, owned in after.items():
        former = before.get(each)
        if former is not None and former.fields == owned.fields:
            after[each] = former
    if live is not None and merged == base and after == before:
        return live
    result = {name: value for name, value in merged.items() if name != "metadata"}
    result["metadata"] = {**merged["metadata"], "managedFields": _entries(after)}
    return result


def track_update(old: Obj | None, new: Obj, manager: FieldManager, schema: MergeNode) -> None:
    """After a create, update or non-apply patch: set `new.metadata.managedFields` in place (operation Update).

    Fields that changed move to `manager`, fields that went leave everybody. An explicit empty list in `new` resets it.
    Leaves managedFields exactly as in `old` when nothing changed, so that a no-op stays a no-op."""
    metadata = new.setdefault("metadata", {})
    given = metadata.pop("managedFields", None)
    known = ((old or {}).get("metadata") or {}).get("managedFields") or []
    if given == [] or given == [{}]:
        known = []
    difference = compare(_comparable(old or {}), _comparable(new), schema)
    if not difference:
        if known:
            metadata["managedFields"] = known
        return
    changed = {path for path in difference.changed if _is_owned(path, new, schema)} - _STRIPPED
    identity = _Identity(manager.name, "Update", manager.api_version, manager.subresource)
    managers = {_Identity.of(entry): _Owned(entry.get("time", ""), _entry_fields(entry)) for entry in known}
    after: _Managers = {}
    for each, owned in managers.items():
        kept = owned.fields - difference.removed
        after[each] = replace(owned, fields=kept if each == identity else kept - changed)
    own = after[identity].fields | changed if identity in after else frozenset(changed)
    if own:
        former = managers.get(identity)
        after[identity] = former if former is not None and former.fields == own else _Owned(manager.time, own)
    after = {each: owned for each, owned in after.items() if owned.fields}
    if after:
        metadata["managedFields"] = _entries(after)


def _is_owned(path: Path, new: Obj, schema: MergeNode) -> bool:
    """Fields of built-in structs are owned through what is in them: such structs are always there, they never come."""
    if not schema.is_builtin or not path[-1].startswith("f:"):
        return True
    node = schema
    value: Any = new
    for element in path:
        if not element.startswith("f:"):
            return True  # below a list everything that came is owned
        node = node.child(element[2:])
        value = value.get(element[2:]) if isinstance(value, dict) else None
    return not (node.type == "object" and not node.is_atomic and isinstance(value, dict))


def _comparable(obj: Obj) -> Obj:
    return {**obj, "metadata": _without_managed_fields(obj.get("metadata") or {})}


def _without_managed_fields(metadata: Obj) -> Obj:
    return {name: value for name, value in metadata.items() if name != "managedFields"}


def _entry_fields(entry: Mapping[str, Any]) -> FieldSet:
    return parse_fields(entry.get("fieldsV1") or {})


def _managers(obj: Obj | None) -> _Managers:
    entries = ((obj or {}).get("metadata") or {}).get("managedFields") or []
    return {_Identity.of(entry): _Owned(entry.get("time", ""), _entry_fields(entry)) for entry in entries}


def _entries(managers: _Managers) -> list[Obj]:
    """In the order of Kubernetes: by operation, time, name, version, subresource."""

    def rank(item: tuple[_Identity, _Owned]) -> tuple[str, str, str, str, str]:
        each, owned = item
        return (each.operation, owned.time, each.manager, each.api_version, each.subresource)

    return [_entry(each, owned) for each, owned in sorted(managers.items(), key=rank)]


def _entry(identity: _Identity, owned: _Owned) -> Obj:
    entry = {
        "manager": identity.manager,
        "operation": identity.operation,
        "apiVersion": identity.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": format_fields(owned.fields),
    }
    if identity.subresource:
        entry["subresource"] = identity.subresource
    return entry
