"""The course of BGP in virtual time: what routers are ordered to have, and when an address is off them for certain."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from crds.bfdprofile import BFDProfileSpec
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.bgppeer import BGPPeerSpec
from crds.speaker import FOREVER_SECONDS, MOST_ROUTERS
from speaker.bgp.course import EXABGP_PERMIT_SECONDS, ORDER_SECONDS, BgpCourse
from speaker.bgp.deletedpeers import DELETED_SECONDS
from speaker.bgp.io.routers import Routers
from speaker.bgp.model import Prefix
from speaker.bgp.routers import RouterOrders, RouterReport
from speaker.cluster.objects import PoolFacts
from speaker.cluster.state import ClusterState
from speaker.notices import Notices
from speaker.own.announcements import Announcements
from speaker.own.predecessor import LastWord
from speaker.own.status import StatusDraft
from speaker.wire.messages import Bfd, BfdState, Discover, Interface, RoutersOn
from tests.speaker.agents import TableBlackholes, TableDriver
from tests.speaker.make import BOOTED_BEFORE_SECONDS, allocation, at, node, slice_of

OWN, TOR = "node-a", ip_address("192.0.2.254")
A, B = "192.0.2.1", "192.0.2.2"
DRAIN_SECONDS = 5.0
DOWN = BfdState("Down", "Down", 1.0, True, "the detection time ran out", 900, 300, "")


def route(address: str = A) -> Prefix:
    return ip_network(address)


def advertisement(**spec: Any) -> BGPAdvertisementSpec:
    return BGPAdvertisementSpec.model_validate(spec)


class Node:
    """The course of node-a, with a cluster to fill, and routers that are plain tables."""

    def __init__(self) -> None:
        self.now = 100.0
        self.draft, self.notices = StatusDraft(), Notices()
        announcements = Announcements(self.draft.announcements)
        self.course = BgpCourse(OWN, self.draft, announcements, self.notices, drain_seconds=DRAIN_SECONDS)
        self.driver, self.blackholes = TableDriver([]), TableBlackholes()
        self.routers = Routers(self.driver, self.blackholes, lambda: None)  # type: ignore[arg-type]
        self.orders: list[RouterOrders] = []
        self.course.inherit(LastWord(), at(self.now))
        self.begin()

    def begin(self) -> None:
        """A new registration: everything but peers and allocations has been read anew."""
        self.cluster = ClusterState()
        self.course.begin(self.cluster)
        self.cluster.set_node(OWN, node(addresses=("192.0.2.100",)))
        self.cluster.set_pool("edge", PoolFacts({}))
        self.cluster.set_bgp_advertisement("all", advertisement())
        self.cluster.set_slice("default/web", None, slice_of(ready=(OWN,)))

    def peer(self, name: str = "tor", address: str = str(TOR), **spec: Any) -> None:
        fields = {"myASN": 64512, "peerASN": 64513, "peerAddress": address} | spec
        self.cluster.set_bgp_peer(name, BGPPeerSpec.model_validate(fields))

    def allocate(self, address: str = A, **fields: Any) -> None:
        made = allocation(address, **fields)
        self.cluster.set_allocation(made.name, made)

    def release(self, address: str = A) -> None:
        self.allocate(address, generation=2, is_releasing=True)

    def decide(self) -> None:
        while self.course.has_work(at(self.now)):
            self.course.decide(1000, at(self.now))

    def write(self) -> None:
        """The status is written, and confirmed."""
        self.draft.speaker.confirm(self.send())
        self.course.status_written(at(self.now))

    def send(self) -> dict[str, Any]:
        """The status that differs is sent, and not confirmed yet."""
        status = self.draft.speaker.stale()
        self.draft.speaker.sending(status)
        return status

    def permit(self) -> None:
        self.course.permit(at(self.now))

    def take(self) -> RouterOrders | None:
        orders = self.course.take_orders(at(self.now), may_announce=True)
        if orders is not None:
            self.orders.append(orders)
        return orders

    def carry_out(self, orders: RouterOrders) -> None:
        """As speaker.io.agent does."""
        report = self.routers.carry_out(replace(orders, stops=False))
        if orders.stops:
            self.driver.peers = {}
            self.driver.settle()
            report = replace(self.routers.report(), has_stopped=True)
        if report is not None:
            self.confirm(report)

    def confirm(self, report: RouterReport) -> None:
        self.course.confirmed(report, at(self.now))

    def report(self) -> None:
        """Something changed at the routers."""
        self.driver.settle()
        self.confirm(self.routers.report())

    def tick_after(self, seconds: float) -> None:
        self.now += seconds
        self.permit()
        self.course.tick(at(self.now))
        self.run()
        self.report()

    def run(self) -> "Node":
        self.decide()
        while (orders := self.take()) is not None:
            self.carry_out(orders)
            self.decide()
        return self

    def may_be_heard(self, address: str = A) -> bool:
        return self.course.may_be_heard(address, at(self.now))

    def settle(self, *addresses: str) -> None:
        """As the core: what is asked for is asked of the routers."""
        self.course.ask(addresses or (A,))
        self.run()

    @property
    def table(self) -> dict[str, set[str]]:
        return self.driver.prefixes

    @property
    def outlives(self) -> int:
        return max(self.remembered.values(), default=0)

    @property
    def remembered(self) -> dict[str, int]:
        """The routers that the status is to name."""
        return {one["address"]: one["outlivesSeconds"] for one in self.draft.wanted("routers")}

    def announced(self) -> set[str]:
        return set(self.draft.announcements.keys())


def serving(*addresses: str, **spec: Any) -> Node:
    """A node whose one peer has the routes of these."""
    made = Node()
    made.peer(**spec)
    for address in addresses:
        made.allocate(address)
    made.permit()
    made.run()
    made.write()
    made.run()
    assert made.table == ({"tor": {f"{address}/32" for address in addresses}} if addresses else {})
    return made


# ---- no session too early


def test_no_session_before_the_api_server_has_confirmed_how_long_its_routes_live() -> None:
    made = Node()
    made.peer(holdTimeSeconds=30, gracefulRestart={"restartTimeSeconds": 60})
    made.allocate()
    made.permit()
    made.run()
    assert made.driver.peers == {}
    assert made.outlives == 30 + 60 + EXABGP_PERMIT_SECONDS
    written = made.draft.speaker.stale()
    made.course.status_written(at(made.now))  # of another write
    made.run()
    assert made.driver.peers == {}
    made.draft.speaker.confirm(written)
    made.course.status_written(at(made.now))
    made.run()
    assert set(made.driver.peers) == {"tor"}
    assert made.driver.known_at_start == {"tor": 1}


def test_a_peer_whose_routes_live_longer_keeps_its_session_until_that_is_confirmed() -> None:
    made = serving(A, holdTimeSeconds=30)
    before = made.driver.peers["tor"]
    made.peer(holdTimeSeconds=30, gracefulRestart={"restartTimeSeconds": 600})
    made.run()
    assert made.driver.peers["tor"] == before
    made.write()
    made.run()
    assert made.driver.peers["tor"].graceful_restart_seconds == 600


def test_no_session_before_there_is_leave_to_announce_and_all_routes_are_known() -> None:
    made = Node()
    made.peer()
    for number in range(10):
        made.allocate(f"192.0.2.{number + 1}")
    made.course.decide(1, at(made.now))
    made.permit()
    made.write()
    assert made.course.has_work(at(made.now))
    assert made.take().peers is None
    made.run()
    made.write()
    made.run()
    assert made.driver.known_at_start == {"tor": 10}


def test_without_leave_nothing_is_ordered() -> None:
    made = Node()
    made.peer()
    made.allocate()
    made.decide()
    made.write()
    assert made.take() is None


def test_how_long_routes_outlive_us_is_lowered_only_when_nothing_lives_so_long_any_more() -> None:
    made = serving(A, holdTimeSeconds=30, gracefulRestart={"restartTimeSeconds": 60})
    made.cluster.set_bgp_peer("tor", None)
    made.decide()
    orders = made.take()
    assert orders.peers == {}
    assert made.outlives == 30 + 60 + EXABGP_PERMIT_SECONDS
    made.carry_out(orders)
    made.run()
    made.confirm(RouterReport(routers={str(TOR): 40}))
    assert made.outlives == 40
    made.confirm(RouterReport())
    assert made.outlives == 0


def test_routes_that_never_expire_are_said_to_live_for_ever() -> None:
    made = Node()
    made.peer(holdTimeSeconds=0)
    made.permit()
    made.run()
    assert made.outlives == FOREVER_SECONDS


def test_a_router_that_keeps_routes_for_ever_is_given_up_after_its_peer() -> None:
    made = serving(A, holdTimeSeconds=0)
    made.report()
    assert made.may_be_heard()
    made.driver.kept[str(TOR)] = FOREVER_SECONDS  # it can't be reached any more
    made.cluster.set_bgp_peer("tor", None)
    made.run()
    for seconds in (0, DELETED_SECONDS - 1):
        made.tick_after(seconds)
        assert made.remembered == {str(TOR): FOREVER_SECONDS}
    made.tick_after(1)
    assert made.remembered == {}
    assert str(TOR) not in made.driver.kept


def test_a_router_is_not_given_up_while_any_peer_of_the_cluster_names_it_or_its_time_passes_by_itself() -> None:
    made = serving(A, holdTimeSeconds=0)
    made.driver.kept[str(TOR)] = FOREVER_SECONDS
    made.cluster.set_bgp_peer("tor", None)
    made.peer("other", nodeSelector={"matchLabels": {"rack": "2"}})
    made.run()
    for seconds in (0, DELETED_SECONDS):
        made.tick_after(seconds)
    assert made.remembered == {str(TOR): FOREVER_SECONDS}
    made.driver.kept[str(TOR)] = 4000
    made.cluster.set_bgp_peer("other", None)
    made.run()
    for seconds in (0, DELETED_SECONDS):
        made.tick_after(seconds)
    assert str(TOR) in made.driver.kept


def test_no_session_before_the_api_server_has_confirmed_its_router_though_its_time_is_covered() -> None:
    """That of another one: a successor would ask for a session with that one alone."""
    made = serving(A)
    made.peer("tor2", "192.0.2.253")
    made.run()
    written = made.send()  # and the API server does not take it
    made.run()
    assert set(made.driver.peers) == {"tor"}
    made.draft.speaker.confirm(written)
    made.course.status_written(at(made.now))
    made.run()
    assert set(made.driver.peers) == {"tor", "tor2"}
    assert made.driver.covered_at_start["tor2"] == 90 + EXABGP_PERMIT_SECONDS


def test_a_router_is_remembered_when_its_peer_has_another_address_for_as_long_as_it_may_keep_routes() -> None:
    made = serving(A)
    made.peer("tor", "192.0.2.253")
    made.run()
    made.write()
    made.driver.kept[str(TOR)] = 91
    made.run()
    assert made.driver.peers["tor"].router == "192.0.2.253"
    made.report()
    assert made.remembered == {str(TOR): 105, "192.0.2.253": 105}
    made.driver.kept.clear()
    made.report()
    assert made.remembered == {"192.0.2.253": 105}


def test_a_successor_that_has_a_session_with_the_new_address_knows_nothing_of_the_old_router() -> None:
    made = Node()
    made.course.inherit(LastWord({str(TOR): 91, "192.0.2.253": 105}), at(made.now))
    made.confirm(RouterReport(synced=frozenset({"192.0.2.253"})))
    assert made.may_be_heard()
    made.confirm(RouterReport(synced=frozenset({str(TOR)})))
    assert not made.may_be_heard()


def test_sessions_come_up_with_what_the_api_server_has_confirmed() -> None:
    made = serving(A)
    assert made.driver.covered == {str(TOR): 105}
    made.confirm(RouterReport(routers={str(TOR): FOREVER_SECONDS}))  # what was agreed on after OPEN
    written = made.send()
    made.run()
    assert written["routers"] == [{"address": str(TOR), "outlivesSeconds": FOREVER_SECONDS}]
    assert made.driver.covered == {str(TOR): 105}
    made.draft.speaker.confirm(written)
    made.course.status_written(at(made.now))
    made.run()
    assert made.driver.covered == {str(TOR): FOREVER_SECONDS}


def test_sessions_know_that_a_time_is_lowered_before_it_is_written() -> None:
    made = serving(A)
    made.confirm(RouterReport(routers={str(TOR): FOREVER_SECONDS}))
    made.write()
    made.confirm(RouterReport(routers={str(TOR): 105}))
    assert made.take().covered == {str(TOR): 105}
    written = made.send()
    made.confirm(RouterReport(routers={str(TOR): FOREVER_SECONDS}))
    assert made.take() is None  # it may be written, or not
    made.draft.speaker.confirm(written)
    made.course.status_written(at(made.now))
    assert made.take() is None


def test_a_peer_that_finds_no_room_among_the_routers_says_so_and_gets_a_session_when_there_is_room() -> None:
    made = Node()
    made.course.inherit(LastWord({f"198.51.100.{number}": 300 for number in range(MOST_ROUTERS)}), at(made.now))
    made.peer()
    made.permit()
    made.run()
    made.write()
    made.run()
    assert made.driver.peers == {}
    assert len(made.remembered) == MOST_ROUTERS
    (fault,) = made.course.faults()
    assert (fault["object"], fault["reason"]) == ("BGPPeer/tor", "TooManyRouters")
    assert "256 other routers" in fault["message"]
    (entry,) = made.draft.wanted("bgpSessions")
    assert "256 other routers" in entry["lastError"]
    made.confirm(RouterReport(synced=frozenset({"198.51.100.7"})))
    assert made.may_be_heard()
    made.permit()
    made.run()
    made.write()
    made.run()
    assert set(made.driver.peers) == {"tor"}
    assert made.course.faults() == []


# ---- permits


def test_sessions_are_permitted_from_their_first_moment_on_and_again_and_again() -> None:
    made = serving(A)
    until = made.now + BOOTED_BEFORE_SECONDS + EXABGP_PERMIT_SECONDS
    assert made.driver.permit_until == until
    made.now += 0.5
    made.permit()
    made.run()
    assert made.driver.permit_until == until + 0.5
    assert not made.orders[-1].changes_routes


def test_a_hold_withdraws_everything_and_its_end_brings_it_back() -> None:
    made = serving(A)
    made.course.hold()
    made.run()
    assert made.table == {}
    assert set(made.driver.peers) == {"tor"}
    made.permit()
    made.run()
    assert made.table == {"tor": {f"{A}/32"}}


def test_what_changed_during_a_hold_is_ordered_after_it() -> None:
    made = serving(A)
    made.course.hold()
    made.run()
    made.release(A)
    made.allocate(B)
    made.run()
    made.permit()
    made.run()
    assert made.table == {"tor": {f"{B}/32"}}


def test_until_all_is_read_anew_nothing_changes_at_the_routers() -> None:
    made = serving(A)
    made.course.hold()
    made.run()
    made.begin()
    made.permit()
    made.write()
    assert made.driver.is_silent
    assert not any(orders.routes or orders.changes or orders.peers for orders in made.orders[-1:])
    made.peer()
    made.allocate(B)
    made.run()
    assert made.table == {"tor": {f"{B}/32"}}


def test_a_peer_that_was_deleted_between_two_registrations_has_no_routes_any_more() -> None:
    made = serving(A)
    made.course.hold()
    made.begin()
    made.permit()
    made.run()
    assert made.driver.peers == {}
    assert made.driver.wanted["tor"] == {}


# ---- when an address is off the routers


def test_before_it_ever_had_a_peer_no_router_can_have_a_route() -> None:
    made = Node()
    assert not made.may_be_heard()
    made.settle()
    assert made.orders == []


def test_until_routers_were_asked_any_of_them_may_have_a_route() -> None:
    made = serving(A)
    made.release()
    made.run()
    assert made.may_be_heard()
    made.settle()
    assert made.orders[-1].asks == {route()}
    assert not made.may_be_heard()


def test_a_router_that_has_not_confirmed_a_withdrawal_may_have_the_route() -> None:
    made = serving(A)
    made.driver.is_confirming = False
    made.release()
    made.run()
    made.settle()
    assert made.may_be_heard()
    made.driver.is_confirming = True
    orders = len(made.orders)
    made.report()
    assert not made.may_be_heard()
    assert len(made.orders) == orders  # each report says it


def test_what_routers_say_before_an_order_is_carried_out_is_no_answer() -> None:
    made = serving(B)
    made.settle(A)
    made.allocate(A)
    made.decide()
    made.report()
    assert made.may_be_heard(A)


def test_when_nothing_is_released_any_more_routers_are_asked_for_nothing() -> None:
    made = serving(A)
    made.release()
    made.run()
    made.settle()
    made.course.ask(())
    orders = made.take()
    assert orders == RouterOrders(asks=frozenset())
    assert made.routers.carry_out(orders) is None
    assert made.routers.report().answers == {}
    made.course.ask(())
    assert made.take() is None


def test_time_alone_brings_another_question_where_the_answer_was_yes() -> None:
    made = serving(A)
    made.driver.is_confirming = False
    made.release()
    made.run()
    made.settle()
    asked = len(made.orders)
    made.settle()
    assert len(made.orders) == asked
    made.course.tick(at(made.now))
    made.settle()
    assert made.orders[-1].asks == {route()}


def test_an_answer_counts_only_until_the_next_change_is_ordered() -> None:
    made = serving(B)
    made.settle(A)
    assert not made.may_be_heard(A)
    made.allocate(A)
    made.decide()
    assert made.may_be_heard(A)
    made.release(A)
    made.decide()
    assert made.may_be_heard(A)
    made.run()
    made.settle(A)
    assert not made.may_be_heard(A)


@pytest.mark.parametrize("what", ["peers", "end of silence", "all routes"])
def test_no_answer_outlasts_an_order_that_may_bring_a_route_back(what) -> None:
    made = serving(B)
    made.settle(A)
    assert not made.may_be_heard(A)
    match what:
        case "peers":
            made.peer("spine", "192.0.2.253")
            made.decide()
        case "end of silence":
            made.course.hold()
            made.run()
            made.settle(A)
            assert not made.may_be_heard(A)
            made.permit()
        case "all routes":
            made.begin()
            made.peer()
            made.allocate(B)
            made.decide()
    assert made.may_be_heard(A)


def test_no_answer_outlasts_a_session_that_is_allowed_later_than_its_routes_were_ordered() -> None:
    made = serving(B)
    made.peer("spine", "192.0.2.253", holdTimeSeconds=3000)
    made.run()
    made.settle(A)
    assert not made.may_be_heard(A)
    made.write()
    assert made.may_be_heard(A)
    made.run()
    assert set(made.driver.peers) == {"tor", "spine"}


def test_an_answer_is_kept_while_the_address_is_asked_about_and_no_longer() -> None:
    made = serving(B)
    made.settle(A)
    asked = len(made.orders)
    made.settle(A)
    assert len(made.orders) == asked
    made.course.ask(())
    assert made.may_be_heard(A)


def test_routers_are_asked_for_no_more_than_twice_as_many_as_needed() -> None:
    made = serving(A)
    many = [f"192.0.2.{number}" for number in range(1, 11)]
    made.settle(*many)
    made.settle(*many[:5])
    assert len(made.routers.report().answers) == 10
    made.settle(*many[:4])
    assert len(made.routers.report().answers) == 4
    assert not made.may_be_heard(many[3])


def test_an_address_of_a_peer_that_was_deleted_is_asked_about() -> None:
    made = serving(A)
    made.driver.is_confirming = False
    made.cluster.set_bgp_peer("tor", None)
    made.release()
    made.run()
    made.settle()
    assert made.orders[-1].asks == {route()}
    assert made.may_be_heard()
    made.driver.is_confirming = True
    made.report()
    made.settle()
    assert not made.may_be_heard()


def test_an_address_is_asked_about_in_every_length_that_it_was_ever_advertised_in() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    assert made.table == {"tor": {"192.0.2.0/24"}}
    made.cluster.set_bgp_advertisement("all", advertisement())
    made.release()
    made.run()
    made.settle()
    assert made.orders[-1].asks == {route(), ip_network("192.0.2.0/24")}


def test_an_address_is_asked_about_in_the_lengths_of_an_earlier_registration_too() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    made.course.hold()
    made.begin()
    made.peer()
    made.release()
    made.permit()
    made.run()
    made.settle()
    assert made.orders[-1].asks == {route(), ip_network("192.0.2.0/24")}


def test_an_aggregate_that_stands_for_others_too_holds_no_release_back() -> None:
    made = serving(A, B)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    made.release(A)
    made.run()
    made.settle(A)
    assert made.table == {"tor": {"192.0.2.0/24"}}
    assert not made.may_be_heard(A)


def test_an_aggregate_of_this_address_alone_holds_its_release_back() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    made.driver.is_confirming = False
    made.release(A)
    made.run()
    made.settle(A)
    assert made.may_be_heard(A)
    made.driver.is_confirming = True
    made.report()
    made.settle(A)
    assert not made.may_be_heard(A)


def test_an_address_that_cannot_be_read_has_no_route() -> None:
    assert not serving(A).may_be_heard("")


def test_what_a_predecessor_left_with_routers_holds_every_release_back() -> None:
    made = Node()
    made.course = BgpCourse(OWN, made.draft, Announcements(made.draft.announcements), made.notices, drain_seconds=0)
    assert made.may_be_heard()  # before it is known what it left
    made.course.inherit(LastWord({str(TOR): 90}), at(made.now))
    assert made.may_be_heard()
    assert made.remembered == {str(TOR): 90}
    made.confirm(RouterReport(synced=frozenset({str(TOR)})))
    assert not made.may_be_heard()
    made.report()
    assert made.remembered == {}


def test_an_operators_word_ends_what_a_predecessor_left() -> None:
    made = Node()
    made.course.inherit(LastWord({str(TOR): 2**31 - 1}), at(made.now))
    made.course.routers_dropped({str(TOR)}, at(made.now))
    assert not made.may_be_heard()
    assert made.draft.wanted("routers") == []


def test_an_operators_word_ends_what_sessions_that_are_no_more_have_left() -> None:
    made = serving(A)
    made.driver.kept["198.51.100.1"] = FOREVER_SECONDS
    made.report()
    made.course.routers_dropped(frozenset({"198.51.100.1", str(TOR)}), at(made.now))
    made.run()
    assert made.remembered == {str(TOR): 105}  # its session lives


def test_an_operators_word_says_nothing_of_what_was_left_after_it_was_given() -> None:
    """It stands in the object until somebody takes it away."""
    made = Node()
    made.course = BgpCourse(OWN, made.draft, Announcements(made.draft.announcements), made.notices, drain_seconds=0)
    made.course.inherit(LastWord({str(TOR): 90}, dropped=frozenset({str(TOR)})), at(made.now))
    for _ in range(2):
        made.course.routers_dropped(frozenset({str(TOR)}), at(made.now))
        assert made.may_be_heard()
    made.course.routers_dropped(frozenset(), at(made.now))
    made.course.routers_dropped(frozenset({str(TOR)}), at(made.now))
    assert not made.may_be_heard()


def test_what_passes_with_time_is_written_seldom() -> None:
    made = Node()
    made.course.inherit(LastWord({str(TOR): 300}), at(made.now))
    said = []
    for _ in range(301):
        made.now += 1
        made.permit()
        said.append(made.remembered.get(str(TOR), 0))
    assert all(seconds >= 300 - after for after, seconds in enumerate(said, 1))
    assert said[-1] == 0
    assert len(set(said)) < 12


def test_what_a_predecessor_left_is_gone_with_time() -> None:
    made = Node()
    made.course = BgpCourse(OWN, made.draft, Announcements(made.draft.announcements), made.notices, drain_seconds=0)
    made.course.inherit(LastWord({str(TOR): 90}), at(made.now))
    made.now += 90
    assert not made.may_be_heard()


# ---- what the Speaker says


def test_an_address_is_told_with_the_peers_that_were_sent_its_route() -> None:
    made = serving(A)
    assert made.draft.announcements.get(A)["peers"] == ["tor"]
    made.release()
    made.run()
    assert made.announced() == set()


def test_an_address_is_told_with_the_attributes_of_its_route() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(communities=["64512:100"], asPathPrepend=2))
    made.run()
    (told,) = made.draft.wanted("bgpPaths")
    assert made.draft.announcements.get(A)["paths"] == [told["name"]]
    assert (told["peers"], told["communities"], told["asPathPrepend"]) == (["tor"], ["64512:100"], 2)
    made.allocate(B)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    (told,) = made.draft.wanted("bgpPaths")
    assert told["prefixLength"] == 24
    assert made.draft.announcements.get(B)["paths"] == [told["name"]]
    for address in (A, B):
        made.release(address)
    made.run()
    assert made.draft.wanted("bgpPaths") == []


def test_addresses_come_and_go_under_an_aggregate_without_a_change_of_the_route() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    made.allocate(B)
    made.run()
    made.permit()
    assert made.announced() == {A, B}
    made.release(A)
    made.run()
    made.permit()
    assert made.announced() == {B}
    assert made.blackholes.prefixes == {ip_network("192.0.2.0/24")}


def test_aggregates_lead_nowhere_only_while_it_may_announce() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.run()
    assert made.blackholes.prefixes
    made.course.hold()
    made.run()
    assert not made.blackholes.prefixes


def test_why_there_are_no_blackholes_is_told_as_a_fault() -> None:
    made = serving(A)
    made.cluster.set_bgp_advertisement("all", advertisement(aggregationLength=24))
    made.blackholes.fault = "no right to change routes"
    made.run()
    made.report()
    assert any("no right to change routes" in fault["message"] for fault in made.course.faults())


# ---- peers on links


def on_links(*interfaces: str) -> Node:
    made = Node()
    for interface in interfaces:
        made.peer(f"on-{interface}", interface=interface, peerAddress=None)
    made.allocate()
    made.permit()
    made.run()
    return made


def hear(made: Node, **routers: tuple[str, ...]) -> None:
    made.course.routers_heard({interface: RoutersOn(heard) for interface, heard in routers.items()})
    made.run()
    made.write()
    made.run()


def test_routers_are_looked_for_on_the_links_of_peers_without_an_address_one_order_at_a_time() -> None:
    made = on_links("eth2", "eth1")
    order = made.course.next_discovery(at(made.now))
    assert order == Discover(("eth1", "eth2"))
    assert made.course.next_discovery(at(made.now)) is None
    made.course.discovery_refused("no", at(made.now))
    assert made.course.next_discovery(at(made.now)) is None
    assert made.course.deadline() == made.now + ORDER_SECONDS
    made.now += ORDER_SECONDS
    assert made.course.next_discovery(at(made.now)) == order
    made.course.discovery_confirmed(order)
    assert made.course.next_discovery(at(made.now)) is None
    made.cluster.set_bgp_peer("on-eth2", None)
    made.peer("on-eth3", interface="eth3", peerAddress="fe80::1")
    made.run()
    assert made.course.next_discovery(at(made.now)) == Discover(("eth1",))


def test_nothing_is_looked_for_where_no_peer_is_on_a_link() -> None:
    made = serving(A)
    assert made.course.next_discovery(at(made.now)) is None


def test_a_router_that_is_heard_gets_a_session_and_the_routes_and_until_then_it_is_said_what_is_missing() -> None:
    made = on_links("eth1")
    assert ("BGPPeer/on-eth1", "NoRouter") in {(one["object"], one["reason"]) for one in made.course.faults()}
    hear(made, eth1=("fe80::1",))
    assert made.driver.peers["on-eth1"].router == "fe80::1%eth1"
    assert A in str(made.course.decisions.routes("on-eth1"))
    told = {one["reason"]: one["message"] for one in made.course.faults()}
    assert told.keys() == {"NoNextHop"}  # this router agrees to nothing
    hear(made, eth1=("fe80::1", "fe80::2"))
    told = {one["reason"]: one["message"] for one in made.course.faults()}
    assert told.keys() == {"NoNextHop", "SeveralRouters"}
    assert "fe80::2" in told["SeveralRouters"]
    assert made.driver.peers["on-eth1"].router == "fe80::1%eth1"


def test_routers_of_one_address_on_two_links_are_two() -> None:
    made = on_links("eth1", "eth2")
    hear(made, eth1=("fe80::1",), eth2=("fe80::1",))
    both = {f"fe80::1%{interface}": 90 + EXABGP_PERMIT_SECONDS for interface in ("eth1", "eth2")}
    assert {peer.router for peer in made.driver.peers.values()} == both.keys()
    assert made.remembered == both


def test_what_the_predecessor_left_with_a_router_on_one_link_is_not_over_with_that_of_another_link() -> None:
    made = Node()
    made.course.inherit(LastWord(routers={"fe80::1%eth1": 3000}), at(made.now))
    made.peer("on-eth2", interface="eth2", peerAddress=None)
    made.allocate()
    made.permit()
    made.run()
    hear(made, eth2=("fe80::1",))
    made.confirm(RouterReport(synced=frozenset({"fe80::1%eth2"})))
    made.release()
    made.run()
    made.settle()
    assert made.may_be_heard()
    made.confirm(replace(made.routers.report(), synced=frozenset({"fe80::1%eth1"})))
    made.settle()
    assert not made.may_be_heard()


def test_a_router_that_has_another_address_gets_another_session_and_is_remembered_under_the_first_as_long() -> None:
    made = on_links("eth1")
    hear(made, eth1=("fe80::1",))
    made.driver.kept["fe80::1%eth1"] = 60
    hear(made, eth1=("fe80::2",))
    assert made.driver.peers["on-eth1"].router == "fe80::2%eth1"
    made.report()
    assert made.remembered.keys() == {"fe80::1%eth1", "fe80::2%eth1"}


def test_a_router_on_a_link_is_named_by_the_peer_of_that_link_and_by_no_other() -> None:
    made = on_links("eth1")
    made.peer("red", "192.0.2.253", vrf="red")
    made.peer("at", "fe80::7", interface="eth3")
    hear(made, eth1=("fe80::1",))
    named = {"fe80::1%eth1", "fe80::9%eth1", "192.0.2.253%red", "fe80::7%eth3"}
    for router in named | {"fe80::1%eth2", "fe80::1", "192.0.2.253", "192.0.2.253%blue", "fe80::7%eth4"}:
        made.driver.kept[router] = FOREVER_SECONDS
    made.report()
    for seconds in (0, DELETED_SECONDS):
        made.tick_after(seconds)
    assert made.driver.kept.keys() == named


def test_a_new_registration_goes_on_with_the_routers_that_are_heard() -> None:
    made = on_links("eth1")
    hear(made, eth1=("fe80::1",))
    made.course.discovery_confirmed(made.course.next_discovery(at(made.now)))
    made.begin()
    assert made.course.next_discovery(at(made.now)) is None
    made.peer("on-eth1", interface="eth1", peerAddress=None)
    made.run()
    assert made.course.decisions.peers["on-eth1"].router == "fe80::1%eth1"
    assert made.course.next_discovery(at(made.now)) is None


# ---- peers by rule


def ruled(address: str | None, **spec: Any) -> Node:
    """A node whose peer is the router that an annotation names."""
    made = Node()
    annotate(made, address)
    rule = {"peerAddressFrom": {"nodeAnnotation": "example.com/tor"}}
    made.cluster.set_bgp_peer("tor", BGPPeerSpec.model_validate({"myASN": 64512, "peerASN": 64513} | rule | spec))
    made.allocate()
    made.permit()
    made.run()
    made.write()
    return made.run()


def annotate(made: Node, address: str | None) -> None:
    said = {"example.com/tor": address} if address is not None else {}
    made.cluster.set_node(OWN, node(addresses=("192.0.2.100",), annotations=said))


def test_a_router_that_a_rule_gives_no_more_is_waited_for() -> None:
    made = ruled("192.0.2.1")
    made.driver.kept["192.0.2.1"] = 60  # it can't be told that the routes are withdrawn
    annotate(made, "192.0.2.2")
    made.run()
    assert made.driver.peers["tor"].router == "192.0.2.1"  # the second one is not known to the API server yet
    made.write()
    made.run()
    assert made.driver.peers["tor"].router == "192.0.2.2"
    made.report()
    assert made.remembered.keys() == {"192.0.2.1", "192.0.2.2"}
    made.driver.is_confirming = False
    made.release()
    made.run()
    made.settle()
    assert made.may_be_heard()
    made.driver.is_confirming = True
    made.driver.kept.clear()
    made.report()
    made.settle()
    assert not made.may_be_heard()
    assert made.remembered.keys() == {"192.0.2.2"}


@pytest.mark.parametrize("text", [None, "", "tor-1"])
def test_a_rule_that_gives_nothing_any_more_ends_the_session_and_is_told(text: str | None) -> None:
    made = ruled("192.0.2.1")
    annotate(made, text)
    made.run()
    assert made.driver.peers == {}
    (told,) = made.course.faults()
    assert (told["object"], told["reason"]) == ("BGPPeer/tor", "NoNodeValue")
    annotate(made, "192.0.2.1")
    made.run()
    made.write()
    made.run()
    assert made.table == {"tor": {f"{A}/32"}}


def test_a_default_gateway_that_is_another_one_is_another_router() -> None:
    made = ruled(None, peerAddressFrom={"defaultGateway": {"interface": "eth0"}})
    assert made.driver.peers == {}
    for gateway in ("192.0.2.1", "192.0.2.2"):
        made.course.interfaces_changed([Interface("eth0", 2, "", True, True, "", gateways=(gateway,))])
        made.run()
        made.write()
        made.run()
        assert made.driver.peers["tor"].router == gateway
    made.begin()  # a new registration knows it, too
    assert made.course.decisions.has_work


def test_while_a_rule_may_name_any_router_none_that_keeps_routes_for_ever_is_given_up() -> None:
    """An annotation that is changed is no operator's word that the former router is gone."""
    made = ruled("192.0.2.1", holdTimeSeconds=0)
    made.driver.kept["192.0.2.9"] = FOREVER_SECONDS
    made.report()
    for seconds in (0, DELETED_SECONDS):
        made.tick_after(seconds)
    assert made.driver.kept.keys() == {"192.0.2.9"}
    made.cluster.set_bgp_peer("tor", None)
    for seconds in (0, DELETED_SECONDS):
        made.tick_after(seconds)
    assert not made.driver.kept


