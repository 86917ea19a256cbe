"""The objects of one node as an API server keeps them: what becomes of the requests that the writers ask for."""

import copy
from dataclasses import dataclass, field
from typing import Any

from speaker.own.requests import (
    CONFIRMATION,
    SPEAKER,
    Delete,
    Deleted,
    Failed,
    Failure,
    Found,
    Kind,
    Look,
    Outcome,
    Own,
    Patch,
    Request,
    Target,
    Write,
    Wrote,
)


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
    deletions: int = 0

    @property
    def own(self) -> Own:
        keys = frozenset({*self.status.get("released", {}), *self.status.get("announcements", {})})
        names = frozenset(self.status)
        return Own(self.uid, str(self.version), self.status.get("incarnation", ""), keys, names)

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
        if isinstance(request, Delete):
            if request.uid != self.uid:
                return Failure.CONFLICT
            self.delete()
            self.deletions += 1
        if isinstance(request, Write):
            if (request.uid, request.resource_version) != (self.uid, str(self.version)):
                return Failure.CONFLICT
            self.version += 1
            self.status = merge(self.status, request.status)
            self.writes.append(request.status)
        return self.own


class Stores:
    """All objects of one node."""

    def __init__(self) -> None:
        self.speaker, self.confirmation = Store(), Store()
        self._all: dict[Target, Store] = {SPEAKER: self.speaker, CONFIRMATION: self.confirmation}

    def at(self, target: Target) -> Store:
        return self._all.setdefault(target, Store())

    def slice(self, number: int) -> Store:
        return self.at(Target(Kind.REPORT, number))

    @property
    def slices(self) -> list[Store]:
        """Those that exist, in order of their numbers."""
        numbered = sorted((one.number, store) for one, store in self._all.items() if one.kind is Kind.REPORT)
        return [store for _, store in numbered if store.uid]

    def answer(self, request: Request, node_uid: str = "node") -> Outcome:
        return outcome(request, self.at(request.target).answer(request), node_uid)

    @property
    def released(self) -> dict[str, int]:
        """What counts as confirmed: by the process that the Speaker names."""
        said = self.confirmation.status
        counts = said.get("incarnation") == self.speaker.status.get("incarnation")
        return said.get("released", {}) if counts else {}

    @property
    def announcements(self) -> dict[str, Any]:
        """What counts as announced."""
        incarnation = self.speaker.status.get("incarnation")
        counting = [store.status for store in self.slices if store.status.get("incarnation") == incarnation]
        return {address: entry for status in counting for address, entry in status.get("announcements", {}).items()}


def outcome(request: Request, answer: Own | Failure, node_uid: str = "node", **how: Any) -> Outcome:
    """As speaker.own.io.ownobjects tells it."""
    if isinstance(answer, Failure):
        return Failed(request, answer, "no", **how)
    match request:
        case Look(creates=creates):
            return Found(request, answer, node_uid if creates else "")
        case Write():
            return Wrote(request, answer)
        case Delete():
            return Deleted(request)
