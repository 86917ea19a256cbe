"""Namespaces come with a default ServiceAccount, and are emptied when they are deleted.

Stands for the namespace and service account controllers of a real cluster. What a valid namespace is, and what holds
one, is in kinds/namespaces.py.
"""

from __future__ import annotations

from lab.apiserver.call import SYSTEM, Call
from lab.apiserver.kinds.registry import Registry
from lab.apiserver.resource import Resource
from lab.apiserver.store import Key, Record, Store, encode
from lab.apiserver.verbs.rest import Rest


class NamespaceKeeper:
    """Gives new namespaces their default ServiceAccount, and empties those that are deleted."""

    def __init__(self, rest: Rest, registry: Registry, store: Store) -> None:
        self._rest = rest
        self._registry = registry
        self._store = store
        rest.after_commit.append(self._committed)
        rest.after_remove.append(self._removed)

    def _committed(self, resource: Resource, record: Record) -> None:
        if resource.storage != "namespaces":
            return
        if b'"deletionTimestamp"' not in record.raw:
            self._give_account(record.key.name)
        elif "deletionTimestamp" in record.value()["metadata"]:
            self._empty(record.key.name)
            self._finish(record.key.name)

    def _give_account(self, namespace: str) -> None:
        accounts = self._registry.find("", "v1", "serviceaccounts")
        if accounts is None or self._store.table("serviceaccounts").get(Key(namespace, "default")):
            return
        body = encode({"metadata": {"name": "default"}})
        self._rest.create(Call("create", accounts, namespace, user=SYSTEM, body=body))

    def _empty(self, namespace: str) -> None:
        for resource in self._stored_once():
            self._rest.purge(resource, list(self._store.table(resource.storage).records(namespace)))

    def _stored_once(self) -> list[Resource]:
        """One resource for each storage of namespaced objects."""
        found = {one.storage: one for one in self._registry.all() if one.namespaced and "delete" in one.verbs}
        return list(found.values())

    def _removed(self, resource: Resource, key: Key) -> None:
        if not key.namespace:
            return
        record = self._store.table("namespaces").get(Key("", key.namespace))
        if record is not None and b'"deletionTimestamp"' in record.raw:
            self._finish(key.namespace)

    def _finish(self, name: str) -> None:
        """When nothing is left in it, the namespace may go."""
        key = Key("", name)
        record = self._store.table("namespaces").get(key)
        namespaces = self._registry.find("", "v1", "namespaces")
        if record is None or namespaces is None:
            return
        if any(next(self._store.table(one.storage).records(name), None) for one in self._stored_once()):
            return
        obj = record.value()
        if obj["metadata"].get("finalizers"):
            if obj["spec"].get("finalizers"):
                self._rest.write(namespaces, key, lambda one: one | {"spec": {}})
        else:
            self._rest.remove(namespaces, key)