# ---- BFD


def with_bfd() -> Node:
    made = Node()
    made.cluster.set_bfd_profile("fast", BFDProfileSpec())
    made.peer(bfdProfile="fast")
    made.allocate()
    made.permit()
    made.run()
    return made


def test_bfd_sessions_are_ordered_for_peers_that_have_a_session_and_one_order_at_a_time() -> None:
    made = with_bfd()
    assert made.course.next_bfd(at(made.now)) is None
    made.write()
    made.run()
    order = made.course.next_bfd(at(made.now))
    assert set(order.sessions) == {"tor"}
    assert made.course.next_bfd(at(made.now)) is None
    made.course.bfd_confirmed(order)
    assert made.course.next_bfd(at(made.now)) is None
    made.cluster.set_bgp_peer("tor", None)
    made.run()
    assert made.course.next_bfd(at(made.now)) == Bfd({})


def test_refused_bfd_sessions_are_ordered_again_in_a_moment() -> None:
    made = with_bfd()
    made.write()
    made.run()
    order = made.course.next_bfd(at(made.now))
    made.course.bfd_refused("no", at(made.now))
    assert made.course.next_bfd(at(made.now)) is None
    assert made.course.deadline() == made.now + ORDER_SECONDS
    made.now += ORDER_SECONDS
    assert made.course.next_bfd(at(made.now)) == order


