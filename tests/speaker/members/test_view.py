"""What a node makes of the others: who came back, who announces already, and whom to leave an address to."""

import pytest

from crds.speaker import Standing
from speaker.cluster.tiers import tier_of
from speaker.members.election import owner
from speaker.members.view import MemberTimes, MemberView
from speaker.wire.messages import Member

TIMES = MemberTimes(lease_duration=6.0, renew=2.0, failback=120.0)
A = "192.0.2.10"


def peer(incarnation="one", **facts) -> Member:
    return Member(incarnation=incarnation, interfaces=("eth0",), **facts)


def view(*heard, own="own") -> MemberView:
    made = MemberView(own, TIMES)
    made.hear({node: peer() for node in heard}, 0.0)
    return made


def judge(made, now, *, contact=None, members=frozenset()):
    return made.judge(now, now, now if contact is None else contact, members=members)


def test_one_that_was_lost_and_is_heard_again_came_back() -> None:
    made = view("b", "c")
    made.hear({"c": peer()}, 1.0)
    assert made.hear({"b": peer(), "c": peer()}, 2.0) == {"b"}
    assert made.came_back_lately("b", 3.0)
    assert not made.came_back_lately("c", 3.0)
    assert not made.came_back_lately("b", 10.0)


def test_one_that_was_started_again_did_not_come_back() -> None:
    made = view("b", "c")
    made.hear({"c": peer()}, 1.0)
    assert made.hear({"b": peer("two"), "c": peer()}, 2.0) == set()
    assert not made.came_back_lately("b", 3.0)


def test_one_that_left_is_not_lost() -> None:
    made = view("b", "c")
    made.hear({"b": peer(is_leaving=True), "c": peer()}, 1.0)
    made.hear({"c": peer()}, 2.0)
    assert made.liveness.lost == set()


def test_a_successor_that_was_seen_to_claim_the_address_announces_already() -> None:
    made = view("b")
    made.saw_claim(A, "b", 1.0)
    assert made.has_claimed("b", A, 1.5)
    assert not made.has_claimed("c", A, 1.5)
    assert not made.has_claimed("b", A, 5.0)


def test_an_address_is_never_left_to_a_peer_that_is_heard() -> None:
    made = view("b")
    assert not made.yields(A, "b", 1.0)


def test_of_two_that_do_not_hear_each_other_the_one_that_ranks_lower_yields() -> None:
    first = owner(A, ("b", "own"))
    for own, other in (("own", "b"), ("b", "own")):
        made = view(other, own=own)
        made.hear({}, 1.0)
        assert made.yields(A, other, 1.0) is (own != first)


def test_one_that_lost_most_others_yields_to_any_of_them_and_they_do_not_yield_to_it() -> None:
    alone = view("b", "c")
    judge(alone, 0.5, members=frozenset({"b", "c"}))
    alone.hear({}, 1.0)
    judge(alone, 1.0, members=frozenset({"b", "c"}))
    assert alone.yields(A, "b", 1.0)
    assert alone.claims(1.0) == {A: "b"}
    assert alone.has_claimed("b", A, 1.0)
    others = view("own", "c", own="b")
    others.hear({"c": peer()}, 1.0)
    assert not others.yields(A, "own", 1.0)


def test_claims_seen_shortly_before_a_loss_are_known_after_it() -> None:
    made = view("b", "c")
    made.saw_claim(A, "b", 0.9)
    assert made.claims_of_lost(1.0) == []
    made.hear({}, 1.0)
    assert made.claims_of_lost(1.0) == [(A, "b")]
    assert made.claims_of_lost(10.0) == []


def test_what_was_yielded_is_taken_up_again_when_the_peer_is_heard_or_silent_for_long() -> None:
    made = view("b", "c")
    made.hear({}, 1.0)
    judge(made, 1.0, members=frozenset({"b", "c"}))
    made.yields(A, "b", 1.0)
    assert made.claims(60.0)
    assert not made.claims(70.0)
    made.yields(A, "b", 71.0)
    made.hear({"b": peer()}, 72.0)
    assert not made.claims(72.0)


def test_losing_the_api_server_alone_puts_a_node_behind_until_it_is_back() -> None:
    made = view()
    for now in (10.0, 16.0, 17.0):
        made.hear({"b": peer(contact=now)}, now)
        expected = Standing.Behind if now >= 16 else Standing.Member
        assert judge(made, now, contact=1.0).standing is expected
    assert judge(made, 18.0, members=frozenset({"b"})).standing is Standing.Waiting


def test_contact_is_judged_by_the_latest_ages_also_when_nothing_else_is_new() -> None:
    made = view("b")
    for now in (10.0, 16.0, 17.0):
        made.age({"b": peer(contact=now)})
        expected = Standing.Behind if now >= 16 else Standing.Member
        assert judge(made, now, contact=1.0).standing is expected


def test_before_all_is_read_a_node_is_no_member() -> None:
    made = view()
    assert not made.judge(1.0, 1.0, 1.0, members=None).is_member


def test_leaving_outlasts_a_registration_anew() -> None:
    made = view()
    made.leave()
    made.begin(1.0)
    assert made.own.standing is Standing.Leaving


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (peer(), peer(is_member=False)),
        (peer(is_member=False), peer(is_behind=True, is_member=False)),
        (peer(is_behind=True, is_member=False), peer(is_leaving=True)),
    ],
)
def test_tiers_are_ordered(better, worse) -> None:
    assert tier_of(better) < tier_of(worse)
