"""The judges of the soak: what counts as an address on the wire without its holder."""

from bench.soak.verdict import (
    Answer,
    Holdings,
    Lives,
    Sighting,
    answers_of_strangers,
    asked_without_record,
    frames_without_record,
    routes_of,
    routes_without_record,
)
from lab.routers.base import RouteEvent

ADDRESS = "192.0.2.1"


def lives_of(*spans: tuple[float, float | None]) -> Lives:
    lives = Lives()
    for number, (since, until) in enumerate(spans):
        lives.seen(ADDRESS, f"uid{number}", since)
        if until is not None:
            lives.gone(f"uid{number}", until)
    return lives


def frames(*times: float) -> list[Sighting]:
    return [Sighting("node1", ADDRESS, at) for at in times]


def route(since: float, until: float | None) -> list[Sighting]:
    return [Sighting("node1", ADDRESS, since, until)]


def test_a_frame_while_there_is_a_record_is_right() -> None:
    assert frames_without_record(lives_of((10, 20)).all(), frames(10, 15, 20)) == []


def test_a_frame_after_the_record_had_gone_is_wrong_and_names_that_record() -> None:
    (found,) = frames_without_record(lives_of((10, 20)).all(), frames(20.1))
    assert found.life is not None
    assert (found.sighting.at, found.life.uid) == (20.1, "uid0")


def test_a_frame_between_two_records_is_wrong() -> None:
    assert len(frames_without_record(lives_of((10, 20), (30, None)).all(), frames(25, 31))) == 1


def test_a_frame_of_an_address_that_never_had_a_record_is_wrong() -> None:
    other = Lives()
    other.seen("192.0.2.2", "uid", 1)
    (found,) = frames_without_record(other.all(), frames(5))
    assert found.life is None


def test_a_route_that_ends_before_its_record_is_right() -> None:
    assert routes_without_record(lives_of((10, 20)).all(), route(10.1, 19.9)) == []


def test_a_route_that_outlives_its_record_is_wrong_also_when_another_holder_has_come() -> None:
    assert len(routes_without_record(lives_of((10, 20)).all(), route(10.1, 25))) == 1
    assert len(routes_without_record(lives_of((10, 20), (20.01, None)).all(), route(10.1, None))) == 1


def test_a_route_that_came_just_before_one_record_was_seen_to_go_may_be_the_next_ones() -> None:
    assert routes_without_record(lives_of((10, 20), (20.01, None)).all(), route(19.5, None)) == []
    assert len(routes_without_record(lives_of((10, 20)).all(), route(19.5, None))) == 1


def test_a_route_without_any_record_is_wrong() -> None:
    assert len(routes_without_record(lives_of((10, 20)).all(), route(5, 6))) == 1
    assert len(routes_without_record(lives_of((10, 20)).all(), route(21, 22))) == 1


def test_what_changed_while_the_watch_was_broken_is_given_the_widest_time() -> None:
    lives = lives_of((10, None))
    lives.listed({"new": "192.0.2.2"}, 30)
    old, new = sorted(lives.all(), key=lambda one: one.address)
    assert (old.since, old.until, old.is_certain) == (10, 30, False)
    assert (new.since, new.until, new.is_certain) == (10, None, False)


def test_the_routers_log_becomes_spans_of_host_routes() -> None:
    events = [
        RouteEvent(100.0, "node1", "192.0.2.1/32", removed=False),
        RouteEvent(101.0, "node1", "192.0.2.1/32", removed=False),
        RouteEvent(102.0, "node1", "192.0.2.0/24", removed=False),
        RouteEvent(103.0, "node2", "192.0.2.1/32", removed=False),
        RouteEvent(104.0, "node1", "192.0.2.1/32", removed=True),
    ]
    assert routes_of(events, began=0.0, offset=-90.0) == [
        Sighting("node1", "192.0.2.1", 10.0, 14.0),
        Sighting("node2", "192.0.2.1", 13.0),
    ]


def test_a_router_that_was_killed_has_lost_its_routes() -> None:
    events = [
        RouteEvent(100.0, "node1", "192.0.2.1/32", removed=False),
        RouteEvent(120.0, "node2", "192.0.2.1/32", removed=False),
    ]
    assert routes_of(events, began=0.0, offset=0.0, lost_at=[110.0, 130.0]) == [
        Sighting("node1", "192.0.2.1", 100.0, 110.0),
        Sighting("node2", "192.0.2.1", 120.0, 130.0),
    ]


def test_a_route_in_a_table_is_right_when_its_address_had_a_record_at_some_moment_of_the_question() -> None:
    lives = lives_of((10, 20), (30, None)).all()
    asked = [route(at, until)[0] for at, until in ((15, 16), (19.9, 20.5), (28, 30.5), (40, 41))]
    assert asked_without_record(lives, asked) == []
    assert len(asked_without_record(lives, [*route(21, 22), *route(5, 6)])) == 2


def holdings() -> Holdings:
    """`a` until 20, then `a` and `b`, from 30 on `b` alone."""
    found = Holdings()
    found.seen(ADDRESS, frozenset({"a"}), 10)
    found.seen(ADDRESS, frozenset({"a", "b"}), 20)
    found.seen(ADDRESS, frozenset({"b"}), 30)
    return found


def test_a_connection_that_reaches_a_holder_is_right() -> None:
    answers = [Answer(at, at + 0.1, ADDRESS, service) for at, service in ((15, "a"), (25, "a"), (25, "b"), (99, "b"))]
    assert answers_of_strangers(holdings().all(), [*answers, Answer(50, 51, ADDRESS, None)]) == []


def test_a_connection_to_an_address_of_others_that_reaches_a_service_before_or_after_it_held_it_is_wrong() -> None:
    times = {"b": (15, 16), "a": (36, 37), "c": (25, 26)}
    answers = [Answer(at, at + 0.1, ADDRESS, service) for service, both in times.items() for at in both]
    found = answers_of_strangers(holdings().all(), answers)
    assert [one.split(" of ")[1] for one in found] == [
        "a reached b, 15.000",
        "a reached b, 16.000",
        "a, b reached c, 25.000",
        "a, b reached c, 26.000",
        "b reached a, 36.000",
        "b reached a, 37.000",
    ]


def test_a_single_connection_that_goes_astray_is_conntracks() -> None:
    answers = [Answer(at, at + 0.1, ADDRESS, "a") for at in (36, 60)]
    assert answers_of_strangers(holdings().all(), answers) == []


def test_while_nobody_holds_an_address_a_connection_may_reach_who_had_it() -> None:
    gone = holdings()
    gone.seen(ADDRESS, frozenset(), 40)
    assert answers_of_strangers(gone.all(), [Answer(60, 60.1, ADDRESS, "b")]) == []


def test_the_proxys_rule_of_a_former_holder_may_be_there_for_some_seconds() -> None:
    assert answers_of_strangers(holdings().all(), [Answer(34, 34.1, ADDRESS, "a")]) == []
