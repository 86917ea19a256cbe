"""When a release is confirmed: never while any way to announce may be heard, nor for an allocation that is gone."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from speaker.cluster.state import ClusterState
from speaker.layer2.orders import WireOrders
from speaker.own.patched import PatchedMap
from speaker.releases import Releases
from tests.examples import examples
from tests.speaker.make import allocation, at

A, B = "192.0.2.1", "192.0.2.2"
NOW = at(100.0)
ETH0 = ("eth0",)


class Way:
    """A way to announce that is heard for what the test says."""

    def __init__(self, *heard: str) -> None:
        self.heard = set(heard)

    def may_be_heard(self, address, now) -> bool:
        return address in self.heard


class World:
    def __init__(self, *ways) -> None:
        self.confirmed: PatchedMap[int] = PatchedMap()
        self.releases = Releases(ways, self.confirmed)
        self.begin()

    def begin(self) -> None:
        self.cluster = ClusterState()
        self.releases.begin(self.cluster)

    def set(self, address, uid, **fields) -> None:
        made = allocation(address, uid=uid, **fields)
        self.cluster.set_allocation(made.name, made)

    def release(self, address, uid, generation=2) -> None:
        self.set(address, uid, generation=generation, is_releasing=True)

    def free(self, address) -> None:
        self.cluster.set_allocation(allocation(address).name, None)

    def settle(self) -> dict:
        self.releases.settle(NOW)
        return {uid: self.confirmed.get(uid) for uid in sorted(self.confirmed.keys())}


def test_a_release_of_what_nobody_may_hear_is_confirmed_at_once_and_once() -> None:
    world = World(Way(), Way())
    world.release(A, "u1")
    assert world.releases.addresses == [A]
    assert world.releases.settle(NOW)
    assert world.settle() == {"u1": 2}
    assert world.releases.addresses == []
    assert not world.releases.settle(NOW)


@pytest.mark.parametrize("number", [0, 1])
def test_a_release_waits_for_every_way_to_announce(number) -> None:
    ways = [Way(), Way()]
    ways[number].heard = {A}
    world = World(*ways)
    world.release(A, "u1")
    world.release(B, "u2")
    assert world.settle() == {"u2": 2}
    assert world.releases.addresses == [A]
    ways[number].heard = set()
    assert world.settle() == {"u1": 2, "u2": 2}


def test_what_is_not_being_released_is_never_confirmed() -> None:
    world = World(Way())
    world.set(A, "u1")
    assert world.settle() == {}
    world.release(A, "u1")
    world.set(A, "u1", generation=3)  # taken back
    assert world.settle() == {}
    world.release(A, "u1", generation=4)
    assert world.settle() == {"u1": 4}


def test_a_confirmation_goes_with_its_allocation() -> None:
    """Nobody asks for it any more, and the entry would stay."""
    world = World(Way())
    world.release(A, "u1")
    assert world.settle() == {"u1": 2}
    world.free(A)
    assert world.settle() == {}


def test_a_release_of_what_is_gone_meanwhile_is_not_confirmed() -> None:
    way = Way(A)
    world = World(way)
    world.release(A, "u1")
    world.settle()
    world.free(A)
    way.heard = set()
    assert world.settle() == {}
    assert not world.confirmed.is_stale


def test_another_allocation_of_the_same_address_is_another_release() -> None:
    world = World(Way())
    world.release(A, "u1")
    assert world.settle() == {"u1": 2}
    world.set(A, "u2")  # seen without its predecessor's end
    assert world.settle() == {}
    world.release(A, "u2")
    assert world.settle() == {"u2": 2}


def test_an_allocation_whose_address_cannot_be_read_is_confirmed_like_any_other() -> None:
    world = World(Way())
    made = replace(allocation(A, uid="u1", generation=2, is_releasing=True), name="by-hand", address="")
    world.cluster.set_allocation(made.name, made)
    assert world.settle() == {"u1": 2}


def test_a_new_registration_asks_anew_and_forgets_what_it_does_not_read_again() -> None:
    way = Way(B)
    world = World(way)
    world.release(A, "u1")
    world.release(B, "u2")
    assert world.settle() == {"u1": 2}
    world.begin()
    assert world.releases.addresses == []
    assert world.settle() == {"u1": 2}  # until everything is read
    world.releases.forget_unread(world.cluster)
    assert world.settle() == {}


def test_what_was_confirmed_and_is_read_again_stays_confirmed() -> None:
    world = World(Way())
    world.release(A, "u1")
    world.settle()
    world.begin()
    world.release(A, "u1")
    world.releases.forget_unread(world.cluster)
    assert world.settle() == {"u1": 2}


ADDRESSES = st.sampled_from([A, B])


class ReleasesAgainstAWireAndRouters(RuleBasedStateMachine):
    """Two ways to announce: a wire that is a plain table, and routers that drop routes late. What is confirmed must be
    off both, and stay so."""

    def __init__(self) -> None:
        super().__init__()
        self.orders, self.routers = WireOrders(), Way()
        self.table = {}
        self.withdrawing = None
        self.world = World(self.orders_as_a_way(), self.routers)
        self.held = {}
        self.serial = 0

    def orders_as_a_way(self):
        way = Way()
        way.may_be_heard = lambda address, now: self.orders.may_be_heard(address)
        return way

    @rule(address=ADDRESSES, by_bgp=st.booleans())
    def allocate(self, address, by_bgp) -> None:
        if address not in self.held:
            self.serial += 1
            self.held[address] = f"uid-{self.serial}"
            self.world.set(address, self.held[address])
        if not self.world.cluster.allocations[allocation(address).name].is_releasing:
            self.orders.want(address, ETH0)
            self.routers.heard |= {address} if by_bgp else set()

    @rule(address=ADDRESSES)
    def mark_releasing(self, address) -> None:
        if address in self.held:
            self.world.release(address, self.held[address])

    @rule(address=ADDRESSES)
    def decide(self, address) -> None:
        held = self.world.cluster.allocations.get(allocation(address).name)
        if held is None or held.is_releasing:
            self.orders.want(address, None)

    @rule(address=ADDRESSES)
    def routers_drop(self, address) -> None:
        held = self.world.cluster.allocations.get(allocation(address).name)
        if held is None or held.is_releasing:
            self.routers.heard.discard(address)

    @rule(address=ADDRESSES)
    def free(self, address) -> None:
        """What is confirmed; or by force, what is not."""
        self.world.free(address)
        self.held.pop(address, None)

    @precondition(lambda self: self.withdrawing is None)
    @rule(limit=st.integers(1, 2))
    def begin_withdrawing(self, limit) -> None:
        self.withdrawing = self.orders.next_withdrawals(limit) or None

    @precondition(lambda self: self.withdrawing is not None)
    @rule()
    def finish_withdrawing(self) -> None:
        for address in self.withdrawing:
            self.table.pop(address, None)
        self.orders.withdrawn(self.withdrawing)
        self.withdrawing = None

    @precondition(lambda self: self.withdrawing is None)
    @rule(limit=st.integers(1, 2))
    def announce(self, limit) -> None:
        self.table.update(dict(self.orders.next_announcements(limit)))

    @rule()
    def withdraw_everything(self) -> None:
        self.orders.withdraw_everything()

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @invariant()
    def what_is_confirmed_is_off_the_wire_and_off_the_routers(self) -> None:
        for address, uid in self.held.items():
            if self.world.confirmed.get(uid) is not None:
                assert address not in self.table
                assert address not in self.routers.heard

    @invariant()
    def only_what_is_held_is_confirmed(self) -> None:
        assert set(self.world.confirmed.keys()) <= set(self.held.values())

    def teardown(self) -> None:
        """Left alone, every release is confirmed."""
        if self.withdrawing is not None:
            self.finish_withdrawing()
        for address in (A, B):
            self.mark_releasing(address)
            self.decide(address)
            self.routers_drop(address)
        while self.orders.has_withdrawals:
            self.begin_withdrawing(2)
            self.finish_withdrawing()
        assert set(self.world.settle()) == set(self.held.values())
        assert self.world.releases.addresses == []


ReleasesAgainstAWireAndRouters.TestCase.settings = settings(max_examples=examples(100), stateful_step_count=30)
TestReleasesAgainstAWireAndRouters = ReleasesAgainstAWireAndRouters.TestCase
