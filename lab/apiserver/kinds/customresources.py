"""Custom resources: the rules for a definition, and the behaviour that a definition gives to its objects.

Schemas are compiled in schema/compiled.py, and definitions are judged in definitionrules.py. When a definition is
served is decided in controllers/definitions.py. Conversion webhooks are not served.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.fielderrors import FieldError
from lab.apiserver.kinds import metadata
from lab.apiserver.kinds.behaviour import Behaviour, Moment, keep_metadata, restore
from lab.apiserver.kinds.definitionrules import default_crd, validate_crd
from lab.apiserver.resource import CUSTOM_VERBS, STATUS_VERBS, Resource, Subresource
from lab.apiserver.schema.compiled import compiled
from lab.apiserver.schema.shapes import Reading, object_metadata
from lab.apiserver.store import Store

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

    def __init__(self, version: Json) -> None:
        self.has_status = "status" in (version.get("subresources") or {})
        self._schema = compiled(version["schema"]["openAPIV3Schema"])

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
