"""Parts of a status against what was written: maps key by key, fields as a whole, and what is refused."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from speaker.own.patched import PatchedFields, PatchedMap
from tests.examples import examples
from tests.speaker.own.store import merge


def written(entries: PatchedMap, limit: int = 99) -> dict:
    patch = entries.patch(limit)
    entries.confirm(patch)
    return patch


def test_only_what_changed_is_written() -> None:
    entries: PatchedMap = PatchedMap()
    entries.put("a", 1)
    assert written(entries) == {"a": 1}
    entries.put("a", 1)
    assert not entries.is_stale
    entries.put("b", 2)
    entries.drop("a")
    assert written(entries) == {"a": None, "b": 2}


def test_an_unconfirmed_patch_is_part_of_the_next_one() -> None:
    entries: PatchedMap = PatchedMap()
    entries.put("a", 1)
    entries.patch(99)
    entries.put("b", 2)
    assert written(entries) == {"a": 1, "b": 2}


def test_what_changed_while_a_patch_was_under_way_is_written_next() -> None:
    entries: PatchedMap = PatchedMap()
    entries.put("a", 1)
    patch = entries.patch(99)
    entries.drop("a")
    entries.confirm(patch)
    assert written(entries) == {"a": None}


def test_what_was_never_sent_needs_no_removal_and_what_may_have_arrived_is_removed() -> None:
    entries: PatchedMap = PatchedMap()
    entries.put("a", 1)
    entries.drop("a")
    assert not entries.is_stale
    entries.put("a", 1)
    entries.patch(99)
    entries.drop("a")
    assert written(entries) == {"a": None}


def test_a_patch_is_bounded() -> None:
    entries: PatchedMap = PatchedMap()
    for number in range(5):
        entries.put(str(number), 1)
    assert [len(written(entries, 2)) for _ in range(3)] == [2, 2, 1]


def test_what_another_one_left_in_the_object_goes() -> None:
    entries: PatchedMap = PatchedMap()
    entries.put("a", 1)
    entries.found(frozenset({"a", "b"}))
    assert written(entries) == {"a": 1, "b": None}


def test_what_the_object_has_no_room_for_waits_until_others_go() -> None:
    entries: PatchedMap = PatchedMap(capacity=3)
    for key in "abcd":
        entries.put(key, 1)
    assert written(entries).keys() == {"a", "b", "c"}
    assert not entries.is_stale
    entries.put("a", 2)
    assert written(entries) == {"a": 2}
    entries.drop("b")
    assert written(entries) == {"b": None, "d": 1}


def test_room_is_made_first_where_a_write_is_bounded() -> None:
    entries: PatchedMap = PatchedMap(capacity=2)
    entries.found(frozenset({"x", "y"}))
    entries.put("a", 1)
    assert list(written(entries, limit=1).values()) == [None]
    assert sorted(map(str, written(entries).values())) == ["1", "None"]


def test_what_may_have_arrived_in_place_of_what_is_wanted_again_goes_before_the_object_is_too_full() -> None:
    entries: PatchedMap = PatchedMap(capacity=2)
    entries.put("b", 1)
    entries.patch(1)
    entries.put("a", 1)
    entries.put("c", 1)
    entries.drop("b")
    assert entries.patch(3) == {"b": None, "a": 1, "c": 1}
    entries.put("b", 2)
    assert written(entries) == {"a": 1, "c": 1, "b": None}
    assert not entries.is_stale
    entries.drop("a")
    assert written(entries) == {"a": None, "b": 2}


def test_what_was_deferred_comes_last() -> None:
    entries: PatchedMap = PatchedMap()
    for key in "abc":
        entries.put(key, 1)
    entries.defer({"a"})
    assert entries.patch_keys(2) == ["b", "c"]


KEYS = st.sampled_from(["a", "b", "c"])


class PartsAgainstAnObject(RuleBasedStateMachine):
    """Writes get through, get lost, or get through without an answer; the object ends as wanted, and never has more
    than it can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: PatchedMap = PatchedMap(capacity=2)
        self.fields = PatchedFields()
        self.object: dict = {}
        self.wanted, self.set = {}, {}
        self.under_way = None

    @rule(key=KEYS, value=st.integers(1, 3))
    def put(self, key, value) -> None:
        self.entries.put(key, value)
        self.wanted[key] = value

    @rule(key=KEYS)
    def drop(self, key) -> None:
        self.entries.drop(key)
        self.wanted.pop(key, None)

    @rule(value=st.lists(st.integers(0, 2), max_size=2))
    def set_field(self, value) -> None:
        self.fields.set("conditions", value)
        self.set["conditions"] = value

    @rule(limit=st.integers(1, 3), arrives=st.booleans())
    def send(self, limit, arrives) -> None:
        fields = self.fields.stale()
        self.fields.sending(fields)
        self.under_way = (self.entries.patch(limit), fields)
        if arrives:
            self.object = merge(self.object, {"map": self.under_way[0]} | fields)
            assert len(self.object.get("map", {})) <= 2
        self.is_arrived = arrives

    @rule()
    def answer(self) -> None:
        if self.under_way is not None and self.is_arrived:
            self.entries.confirm(self.under_way[0])
            self.fields.confirm(self.under_way[1])
        self.under_way = None

    @rule()
    def look(self) -> None:
        self.under_way = None
        self.entries.found(self.object.get("map", {}).keys())
        self.fields.forget()

    def teardown(self) -> None:
        while self.entries.is_stale or self.fields.stale():
            self.send(2, True)
            self.answer()
        has = self.object.get("map", {})
        assert has.items() <= self.wanted.items()
        assert len(has) == min(2, len(self.wanted))
        assert self.object.get("conditions") == self.set.get("conditions")


