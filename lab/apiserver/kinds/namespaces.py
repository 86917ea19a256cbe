"""Namespaces: their label, their phase, and what holds one that is deleted.

How a deleted namespace is emptied is in controllers/namespaces.py.
"""

from __future__ import annotations

from typing import Any

from lab.apiserver.kinds import metadata
from lab.apiserver.kinds.behaviour import Behaviour, Moment, restore
from lab.apiserver.status import forbidden

Json = dict[str, Any]
NAME_LABEL = "kubernetes.io/metadata.name"
IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
PRESET = ("default", "kube-system", "kube-public", "kube-node-lease")


class Namespaces(Behaviour):
    """Namespace objects. The finalizer `kubernetes` in their spec holds one that is deleted, until it is empty."""

    has_status = True
    name_rule = staticmethod(metadata.label)

    def default(self, obj: Json) -> None:
        obj["metadata"].setdefault("labels", {})[NAME_LABEL] = obj["metadata"]["name"]

    def prepare_create(self, obj: Json, moment: Moment) -> None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Json, old: Json, moment: Moment) -> None:
        restore(new, old, "spec")
        restore(new, old, "status")

    def before_delete(self, obj: Json) -> bool:
        name = obj["metadata"]["name"]
        if name in IMMORTAL:
            raise forbidden("", "namespaces", name, "this namespace may not be deleted")
        obj["status"] = obj.get("status", {}) | {"phase": "Terminating"}
        return bool(obj["spec"].get("finalizers"))

    def is_held(self, obj: Json) -> bool:
        return bool(obj["spec"].get("finalizers")) or super().is_held(obj)
