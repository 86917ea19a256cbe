"""What an earlier process of this node's speaker may have left with routers, and when it has surely gone."""

from speaker.own.predecessor import LastWord, PredecessorRoutes

AT_A, AT_B = "192.0.2.1", "2001:db8::1"


def predecessor(*last_words: dict[str, int]) -> PredecessorRoutes:
    left = PredecessorRoutes()
    for each in last_words:
        left.take(LastWord(each), 100.0)
    return left


def test_before_it_is_known_anything_may_be_left() -> None:
    assert PredecessorRoutes().may_be_heard(0.0, frozenset())


def test_who_left_nothing_holds_nothing_back() -> None:
    assert not predecessor({}).may_be_heard(100.0, frozenset())


def test_routes_are_there_until_the_router_has_surely_dropped_them() -> None:
    left = predecessor({AT_A: 90})
    assert left.may_be_heard(189.9, frozenset())
    assert left.routers(189.0) == {AT_A: 1.0}
    assert not left.may_be_heard(190.0, frozenset())


def test_each_router_ends_by_its_own_time() -> None:
    left = predecessor({AT_A: 90, AT_B: 200})
    assert left.routers(150.0) == {AT_A: 40.0, AT_B: 150.0}
    assert left.routers(190.0) == {AT_B: 110.0}


def test_a_new_session_with_the_router_ends_it_sooner_and_for_that_router_alone() -> None:
    left = predecessor({AT_A: 90, AT_B: 90})
    assert left.may_be_heard(101.0, frozenset({AT_A}))
    assert left.routers(101.0).keys() == {AT_B}
    assert not left.may_be_heard(102.0, frozenset({AT_B}))


def test_once_over_it_stays_over_though_a_session_goes_down_again() -> None:
    left = predecessor({AT_A: 90})
    assert not left.may_be_heard(101.0, frozenset({AT_A}))
    assert not left.may_be_heard(102.0, frozenset())
    assert left.routers(102.0) == {}


def test_a_router_on_a_link_is_another_one_on_each_link() -> None:
    left = predecessor({"fe80::1%eth0": 90, "fe80::1%eth1": 90})
    assert left.may_be_heard(101.0, frozenset({"fe80::1%eth0"}))
    assert left.routers(101.0).keys() == {"fe80::1%eth1"}


def test_the_union_of_all_that_was_read_counts() -> None:
    """A write of the predecessor may have arrived between two looks."""
    left = predecessor({AT_A: 90}, {AT_A: 30, AT_B: 60}, {})
    assert left.routers(100.0) == {AT_A: 90.0, AT_B: 60.0}


def test_an_operators_word_ends_it_for_the_routers_that_it_names() -> None:
    left = predecessor({AT_A: 2**31 - 1, AT_B: 90})
    left.dropped([AT_A, "198.51.100.1"])
    assert left.routers(100.0).keys() == {AT_B}
