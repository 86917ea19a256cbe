"""The Speaker object's status against what was written."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from speaker.own.status import StatusDraft
from tests.examples import examples
from tests.speaker.own.store import merge


def written(draft, only_urgent=False, limit=99):
    step = draft.next(only_urgent=only_urgent, limit=limit)
    draft.confirm(step)
    return step.body()


def test_only_what_changed_is_written() -> None:
    draft = StatusDraft()
    draft.released.put("u1", 2)
    draft.announcements.put("a", {"protocols": ["Layer2"]})
    draft.set("interfaces", [])
    assert written(draft) == {
        "released": {"u1": 2},
        "announcements": {"a": {"protocols": ["Layer2"]}},
        "interfaces": [],
    }
    draft.released.put("u1", 2)
    draft.set("interfaces", [])
    assert not draft.is_stale
    draft.announcements.put("b", {"protocols": ["Layer2"]})
    draft.announcements.drop("a")
    assert written(draft) == {"announcements": {"a": None, "b": {"protocols": ["Layer2"]}}}


def test_an_unconfirmed_patch_is_part_of_the_next_one() -> None:
    draft = StatusDraft()
    draft.released.put("u1", 2)
    draft.next(only_urgent=False, limit=99)
    draft.released.put("u2", 5)
    assert written(draft) == {"released": {"u1": 2, "u2": 5}}


def test_what_changed_while_a_patch_was_under_way_is_written_next() -> None:
    draft = StatusDraft()
    draft.announcements.put("a", {"n": 1})
    draft.set("conditions", [1])
    step = draft.next(only_urgent=False, limit=99)
    draft.announcements.drop("a")
    draft.set("conditions", [2])
    draft.confirm(step)
    assert written(draft) == {"announcements": {"a": None}, "conditions": [2]}


def test_what_was_never_sent_needs_no_removal() -> None:
    draft = StatusDraft()
    draft.announcements.put("a", {})
    draft.announcements.drop("a")
    assert not draft.is_stale


def test_what_may_have_arrived_is_removed() -> None:
    draft = StatusDraft()
    draft.announcements.put("a", {})
    draft.next(only_urgent=False, limit=99)
    draft.announcements.drop("a")
    assert written(draft) == {"announcements": {"a": None}}


def test_releases_go_first_and_alone_when_it_is_urgent() -> None:
    draft = StatusDraft()
    draft.announcements.put("a", {})
    draft.set("interfaces", [])
    assert draft.is_stale
    assert not draft.is_urgent
    draft.released.put("u1", 2)
    assert draft.is_urgent
    assert written(draft, only_urgent=True) == {"released": {"u1": 2}}
    assert draft.is_stale


def test_a_patch_is_bounded() -> None:
    draft = StatusDraft()
    for number in range(5):
        draft.released.put(f"u{number}", 1)
    assert [len(written(draft, limit=2)["released"]) for _ in range(3)] == [2, 2, 1]


def test_registering_clears_an_earlier_life_and_writes_everything_again() -> None:
    draft = StatusDraft()
    draft.set("interfaces", [1])
    draft.announcements.put("a", {"n": 1})
    draft.released.put("u1", 2)
    written(draft)
    patch = draft.registration("second")
    assert patch == {
        "incarnation": "second",
        "goodbye": False,
        "announcements": None,
        "released": None,
        "interfaces": [1],
    }
    draft.registered(patch)
    assert written(draft) == {"announcements": {"a": {"n": 1}}, "released": {"u1": 2}}


KEYS = st.sampled_from(["a", "b", "c"])


class DraftAgainstAnObject(RuleBasedStateMachine):
    """Writes get through, get lost, or get through without an answer; the object ends as wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = StatusDraft()
        self.object = {}
        self.released, self.announced, self.fields = {}, {}, {}
        self.under_way = None

    @rule(key=KEYS, value=st.integers(1, 3))
    def release(self, key, value) -> None:
        self.draft.released.put(key, value)
        self.released[key] = value

    @rule(key=KEYS)
    def forget(self, key) -> None:
        self.draft.released.drop(key)
        self.released.pop(key, None)

    @rule(key=KEYS, interface=st.sampled_from(["eth0", "eth1"]))
    def announce(self, key, interface) -> None:
        value = {"protocols": ["Layer2"], "interfaces": [interface]}
        self.draft.announcements.put(key, value)
        self.announced[key] = value

    @rule(key=KEYS)
    def withdraw(self, key) -> None:
        self.draft.announcements.drop(key)
        self.announced.pop(key, None)

    @rule(value=st.lists(st.integers(0, 2), max_size=2))
    def set_field(self, value) -> None:
        self.draft.set("conditions", value)
        self.fields["conditions"] = value

    @rule(only_urgent=st.booleans(), limit=st.integers(1, 3), arrives=st.booleans())
    def send(self, only_urgent, limit, arrives) -> None:
        self.under_way = self.draft.next(only_urgent=only_urgent, limit=limit)
        if arrives:
            self.object = merge(self.object, self.under_way.body())
        self.is_arrived = arrives

    @rule()
    def answer(self) -> None:
        if self.under_way is not None and self.is_arrived:
            self.draft.confirm(self.under_way)
        self.under_way = None

    @rule(arrives=st.booleans())
    def register(self, arrives) -> None:
        self.under_way = None
        patch = self.draft.registration("x")
        if arrives:
            self.object = merge(self.object, patch)
            self.draft.registered(patch)

    def teardown(self) -> None:
        while self.draft.is_stale:
            self.send(False, 2, True)
            self.answer()
        assert self.object.get("released", {}) == self.released
        assert self.object.get("announcements", {}) == self.announced
        assert self.object.get("conditions") == self.fields.get("conditions")


DraftAgainstAnObject.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
TestDraftAgainstAnObject = DraftAgainstAnObject.TestCase


def test_a_field_that_may_have_arrived_is_written_again_though_it_is_wanted_as_it_was_before() -> None:
    draft = StatusDraft()
    draft.set("conditions", [])
    draft.confirm(draft.next(only_urgent=False, limit=1))
    draft.set("conditions", ["x"])
    draft.next(only_urgent=False, limit=1)  # sent, and no answer came
    draft.set("conditions", [])
    assert draft.next(only_urgent=False, limit=1).fields == {"conditions": []}
