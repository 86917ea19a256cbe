"""Custom resources come and go with their definitions: names are accepted, resources served, objects cleaned up.

A definition is served as soon as its names are accepted. What a valid definition is, and how its objects behave, is in
kinds/customresources.py.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.kinds.customresources import CLEANUP, DEFINITIONS, CustomObjects, resources_of
from lab.apiserver.kinds.definitionrules import name_conflicts
from lab.apiserver.kinds.registry import Registry
from lab.apiserver.resource import Resource
from lab.apiserver.store import Key, Record, Store
from lab.apiserver.verbs.rest import Rest, timestamp

Json = dict[str, Any]


class Establisher:
    """Does what the API server's own controllers do: accepts names, serves resources, cleans up after a definition."""

    def __init__(self, rest: Rest, registry: Registry, store: Store) -> None:
        self._rest = rest
        self._registry = registry
        self._store = store
        self._names: dict[Key, tuple[int, Json]] = {}
        rest.after_commit.append(self._committed)
        rest.after_remove.append(self._removed)

    def _committed(self, resource: Resource, record: Record) -> None:
        if resource.storage != DEFINITIONS:
            return
        definition = record.value()
        if "deletionTimestamp" in definition["metadata"]:
            self._clean_up(resource, definition)
            return
        others = [self._named(other) for other in self._store.table(DEFINITIONS).records() if other.key != record.key]
        conflict = name_conflicts(definition, others)
        established = self._rest.write(resource, record.key, lambda one: _with_conditions(one, conflict))
        if established is not None and conflict is None:
            self._serve(definition)

    def _named(self, record: Record) -> Json:
        """A definition's group and accepted names alone: read once a version, for schemas are long."""
        known = self._names.get(record.key)
        if known is None or known[0] != record.revision:
            definition = record.value()
            named = {"spec": {"group": definition["spec"]["group"]}, "status": definition.get("status")}
            known = self._names[record.key] = (record.revision, named)
        return known[1]

    def _serve(self, definition: Json) -> None:
        spec = definition["spec"]
        self._registry.remove(spec["group"], spec["names"]["plural"])
        for version in resources_of(definition):
            self._store.table(version.storage)
            behaviour = CustomObjects(dict(version.definition or {}))
            self._registry.add(version, behaviour)

    def _clean_up(self, resource: Resource, definition: Json) -> None:
        for served in resources_of(definition)[:1]:
            self._rest.purge(served, list(self._store.table(served.storage).records()))
        self._finish(resource, definition)

    def _finish(self, resource: Resource, definition: Json) -> None:
        """Let the definition go when the last object has gone."""
        spec, meta = definition["spec"], definition["metadata"]
        if len(self._store.table(f"{spec['names']['plural']}.{spec['group']}")):
            return
        key = Key("", meta["name"])
        others = [one for one in meta.get("finalizers") or () if one != CLEANUP]
        if others:
            self._rest.write(resource, key, lambda one: one | {"metadata": one["metadata"] | {"finalizers": others}})
        elif self._store.table(DEFINITIONS).get(key) is not None:
            self._rest.remove(resource, key)

    def _removed(self, resource: Resource, key: Key) -> None:
        if resource.storage == DEFINITIONS:
            plural, _, group = key.name.partition(".")
            self._registry.remove(group, plural)
            self._store.drop(key.name)
        elif resource.is_custom and not len(self._store.table(resource.storage)):
            record = self._store.table(DEFINITIONS).get(Key("", resource.storage))
            found = self._registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
            if record is not None and found is not None and "deletionTimestamp" in record.value()["metadata"]:
                self._finish(found, record.value())


def _with_conditions(definition: Json, conflict: str | None) -> Json:
    """NamesAccepted and Established as the controllers write them; transition times move with the status only."""
    spec, now = definition["spec"], timestamp()
    accepted = (
        ("True", "NoConflicts", "no conflicts found") if conflict is None else ("False", "NameConflict", conflict)
    )
    before: Json = {one["type"]: one for one in definition["status"].get("conditions") or ()}
    wanted = {"NamesAccepted": accepted}
    if conflict is None or before.get("Established", {}).get("status") == "True":
        wanted["Established"] = ("True", "InitialNamesAccepted", "the initial names have been accepted")
    else:
        wanted["Established"] = ("False", "NotAccepted", "not all names are accepted")
    conditions = []
    for name, (state, reason, message) in wanted.items():
        old = before.get(name, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == state else now
        conditions.append(
            {"type": name, "status": state, "lastTransitionTime": since, "reason": reason, "message": message}
        )
    status = dict(definition["status"]) | {"conditions": conditions}
    if conflict is None:
        status["acceptedNames"] = spec["names"]
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    if stored not in status["storedVersions"]:
        status["storedVersions"] = [*status["storedVersions"], stored]
    return definition | {"status": status}
