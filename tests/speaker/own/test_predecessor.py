"""What an earlier process of this node's speaker may have left with routers, and when it has surely gone."""

from ipaddress import ip_address

from speaker.own.predecessor import LastWord, PredecessorRoutes

A, B = ip_address("192.0.2.1"), ip_address("2001:db8::1")


def predecessor(outlives_seconds: int = 90, **routers) -> PredecessorRoutes:
    left = PredecessorRoutes()
    left.take(LastWord(outlives_seconds, routers), 100.0)
    return left


def test_before_it_is_known_anything_may_be_left() -> None:
    assert PredecessorRoutes().may_be_heard(0.0, frozenset())
    assert PredecessorRoutes().remaining_seconds(0.0) == 0


def test_who_left_nothing_holds_nothing_back() -> None:
    assert not predecessor(0).may_be_heard(100.0, frozenset())


def test_routes_are_there_until_the_routers_have_surely_dropped_them() -> None:
    left = predecessor(90, tor=A)
    assert left.may_be_heard(189.9, frozenset())
    assert left.remaining_seconds(189.0) == 1.0
    assert not left.may_be_heard(190.0, frozenset())


def test_new_sessions_with_all_of_the_same_routers_end_it_sooner() -> None:
    left = predecessor(90, tor=A, spine=B)
    assert left.may_be_heard(101.0, frozenset({A}))
    assert not left.may_be_heard(102.0, frozenset({A, B}))


def test_once_over_it_stays_over_though_a_session_goes_down_again() -> None:
    left = predecessor(90, tor=A)
    assert not left.may_be_heard(101.0, frozenset({A}))
    assert not left.may_be_heard(102.0, frozenset())
    assert left.routers(102.0) == {}


def test_routers_that_are_not_known_are_waited_for_by_time_alone() -> None:
    assert predecessor(90).may_be_heard(101.0, frozenset({A, B}))


def test_only_the_first_look_counts_since_the_next_one_finds_our_own_words() -> None:
    left = predecessor(90, tor=A)
    left.take(LastWord(), 101.0)
    assert left.may_be_heard(102.0, frozenset())
    assert left.routers(102.0) == {"tor": A}
