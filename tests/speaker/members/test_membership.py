"""A node that returns moves nothing back until the next fault, or until it has run steadily for a while."""

from hypothesis import given
from hypothesis import strategies as st

from speaker.members.membership import Behind, Membership

FAILBACK = 120.0


class Node:
    """One node's membership at the times and among the members it is told."""

    def __init__(self, failback_seconds: float = FAILBACK) -> None:
        self.membership = Membership(failback_seconds)

    def at(self, now: float, *others: str, back: bool = False, nothing: bool = False) -> bool:
        return self.membership.update(now, frozenset(others), must_step_back=back, nothing_to_move=nothing)


def test_the_first_one_is_a_member_at_once() -> None:
    assert Node().at(0.0)


def test_one_that_comes_while_others_serve_waits() -> None:
    node = Node()
    assert not node.at(0.0, "a", "b")
    assert not node.at(FAILBACK - 1, "a", "b")
    assert node.at(FAILBACK, "a", "b")


def test_while_there_is_nothing_that_could_move_everybody_joins_at_once() -> None:
    assert Node().at(0.0, "a", "b", nothing=True)


def test_it_joins_when_a_member_is_lost_since_addresses_move_anyway() -> None:
    node = Node()
    node.at(0.0, "a", "b")
    assert node.at(1.0, "a")


def test_another_that_joins_is_no_reason_to() -> None:
    node = Node()
    node.at(0.0, "a")
    assert not node.at(1.0, "a", "b")


def test_without_a_waiting_time_it_joins_at_once() -> None:
    assert Node(0.0).at(0.0, "a")


def test_a_member_stays_one_whoever_comes_and_goes() -> None:
    node = Node()
    node.at(0.0)
    assert node.at(1.0, "a")
    assert node.at(2.0)


def test_one_that_was_cut_off_steps_back_and_stays_so_until_it_has_met_others_for_a_while() -> None:
    node = Node()
    node.at(0.0)
    assert not node.at(10.0, "a", back=True)
    assert not node.at(20.0)  # alone on its island
    assert node.membership.has_stepped_back
    assert not node.at(1000.0, "a")
    assert not node.membership.has_stepped_back
    assert not node.at(1000.0 + FAILBACK - 1, "a")
    assert node.at(1000.0 + FAILBACK, "a")


def test_a_registration_anew_begins_anew() -> None:
    node = Node()
    node.at(0.0)
    node.membership.restart()
    assert not node.at(1.0, "a")


@given(st.lists(st.tuples(st.floats(0.1, 60), st.frozensets(st.sampled_from("abc")), st.booleans()), max_size=30))
def test_a_node_never_waits_longer_than_the_failback_time_while_it_is_not_cut_off(steps) -> None:
    node, now, steady_since = Node(), 0.0, None
    for pause, others, back in steps:
        now += pause
        is_member = node.at(now, *others, back=back)
        assert not (back and is_member)
        if back or not others:
            steady_since = None
        elif steady_since is None:
            steady_since = now
        assert is_member or steady_since is None or now - steady_since < FAILBACK


def behind() -> Behind:
    return Behind(fresh_seconds=4, patience_seconds=6)


def test_who_lost_the_api_server_alone_is_behind_after_a_while() -> None:
    one = behind()
    assert not one.update(0.0, own_age=4.5, best_age=0.5)
    assert not one.update(5.9, own_age=10.4, best_age=1.5)
    assert one.update(6.0, own_age=10.5, best_age=1.0)


def test_an_api_server_that_is_down_for_all_leaves_nobody_behind() -> None:
    one = behind()
    for now in range(100):
        assert not one.update(float(now), own_age=2.0 + now, best_age=0.5 + now)


def test_who_is_not_the_first_to_find_the_api_server_back_is_not_behind_for_that() -> None:
    one = behind()
    one.update(0.0, own_age=500, best_age=498)
    assert not one.update(1.0, own_age=501, best_age=0.1)
    assert not one.update(3.0, own_age=503, best_age=0.1)
    assert not one.update(4.0, own_age=0.1, best_age=0.1)
    assert not one.update(60.0, own_age=1.0, best_age=0.1)


def test_others_that_lose_it_too_meanwhile_were_not_ahead() -> None:
    one = behind()
    one.update(0.0, own_age=5, best_age=3)
    one.update(2.0, own_age=7, best_age=5)
    assert not one.update(6.0, own_age=11, best_age=9)


def test_one_that_is_behind_stays_so_until_its_own_contact_is_back() -> None:
    one = behind()
    one.update(0.0, own_age=5, best_age=1)
    assert one.update(6.0, own_age=11, best_age=1)
    assert one.update(20.0, own_age=25, best_age=15)
    assert not one.update(21.0, own_age=1, best_age=16)
