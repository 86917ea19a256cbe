"""What a list or a watch event changes in a local copy of one resource, and what to read next.

Pure: pages and events in, changes out. In client-go's words, the store and what its Reflector does to it; the reading
and the waiting is in kube.informer.io.informer.

Order is what this module guarantees. For each object, changes come in the order in which they happened; a change is
never undone by an older one; another object under the same name (another uid) is DELETED, then ADDED. What happened
between two lists may be missing in between (an object that came and went leaves no trace), never at the end: after a
list or an event the copy is what the server had at that resourceVersion.

resourceVersions are compared as integers (KEP-5504 makes that legal), within one resource, and for one purpose: to drop
what is older than what we have. One stream never needs that. It matters when a stream is resumed at another API server,
or by another way than we asked. A version that is no integer compares as not older, so such a server is believed.

A list that is older than the copy is not believed at once: quorum reads can't be. `finish_list` refuses it, and
kube.informer.io.informer reads again; when the server insists, its storage was restored from a backup, and then that
past is the present (`may_go_back`).
"""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar

from kube.framing import Identity, decode_identity

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """`namespace` is None for cluster-scoped objects. Keys of one resource sort."""

    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class ChangeKind(enum.Enum):
    """What happened to an object, in the words of a watch."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """`old` is None when ADDED, `new` when DELETED. Another object under the same name is DELETED, then ADDED."""

    kind: ChangeKind
    key: ObjectKey
    old: T | None
    new: T | None


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An object that `decode` refused. `key` has an empty name when not even the metadata could be read."""

    key: ObjectKey
    error: ValueError


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What one list or one event brought."""

    changes: list[Change[T]] = field(default_factory=list)
    undecodable: list[Undecodable] = field(default_factory=list)


class WentBack(Exception):
    """A list is older than what we have seen: it was not taken in."""


_Version = str
"""Which object, and which version of it: its uid, a space, its resourceVersion. One text, for there are thousands."""


class Store(Generic[T]):
    """The copy. Feed it one list (`begin_list`, `take_page` ..., `finish_list`), then events, then maybe lists again.

    `decode` may raise any ValueError. The object keeps its last good form in `items`, or stays out if it had none.
    """

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        self.items: dict[ObjectKey, T] = {}
        self.resource_version = ""
        """Where a watch goes on; "" before the first list."""
        self._decode = decode
        self._versions: dict[ObjectKey, _Version] = {}
        self._incoming: dict[ObjectKey, _Version] = {}
        self._decoded: dict[ObjectKey, T] = {}
        self._undecodable: list[Undecodable] = []

    def begin_list(self) -> None:
        """Forget a list that was not finished."""
        self._incoming = {}
        self._decoded = {}
        self._undecodable = []

    def take_page(self, items: Iterable[bytes]) -> None:
        """Decode a page. `items` and the copy stay as they are until `finish_list`."""
        for raw in items:
            try:
                identity = decode_identity(raw)
            except ValueError as error:
                self._undecodable.append(Undecodable(ObjectKey(None, ""), error))
                continue
            key, version = _key_and_version(identity)
            self._incoming[key] = version
            if self._versions.get(key) == version:
                continue  # decoded before, or found undecodable and reported before
            try:
                self._decoded[key] = self._decode(raw)
            except ValueError as error:
                self._undecodable.append(Undecodable(key, error))

    def finish_list(self, resource_version: str, *, may_go_back: bool = False) -> Outcome[T]:
        """Make the copy what the list says. Raises WentBack when the list is older than the copy."""
        if is_older(resource_version, self.resource_version) and not may_go_back:
            raise WentBack(f"a list of version {resource_version} after {self.resource_version}")
        changes: list[Change[T]] = []
        for key in sorted(self._versions.keys() - self._incoming.keys()):
            changes += self._remove(key)
        for key, version in self._incoming.items():
            if self._versions.get(key) != version:
                changes += self._put(key, version, self._decoded.get(key))
        outcome = Outcome(changes, self._undecodable)
        self.resource_version = resource_version
        self.begin_list()
        return outcome

    def apply(self, event_type: str, raw: bytes, resource_version: str) -> Outcome[T]:
        """Take in a watch event that is not an ERROR. Raises ValueError when its metadata can't be read."""
        if not is_older(self.resource_version, resource_version) and _both_integers(
            self.resource_version, resource_version
        ):
            return Outcome()  # a replay: streams are in order, so all up to our version is in the copy
        self.resource_version = resource_version
        match event_type:
            case "ADDED" | "MODIFIED":
                return self._applied(raw)
            case "DELETED":
                return Outcome(self._remove(_key_and_version(decode_identity(raw))[0]))
            case _:
                return Outcome()  # a BOOKMARK, or a type of the future: only its version counts

    def _applied(self, raw: bytes) -> Outcome[T]:
        key, version = _key_and_version(decode_identity(raw))
        try:
            return Outcome(self._put(key, version, self._decode(raw)))
        except ValueError as error:
            return Outcome(self._put(key, version, None), [Undecodable(key, error)])

    def _put(self, key: ObjectKey, version: _Version, new: T | None) -> list[Change[T]]:
        """`new` None = it exists, in a form that does not decode."""
        before = self._versions.get(key)
        changes = [] if before is None or _uid(before) == _uid(version) else self._remove(key)
        self._versions[key] = version
        if new is None:
            return changes
        old = self.items.get(key)
        self.items[key] = new
        kind = ChangeKind.ADDED if old is None else ChangeKind.MODIFIED
        return [*changes, Change(kind, key, old, new)]

    def _remove(self, key: ObjectKey) -> list[Change[T]]:
        self._versions.pop(key, None)
        old = self.items.pop(key, None)
        return [] if old is None else [Change(ChangeKind.DELETED, key, old, None)]


MOST_DIGITS = 20
"""Of a resourceVersion: 64 bits have no more. Python reads no number of thousands."""


def is_older(resource_version: str, than: str) -> bool:
    """Whether it is surely older: both are integers, and it is less."""
    return _both_integers(resource_version, than) and int(resource_version) < int(than)


def _both_integers(*versions: str) -> bool:
    return all(version.isdecimal() and len(version) <= MOST_DIGITS for version in versions)


def _key_and_version(identity: Identity) -> tuple[ObjectKey, _Version]:
    return ObjectKey(_shared(identity.namespace), identity.name), f"{identity.uid} {identity.resource_version}"


def _uid(version: _Version) -> str:
    return version.partition(" ")[0]


@lru_cache(maxsize=4096)
def _shared(namespace: str | None) -> str | None:
    """One copy of a text that thousands of objects have."""
    return namespace
