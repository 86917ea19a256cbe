"""When an address has moved to another node: it has lasted, and is told once."""

from dataclasses import replace

from allocator.status.entries import Announcement
from allocator.status.owners import SETTLE_SECONDS, Move, Owners
from tests.allocator.build import address
from tests.allocator.status.records import after, status_of, stored

VIP = address("192.0.2.10")
ETH0 = Announcement(("Layer2",), ("eth0",))
BGP = Announcement(("BGP",), (), ("tor1",))
A_TO_B = [Move(VIP, "a", "b")]
LATER = SETTLE_SECONDS


def owned_by(*nodes: str) -> dict[str, Announcement]:
    return dict.fromkeys(nodes, ETH0)


def seen(*steps: dict[str, Announcement]) -> Owners:
    owners = Owners()
    for step in steps:
        owners.seen(stored(), step, 0.0)
    return owners


def test_the_first_owner_is_no_move_and_the_next_one_is_told_once() -> None:
    assert seen(owned_by("a")).take_moves(LATER) == []
    owners = seen(owned_by("a"), owned_by("b"))
    assert owners.take_moves(LATER / 2) == []
    assert owners.take_moves(LATER) == A_TO_B
    assert owners.take_moves(2 * LATER) == []


def test_a_hand_over_and_a_gap_are_one_move_and_a_return_is_none() -> None:
    assert seen(owned_by("a"), owned_by("a", "b"), owned_by("b")).take_moves(LATER) == A_TO_B
    assert seen(owned_by("a"), {}, owned_by("b")).take_moves(LATER) == A_TO_B
    assert seen(owned_by("a"), owned_by("b"), owned_by("a")).take_moves(LATER) == []
    assert seen(owned_by("a"), {}, owned_by("a")).take_moves(LATER) == []


def test_a_node_that_died_and_is_named_still_holds_no_move_up() -> None:
    assert seen(owned_by("a"), owned_by("a", "b")).take_moves(LATER) == A_TO_B


def test_who_announces_by_bgp_is_no_owner() -> None:
    assert seen({"a": BGP}, {"b": BGP}).take_moves(LATER) == []
    assert seen({**owned_by("a"), "x": BGP}, {**owned_by("a"), "y": BGP}).take_moves(LATER) == []


def test_a_new_leader_knows_the_owner_from_the_record() -> None:
    record = after(stored(), status_of(stored(), owned_by("a"), True, (), "2026-03-01T00:00:00Z"))
    owners = Owners()
    owners.seen(record, owned_by("b"), 0.0)
    assert owners.take_moves(LATER) == A_TO_B
    by_bgp = after(stored(), status_of(stored(), {"a": BGP}, True, (), "2026-03-01T00:00:00Z"))
    owners = Owners()
    owners.seen(by_bgp, owned_by("b"), 0.0)
    assert owners.take_moves(LATER) == []


def test_another_record_of_the_address_begins_anew() -> None:
    owners = seen(owned_by("a"), owned_by("b"))
    owners.seen(replace(stored(), uid="a2"), owned_by("b"), 0.0)
    owners.forget(VIP)
    assert owners.take_moves(LATER) == []
