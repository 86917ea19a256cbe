"""All objects in memory under one resourceVersion counter, with the history that watches replay.

Synchronous and without rules: names, validation and permissions are judged before a write gets here.
An object is kept as its encoded bytes, so that no caller can change it in place: reading it as a dict gives a copy.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]

_decoder: msgspec.json.Decoder[Json] = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()
encode = _encoder.encode
decode = _decoder.decode

HISTORY_EVENTS = 20_000
"""How many events of a resource are kept for watches that resume, unless the settings say otherwise."""


class Key(NamedTuple):
    """Where an object is; the namespace is empty for cluster-scoped resources. Lists are in this order."""

    namespace: str
    name: str


class Record:
    """An object at one version."""

    __slots__ = ("key", "labels", "raw", "revision", "uid")

    def __init__(self, key: Key, revision: int, raw: bytes, labels: Mapping[str, str], uid: str) -> None:
        self.key = key
        self.revision = revision
        self.raw = raw
        self.labels = labels
        self.uid = uid

    def value(self) -> Json:
        """The object as a dict of the caller's own."""
        return decode(self.raw)


class EventType(StrEnum):
    """What happened to an object, as watches write it."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


class Event:
    """A change: what the object is (or was, for a deletion, at the version of the deletion) and what it was before."""

    __slots__ = ("lines", "previous", "record", "type")

    def __init__(self, kind: EventType, record: Record, previous: Record | None) -> None:
        self.type = kind
        self.record = record
        self.previous = previous
        self.lines: dict[object, bytes] = {}  # encoded once for all watchers that see it alike

    @property
    def revision(self) -> int:
        """The version of the store that the change made."""
        return self.record.revision


@dataclass(frozen=True, slots=True)
class Expired:
    """The history asked for is gone; `oldest` is the first version that could still be served."""

    oldest: int


class Table:
    """The objects of one resource in order, its recent history, and its listeners."""

    def __init__(self, born: int) -> None:
        self._records: dict[Key, Record] = {}
        self._order: list[Key] = []
        self._history: list[Event] = []
        self.oldest = born  # watches may start here or later
        self.listeners: dict[int, tuple[Callable[[Event], None], Callable[[], None] | None]] = {}
        self._next_listener = 0

    def __len__(self) -> int:
        return len(self._records)

    def get(self, key: Key) -> Record | None:
        """The object at a key; None if there is none."""
        return self._records.get(key)

    def records(self, namespace: str | None = None) -> Iterator[Record]:
        """In the order of keys; `namespace` None means everywhere."""
        order = self._order
        if namespace:
            order = order[bisect_left(order, Key(namespace, "")) : bisect_left(order, Key(namespace + "\0", ""))]
        return (self._records[key] for key in order)

    def records_at(self, revision: int, namespace: str | None = None) -> list[Record] | Expired:
        """As `records`, as things were at an earlier version."""
        events = self.since(revision)
        if isinstance(events, Expired):
            return events
        earlier: dict[Key, Record | None] = {}
        for event in events:
            earlier.setdefault(event.record.key, event.previous)
        if not earlier:
            return list(self.records(namespace))
        now = {record.key: record for record in self.records(namespace) if record.key not in earlier}
        for key, record in earlier.items():
            if record is not None and namespace in (None, "", key.namespace):
                now[key] = record
        return [now[key] for key in sorted(now)]

    def since(self, revision: int) -> list[Event] | Expired:
        """All changes after a version."""
        if revision < self.oldest:
            return Expired(self.oldest)
        start = bisect_right(self._history, revision, key=lambda event: event.revision)
        return self._history[start:]

    def listen(
        self, listener: Callable[[Event], None], dropped: Callable[[], None] | None = None
    ) -> Callable[[], None]:
        """Call `listener` at each change, and `dropped` when the table goes, synchronously. Returns what ends it."""
        number = self._next_listener
        self._next_listener += 1
        self.listeners[number] = (listener, dropped)
        return lambda: self.listeners.pop(number, None) and None

    def forget(self, revision: int) -> None:
        """Drop the history: watches from before `revision` are refused from now on."""
        keep = bisect_right(self._history, revision, key=lambda event: event.revision)
        del self._history[:keep]
        self.oldest = max(self.oldest, revision)

    def apply(self, event: Event, history_limit: int) -> None:
        """Take a change in and call the listeners. Only the store calls this."""
        key = event.record.key
        if event.type is EventType.DELETED:
            del self._records[key]
            del self._order[bisect_left(self._order, key)]
        else:
            if key not in self._records:
                insort(self._order, key)
            self._records[key] = event.record
        self._history.append(event)
        if len(self._history) > history_limit + history_limit // 4 + 16:
            self.forget(self._history[-history_limit - 1].revision)
        for listener, _ in list(self.listeners.values()):
            listener(event)

    def say_dropped(self) -> None:
        """Tell the listeners that nothing will happen here any more. Only the store calls this."""
        for _, dropped in list(self.listeners.values()):
            if dropped is not None:
                dropped()


class Store:
    """Tables by storage name. Every write takes the next version; a caller with nothing new should not call `put`."""

    def __init__(self, history_limit: int = HISTORY_EVENTS) -> None:
        self.revision = 1
        self.history_limit = history_limit
        self._tables: dict[str, Table] = {}

    def table(self, storage: str) -> Table:
        """The table of a storage name; an empty one comes to be when first asked for."""
        found = self._tables.get(storage)
        if found is None:
            found = self._tables[storage] = Table(self.revision)
        return found

    def drop(self, storage: str) -> None:
        """Forget a whole table (its CustomResourceDefinition is gone), and end what follows it."""
        table = self._tables.pop(storage, None)
        if table is not None:
            table.say_dropped()

    def put(self, storage: str, key: Key, value: Json) -> Record:
        """Create or replace. Writes the new version into `value`."""
        table = self.table(storage)
        previous = table.get(key)
        self.revision += 1
        record = self._record(key, value, self.revision)
        kind = EventType.ADDED if previous is None else EventType.MODIFIED
        table.apply(Event(kind, record, previous), self.history_limit)
        return record

    def remove(self, storage: str, key: Key) -> Record:
        """Delete what is there. Returns it as the DELETED event shows it: at the version of the deletion."""
        table = self.table(storage)
        previous = table.get(key)
        if previous is None:
            raise KeyError(key)
        self.revision += 1
        record = self._record(key, previous.value(), self.revision)
        table.apply(Event(EventType.DELETED, record, previous), self.history_limit)
        return record

    def forget_history(self) -> None:
        """Compact everything: only watches from the present version on are served."""
        for table in self._tables.values():
            table.forget(self.revision)

    def _record(self, key: Key, value: Json, revision: int) -> Record:
        metadata = value["metadata"]
        metadata["resourceVersion"] = str(revision)
        # Kind and apiVersion first: lists of built-in kinds leave them out, and cut them off the encoded form.
        ordered = {"kind": value["kind"], "apiVersion": value["apiVersion"], "metadata": metadata} | value
        return Record(key, revision, encode(ordered), metadata.get("labels") or {}, metadata.get("uid", ""))


def at_version(record: Record, revision: int) -> Record:
    """The same object under another version: how a watch shows what left its selector."""
    value = record.value()
    value["metadata"]["resourceVersion"] = str(revision)
    return Record(record.key, revision, encode(value), record.labels, record.uid)
