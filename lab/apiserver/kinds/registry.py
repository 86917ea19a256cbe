"""The resources served at the moment, and the behaviour of each.

Built-in ones are here for good; custom ones come and go with their definitions.
"""

from __future__ import annotations

from collections.abc import Iterable

from lab.apiserver.kinds.behaviour import Behaviour
from lab.apiserver.resource import Resource


class Registry:
    """Resources by group, version and plural, each with the behaviour of its objects."""

    def __init__(self, resources: Iterable[tuple[Resource, Behaviour]]) -> None:
        self._served: dict[tuple[str, str, str], tuple[Resource, Behaviour]] = {}
        self.version = 0  # rises whenever something comes or goes: for documents made from the whole
        for resource, behaviour in resources:
            self.add(resource, behaviour)

    def add(self, resource: Resource, behaviour: Behaviour) -> None:
        """Serve a resource from now on; one with the same group, version and plural is replaced."""
        self._served[resource.group, resource.version, resource.plural] = (resource, behaviour)
        self.version += 1

    def remove(self, group: str, plural: str) -> None:
        """Stop serving a resource in all versions."""
        for key in [key for key in self._served if (key[0], key[2]) == (group, plural)]:
            del self._served[key]
        self.version += 1

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource that is served under these names; None if there is none."""
        found = self._served.get((group, version, plural))
        return found[0] if found else None

    def behaviour(self, resource: Resource) -> Behaviour:
        """For a resource that has just been withdrawn too: a request may be under way."""
        found = self._served.get((resource.group, resource.version, resource.plural))
        return found[1] if found else Behaviour()

    def all(self) -> list[Resource]:
        """All resources, in the order in which they were added."""
        return [resource for resource, _ in self._served.values()]
