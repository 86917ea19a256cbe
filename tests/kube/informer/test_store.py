"""The copy against a model of an API server: one counter, a history, compaction, broken and repeated streams."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kube.informer.store import Change, ChangeKind, ObjectKey, Store, WentBack, is_older
from tests.examples import examples


@dataclass(frozen=True)
class Thing:
    uid: str
    version: int
    value: int


def raw(name: str, uid: str, version: int | str, value: object = 0) -> bytes:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version)}
    return json.dumps({"metadata": metadata, "value": value}).encode()


def decode(body: bytes) -> Thing:
    document: dict[str, Any] = json.loads(body)
    if document["value"] == "bad":
        raise ValueError("bad value")
    return Thing(document["metadata"]["uid"], int(document["metadata"]["resourceVersion"]), document["value"])


def listed(*items: bytes, rv: str) -> Store[Thing]:
    store = Store(decode)
    store.begin_list()
    store.take_page(items)
    store.finish_list(rv)
    return store


def relist(store: Store[Thing], *items: bytes, rv: str, may_go_back: bool = False) -> list[Change[Thing]]:
    store.begin_list()
    store.take_page(items)
    return store.finish_list(rv, may_go_back=may_go_back).changes


def kinds(changes: list[Change[Thing]]) -> list[tuple[str, str]]:
    return [(change.kind.value, change.key.name) for change in changes]


def test_a_relist_tells_what_the_broken_watch_missed() -> None:
    store = listed(raw("a", "1", 5), raw("b", "2", 6), raw("c", "3", 7), rv="7")
    changes = relist(store, raw("a", "1", 5), raw("b", "2", 9), raw("d", "4", 10), rv="10")
    assert kinds(changes) == [("DELETED", "c"), ("MODIFIED", "b"), ("ADDED", "d")]
    assert changes[1].old == Thing("2", 6, 0)
    assert changes[1].new == Thing("2", 9, 0)
    assert store.resource_version == "10"


def test_another_object_under_the_same_name_is_deleted_and_added() -> None:
    store = listed(raw("a", "1", 5), rv="5")
    assert kinds(relist(store, raw("a", "2", 8), rv="8")) == [("DELETED", "a"), ("ADDED", "a")]
    outcome = store.apply("MODIFIED", raw("a", "3", 9), "9")
    assert kinds(outcome.changes) == [("DELETED", "a"), ("ADDED", "a")]


def test_events_older_than_the_copy_are_dropped() -> None:
    store = listed(raw("a", "1", 5), rv="9")
    assert store.apply("DELETED", raw("a", "1", 8), "8").changes == []
    assert store.apply("MODIFIED", raw("a", "1", 9), "9").changes == []
    assert store.resource_version == "9"
    assert kinds(store.apply("MODIFIED", raw("a", "1", 10), "10").changes) == [("MODIFIED", "a")]


def test_versions_are_compared_as_numbers_not_as_text() -> None:
    store = listed(raw("a", "1", 9), rv="9")
    assert kinds(store.apply("MODIFIED", raw("a", "1", 10), "10").changes) == [("MODIFIED", "a")]
    assert is_older("9", "10")
    assert not is_older("10", "10")
    assert not is_older("9", "1" * 5000)


def test_a_server_whose_versions_are_no_numbers_is_believed() -> None:
    store: Store[str] = Store(lambda body: json.loads(body)["metadata"]["resourceVersion"])
    store.finish_list("x")
    assert len(store.apply("ADDED", raw("a", "1", "w"), "w").changes) == 1
    store.begin_list()
    assert len(store.finish_list("a").changes) == 1


def test_a_bookmark_moves_the_version_and_nothing_else() -> None:
    store = listed(raw("a", "1", 5), rv="5")
    assert store.apply("BOOKMARK", b'{"metadata":{"resourceVersion":"40"}}', "40").changes == []
    assert store.resource_version == "40"
    assert set(store.items) == {ObjectKey(None, "a")}


def test_deleting_what_was_never_seen_changes_nothing() -> None:
    store = listed(rv="5")
    assert store.apply("DELETED", raw("a", "1", 6), "6").changes == []


def test_a_list_that_was_not_finished_leaves_no_trace() -> None:
    store = listed(raw("a", "1", 5), rv="5")
    store.begin_list()
    store.take_page([raw("b", "2", 6)])
    assert kinds(relist(store, raw("a", "1", 5), rv="7")) == []
    assert set(store.items) == {ObjectKey(None, "a")}


def test_an_older_list_is_refused_unless_the_past_is_to_be_believed() -> None:
    store = listed(raw("a", "1", 50), raw("b", "2", 51), rv="51")
    with pytest.raises(WentBack):
        relist(store, raw("a", "1", 5), rv="6")
    assert store.items[ObjectKey(None, "a")].version == 50
    changes = relist(store, raw("a", "1", 5), rv="6", may_go_back=True)
    assert kinds(changes) == [("DELETED", "b"), ("MODIFIED", "a")]
    assert store.resource_version == "6"


def test_an_undecodable_object_disturbs_no_other_and_is_reported_once() -> None:
    store = Store(decode)
    items = [raw("a", "1", 5, "bad"), raw("b", "2", 6), b'{"metadata": 7}']
    for expected in ([ObjectKey(None, "a"), ObjectKey(None, "")], [ObjectKey(None, "")]):
        store.begin_list()
        store.take_page(items)
        assert [one.key for one in store.finish_list("6").undecodable] == expected
    assert set(store.items) == {ObjectKey(None, "b")}


def test_an_object_that_becomes_undecodable_keeps_its_last_good_form() -> None:
    store = listed(raw("a", "1", 5, 1), rv="5")
    outcome = store.apply("MODIFIED", raw("a", "1", 6, "bad"), "6")
    assert outcome.changes == []
    assert [one.key.name for one in outcome.undecodable] == ["a"]
    assert store.items[ObjectKey(None, "a")].value == 1
    mended = store.apply("MODIFIED", raw("a", "1", 7, 2), "7").changes
    assert [(change.old, change.new) for change in mended] == [(Thing("1", 5, 1), Thing("1", 7, 2))]


def test_an_undecodable_successor_does_not_live_on_in_its_predecessors_form() -> None:
    store = listed(raw("a", "1", 5), rv="5")
    assert kinds(store.apply("ADDED", raw("a", "2", 7, "bad"), "7").changes) == [("DELETED", "a")]
    assert kinds(store.apply("DELETED", raw("a", "2", 8, "bad"), "8").changes) == []
    assert store.items == {}


def test_what_did_not_change_is_not_decoded_again() -> None:
    seen: list[bytes] = []
    store: Store[bytes] = Store(lambda body: seen.append(body) or body)  # type: ignore[func-returns-value]
    for _ in range(2):
        store.begin_list()
        store.take_page([raw("a", "1", 5)])
        store.finish_list("6")
    assert len(seen) == 1


names = st.sampled_from("abc")


class AgainstServer(RuleBasedStateMachine):
    """`view` is built from changes alone; it must be the copy at all times, and the server's state in the end."""

    @initialize()
    def start(self) -> None:
        self.version = 100
        self.uids = 0
        self.objects: dict[str, tuple[str, bytes]] = {}
        self.history: list[tuple[int, str, bytes]] = []
        self.forgotten = 100
        self.store = Store(decode)
        self.view: dict[str, Thing] = {}
        self.newest: dict[str, int] = {}
        self.has_listed = False

    def record(self, kind: str, body: bytes) -> None:
        self.history.append((self.version, kind, body))

    @rule(name=names, value=st.one_of(st.integers(0, 9), st.just("bad")))
    def write(self, name: str, value: object) -> None:
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        if kind == "ADDED":
            self.uids += 1
        uid = self.objects[name][0] if name in self.objects else f"u{self.uids}"
        body = raw(name, uid, self.version, value)
        self.objects[name] = (uid, body)
        self.record(kind, body)

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.objects:
            self.version += 1
            uid, _ = self.objects.pop(name)
            self.record("DELETED", raw(name, uid, self.version))

    @rule(step=st.integers(1, 5))
    def others_write(self, step: int) -> None:
        self.version += step

    @rule()
    def compact(self) -> None:
        self.forgotten = self.version

    @rule(pages=st.integers(1, 3), is_finished=st.booleans(), writes=st.lists(names, max_size=2))
    def relist(self, pages: int, is_finished: bool, writes: list[str]) -> None:
        snapshot, version = [body for _, body in self.objects.values()], self.version
        self.store.begin_list()
        for number in range(pages):
            self.store.take_page(snapshot[number::pages])
            for name in writes:  # what is written between two pages is in no page
                self.write(name, number)
        if is_finished:
            outcome = self.store.finish_list(str(version))
            self.follow(outcome.changes)
            self.has_listed = True

    @rule(count=st.integers(0, 6), overlap=st.integers(0, 4))
    def watch(self, count: int, overlap: int) -> None:
        """A stream that breaks after `count` events and begins `overlap` versions before what was asked."""
        if not self.has_listed or int(self.store.resource_version) < self.forgotten:
            return
        start = int(self.store.resource_version) - overlap
        stream = [entry for entry in self.history if entry[0] > start]
        for version, kind, body in stream[:count]:
            self.follow(self.store.apply(kind, body, str(version)).changes)
        if count > len(stream):
            self.store.apply("BOOKMARK", raw("", "", self.version), str(self.version))

    def follow(self, changes: list[Change[Thing]]) -> None:
        for change in changes:
            name = change.key.name
            assert change.old == self.view.get(name)
            match change.kind:
                case ChangeKind.DELETED:
                    assert change.new is None
                    assert name in self.view
                    del self.view[name]
                case ChangeKind.ADDED:
                    assert change.new is not None
                    assert name not in self.view
                    self.view[name] = change.new
                case ChangeKind.MODIFIED:
                    assert change.new is not None
                    assert change.old is not None
                    assert change.new.uid == change.old.uid
                    self.view[name] = change.new
            if change.new is not None:
                assert change.new.version > self.newest.get(name, 0), "a change was undone by an older one"
                self.newest[name] = change.new.version

    @invariant()
    def the_changes_add_up_to_the_copy(self) -> None:
        assert {key.name: thing for key, thing in self.store.items.items()} == self.view

    def teardown(self) -> None:
        if not hasattr(self, "objects"):
            return
        if not self.has_listed or int(self.store.resource_version) < self.forgotten:
            self.relist(2, True, [])
        self.watch(len(self.history) + 1, 0)
        for name, (uid, body) in self.objects.items():
            if json.loads(body)["value"] == "bad":
                assert name not in self.view or self.view[name].uid == uid
            else:
                assert self.view[name] == decode(body)
        assert self.view.keys() <= self.objects.keys()
        assert int(self.store.resource_version) == self.version


TestAgainstServer = AgainstServer.TestCase
TestAgainstServer.settings = settings(max_examples=examples(150), stateful_step_count=30, deadline=None)
