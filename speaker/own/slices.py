"""What this node reports, cut into slices as EndpointSlices are: which entry is in which slice, and how urgent it is.

An entry stays in its slice, and a new one goes to the first slice with room: so one change rewrites one slice, a few
KB. Slice 0 has what the node has once: conditions, interfaces, members, faults. Pure; sends nothing.
"""

from collections.abc import Iterable, Mapping, Set
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec

from crds.speaker import AnnounceProtocol
from crds.speakerreport import MOST_ENTRIES
from speaker.own.entries import Entry
from speaker.own.patched import PatchedFields, PatchedMap
from speaker.own.refused import largest_field, named_parts
from speaker.own.requests import Own, Patch

ROOM_BYTES = 11_000
"""Of entries that a slice takes in. ..."""
MOST_BYTES = 13_000
"""... Those that it has may grow to this much; then one moves. With the object's own words it is below 16 KB."""
LISTS = {
    "bgpSessions": "peer",
    "bgpPaths": "name",
    "bfdSessions": "peer",
    "conflicts": "address",
    "kernelAnswers": "address",
    "unannounced": "address",
}
"""Lists whose entries are shared out among slices, and the field by which an entry is known."""
ANNOUNCEMENTS = "announcements"
ONCE = {"conditions": 3800, "interfaces": 2800, "heard": 4300, "faults": 4000}
"""What the node has once, in slice 0, and how many bytes of it. Nothing else is in that slice."""
COUNTS = frozenset({"routesSent", "lastSeen", "count"})
"""Fields that only count: they alone cause no write for a while."""
NULL_BYTES = len('"":null,')
"""A field that is null is in a patch, and not in the object."""
ENCODE = msgspec.json.Encoder().encode


class Urgency(IntEnum):
    """How long a change may wait."""

    COUNTS = 1
    """It only counts something."""
    ROUTINE = 2
    """By the budget that the whole cluster shares."""
    URGENT = 3
    """Who answers for an address on layer 2, or that nobody does: at once."""


class Key(NamedTuple):
    """One entry. `field`: of the status."""

    field: str
    key: str


