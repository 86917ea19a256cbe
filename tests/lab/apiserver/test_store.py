"""One counter for all, a history that can be replayed, and nothing that can be changed from outside."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.apiserver.store import Event, EventType, Expired, Key, Store

KEY = Key("default", "a")


def thing(name: str = "a", **spec: Any) -> dict[str, Any]:
    return {"kind": "Thing", "apiVersion": "v1", "metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}


def test_every_write_takes_the_next_version_whatever_the_resource() -> None:
    store = Store()
    first = store.put("things", KEY, thing())
    second = store.put("others", KEY, thing())
    third = store.remove("things", KEY)
    assert [second.revision - first.revision, third.revision - second.revision] == [1, 1]


def test_a_deletion_shows_the_object_at_the_version_of_the_deletion() -> None:
    store = Store()
    before = store.put("things", KEY, thing(x=1))
    gone = store.remove("things", KEY)
    assert gone.value()["spec"] == {"x": 1}
    assert int(gone.value()["metadata"]["resourceVersion"]) == before.revision + 1
    assert store.table("things").get(KEY) is None


def test_what_is_read_can_be_changed_without_harm() -> None:
    store = Store()
    record = store.put("things", KEY, thing(list=[1]))
    record.value()["spec"]["list"].append(2)
    assert record.value()["spec"]["list"] == [1]


def test_changes_since_a_version_are_replayed_in_order() -> None:
    store = Store()
    start = store.put("things", KEY, thing(x=1)).revision
    store.put("things", KEY, thing(x=2))
    store.remove("things", KEY)
    events = store.table("things").since(start)
    assert not isinstance(events, Expired)
    assert [event.type for event in events] == [EventType.MODIFIED, EventType.DELETED]
    assert events[0].previous is not None
    assert events[0].previous.value()["spec"] == {"x": 1}


def test_history_beyond_the_limit_is_refused_with_the_oldest_version_left() -> None:
    store = Store(history_limit=10)
    first = store.put("things", KEY, thing(x=0)).revision
    for number in range(100):
        store.put("things", KEY, thing(x=number))
    answer = store.table("things").since(first)
    assert isinstance(answer, Expired)
    events = store.table("things").since(answer.oldest)
    assert not isinstance(events, Expired)
    assert len(events) >= 10


def test_forgotten_history_leaves_the_present_version_valid() -> None:
    store = Store()
    first = store.put("things", KEY, thing()).revision
    store.put("things", KEY, thing(x=1))
    store.forget_history()
    assert isinstance(store.table("things").since(first), Expired)
    assert store.table("things").since(store.revision) == []


def test_listeners_hear_each_change_until_they_leave() -> None:
    store = Store()
    heard: list[Event] = []
    leave = store.table("things").listen(heard.append)
    store.put("things", KEY, thing())
    leave()
    store.remove("things", KEY)
    assert [event.type for event in heard] == [EventType.ADDED]


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(st.sampled_from(["default", "other"]), NAMES, st.booleans()), max_size=40), st.data())
def test_an_earlier_version_can_be_listed_as_it_was(writes: list[tuple[str, str, bool]], data: st.DataObject) -> None:
    store = Store()
    table = store.table("things")
    as_it_was = {store.revision: list(table.records())}
    for number, (namespace, name, deletes) in enumerate(writes):
        key = Key(namespace, name)
        if deletes and table.get(key):
            store.remove("things", key)
        else:
            store.put("things", key, thing(name, x=number))
        as_it_was[store.revision] = list(table.records())
    revision = data.draw(st.sampled_from(sorted(as_it_was)))
    assert table.records_at(revision) == as_it_was[revision]
    only = [record for record in as_it_was[revision] if record.key.namespace == "other"]
    assert table.records_at(revision, "other") == only
    keys = [record.key for record in as_it_was[revision]]
    assert keys == sorted(keys)
