"""The entries of BGP sessions in the Speaker's status."""

from dataclasses import replace
from ipaddress import ip_address

from crds.speaker import BGPSession, BGPSessionState
from speaker.bgp.model import SessionView
from speaker.bgp.status import SessionEntries, by_state

UP = SessionView(
    "tor",
    ip_address("192.0.2.1"),
    BGPSessionState.Established,
    since=5.0,
    routes_sent=3,
    hold_time_seconds=90,
)


def shown(entries: SessionEntries, *views: SessionView, refused=None, now="t1"):
    return entries.show({view.peer: view for view in views}, refused or {}, now)


def test_a_session_is_shown_with_what_was_agreed() -> None:
    assert shown(SessionEntries(), UP) == [
        {
            "peer": "tor",
            "address": "192.0.2.1",
            "state": "Established",
            "since": "t1",
            "routesSent": 3,
            "holdTimeSeconds": 90,
            "lastError": "",
        }
    ]


def test_a_number_of_routes_alone_is_shown_once_and_then_when_it_is_time_for_that() -> None:
    entries = SessionEntries()
    shown(entries, UP)
    for routes, counts, expected in ((9, False, 9), (10, False, 9), (10, True, 10), (11, False, 11), (12, False, 11)):
        (entry,) = entries.show({"tor": replace(UP, routes_sent=routes)}, {}, "t2", counts=counts)
        assert entry["routesSent"] == expected
    (entry,) = entries.show({"tor": replace(UP, routes_sent=5, last_error="cut")}, {}, "t3", counts=False)
    assert (entry["routesSent"], entry["lastError"]) == (5, "cut")


def test_the_time_moves_with_the_state_only() -> None:
    entries = SessionEntries()
    shown(entries, UP, now="t1")
    (entry,) = shown(entries, replace(UP, routes_sent=4), now="t2")
    assert (entry["since"], entry["routesSent"]) == ("t1", 4)
    down = replace(UP, state=BGPSessionState.Connect, since=9.0, hold_time_seconds=None, last_error="gone")
    (entry,) = shown(entries, down, now="t3")
    assert (entry["since"], entry["lastError"]) == ("t3", "gone")
    assert "holdTimeSeconds" not in entry


def test_peers_without_a_session_say_why() -> None:
    (entry,) = shown(SessionEntries(), refused={"tor": "no password"})
    assert (entry["state"], entry["lastError"]) == ("Idle", "no password")


def test_every_entry_is_one_that_the_api_takes() -> None:
    told = shown(SessionEntries(), replace(UP, last_error="x" * 5000), refused={"other": "why " * 999})
    for entry in told:
        BGPSession.model_validate(entry)


def test_sessions_are_counted_by_state() -> None:
    assert by_state([UP])["Established"] == 1
    assert by_state([])["Idle"] == 0


def test_until_when_a_router_may_keep_routes_is_said_and_not_written_anew_each_time() -> None:
    entries = SessionEntries()
    lost = replace(UP, state=BGPSessionState.Connect, kept_until=191.0)
    (entry,) = entries.show({"tor": lost}, {}, "t1", started=1000.0)
    assert entry["routesKeptUntil"] == "1970-01-01T00:19:51Z"
    assert entries.show({"tor": lost}, {}, "t2", started=1000.9) == [entry]
    (entry,) = entries.show({"tor": replace(lost, last_error="cut")}, {}, "t3", started=1001.9)
    assert entry["routesKeptUntil"] == "1970-01-01T00:19:51Z"
    (entry,) = entries.show({"tor": UP}, {}, "t4", started=1000.0)
    assert "routesKeptUntil" not in entry