PartsAgainstAnObject.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
TestPartsAgainstAnObject = PartsAgainstAnObject.TestCase


def test_a_field_that_may_have_arrived_is_written_again_though_it_is_wanted_as_it_was_before() -> None:
    fields = PatchedFields()
    fields.set("conditions", [])
    fields.confirm(fields.stale())
    fields.set("conditions", ["x"])
    fields.sending(fields.stale())  # and no answer came
    fields.set("conditions", [])
    assert fields.stale() == {"conditions": []}


def test_a_refused_entry_of_a_list_is_left_out_as_long_as_it_is_the_same() -> None:
    fields = PatchedFields()
    fields.set("interfaces", [1, 2])
    fields.refuse("interfaces", 1)
    assert fields.all() == {"interfaces": [2]}
    fields.set("interfaces", [1, 2, 3])
    assert fields.all() == {"interfaces": [2, 3]}
    fields.set("interfaces", [4])
    assert fields.all() == {"interfaces": [4]}


@pytest.mark.parametrize(("kept", "said"), [(frozenset(), {"routers": None}), (frozenset({"routers"}), {})])
def test_a_refused_field_becomes_null_or_stays_as_the_object_has_it(kept, said) -> None:
    fields = PatchedFields(kept)
    fields.set("routers", [1, 2])
    fields.refuse("routers", [1, 2])
    assert fields.all() == said
    assert fields.stale() == said
    fields.set("routers", [1])
    assert fields.stale() == {"routers": [1]}


def test_one_refused_entry_keeps_the_whole_field_as_it_was_where_that_is_what_others_go_by() -> None:
    fields = PatchedFields(frozenset({"routers"}))
    fields.set("routers", [1])
    fields.confirm(fields.stale())
    fields.set("routers", [1, 2])
    fields.refuse("routers", 2)
    assert fields.stale() == {}
    assert fields.written("routers") == [1]


def test_what_differs_is_found_anew_after_whatever_may_have_changed_it() -> None:
    fields = PatchedFields(kept=frozenset({"kept"}))
    fields.set("a", 1)
    assert fields.stale() == {"a": 1}
    fields.set("a", 2)
    assert fields.stale() == {"a": 2}
    fields.confirm({"a": 2})
    assert fields.stale() == {}
    fields.sending({"a": 2})
    assert fields.stale() == {"a": 2}
    fields.confirm({"a": 2})
    assert fields.stale() == {}
    fields.forget()
    assert fields.stale() == {"a": 2}
    fields.confirm({"a": 2})
    assert fields.stale() == {}
    fields.undone("a")
    assert fields.stale() == {"a": 2}
    fields.refuse("a", 2)
    assert fields.stale() == {"a": None}
    fields.forgive()
    assert fields.stale() == {"a": 2}
    fields.set("a", None)
    assert fields.stale() == {"a": None}
