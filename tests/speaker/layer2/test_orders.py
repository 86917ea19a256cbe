"""What to order from the wire process, and what may be on it meanwhile."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from speaker.layer2.orders import WireOrders
from tests.examples import examples

A, B = "192.0.2.1", "192.0.2.2"
ETH0, ETH1 = ("eth0",), ("eth1",)


def announced(*addresses):
    orders = WireOrders()
    for address in addresses:
        orders.want(address, ETH0)
    orders.next_announcements(99)
    return orders


def test_a_wish_is_handed_out_once() -> None:
    orders = WireOrders()
    orders.want(A, ETH0)
    assert orders.next_announcements(99) == [(A, ETH0)]
    orders.want(A, ETH0)
    assert orders.next_announcements(99) == []


def test_other_interfaces_are_announced_anew() -> None:
    orders = announced(A)
    orders.want(A, ETH1)
    assert orders.next_announcements(99) == [(A, ETH1)]


def test_a_wish_taken_back_before_it_was_ordered_costs_nothing() -> None:
    orders = WireOrders()
    orders.want(A, ETH0)
    orders.want(A, None)
    assert orders.next_announcements(99) == []
    assert orders.next_withdrawals(99) == []


def test_a_withdrawal_is_handed_out_until_it_is_confirmed() -> None:
    orders = announced(A)
    orders.want(A, None)
    assert orders.next_withdrawals(99) == orders.next_withdrawals(99) == [A]
    assert orders.has_withdrawals
    orders.withdrawn([A])
    assert not orders.has_withdrawals
    assert orders.next_withdrawals(99) == []


def test_what_is_neither_wanted_nor_on_the_wire_is_not_heard() -> None:
    orders = WireOrders()
    assert not orders.may_be_heard(A)
    orders.want(A, ETH0)
    assert orders.may_be_heard(A)
    orders.want(A, None)
    assert not orders.may_be_heard(A)


def test_what_is_on_the_wire_may_be_heard_until_its_own_withdrawal_is_confirmed() -> None:
    orders = announced(A, B)
    orders.want(A, None)
    assert orders.next_withdrawals(99) == [A]
    assert orders.may_be_heard(A)
    orders.withdrawn([B])
    assert orders.may_be_heard(A)
    orders.withdrawn([A])
    assert not orders.may_be_heard(A)


def test_an_announcement_under_way_counts_as_on_the_wire() -> None:
    """It was handed out and not confirmed yet: the release waits for a withdrawal that follows it."""
    orders = WireOrders()
    orders.want(A, ETH0)
    orders.next_announcements(99)
    orders.want(A, None)
    assert orders.may_be_heard(A)
    assert orders.next_withdrawals(99) == [A]


def test_what_is_probed_for_counts_as_on_the_wire_and_not_as_announced() -> None:
    orders = WireOrders()
    orders.probing([A])
    assert orders.may_be_heard(A)
    assert not orders.is_announced(A)
    orders.want(A, None)
    assert orders.next_withdrawals(99) == [A]
    orders.withdrawn([A])
    assert not orders.may_be_heard(A)


def test_a_wish_that_comes_back_during_a_withdrawal_is_announced_after_it() -> None:
    orders = announced(A)
    orders.want(A, None)
    assert orders.next_withdrawals(99) == [A]
    orders.want(A, ETH0)
    orders.withdrawn([A])
    assert orders.next_announcements(99) == [(A, ETH0)]


def test_a_wish_that_comes_back_before_the_withdrawal_was_ordered_changes_nothing() -> None:
    orders = announced(A)
    orders.want(A, None)
    orders.want(A, ETH0)
    assert orders.next_withdrawals(99) == []
    assert orders.next_announcements(99) == []
    assert orders.is_announced(A)


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(lambda orders: None, id="nothing"),
        pytest.param(lambda orders: orders.want(A, None), id="it was not wanted at all"),
        pytest.param(lambda orders: orders.handed_over(A), id="the successor was seen"),
    ],
)
def test_what_was_handed_over_and_is_wanted_again_is_announced_anew(meanwhile) -> None:
    """Also when its withdrawal was due, and is no more: neighbours may have heard of the successor."""
    orders = announced(A)
    orders.hand_over(A, give_up_at=1.0)
    assert orders.take_newly_handing_over() == (A,)
    meanwhile(orders)
    orders.want(A, ETH0)
    assert orders.next_withdrawals(99) == []
    assert orders.next_announcements(99) == [(A, ETH0)]
    orders.want(A, ETH0)
    assert orders.next_announcements(99) == []


def test_withdrawing_everything_forgets_all_wishes() -> None:
    orders = announced(A, B)
    orders.want(A, None)
    orders.want("192.0.2.3", ETH0)
    orders.withdraw_everything()
    assert orders.next_announcements(99) == []
    assert sorted(orders.next_withdrawals(99)) == [A, B]
    assert orders.may_be_heard(A)
    orders.withdrawn([A, B])
    assert not orders.may_be_heard(A)
    assert not orders.may_be_heard("192.0.2.3")


def test_what_is_wanted_again_after_everything_was_withdrawn_leaves_first_and_is_announced_anew() -> None:
    """Somebody else may have had it meanwhile: the neighbours must hear of it."""
    orders = announced(A)
    orders.withdraw_everything()
    orders.want(A, ETH0)
    assert orders.next_announcements(99) == []
    assert orders.next_withdrawals(99) == [A]
    orders.withdrawn([A])
    assert orders.next_announcements(99) == [(A, ETH0)]


def test_a_refused_address_is_tried_again_on_other_interfaces_or_when_they_changed() -> None:
    orders = announced(A)
    orders.refused(A)
    orders.want(A, ETH0)
    assert not orders.has_announcements
    orders.want(A, ETH1)
    assert orders.next_announcements(99) == [(A, ETH1)]
    orders.refused(A)
    orders.retry_refused()
    assert orders.next_announcements(99) == [(A, ETH1)]


def test_what_was_refused_is_tried_again_after_other_interfaces() -> None:
    orders = announced(A)
    orders.refused(A)
    for interfaces in (ETH1, ETH0):
        orders.want(A, interfaces)
        assert orders.next_announcements(99) == [(A, interfaces)]


def test_a_refused_address_is_withdrawn_like_any_other_when_it_is_released() -> None:
    orders = announced(A)
    orders.refused(A)
    orders.want(A, None)
    assert orders.may_be_heard(A)
    assert orders.next_withdrawals(99) == [A]


ADDRESSES = st.sampled_from(["a", "b", "c"])


class OrdersAgainstAWire(RuleBasedStateMachine):
    """The wire is a plain table. What may not be heard must be off it."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = WireOrders()
        self.handed_over = set()
        self.table = {}
        self.wanted = {}
        self.withdrawing = None

    @rule(address=ADDRESSES, interfaces=st.sampled_from([ETH0, ETH1]))
    def want(self, address, interfaces) -> None:
        self.orders.want(address, interfaces)
        self.wanted[address] = interfaces

    @rule(address=ADDRESSES)
    def unwant(self, address) -> None:
        self.orders.want(address, None)
        self.wanted.pop(address, None)

    @precondition(lambda self: self.withdrawing is None)
    @rule(limit=st.integers(1, 3))
    def begin_withdrawing(self, limit) -> None:
        self.withdrawing = self.orders.next_withdrawals(limit) or None

    @precondition(lambda self: self.withdrawing is not None)
    @rule()
    def finish_withdrawing(self) -> None:
        for address in self.withdrawing:
            self.table.pop(address, None)
        self.orders.withdrawn(self.withdrawing)
        self.withdrawing = None

    @rule(limit=st.integers(1, 3))
    def announce(self, limit) -> None:
        """Also while a withdrawal is under way."""
        self.tell()
        entries = dict(self.orders.next_announcements(limit, self.withdrawing or ()))
        self.table.update(entries)
        self.handed_over -= entries.keys()

    @rule()
    def tell(self) -> None:
        """What is handed over."""
        self.handed_over |= set(self.orders.take_newly_handing_over())

    @rule()
    def withdraw_everything(self) -> None:
        self.orders.withdraw_everything()
        self.wanted.clear()

    @precondition(lambda self: self.withdrawing is None)
    @rule(address=ADDRESSES)
    def probe(self, address) -> None:
        """Of what is announced nobody would ask."""
        if address not in self.table:
            self.orders.probing([address])
            self.table[address] = ()

    @rule(address=ADDRESSES)
    def hand_over(self, address) -> None:
        self.orders.hand_over(address, give_up_at=1.0)
        self.wanted.pop(address, None)

    @rule(address=ADDRESSES)
    def see_the_successor(self, address) -> None:
        self.orders.handed_over(address)

    @rule(address=ADDRESSES)
    def refuse(self, address) -> None:
        """What it refused may be on the wire all the same."""
        self.orders.refused(address)

    @invariant()
    def nothing_on_the_wire_is_unknown(self) -> None:
        assert all(self.orders.may_be_heard(address) for address in self.table)

    @invariant()
    def what_is_wanted_may_be_heard(self) -> None:
        assert all(self.orders.may_be_heard(address) for address in self.wanted)

    def teardown(self) -> None:
        """Left alone, it converges: the table is what is wanted, and nothing else may be heard."""
        if self.withdrawing is not None:
            self.finish_withdrawing()
        self.orders.give_up_waiting(1.0)
        while self.orders.has_withdrawals or self.orders.has_announcements:
            self.withdrawing = self.orders.next_withdrawals(2) or None
            if self.withdrawing:
                self.finish_withdrawing()
            self.announce(2)
        assert not self.handed_over & self.wanted.keys()
        assert {address: on for address, on in self.table.items() if on} == self.wanted
        assert all(self.orders.may_be_heard(address) == (address in self.table) for address in "abc")


OrdersAgainstAWire.TestCase.settings = settings(
    max_examples=examples(100), stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
TestOrdersAgainstAWire = OrdersAgainstAWire.TestCase