def test_a_failed_path_withdraws_its_peers_routes_and_is_told() -> None:
    made = with_bfd()
    made.write()
    made.run()
    made.course.bfd_reported({"tor": DOWN}, at(made.now))
    made.run()
    assert made.table == {}
    assert made.course.bfd_states == {"tor": DOWN}
    assert made.draft.wanted("bfdSessions")[0]["peer"] == "tor"
    made.course.bfd_reported({"tor": DOWN._replace(state="Up", has_failed=False)}, at(made.now))
    made.run()
    assert made.table == {"tor": {f"{A}/32"}}


def test_a_path_that_failed_before_a_new_registration_is_not_forgotten() -> None:
    made = with_bfd()
    made.write()
    made.run()
    made.course.bfd_reported({"tor": DOWN}, at(made.now))
    made.course.hold()
    made.begin()
    made.cluster.set_bfd_profile("fast", BFDProfileSpec())
    made.peer(bfdProfile="fast")
    made.allocate()
    made.permit()
    made.run()
    assert made.table == {}


# ---- leaving


def test_routers_are_asked_to_send_traffic_elsewhere_before_the_sessions_stop() -> None:
    made = serving(A)
    made.course.leave(at(made.now))
    made.run()
    assert made.driver.is_draining
    assert made.orders[-1].spares_graceful
    assert made.table == {"tor": {f"{A}/32"}}
    assert not made.course.has_left
    assert made.course.deadline() == made.now + DRAIN_SECONDS
    made.now += DRAIN_SECONDS - 0.01
    assert made.take() is None
    made.now += 0.01
    made.run()
    assert made.orders[-2].stops
    assert made.course.has_left
    assert made.course.withdrew_everything(at(made.now))
    assert made.take() is None
    assert made.course.deadline() is None


