"""One Speaker object as an API server keeps it: what becomes of the requests that speaker.own.writer asks for."""

import copy
from dataclasses import dataclass, field
from typing import Any

from speaker.own.status import Patch
from speaker.own.writer import Failure, Look, Own, Request, Write


def merge(target, patch):
    """RFC 7386 §2."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


@dataclass
class Store:
    """One object on an API server: refuses writes that are meant for another object, or for another version of it."""

    uid: str = ""
    version: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    writes: list[Patch] = field(default_factory=list)

    @property
    def own(self) -> Own:
        return Own(self.uid, str(self.version), self.status.get("incarnation", ""))

    def create(self) -> None:
        """Another object than before, if there was one."""
        self.version += 1
        self.uid, self.status = f"uid-{self.version}", {}

    def delete(self) -> None:
        self.uid, self.status = "", {}

    def touch(self) -> None:
        """Somebody else's write."""
        self.version += 1

    def answer(self, request: Request) -> Own | Failure:
        if isinstance(request, Look) and request.creates and not self.uid:
            self.create()
        if not self.uid:
            return Failure.GONE
        if isinstance(request, Write):
            if (request.uid, request.resource_version) != (self.uid, str(self.version)):
                return Failure.CONFLICT
            self.version += 1
            self.status = merge(self.status, request.status)
            self.writes.append(request.status)
        return self.own
