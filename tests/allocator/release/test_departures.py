"""What is remembered of Speakers that are gone: by each allocator, and in DepartedSpeakers."""

import json
from typing import Any

import pytest

from allocator.release.departures import Departures, decode_departure
from allocator.release.speakers import Router, SpeakerState, SpeakerStatus
from kube.objects import Meta

TOR1, TOR2 = Router("192.0.2.1", 90), Router("192.0.2.2", 30)


def speaker(
    uid: str = "s1", *routers: Router, incarnation: str = "i1", node: str = "n1", **status: Any
) -> SpeakerState:
    named = SpeakerStatus(incarnation, routers=routers or (TOR1, TOR2), **status)
    return SpeakerState(metadata=Meta(name=node, uid=uid), status=named)


def departures(*gone: SpeakerState, since: float = 1000.0) -> Departures:
    made = Departures()
    for one in gone:
        made.gone(one, since)
    return made


def nodes(made: Departures, now: float = 1001.0, *speakers: SpeakerState) -> list[str]:
    return [one.node for one in made.at(now, speakers)]


def stored(uid: str = "s1", seconds: Any = 60, incarnation: str = "i1") -> Any:
    routers = [{"address": "192.0.2.1", "outlivesSeconds": seconds}]
    spec = {"node": "n1", "incarnation": incarnation, "routers": routers}
    return decode_departure(json.dumps({"metadata": {"name": uid}, "spec": spec}).encode())


def test_a_speaker_that_leaves_no_routes_or_said_goodbye_is_not_remembered() -> None:
    assert nodes(departures(speaker("s1", Router("192.0.2.1", 0)))) == []
    assert nodes(departures(speaker("s1", goodbye=True))) == []
    assert nodes(departures(speaker())) == ["n1"]


def test_a_departure_counts_from_the_first_time_that_it_is_told() -> None:
    made = departures(speaker(), since=900.0)
    made.gone(speaker(), 950.0)
    assert [one.since for one in made.at(989.0, ())] == [900.0]
    assert made.at(990.0, ()) == ()


def test_each_router_keeps_its_own_time() -> None:
    (one,) = departures(speaker()).at(1010.0, ())
    assert one.remaining(1010.0) == {"192.0.2.1": 80.0, "192.0.2.2": 20.0}
    assert one.remaining(1030.0) == {"192.0.2.1": 60.0}


@pytest.mark.parametrize(
    ("uid", "incarnation", "counts"),
    [("s1", "i1", True), ("s2", "i1", False), ("s2", "i2", True), ("s2", "", True)],
)
def test_a_departure_ends_when_its_process_has_registered_anew(uid: str, incarnation: str, counts: bool) -> None:
    """The very Speaker that is gone may be shown by a watch that lags."""
    present = speaker(uid, incarnation=incarnation)
    for made in (departures(speaker()), departures()):
        made.stored_seen(stored(), 1000.0)
        assert bool(nodes(made, 1001.0, present)) is counts
        assert made.over() == ([] if counts else ["s1"])
    elsewhere = speaker("s2", node="n2")
    assert nodes(departures(speaker()), 1001.0, elsewhere) == ["n1"]


def test_processes_that_have_not_said_which_they_are_are_not_taken_for_one() -> None:
    made = departures(speaker(incarnation=""))
    assert nodes(made, 1001.0, speaker("s2", incarnation="")) == ["n1"]


def test_what_is_remembered_is_written_down_once_with_the_time_that_is_left() -> None:
    made = departures(speaker())
    (body,) = made.unwritten(1010.5)
    assert body["metadata"] == {"name": "s1"}
    assert body["spec"] == {
        "node": "n1",
        "incarnation": "i1",
        "routers": [
            {"address": "192.0.2.1", "outlivesSeconds": 80},
            {"address": "192.0.2.2", "outlivesSeconds": 20},
        ],
    }
    made.stored_seen(stored(), 1011.0)
    assert made.unwritten(1012.0) == []


def test_any_time_that_a_speaker_can_name_is_written_and_read() -> None:
    for seconds in (2**31 - 1, 2**31, 10**30):
        (body,) = departures(speaker("s1", Router("192.0.2.1", seconds))).unwritten(1000.5)
        assert body["spec"]["routers"][0]["outlivesSeconds"] == 2**31 - 1
        made = departures()
        made.stored_seen(stored(seconds=seconds), 0.0)
        assert nodes(made, 1e9) == ["n1"]
    made.stored_seen(stored("s2", seconds=-1), 0.0)
    assert nodes(made, 1e9) == ["n1"]
    assert made.over() == ["s2"]


def test_a_process_that_knew_nothing_counts_from_when_it_first_sees_the_object() -> None:
    made = departures()
    made.stored_seen(stored(), 500.0)
    made.stored_seen(stored(), 550.0)
    assert nodes(made, 559.0) == ["n1"]
    assert made.over() == []
    assert nodes(made, 560.0) == []
    assert made.over() == ["s1"]
    made.stored_seen(stored(), 561.0)
    assert nodes(made, 562.0) == [], "an edit of its labels begins nothing anew"


def test_who_saw_it_go_keeps_its_own_count() -> None:
    made = departures(speaker(), since=900.0)
    made.stored_seen(stored(seconds=2**31 - 1), 950.0)
    assert nodes(made, 989.0) == ["n1"]
    assert nodes(made, 990.0) == []


@pytest.mark.parametrize("saw_it_go", [True, False])
def test_who_deletes_the_object_says_that_the_routers_have_dropped_all(saw_it_go: bool) -> None:
    """Also while a watch that lags tells of the Speaker once more."""
    made = departures(speaker()) if saw_it_go else departures()
    made.stored_seen(stored(), 1000.0)
    made.stored_gone("s1")
    assert nodes(made) == []
    made.gone(speaker(), 1002.0)
    assert nodes(made, 1003.0) == []
    assert (made.unwritten(1003.0), made.over()) == ([], [])


def test_a_watch_that_lags_ends_nothing() -> None:
    """The object is read before the list of Speakers shows that its Speaker is gone."""
    made = departures()
    made.stored_seen(stored(), 1000.0)
    made.returned(speaker())
    assert nodes(made, 1001.0, speaker()) == ["n1"]
    assert made.over() == []


def test_a_speaker_that_a_restored_storage_brings_back_departs_anew() -> None:
    made = departures(speaker(), since=1000.0)
    made.returned(speaker())
    made.gone(speaker(), 1080.0)
    assert nodes(made, 1169.0) == ["n1"]
    made.stored_seen(stored(), 1100.0)
    made.stored_gone("s1")
    made.returned(speaker())
    made.gone(speaker(), 1200.0)
    assert nodes(made, 1289.0) == ["n1"]


def test_what_its_process_had_confirmed_is_remembered_too() -> None:
    made = Departures()
    made.gone(speaker(), 1000.0, {"a1": 7})
    (one,) = made.at(1001.0, ())
    assert one.released == {"a1": 7}
