"""Handing over: an address is answered for until its successor is seen to announce it, but not for ever."""

from speaker.layer2.orders import WireOrders

A, B = "192.0.2.1", "192.0.2.2"
ETH0 = ("eth0",)


def announcing(*addresses) -> WireOrders:
    orders = WireOrders()
    for address in addresses:
        orders.want(address, ETH0)
    orders.next_announcements(100)
    return orders


def test_what_is_handed_over_stays_on_the_wire_until_the_successor_is_seen() -> None:
    orders = announcing(A)
    orders.hand_over(A, give_up_at=10.0)
    assert orders.next_withdrawals(10) == []
    assert orders.may_be_heard(A)
    assert orders.wanted() == []
    assert orders.handed_over(A)
    assert orders.next_withdrawals(10) == [A]


def test_a_successor_that_does_not_come_is_given_up() -> None:
    orders = announcing(A, B)
    orders.hand_over(A, give_up_at=10.0)
    orders.hand_over(B, give_up_at=12.0)
    orders.hand_over(A, give_up_at=99.0)
    assert orders.deadline() == 10.0
    orders.give_up_waiting(9.9)
    assert orders.next_withdrawals(10) == []
    orders.give_up_waiting(10.0)
    assert orders.next_withdrawals(10) == [A]
    assert orders.deadline() == 12.0


def test_what_is_not_on_the_wire_is_simply_not_announced() -> None:
    orders = WireOrders()
    orders.want(A, ETH0)
    orders.hand_over(A, give_up_at=10.0)
    assert orders.next_announcements(10) == []
    assert orders.deadline() is None


def test_a_release_does_not_wait_for_a_successor() -> None:
    orders = announcing(A)
    orders.hand_over(A, give_up_at=10.0)
    orders.want(A, None)
    assert orders.may_be_heard(A)
    assert orders.next_withdrawals(10) == [A]
    orders.withdrawn([A])
    assert not orders.may_be_heard(A)
    assert not orders.handed_over(A)


def test_what_comes_back_meanwhile_is_announced_anew_and_was_never_gone() -> None:
    orders = announcing(A)
    orders.hand_over(A, give_up_at=10.0)
    orders.want(A, ETH0)
    orders.give_up_waiting(99.0)
    assert orders.next_withdrawals(10) == []
    assert orders.next_announcements(10) == [(A, ETH0)]


def test_the_wire_process_is_told_once_of_what_is_handed_over_and_still_is() -> None:
    orders = announcing(A, B)
    for _ in range(2):
        orders.hand_over(A, give_up_at=10.0)
    assert orders.take_newly_handing_over() == (A,)
    orders.hand_over(A, give_up_at=9.0)
    orders.hand_over(B, give_up_at=10.0)
    orders.want(B, ETH0)
    assert orders.take_newly_handing_over() == ()


def test_a_claim_of_what_is_not_being_handed_over_changes_nothing() -> None:
    orders = announcing(A)
    assert not orders.handed_over(A)
    assert orders.next_withdrawals(10) == []


def test_a_loss_of_the_right_to_announce_ends_all_handing_over() -> None:
    orders = announcing(A)
    orders.hand_over(A, give_up_at=10.0)
    orders.withdraw_everything()
    assert orders.next_withdrawals(10) == [A]
    assert orders.deadline() is None
