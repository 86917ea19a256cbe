"""Custom resources: their definitions, and the behaviour that a definition gives to its objects.

Schemas, CEL and the rules for a definition itself are in schema.py, cel.py and structural.py. A definition is served as
soon as its names are accepted; conversion webhooks are not.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver import metadata
from lab.apiserver.behaviour import Behaviour, Moment, keep_metadata, restore
from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import CUSTOM_VERBS, STATUS_VERBS, Resource, Subresource
from lab.apiserver.registry import Registry
from lab.apiserver.rest import Rest, timestamp
from lab.apiserver.schema import CompiledSchema
from lab.apiserver.shapes import Reading, object_metadata
from lab.apiserver.store import Key, Record, Store
from lab.apiserver.structural import default_crd, name_conflicts, validate_crd

Json = dict[str, Any]
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
_METADATA = object_metadata()
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class CustomObjects(Behaviour):
    """Objects of one version of a definition."""

    has_generation = True
    updates_unconditionally = False
    status_takes_metadata = False
    generation_fields = None
    name_rule = staticmethod(metadata.subdomain)

    def __init__(self, version: Json, *, namespaced: bool) -> None:
        self.has_status = "status" in (version.get("subresources") or {})
        self._schema = CompiledSchema(version["schema"]["openAPIV3Schema"], namespaced=namespaced)

    def read(self, obj: Json) -> Reading:
        reading = Reading()
        _METADATA.read(obj["metadata"], "metadata", reading)
        reading.unknown += self._schema.prune(obj)
        return reading

    def default(self, obj: Json) -> None:
        self._schema.default(obj)

    def prepare_status(self, new: Json, old: Json, moment: Moment) -> None:
        for key in {*new, *old} - {"metadata", "status"}:
            restore(new, old, key)
        keep_metadata(new, old)

    def validate(self, obj: Json) -> list[FieldError]:
        return self._schema.validate(obj)

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        return self._schema.validate(new, old)

    def validate_status(self, new: Json, old: Json) -> list[FieldError]:
        return self._schema.validate(new, old)


class Definitions(Behaviour):
    """CustomResourceDefinition objects."""

    has_generation = True
    has_status = True
    status_takes_metadata = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def default(self, obj: Json) -> None:
        default_crd(obj)

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        stored = [version["name"] for version in obj["spec"].get("versions") or () if version.get("storage")]
        names = {"plural": "", "kind": ""}
        obj["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": stored}

    def validate(self, obj: Json) -> list[FieldError]:
        return validate_crd(obj)

    def validate_update(self, new: Json, old: Json) -> list[FieldError]:
        return validate_crd(new, old)

    def before_delete(self, obj: Json) -> bool:
        """The definition goes after its objects."""
        group, names = obj["spec"]["group"], obj["spec"]["names"]
        if len(self._store.table(f"{names['plural']}.{group}")) == 0:
            return False
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        return True


class Establisher:
    """Does what the API server's own controllers do: accepts names, serves resources, cleans up after a definition."""

    def __init__(self, rest: Rest, registry: Registry, store: Store) -> None:
        self._rest = rest
        self._registry = registry
        self._store = store
        rest.after_commit.append(self._committed)
        rest.after_remove.append(self._removed)

    def _committed(self, resource: Resource, record: Record) -> None:
        if resource.storage != DEFINITIONS:
            return
        definition = record.value()
        if "deletionTimestamp" in definition["metadata"]:
            self._clean_up(resource, definition)
            return
        others = [other.value() for other in self._store.table(DEFINITIONS).records() if other.key != record.key]
        conflict = name_conflicts(definition, others)
        established = self._rest.write(resource, record.key, lambda one: _with_conditions(one, conflict))
        if established is not None and conflict is None:
            self._serve(definition)

    def _serve(self, definition: Json) -> None:
        spec = definition["spec"]
        self._registry.remove(spec["group"], spec["names"]["plural"])
        for version in resources_of(definition):
            self._store.table(version.storage)
            behaviour = CustomObjects(dict(version.definition or {}), namespaced=version.namespaced)
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


def resources_of(definition: Json) -> list[Resource]:
    """One resource for each served version; the stored version's name goes with each, for conversion."""
    spec = definition["spec"]
    names = spec["names"]
    stored = next(version["name"] for version in spec["versions"] if version.get("storage"))
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            singular=names.get("singular") or names["kind"].lower(),
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            verbs=CUSTOM_VERBS,
            subresources=(Subresource("status", names["kind"], STATUS_VERBS),)
            if "status" in (version.get("subresources") or {})
            else (),
            list_kind=names.get("listKind") or names["kind"] + "List",
            definition=version | {"storedAs": stored},
            field_labels=frozenset(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()),
        )
        for version in spec["versions"]
        if version.get("served")
    ]


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
