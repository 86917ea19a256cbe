"""How the report is cut: entries stay where they are, slices stay small, and a change is as urgent as it is."""

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crds.speaker import BGPSessionState
from crds.speakerreport import MOST_ENTRIES
from speaker.own.entries import announcement, bgp_session, fault
from speaker.own.requests import Own
from speaker.own.slices import ANNOUNCEMENTS, MOST_BYTES, Key, Slices, Urgency
from tests.examples import examples
from tests.speaker.own.store import merge

MOST_OBJECT_BYTES = 16_000


def at(number: int) -> Key:
    return Key(ANNOUNCEMENTS, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")


def by_bgp(*peers: str) -> dict:
    return announcement("2026-01-02T03:04:05Z", peers=peers or ("tor1", "tor2"))


def filled(count: int) -> Slices:
    slices = Slices()
    for number in range(count):
        slices.put(at(number), by_bgp())
    return slices


def test_a_new_entry_goes_to_the_first_slice_with_room_and_stays_there() -> None:
    slices = filled(250)
    assert [len(one.entries) for one in slices.all] == [0, 100, 100, 50]
    slices.drop(at(3))
    slices.put(at(1000), by_bgp())
    assert at(1000) in slices.all[1].entries
    slices.stale.clear()
    slices.put(at(1000), by_bgp("tor3"))
    assert slices.stale == {1: Urgency.ROUTINE}


def test_one_change_makes_one_slice_stale_whatever_the_node_announces() -> None:
    slices = filled(5000)
    slices.stale.clear()
    slices.put(at(5000), by_bgp())
    slices.drop(at(17))
    assert len(slices.stale) == 2


def test_repeating_an_entry_changes_nothing() -> None:
    slices = filled(1)
    slices.stale.clear()
    slices.put(at(0), by_bgp())
    assert slices.stale == {}


def test_long_entries_fill_a_slice_sooner_and_one_that_grows_moves() -> None:
    slices = Slices()
    peers = [f"tor{n}".ljust(253, "x") for n in range(4)]
    for number in range(100):
        slices.put(at(number), by_bgp())
    for number in range(100):
        slices.put(at(number), by_bgp(*peers))
    assert len(slices.all) > 5
    assert all(one.size <= MOST_BYTES for one in slices.all)
    assert slices.keys(ANNOUNCEMENTS) == {at(number).key for number in range(100)}


def test_what_begins_or_ends_on_layer_2_is_urgent() -> None:
    slices = Slices()
    slices.put(at(0), by_bgp())
    assert slices.stale == {1: Urgency.ROUTINE}
    slices.put(at(0), announcement("t", interfaces=["eth0"], peers=["tor1"]))
    assert slices.stale == {1: Urgency.URGENT}
    slices.stale.clear()
    slices.put(at(0), announcement("t", interfaces=["eth0"], peers=["tor2"]))
    assert slices.stale == {1: Urgency.ROUTINE}
    slices.drop(at(0))
    assert slices.stale == {1: Urgency.URGENT}


def test_what_only_counts_something_can_wait() -> None:
    slices = Slices()

    def session(routes: int, state: BGPSessionState) -> list[dict]:
        return [bgp_session("tor", None, state, routes_sent=routes)]

    slices.put_list("bgpSessions", session(1, BGPSessionState.Established))
    assert slices.stale == {1: Urgency.ROUTINE}
    slices.stale.clear()
    slices.put_list("bgpSessions", session(2, BGPSessionState.Established))
    assert slices.stale == {1: Urgency.COUNTS}
    slices.put_list("bgpSessions", session(2, BGPSessionState.Idle))
    assert slices.stale == {1: Urgency.ROUTINE}
    slices.stale.clear()
    slices.put_list("bgpSessions", [])
    assert slices.stale == {1: Urgency.ROUTINE}


def test_what_the_node_has_once_is_in_slice_0_as_far_as_there_is_room() -> None:
    slices = Slices()
    slices.set("faults", [fault(f"BGPPeer/tor{n}", "UnknownPool", "x" * 900) for n in range(32)])
    slices.set("heard", [{"node": f"node{n}"} for n in range(64)])
    slices.set("conditions", [{"type": "PeersHeard", "message": "x" * 800}] * 4)
    slices.set("interfaces", [{"name": f"eth{n}", "reason": "x" * 100} for n in range(64)])
    first = slices.all[0]
    assert len(first.fields.get("heard")) == 64
    assert 0 < len(first.fields.get("faults")) < 32
    assert len(msgspec.json.encode(first.patch("x" * 36))) < MOST_OBJECT_BYTES


def test_an_entry_that_is_refused_is_left_out_as_long_as_it_is_the_same() -> None:
    slices = filled(3)
    status = slices.all[1].patch("one")
    slices.refuse(1, status, {f"status.announcements.{at(1).key}.peers[0]": "no"})
    assert slices.keys(ANNOUNCEMENTS) == {at(0).key, at(2).key}
    slices.put(at(1), by_bgp())
    assert at(1).key not in slices.keys(ANNOUNCEMENTS)
    slices.put(at(1), by_bgp("tor9"))
    assert at(1).key in slices.keys(ANNOUNCEMENTS)


def test_an_entry_of_a_list_that_is_refused_is_left_out() -> None:
    slices = Slices()
    sessions = [{"peer": name, "state": "Established"} for name in ("a", "b", "c")]
    slices.put_list("bgpSessions", sessions)
    slices.refuse(1, slices.all[1].patch("one"), {"status.bgpSessions[1].state": "Unsupported value"})
    slices.put_list("bgpSessions", sessions)
    assert [one["peer"] for one in slices.entries("bgpSessions")] == ["a", "c"]


def test_a_field_of_slice_0_that_is_refused_is_left_out() -> None:
    slices = Slices()
    slices.set("heard", [{"node": "a"}])
    slices.set("faults", [{"object": "a"}, {"object": "b"}])
    slices.refuse(0, slices.all[0].patch("one"), {"status.heard": "no", "status.faults[0].object": "no"})
    assert slices.all[0].patch("one") == {"incarnation": "one", "heard": None, "faults": [{"object": "b"}]}


def test_without_a_name_half_of_the_largest_part_is_left_out() -> None:
    slices = filled(10)
    slices.refuse(1, slices.all[1].patch("one"), {})
    assert len(slices.keys(ANNOUNCEMENTS)) == 5


KEYS = st.integers(0, 400)


class ReportAgainstObjects(RuleBasedStateMachine):
    """Slices are written one by one, or not; in the end the objects say together what is wanted, and each is small."""

    def __init__(self) -> None:
        super().__init__()
        self.slices = Slices()
        self.wanted: dict = {}
        self.objects: dict[int, dict] = {}

    @rule(keys=st.lists(KEYS, min_size=1, max_size=60), length=st.sampled_from([1, 60, 250]))
    def put(self, keys, length) -> None:
        for number in keys:
            entry = by_bgp("t" * length)
            self.slices.put(at(number), entry)
            self.wanted[at(number).key] = entry

    @rule(keys=st.lists(KEYS, min_size=1, max_size=60))
    def drop(self, keys) -> None:
        for number in keys:
            self.slices.drop(at(number))
            self.wanted.pop(at(number).key, None)

    @rule(number=st.integers(0, 9), is_answered=st.booleans())
    def write(self, number, is_answered) -> None:
        if number in self.slices.stale:
            self.slices.stale.pop(number)
            one = self.slices.all[number]
            status = one.patch("one")
            self.objects[number] = merge(self.objects.get(number, {}), status)
            if is_answered:
                one.confirm(status, Own("u", "1"))
            else:
                self.slices.touch(number, Urgency.ROUTINE)

    @rule()
    def start_again(self) -> None:
        """A process takes over what the one before has left."""
        self.slices = Slices()
        for number, status in self.objects.items():
            self.slices.at(number).found(Own("u", "1", "before", frozenset(status.get(ANNOUNCEMENTS, {}))))
        for key, entry in self.wanted.items():
            self.slices.put(Key(ANNOUNCEMENTS, key), entry)
        for number in self.objects:
            self.slices.touch(number, Urgency.ROUTINE)

    @invariant()
    def every_slice_is_small(self) -> None:
        assert all(len(one.entries) <= MOST_ENTRIES and one.size <= MOST_BYTES for one in self.slices.all)

    def teardown(self) -> None:
        while self.slices.stale:
            self.write(next(iter(self.slices.stale)), True)
        said: dict = {}
        for status in self.objects.values():
            for key, entry in status.get(ANNOUNCEMENTS, {}).items():
                assert key not in said, "it is in two slices"
                said[key] = entry
        assert said == {key: merge({}, entry) for key, entry in self.wanted.items()}


ReportAgainstObjects.TestCase.settings = settings(
    max_examples=examples(40), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReportAgainstObjects = ReportAgainstObjects.TestCase
