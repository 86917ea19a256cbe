"""The status that the Speaker object should have, and the next merge patch (RFC 7386): what differs from what was
written.

Sends nothing. The next patch repeats one that was not confirmed, whatever became of it: all entries are absolute, so
writing one twice does no harm. Confirmed releases go first, since allocators wait for them.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

V = TypeVar("V")

Patch = dict[str, Any]

REGISTRATION_CLEARS: Patch = {"released": None, "announcements": None, "goodbye": False}
"""What an earlier process announced ended with that process. Its releases are confirmed again after the first list."""


class PatchedMap(Generic[V]):
    """One map of the status, patched key by key."""

    def __init__(self) -> None:
        self._wanted: dict[str, V] = {}
        self._stale: dict[str, None] = {}
        self._written: set[str] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def is_stale(self) -> bool:
        return bool(self._stale)

    def get(self, key: str) -> V | None:
        return self._wanted.get(key)

    def keys(self) -> Set[str]:
        """The keys of the wanted entries."""
        return self._wanted.keys()

    def put(self, key: str, value: V) -> None:
        """Want this entry; repeating it costs nothing."""
        if self._wanted.get(key) != value:
            self._wanted[key] = value
            self._stale[key] = None

    def drop(self, key: str) -> None:
        """Want no such entry. An entry that was never sent leaves no trace."""
        self._wanted.pop(key, None)
        self._stale.pop(key, None)
        if key in self._written:
            self._stale[key] = None

    def patch(self, limit: int) -> dict[str, V | None]:
        """Up to `limit` entries to write; None removes an entry. From now on they may be in the object."""
        keys = [key for key, _ in zip(self._stale, range(limit), strict=False)]
        self._written.update(keys)
        return {key: self._wanted.get(key) for key in keys}

    def confirm(self, patch: Mapping[str, V | None]) -> None:
        """That patch was written. What changed since is still to be written."""
        for key, value in patch.items():
            if self._wanted.get(key) == value:
                self._stale.pop(key, None)
            if value is None and key not in self._wanted:
                self._written.discard(key)

    def cleared(self) -> None:
        """The whole map was removed from the object."""
        self._written.clear()
        self._stale = dict.fromkeys(self._wanted)


@dataclass
class Draft:
    """One patch that is being written, by the parts of the status; it is confirmed or forgotten as a whole."""

    released: dict[str, int | None] = field(default_factory=dict)
    announcements: dict[str, Patch | None] = field(default_factory=dict)
    fields: Patch = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not (self.released or self.announcements or self.fields)

    def body(self) -> Patch:
        """The value of `status` in a merge patch."""
        parts: Patch = dict(self.fields)
        if self.released:
            parts["released"] = self.released
        if self.announcements:
            parts["announcements"] = self.announcements
        return parts


class StatusDraft:
    """The whole status. `fields` are written whole when they differ: interfaces, conditions, fencing."""

    def __init__(self) -> None:
        self.released: PatchedMap[int] = PatchedMap()
        self.announcements: PatchedMap[Patch] = PatchedMap()
        self._fields: Patch = {}
        self._written_fields: Patch = {}

    def set(self, name: str, value: Any) -> None:
        """Want this value in that field."""
        self._fields[name] = value

    def written(self, name: str) -> Any:
        """The confirmed value of that field in the object; None while it is not known."""
        return self._written_fields.get(name)

    @property
    def is_urgent(self) -> bool:
        """Whether confirmed releases are to be written."""
        return self.released.is_stale

    @property
    def is_stale(self) -> bool:
        return self.released.is_stale or self.announcements.is_stale or self._stale_fields() != {}

    def next(self, *, only_urgent: bool, limit: int) -> Draft:
        """The next patch. With `only_urgent` announcements and fields wait for a later one."""
        draft = Draft(released=self.released.patch(limit))
        if not only_urgent:
            draft.announcements = self.announcements.patch(limit)
            draft.fields = self._stale_fields()
            for name in draft.fields:  # until it is confirmed the object's value is not known
                self._written_fields.pop(name, None)
        return draft

    def confirm(self, draft: Draft) -> None:
        """It was written."""
        self.released.confirm(draft.released)
        self.announcements.confirm(draft.announcements)
        self._written_fields.update(draft.fields)

    def registration(self, incarnation: str) -> Patch:
        """The patch that registers: it clears what an earlier process said, and carries all fields."""
        return {**REGISTRATION_CLEARS, **self._fields, "incarnation": incarnation}

    def registered(self, patch: Patch) -> None:
        """That registration was written."""
        self.released.cleared()
        self.announcements.cleared()
        self._written_fields = {name: value for name, value in patch.items() if name in self._fields}

    def _stale_fields(self) -> Patch:
        unwritten = object()
        return {
            name: value for name, value in self._fields.items() if self._written_fields.get(name, unwritten) != value
        }
