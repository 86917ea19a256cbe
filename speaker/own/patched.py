"""Parts of a status as they should be, and the merge patch (RFC 7386) of what differs from what was written. Pure.

The next patch repeats one that was not confirmed, whatever became of it: all values are absolute, so writing one twice
does no harm. What the API server refused is left out of every patch, until it is another value or some time has passed.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any, Generic, TypeVar

from speaker.own.requests import Patch

V = TypeVar("V")


class PatchedMap(Generic[V]):
    """One map of a status, patched key by key. `capacity`: how many entries the object can hold; those beyond it wait
    until others go."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = capacity
        self._wanted: dict[str, V] = {}
        self._stale: dict[str, None] = {}
        self._written: set[str] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    @property
    def is_stale(self) -> bool:
        """Whether something is to be written, and can be."""
        return bool(self._stale) and bool(self.patch_keys(1))

    def only_loses(self, most: int) -> bool:
        """Whether all that is to be written are entries that go, and no more of them than that."""
        return len(self._stale) <= most and not any(key in self._wanted for key in self._stale)

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

    def patch_keys(self, limit: int) -> list[str]:
        """Up to `limit` keys to write now: entries that go come first where room is short."""
        if self._capacity is None or len(self._written) + len(self._stale) <= self._capacity:
            return [key for key, _ in zip(self._stale, range(limit), strict=False)]
        keys = [*(key for key in self._stale if key not in self._wanted), *self._surplus()][:limit]
        room = self._capacity - len(self._written) + len(keys)
        for key in self._stale:
            if len(keys) >= limit:
                break
            if key in self._wanted and key not in keys and (key in self._written or room > 0):
                room -= key not in self._written
                keys.append(key)
        return keys

    def patch(self, limit: int) -> dict[str, V | None]:
        """Up to `limit` entries to write; None removes an entry. From now on they may be in the object."""
        surplus = frozenset(self._surplus())
        keys = self.patch_keys(limit)
        self._written.update(keys)
        return {key: None if key in surplus else self._wanted.get(key) for key in keys}

    def confirm(self, patch: Mapping[str, V | None]) -> None:
        """That patch, the last one, was written. What changed since is still to be written."""
        for key, value in patch.items():
            if self._wanted.get(key) == value:
                self._stale.pop(key, None)
            if value is None:
                self._written.discard(key)

    def _surplus(self) -> list[str]:
        """Wanted entries for which there is no room, though they may be in the object by a write without an answer,
        which was to remove others."""
        if self._capacity is None or len(self._written) <= self._capacity:
            return []
        staying = sum(key in self._wanted for key in self._written)
        if staying <= self._capacity:
            return []
        return [key for key in self._stale if key in self._wanted and key in self._written][self._capacity - staying :]

    def defer(self, keys: Iterable[str]) -> None:
        """Let all others go before these: they were refused."""
        for key in keys:
            if key in self._stale:
                del self._stale[key]
                self._stale[key] = None

    def found(self, keys: Set[str]) -> None:
        """The object was read and has these: all that is wanted is to be written, and the rest to go."""
        self._written = set(keys)
        self._stale = dict.fromkeys((*self._wanted, *(keys - self._wanted.keys())))


class PatchedFields:
    """Fields of a status that are written whole when they differ. A list may lose single entries to a refusal.

    `kept`: fields that stay as the object has them when what is wanted is refused; the others become null.
    """

    def __init__(self, kept: Set[str] = frozenset()) -> None:
        self._kept = kept
        self._wanted: Patch = {}
        self._written: Patch = {}
        self._refused: dict[str, list[Any]] = {}
        """Values, and entries of lists, that the API server does not take, by field."""
        self._found: Patch | None = None
        """What `stale` found last; None = something was touched since."""

    def get(self, name: str) -> Any:
        """The wanted value; None where there is none."""
        return self._wanted.get(name)

    def set(self, name: str, value: Any) -> None:
        """Want this value in that field. It is not to be changed any more."""
        if name not in self._wanted or self._wanted[name] != value:
            self._wanted[name] = value
            self._found = None

    def written(self, name: str) -> Any:
        """The confirmed value of that field in the object; None while it is not known."""
        return self._written.get(name)

    def all(self) -> Patch:
        """Every field, as far as it can be written: null where it can't be."""
        return {name: self._acceptable(name) for name in self._wanted if not self._stays(name)}

    def stale(self) -> Patch:
        """The fields that differ. To be read only: asked for many times as often as anything changes."""
        if self._found is None:
            unwritten, written = object(), self._written
            self._found = {name: value for name, value in self.all().items() if written.get(name, unwritten) != value}
        return self._found

    def sending(self, patch: Patch) -> None:
        """A patch with these values is about to be sent: until it is confirmed the object's are not known."""
        for name in patch:
            self._written.pop(name, None)
        self._found = None

    def confirm(self, patch: Patch) -> None:
        """They were written."""
        self._found = None
        self._written.update({name: value for name, value in patch.items() if name in self._wanted})

    def forget(self) -> None:
        """What the object has is not known any more."""
        self._written.clear()
        self._found = None

    def undone(self, name: str) -> None:
        """Somebody else wrote that field: it is written again."""
        self._written.pop(name, None)
        self._found = None

    def refuse(self, name: str, value: Any) -> None:
        """The API server does not take this value, or this entry of the list, in that field."""
        self._refused.setdefault(name, []).append(self._wanted.get(name) if name in self._kept else value)
        self._found = None

    def forgive(self) -> None:
        """Try again what was refused."""
        self._refused.clear()
        self._found = None

    def _stays(self, name: str) -> bool:
        return name in self._kept and self._wanted[name] in self._refused.get(name, ())

    def _acceptable(self, name: str) -> Any:
        value = self._wanted[name]
        refused = self._refused.get(name)
        if not refused:
            return value
        if value in refused:
            return None
        return [one for one in value if one not in refused] if isinstance(value, list) else value