class Slice:
    """One of them. `own`: the object as we know it; None = to be looked at before the next write."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.own: Own | None = None
        self.is_there = False
        """Whether there is such an object, as far as is known."""
        self.entries: dict[Key, tuple[Entry, int]] = {}
        self.size = 0
        self.announcements: PatchedMap[Entry] = PatchedMap()
        self.fields = PatchedFields()
        self.written_at = float("-inf")

    @property
    def is_empty(self) -> bool:
        return self.number > 0 and not self.entries

    def has_room_for(self, size: int) -> bool:
        """Slice 0 has room for none."""
        return self.number > 0 and len(self.entries) < MOST_ENTRIES and self.size + size <= ROOM_BYTES

    def put(self, key: Key, entry: Entry, size: int) -> None:
        _, before = self.entries.get(key, (None, 0))
        self.entries[key] = (entry, size)
        self._changed(key, size - before)

    def pop(self, key: Key) -> None:
        _, size = self.entries.pop(key)
        self._changed(key, -size)

    def _changed(self, key: Key, growth: int) -> None:
        self.size += growth
        if key.field != ANNOUNCEMENTS:
            every = sorted((one.key, entry) for one, (entry, _) in self.entries.items() if one.field == key.field)
            self.fields.set(key.field, [entry for _, entry in every])
        elif key in self.entries:
            self.announcements.put(key.key, self.entries[key][0])
        else:
            self.announcements.drop(key.key)

    def patch(self, incarnation: str) -> Patch:
        """What differs from the object."""
        self.fields.set("incarnation", incarnation)
        status = {**self.fields.stale()}
        self.fields.sending(status)
        if changed := self.announcements.patch(2 * MOST_ENTRIES):
            status[ANNOUNCEMENTS] = changed
        return status

    def confirm(self, status: Patch, own: Own) -> None:
        """That was written."""
        self.own = own
        self.announcements.confirm(status.get(ANNOUNCEMENTS, {}))
        self.fields.confirm(status)

    def found(self, own: Own) -> None:
        """It was read: what it has is overwritten, whoever wrote it."""
        self.own, self.is_there = own, True
        self.announcements.found(own.keys)
        self.fields.forget()
        for name in own.names - {"incarnation", ANNOUNCEMENTS}:
            self.fields.set(name, self.fields.get(name))  # null, where we have nothing to say

    def lost(self) -> None:
        """There is no such object, or nothing is known of it any more."""
        self.own, self.is_there = None, False
        self.announcements.found(frozenset())
        self.fields.forget()


class Slices:
    """`put` and `drop` entries, `set` what the node has once. `stale`: the slices to be written, and how urgently."""

    def __init__(self) -> None:
        self.all: list[Slice] = [Slice(0)]
        self.stale: dict[int, Urgency] = {}
        self._where: dict[str, dict[str, Slice]] = {field: {} for field in (ANNOUNCEMENTS, *LISTS)}
        self._first_with_room = 1
        self._refused: set[tuple[Key, bytes]] = set()

    def get(self, key: Key) -> Entry | None:
        """The entry, as it is wanted."""
        found = self._where[key.field].get(key.key)
        return None if found is None else found.entries[key][0]

    def keys(self, field: str) -> Set[str]:
        """Of all entries of that field."""
        return self._where[field].keys()

    def put(self, key: Key, entry: Entry) -> None:
        """Want this entry; repeating it costs little."""
        home = self._where[key.field].get(key.key)
        before = None if home is None else home.entries[key][0]
        if before == entry:
            return
        encoded = ENCODE(entry)
        if self._refused and (key, encoded) in self._refused:
            self.drop(key)
            return
        size = len(encoded) + len(key.key) + 4 - sum(len(name) + NULL_BYTES for name in entry if entry[name] is None)
        if home is not None and home.size + size - home.entries[key][1] > MOST_BYTES:
            self._remove(key, home, Urgency.ROUTINE)
            home = None
        if home is None:
            home = self._where[key.field][key.key] = self._with_room_for(size)
        home.put(key, entry, size)
        self.touch(home.number, _urgency(key, before, entry))

    def drop(self, key: Key) -> None:
        """Want no such entry."""
        home = self._where[key.field].get(key.key)
        if home is not None:
            self._remove(key, home, _urgency(key, home.entries[key][0], None))

    def entries(self, field: str) -> list[Entry]:
        """All entries of that field, by their names."""
        return [home.entries[Key(field, name)][0] for name, home in sorted(self._where[field].items())]

    def put_list(self, field: str, entries: Iterable[Entry]) -> None:
        """Want these entries in that field, and no others."""
        wanted = {entry[LISTS[field]]: entry for entry in entries}
        for gone in self.keys(field) - wanted.keys():
            self.drop(Key(field, gone))
        for name, entry in wanted.items():
            self.put(Key(field, name), entry)

    def set(self, name: str, entries: list[Entry]) -> None:
        """What the node has once; as much of it as there is room for."""
        first = self.all[0].fields
        wanted = within(entries, ONCE[name])
        before = first.get(name)
        if before != wanted:
            first.set(name, wanted)
            self.touch(0, _urgency_of_lists(before or [], wanted))

    def touch(self, number: int, urgency: Urgency) -> None:
        """That slice is to be written."""
        self.stale[number] = max(self.stale.get(number, urgency), urgency)

    def refuse(self, number: int, status: Patch, causes: Mapping[str, str]) -> None:
        """The API server did not take that patch: leave out what it names, or the largest part of it."""
        one = self.all[number]
        parts = named_parts(causes, status)
        if not parts:
            self._halve(one, status)
        for field, key, at in parts:
            if field == ANNOUNCEMENTS and key is not None:
                self._refuse(Key(field, key))
            elif field in LISTS and at is not None:
                self._refuse(Key(field, status[field][at][LISTS[field]]))
            elif field == ANNOUNCEMENTS or field in LISTS:
                self._halve(one, {field: status[field]})
            elif field != "incarnation":
                one.fields.refuse(field, status[field] if at is None else status[field][at])

    def forgive(self) -> None:
        """Let what was refused be tried again: an entry that is put again, a field at once."""
        self._refused.clear()
        for one in self.all:
            one.fields.forgive()
            if one.own is not None and one.fields.stale():
                self.touch(one.number, Urgency.ROUTINE)

    def at(self, number: int) -> Slice:
        """The slice of that number, made where it is missing."""
        while len(self.all) <= number:
            self.all.append(Slice(len(self.all)))
        return self.all[number]

    def spare(self) -> Slice | None:
        """The last one, if nothing is in it: its object can go. One without an object is forgotten."""
        while (last := self.all[-1]).is_empty and not last.is_there:
            self.all.pop()
            self.stale.pop(last.number, None)
            self._first_with_room = min(self._first_with_room, len(self.all))
        return last if last.is_empty else None

    def _halve(self, one: Slice, status: Patch) -> None:
        field = largest_field(status, frozenset({"incarnation"}))
        if field == ANNOUNCEMENTS or field in LISTS:
            sizes = sorted((size, key) for key, (_, size) in one.entries.items() if key.field == field)
            for _, key in sizes[len(sizes) // 2 :]:
                self._refuse(key)
        elif field is not None:
            one.fields.refuse(field, status[field])

    def _refuse(self, key: Key) -> None:
        if (entry := self.get(key)) is not None:
            self._refused.add((key, ENCODE(entry)))
            self.drop(key)

    def _remove(self, key: Key, home: Slice, urgency: Urgency) -> None:
        home.pop(key)
        del self._where[key.field][key.key]
        self._first_with_room = min(self._first_with_room, max(1, home.number))
        self.touch(home.number, urgency)

    def _with_room_for(self, size: int) -> Slice:
        while self._first_with_room < len(self.all):
            if self.all[self._first_with_room].has_room_for(512):
                break
            self._first_with_room += 1
        for one in self.all[self._first_with_room :]:
            if one.has_room_for(size):
                return one
        return self.at(len(self.all))


def within(entries: list[Entry], most_bytes: int) -> list[Entry]:
    """The first of them that fit into so many bytes."""
    left, kept = most_bytes, []
    for one in entries:
        left -= len(ENCODE(one)) + 1
        if left < 0:
            break
        kept.append(one)
    return kept


def _urgency(key: Key, before: Entry | None, after: Entry | None) -> Urgency:
    if key.field == ANNOUNCEMENTS:
        return Urgency.URGENT if _is_on_layer2(before) != _is_on_layer2(after) else Urgency.ROUTINE
    if before is None or after is None:
        return Urgency.ROUTINE
    return Urgency.COUNTS if _without_counts(before) == _without_counts(after) else Urgency.ROUTINE


def _urgency_of_lists(before: list[Entry], after: list[Entry]) -> Urgency:
    same = [_without_counts(one) for one in before] == [_without_counts(one) for one in after]
    return Urgency.COUNTS if same else Urgency.ROUTINE


def _is_on_layer2(entry: Entry | None) -> bool:
    return entry is not None and AnnounceProtocol.Layer2 in entry["protocols"]


def _without_counts(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in COUNTS}


class ReportedMap:
    """The announcements among the slices, as a map."""

    def __init__(self, slices: Slices) -> None:
        self._slices = slices

    @property
    def slices(self) -> Slices:
        """They are among."""
        return self._slices

    def get(self, address: str) -> Entry | None:
        return self._slices.get(Key(ANNOUNCEMENTS, address))

    def keys(self) -> Set[str]:
        """The addresses."""
        return self._slices.keys(ANNOUNCEMENTS)

    def put(self, address: str, entry: Entry) -> None:
        """Want this entry."""
        self._slices.put(Key(ANNOUNCEMENTS, address), entry)

    def drop(self, address: str) -> None:
        """Want no such entry."""
        self._slices.drop(Key(ANNOUNCEMENTS, address))