def test_a_route_that_was_just_ordered_is_one_to_withdraw() -> None:
    made = serving()
    made.report()
    made.allocate(A)
    made.decide()
    assert list(made.take().changes["tor"]) == [ip_network(f"{A}/32")]
    made.course.leave(at(made.now))
    assert made.take().is_draining
    assert made.course.deadline() == made.now + DRAIN_SECONDS


@pytest.mark.parametrize("why", ["nothing is sent", "it is held", "restarts are graceful"])
def test_where_nobody_is_to_move_traffic_the_sessions_stop_at_once(why) -> None:
    graceful = {"gracefulRestart": {"restartTimeSeconds": 60}} if why == "restarts are graceful" else {}
    made = serving(*([] if why == "nothing is sent" else [A]), **graceful)
    if why == "it is held":
        made.course.hold()
        made.run()
    made.course.leave(at(made.now))
    assert made.take().stops


def test_a_speaker_that_leaves_orders_no_other_routes() -> None:
    made = serving(A)
    made.course.leave(at(made.now))
    made.run()
    made.allocate(B)
    made.permit()
    made.run()
    assert made.table == {"tor": {f"{A}/32"}}


def test_it_has_left_only_when_the_sessions_have_ended() -> None:
    made = Node()
    made.course.leave(at(made.now))
    orders = made.take()
    assert orders.stops
    made.confirm(RouterReport())
    assert not made.course.has_left
    made.confirm(RouterReport(has_stopped=True))
    assert made.course.has_left


def test_routes_left_with_routers_are_no_clean_end() -> None:
    made = serving(A)
    made.course.leave(at(made.now))
    made.confirm(RouterReport(routers={str(TOR): 60}, has_stopped=True))
    assert not made.course.withdrew_everything(at(made.now))
    assert made.remembered[str(TOR)] >= 60
