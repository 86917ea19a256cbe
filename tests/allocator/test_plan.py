"""What a Service gets, keeps and gives up."""

from dataclasses import replace
from typing import Any

import pytest

from allocator.claims import wire_bytes
from allocator.plan import plan, plan_refused
from allocator.sharing import MAX_HOLDERS
from allocator.waiting import ChangeOf, FreeIn, QuotaIn, SharedUnder
from crds.addresses import Family
from crds.conditions import Reason
from crds.ipallocation import MOST_BYTES, MOST_PORTS
from tests.allocator.build import address, claim, decide, granted, ledger, lowest, nothing_known, pool, request

EDGE = pool("edge", "192.0.2.10-192.0.2.13")
SIX = pool("six", "2001:db8::10-2001:db8::13")
BOTH: dict[str, Any] = {"families": ["IPv4", "IPv6"]}
PREFER: dict[str, Any] = {**BOTH, "policy": "PreferDualStack"}
REQUIRE: dict[str, Any] = {**BOTH, "policy": "RequireDualStack"}


def asks(**annotations: str) -> dict[str, Any]:
    return {"annotations": {f"berth.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}}


def test_the_lowest_free_address_is_given_and_kept() -> None:
    book = ledger(EDGE)
    assert granted(decide(book, request("a"))) == ["192.0.2.10"]
    assert granted(decide(book, request("b"))) == ["192.0.2.11"]
    again = decide(book, request("a"))
    assert granted(again) == ["192.0.2.10"]
    assert again.leaving == ()


def test_higher_priority_comes_first_and_full_pools_are_passed_over() -> None:
    book = ledger(EDGE, pool("first", "198.51.100.1", priority=5))
    assert granted(decide(book, request("a"))) == ["198.51.100.1"]
    assert granted(decide(book, request("b"))) == ["192.0.2.10"]


def test_a_pool_that_only_gives_on_request_is_not_drawn_from() -> None:
    book = ledger(pool("reserved", "192.0.2.1", auto_assign=False))
    refused = decide(book, request("a"))
    assert (refused.verdict.reason, refused.waits) == (Reason.NoMatchingPool, frozenset())
    assert granted(decide(book, request("a", **asks(pool="reserved")))) == ["192.0.2.1"]
    assert granted(decide(book, request("a", **asks(ips="192.0.2.1")))) == ["192.0.2.1"]


@pytest.mark.parametrize(
    ("wish", "reason", "said"),
    [
        (asks(pool="nope"), Reason.PoolNotFound, "there are: edge, paused"),
        (asks(pool="paused"), Reason.PoolPaused, "paused"),
        (asks(ips="198.51.100.9"), Reason.PoolPaused, "paused"),
        (asks(ips="203.0.113.1"), Reason.AddressNotInPool, "in no pool"),
        (asks(ips="192.0.2.13"), Reason.AddressExcluded, "edge"),
        (asks(ips="192.0.2.11", pool="paused"), Reason.AddressNotInPool, "in pool edge, not in paused"),
        (asks(ips="192.0.2.10"), Reason.AddressInUse, "held by default/held"),
        ({"families": ["IPv6"]}, Reason.FamilyUnavailable, "No pool for this Service has IPv6"),
        (REQUIRE, Reason.FamilyUnavailable, "IPv6"),
    ],
)
def test_refusals_say_why(wish: dict[str, Any], reason: Reason, said: str) -> None:
    book = ledger(
        pool("edge", "192.0.2.10-192.0.2.13", exclude=["192.0.2.13"]), pool("paused", "198.51.100.0/24", paused=True)
    )
    decide(book, request("held"))
    decision = decide(book, request("web", **wish))
    assert not decision.verdict.satisfied
    assert (decision.verdict.reason, granted(decision)) == (reason, [])
    assert said in decision.verdict.message


def test_no_pools_at_all_is_said() -> None:
    assert decide(ledger(), request("a")).verdict.reason is Reason.NoPools
    assert decide(ledger(), request("a", **asks(ips="192.0.2.1"))).verdict.reason is Reason.NoPools


def test_all_pools_paused_is_no_matching_pool_and_selectors_hold_for_named_pools_too() -> None:
    assert decide(ledger(pool("p", "192.0.2.1", paused=True)), request("a")).verdict.reason is Reason.NoMatchingPool
    closed = ledger(pool("ops", "192.0.2.1", namespaces=["ops"]))
    for wish in ({}, asks(pool="ops"), asks(ips="192.0.2.1")):
        assert decide(closed, request("a", **wish)).verdict.reason is Reason.NoMatchingPool
    assert granted(decide(closed, request("a", namespace="ops"))) == ["192.0.2.1"]


def test_an_exhausted_pool_is_waited_for() -> None:
    book = ledger(pool("edge", "192.0.2.10"))
    decide(book, request("a"))
    decision = decide(book, request("b"))
    assert decision.verdict.reason is Reason.PoolExhausted
    assert decision.waits == {FreeIn("edge", Family.IPv4)}


def test_a_requested_address_in_use_is_waited_for_and_the_old_one_kept_meanwhile() -> None:
    book = ledger(EDGE)
    decide(book, request("a"))
    decide(book, request("b"))
    decision = decide(book, request("b", **asks(ips="192.0.2.10")))
    assert granted(decision) == ["192.0.2.11"]
    assert not decision.verdict.satisfied
    assert "keeps 192.0.2.11" in decision.verdict.message
    assert decision.waits == {ChangeOf("192.0.2.10")}


def test_a_move_grants_the_new_address_and_leaves_the_old_one() -> None:
    book = ledger(EDGE, pool("other", "198.51.100.1", auto_assign=False))
    decide(book, request("a"))
    decision = decide(book, request("a", **asks(pool="other")))
    assert (granted(decision), [str(one) for one in decision.leaving]) == (["198.51.100.1"], ["192.0.2.10"])
    again = decide(book, request("a", **asks(pool="other")))
    assert (granted(again), again.leaving) == (granted(decision), decision.leaving)


def test_what_is_being_released_is_not_given_to_anybody_not_even_to_its_holder() -> None:
    book = ledger(pool("edge", "192.0.2.10"))
    decide(book, request("a"))
    entry = book.get(address("192.0.2.10"))
    assert entry is not None
    book.revise(entry, claim("a", releasing=True))
    for wish in (request("a"), request("b")):
        assert decide(book, wish).verdict.reason is Reason.PoolExhausted
    for wish in (request("a", **asks(ips="192.0.2.10")), request("b", **asks(ips="192.0.2.10"))):
        assert decide(book, wish).verdict.reason is Reason.AddressInUse


# Dual stack


def test_both_families_may_come_from_two_pools() -> None:
    assert granted(decide(ledger(EDGE, SIX), request("a", **REQUIRE))) == ["192.0.2.10", "2001:db8::10"]
    order = {"families": ["IPv6", "IPv4"], "policy": "PreferDualStack"}
    assert granted(decide(ledger(EDGE, SIX), request("a", **order))) == ["2001:db8::10", "192.0.2.10"]


def test_prefer_takes_what_there_is_and_the_rest_later() -> None:
    book = ledger(EDGE)
    decision = decide(book, request("a", **PREFER))
    assert granted(decision) == ["192.0.2.10"]
    assert (decision.verdict.satisfied, decision.verdict.reason) == (True, Reason.PartiallyAllocated)
    book.set_pools(ledger(EDGE, SIX).pools)
    later = decide(book, request("a", **PREFER))
    assert (granted(later), later.verdict.reason) == (["192.0.2.10", "2001:db8::10"], Reason.Allocated)


def test_require_takes_all_or_nothing() -> None:
    full = ledger(EDGE, pool("six", "2001:db8::10"))
    decide(full, request("a", families=["IPv6"]))
    decision = decide(full, request("b", **REQUIRE))
    assert (granted(decision), decision.verdict.reason) == ([], Reason.PoolExhausted)
    assert full.get(address("192.0.2.10")) is None


def test_require_does_not_take_a_serving_family_away() -> None:
    book = ledger(EDGE)
    decide(book, request("a"))
    decision = decide(book, request("a", **REQUIRE))
    assert (granted(decision), decision.leaving) == (["192.0.2.10"], ())
    assert not decision.verdict.satisfied


def test_a_family_that_is_not_wanted_any_more_is_left() -> None:
    book = ledger(EDGE, SIX)
    decide(book, request("a", **REQUIRE))
    decision = decide(book, request("a"))
    assert (granted(decision), [str(one) for one in decision.leaving]) == (["192.0.2.10"], ["2001:db8::10"])


@pytest.mark.parametrize("second", ["IPv4", "IPv6"])
def test_a_second_family_comes_and_goes_in_place_and_the_first_address_stays(second: str) -> None:
    first = {"IPv4": "IPv6", "IPv6": "IPv4"}[second]
    book = ledger(EDGE, SIX)
    decide(book, request("before", **REQUIRE))
    (stays,) = granted(decide(book, request("a", families=[first])))
    both = {"families": [first, second], "policy": "PreferDualStack"}
    added = decide(book, request("a", **both))
    assert (granted(added)[0], len(granted(added)), added.leaving) == (stays, 2, ())
    single = decide(book, request("a", families=[first]))
    assert (granted(single), [str(one) for one in single.leaving]) == ([stays], granted(added)[1:])


@pytest.mark.parametrize(
    ("asked", "reason"), [("192.0.2.10", Reason.AddressInUse), ("203.0.113.1", Reason.AddressNotInPool)]
)
def test_a_load_balancer_ip_that_changes_takes_nothing_away_before_it_can_be_had(asked: str, reason: Reason) -> None:
    book = ledger(EDGE)
    first = request("first")
    decide(book, first)
    decide(book, request("a", loadBalancerIP="192.0.2.12"))
    refused = decide(book, request("a", loadBalancerIP=asked))
    assert (granted(refused), refused.leaving, refused.verdict.reason) == (["192.0.2.12"], (), reason)
    assert "keeps 192.0.2.12" in refused.verdict.message
    without = decide(book, request("a"))
    assert (granted(without), without.leaving, without.verdict.reason) == (["192.0.2.12"], (), Reason.Allocated)
    moved = decide(book, request("a", loadBalancerIP="192.0.2.13"))
    assert (granted(moved), [str(one) for one in moved.leaving]) == (["192.0.2.13"], ["192.0.2.12"])


def test_an_address_asked_for_in_one_family_leaves_the_other_to_the_pools() -> None:
    decision = decide(ledger(EDGE, SIX), request("a", **REQUIRE, **asks(ips="2001:db8::13")))
    assert granted(decision) == ["192.0.2.10", "2001:db8::13"]


# Several pools, and several addresses of one family


def test_two_named_pools_serve_one_family_each() -> None:
    both = ledger(pool("four", "192.0.2.10", auto_assign=False), pool("six", "2001:db8::10", auto_assign=False))
    for order in ("four,six", "six,four"):
        decision = decide(both, request("a", **REQUIRE, **asks(pool=order)))
        assert (granted(decision), decision.verdict.reason) == (["192.0.2.10", "2001:db8::10"], Reason.Allocated)


def test_of_named_pools_the_first_that_has_room_serves_and_a_service_in_any_of_them_stays() -> None:
    book = ledger(pool("small", "192.0.2.1"), pool("large", "198.51.100.1-198.51.100.9"), pool("other", "203.0.113.1"))
    assert granted(decide(book, request("a", **asks(pool="small,large")))) == ["192.0.2.1"]
    assert granted(decide(book, request("b", **asks(pool="small,large")))) == ["198.51.100.1"]
    assert granted(decide(book, request("b", **asks(pool="small,large,other")))) == ["198.51.100.1"]
    stays = decide(book, request("a", **asks(pool="large,small")))
    assert (granted(stays), stays.leaving) == (["192.0.2.1"], ())
    assert granted(decide(book, request("a", **asks(pool="large,other")))) == ["198.51.100.2"]


def test_a_named_pool_that_can_not_serve_is_passed_over_and_told() -> None:
    book = ledger(pool("shut", "192.0.2.1", paused=True), pool("open", "198.51.100.1"), pool("six", "2001:db8::10"))
    served = decide(book, request("a", **asks(pool="opne,shut,open")))
    assert (granted(served), served.verdict.reason) == (["198.51.100.1"], Reason.Allocated)
    assert "There is no pool 'opne'" in served.verdict.message
    full = decide(book, request("b", **asks(pool="shut,open,opne")))
    assert full.verdict.reason is Reason.PoolExhausted
    for said in ("No IPv4 address is free in open", "Pool shut is paused", "There is no pool 'opne'; there are: open"):
        assert said in full.verdict.message
    for names, reason in (("shut,six", Reason.PoolPaused), ("six", Reason.FamilyUnavailable)):
        assert decide(book, request("c", **asks(pool=names))).verdict.reason is reason
    none = decide(book, request("c", **asks(pool="shut,opne")))
    assert none.verdict.reason is Reason.PoolPaused
    assert "There is no pool 'opne'" in none.verdict.message


def test_a_service_has_all_addresses_that_it_names_in_its_order() -> None:
    wish = asks(ips="192.0.2.12,2001:db8::11,192.0.2.10")
    book = ledger(EDGE, SIX)
    decision = decide(book, request("a", **REQUIRE, **wish))
    assert granted(decision) == ["192.0.2.12", "192.0.2.10", "2001:db8::11"]
    assert decision.verdict.reason is Reason.Allocated
    again = decide(book, request("a", **REQUIRE, **wish, ingress=granted(decision)))
    assert (granted(again), again.leaving) == (granted(decision), ())


def test_of_several_named_addresses_those_are_served_that_can_be_had() -> None:
    book = ledger(EDGE)
    decide(book, request("held"))
    decision = decide(book, request("a", **asks(ips="192.0.2.10,192.0.2.11")))
    assert (granted(decision), decision.verdict.reason) == (["192.0.2.11"], Reason.PartiallyAllocated)
    assert "held by default/held" in decision.verdict.message
    assert decision.waits == {ChangeOf("192.0.2.10")}


def test_an_address_more_is_added_and_one_that_is_not_named_any_more_is_left() -> None:
    book = ledger(EDGE)
    decide(book, request("a"))
    more = decide(book, request("a", **asks(ips="192.0.2.13,192.0.2.10"), ingress=["192.0.2.10"]))
    assert (granted(more), more.leaving) == (["192.0.2.13", "192.0.2.10"], ())
    less = decide(book, request("a", **asks(ips="192.0.2.13"), ingress=granted(more)))
    assert (granted(less), [str(one) for one in less.leaving]) == (["192.0.2.13"], ["192.0.2.10"])


def test_who_names_no_address_any_more_keeps_the_first_one_that_it_shows() -> None:
    book = ledger(EDGE)
    decide(book, request("a", **asks(ips="192.0.2.13,192.0.2.10")))
    decision = decide(book, request("a", ingress=["192.0.2.13", "192.0.2.10"]))
    assert (granted(decision), [str(one) for one in decision.leaving]) == (["192.0.2.13"], ["192.0.2.10"])


def test_what_it_has_stays_until_all_that_it_names_instead_is_there() -> None:
    book = ledger(EDGE)
    decide(book, request("a"))
    decide(book, request("held", **asks(ips="192.0.2.11")))
    wish = asks(ips="192.0.2.11,192.0.2.12")
    decision = decide(book, request("a", **wish, ingress=["192.0.2.10"]))
    assert (granted(decision), decision.leaving) == (["192.0.2.10", "192.0.2.12"], ())
    assert decision.verdict.reason is Reason.AddressInUse
    again = decide(book, request("a", **wish, ingress=granted(decision)))
    assert granted(again) == granted(decision)


def test_each_of_several_addresses_counts_towards_the_quota() -> None:
    for names in ("192.0.2.10,192.0.2.11", "192.0.2.11,192.0.2.10"):
        book = ledger(pool("edge", "192.0.2.10-192.0.2.20", max_per_namespace=1))
        decide(book, request("a"))
        decision = decide(book, request("a", **asks(ips=names), ingress=["192.0.2.10"]))
        assert granted(decision) == ["192.0.2.10"], names
        assert "maxPerNamespace" in decision.verdict.message


def test_what_its_status_shows_is_kept_once_and_not_for_each_address_that_it_waits_for() -> None:
    """It came from elsewhere with one address, and names two that it can't have."""
    book = ledger(EDGE)
    decide(book, request("held", **asks(ips="192.0.2.12,192.0.2.13")))
    decision = decide(book, request("a", **asks(ips="192.0.2.12,192.0.2.13"), ingress=["192.0.2.10"]))
    assert granted(decision) == ["192.0.2.10"]


# Sharing

KEY = {"berth.dev/sharing-key": "k"}


def shared(name: str, port: int, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    return request(name, ports=[("TCP", port)], annotations={**KEY, **(annotations or {})}, **spec)


def test_services_with_the_same_key_and_other_ports_share() -> None:
    book = ledger(EDGE)
    assert [granted(decide(book, shared(name, port)))[0] for name, port in (("a", 80), ("b", 443), ("c", 80))] == [
        "192.0.2.10",
        "192.0.2.10",
        "192.0.2.11",
    ]


@pytest.mark.parametrize(
    ("second", "reason", "said"),
    [
        ({"port": 80}, Reason.SharingConflict, "port TCP 80 is taken by default/a"),
        ({"port": 443, "annotations": {"berth.dev/sharing-key": "other"}}, Reason.SharingConflict, "under another key"),
        ({"port": 443, "annotations": {"berth.dev/sharing-key": ""}}, Reason.AddressInUse, "sharing-key on all"),
        ({"port": 443, "externalTrafficPolicy": "Local"}, Reason.SharingConflict, "externalTrafficPolicy"),
    ],
)
def test_what_does_not_go_together_is_refused_at_that_address(
    second: dict[str, Any], reason: Reason, said: str
) -> None:
    book = ledger(EDGE)
    decide(book, shared("a", 80))
    annotations = {"berth.dev/ips": "192.0.2.10", **second.pop("annotations", {})}
    decision = decide(book, shared("b", second.pop("port"), annotations, **second))
    assert decision.verdict.reason is reason
    assert said in decision.verdict.message
    assert decision.waits == {ChangeOf("192.0.2.10")}


def test_who_has_the_policy_cluster_does_not_join_who_have_local() -> None:
    book = ledger(EDGE)
    decide(book, shared("a", 80, externalTrafficPolicy="Local"))
    decision = decide(book, shared("b", 443, {"berth.dev/ips": "192.0.2.10"}))
    assert decision.verdict.reason is Reason.SharingConflict
    assert "externalTrafficPolicy is Local by default/a, this Service's Cluster" in decision.verdict.message


def test_an_address_is_shared_by_as_many_as_its_record_is_for() -> None:
    book = ledger(EDGE)
    for number in range(MAX_HOLDERS):
        assert granted(decide(book, shared(f"s{number}", number + 1))) == ["192.0.2.10"]
    asking = decide(book, shared("last", 9999, {"berth.dev/ips": "192.0.2.10"}))
    assert asking.verdict.reason is Reason.SharingConflict
    assert "128 Services share it already" in asking.verdict.message
    assert granted(decide(book, shared("next", 9999))) == ["192.0.2.11"]


@pytest.mark.slow
def test_an_address_is_shared_until_its_record_would_be_too_large() -> None:
    book = ledger(EDGE)
    many = [("SCTP", number) for number in range(1, MOST_PORTS + 1)]
    fitting = MOST_BYTES // wire_bytes([request("s0", ports=many, annotations=KEY).holder])
    for number in range(fitting):
        ports = [(protocol, number * MOST_PORTS + port) for protocol, port in many]
        assert granted(decide(book, request(f"s{number}", ports=ports, annotations=KEY))) == ["192.0.2.10"]
    ports = [("TCP", port) for _, port in many]
    assert granted(decide(book, request("next", ports=ports, annotations=KEY))) == ["192.0.2.11"]
    asking = {**KEY, "berth.dev/ips": "192.0.2.10"}
    refused = decide(book, request("last", ports=ports, annotations=asking))
    assert refused.verdict.reason is Reason.SharingConflict
    assert "too large" in refused.verdict.message
    assert granted(decide(book, shared("small", 70000))) == ["192.0.2.10"]


def test_local_services_share_with_equal_selectors_only() -> None:
    book = ledger(EDGE)
    local: dict[str, Any] = {"externalTrafficPolicy": "Local", "selector": {"app": "x"}}
    decide(book, shared("a", 80, **local))
    assert granted(decide(book, shared("b", 443, **local))) == ["192.0.2.10"]
    assert granted(decide(book, shared("c", 25, externalTrafficPolicy="Local"))) == ["192.0.2.11"]


# Sharing: holders that change


def edited(name: str, *ports: int, **spec: Any) -> Any:
    """A Service that shares 192.0.2.10 by its key, with these ports by now."""
    return request(name, ports=[("TCP", port) for port in ports], annotations=KEY, ingress=["192.0.2.10"], **spec)


def test_a_holder_that_adds_a_port_of_another_keeps_what_it_has_and_is_told_which_and_whose() -> None:
    book = ledger(pool("edge", "192.0.2.10"))
    decide(book, shared("a", 443))
    decide(book, shared("b", 80))
    decision = decide(book, edited("b", 80, 443))
    assert (granted(decision), decision.leaving) == (["192.0.2.10"], ())
    assert decision.verdict.reason is Reason.SharingConflict
    assert "port TCP 443 is taken by default/a" in decision.verdict.message
    assert decision.waits >= {ChangeOf("192.0.2.10")}
    assert [port.port for holder in decision.grants[0].holders for port in holder.ports] == [443, 80]
    decide(book, edited("a", 8443))
    assert decide(book, edited("b", 80, 443)).verdict.satisfied


def test_a_holder_that_takes_a_port_of_another_namespace_is_not_shown_and_is_told_why() -> None:
    """Were both shown, kube-proxy might serve the other's port for this Service."""
    book = ledger(pool("edge", "192.0.2.10", sharing="AnyNamespace"))
    decide(book, shared("a", 443, namespace="shop"))
    decide(book, shared("b", 80, namespace="evil"))
    decision = decide(book, edited("b", 80, 443, namespace="evil"))
    assert (granted(decision), decision.shown, decision.leaving) == (["192.0.2.10"], (), ())
    assert decision.verdict.reason is Reason.SharingConflict
    assert "port TCP 443 is taken by shop/a" in decision.verdict.message
    assert "not served at 192.0.2.10" in decision.verdict.message
    back = decide(book, request("b", ports=[("TCP", 80)], annotations=KEY, namespace="evil"))
    assert (granted(back), back.shown) == (["192.0.2.10"], (address("192.0.2.10"),))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": {"berth.dev/sharing-key": "other"}}, "under another key"),
        ({"annotations": {}}, "sharing-key on all"),
        ({"annotations": KEY, "externalTrafficPolicy": "Local"}, "externalTrafficPolicy"),
    ],
)
def test_a_holder_that_stops_fitting_keeps_the_address_as_it_is_recorded_though_others_are_free(
    change: dict[str, Any], said: str
) -> None:
    book = ledger(EDGE)
    decide(book, shared("a", 443))
    before = decide(book, shared("b", 80))
    stays = decide(book, request("b", ports=[("TCP", 81)], ingress=["192.0.2.10"], **change))
    assert (stays.grants, stays.leaving) == (before.grants, ())
    assert stays.verdict.reason is Reason.SharingConflict
    assert said in stays.verdict.message
    assert "berth.dev/ips" in stays.verdict.message, "how to move it"
    assert "keeps 192.0.2.10" in stays.verdict.message


def test_a_holder_that_does_not_fit_moves_when_it_asks_to() -> None:
    book = ledger(EDGE, pool("other", "198.51.100.1"))
    decide(book, shared("a", 443))
    decide(book, shared("b", 80))
    decide(book, shared("c", 25))
    for name, wish, port in (("b", asks(ips="192.0.2.13"), 80), ("c", asks(pool="other"), 25)):
        annotations = {"berth.dev/sharing-key": "else", **wish["annotations"]}
        moved = decide(book, request(name, ports=[("TCP", port)], ingress=["192.0.2.10"], annotations=annotations))
        assert [str(one) for one in moved.leaving] == ["192.0.2.10"]
        assert moved.verdict.satisfied


def test_a_holder_with_another_key_goes_where_that_key_is() -> None:
    book = ledger(EDGE)
    decide(book, shared("a", 80))
    decide(book, shared("b", 443))
    theirs = {"berth.dev/sharing-key": "other"}
    waiting = decide(book, shared("b", 443, theirs))
    assert SharedUnder("other") in waiting.waits
    assert granted(decide(book, shared("c", 25, theirs))) == ["192.0.2.11"]
    moved = decide(book, shared("b", 443, theirs))
    assert (granted(moved), [str(one) for one in moved.leaving]) == (["192.0.2.11"], ["192.0.2.10"])


def test_a_holder_with_the_same_key_goes_to_no_other_address_under_it() -> None:
    book = ledger(EDGE)
    decide(book, request("a", ports=[("TCP", 80), ("TCP", 25)], annotations=KEY))
    decide(book, shared("b", 443))
    assert granted(decide(book, shared("c", 80))) == ["192.0.2.11"]
    stays = decide(book, edited("b", 25))
    assert (granted(stays), stays.leaving) == (["192.0.2.10"], ())
    assert stays.verdict.reason is Reason.SharingConflict


def test_a_port_that_collides_is_told_as_such_also_when_the_pool_is_full() -> None:
    book = ledger(pool("edge", "192.0.2.10"))
    decide(book, shared("a", 80))
    refused = decide(book, shared("b", 80))
    assert refused.verdict.reason is Reason.SharingConflict
    assert "port TCP 80 is taken by default/a" in refused.verdict.message
    assert refused.waits == {FreeIn("edge", Family.IPv4), SharedUnder("k")}
    other = decide(book, shared("c", 443, {"berth.dev/sharing-key": "other"}))
    assert other.verdict.reason is Reason.PoolExhausted


def test_nobody_joins_on_a_port_that_a_holder_has_though_its_record_does_not_say_so() -> None:
    """A holder that does not fit shows the address with all of its ports, and kube-proxy serves them there."""
    book = ledger(pool("edge", "192.0.2.10"))
    for name, port in (("a", 443), ("b", 80)):
        decide(book, shared(name, port))
    now = edited("b", 443, 8080)
    decide(book, now)
    refused = decide(book, shared("c", 8080), others=[now])
    assert granted(refused) == []
    assert "port TCP 8080 is wanted by default/b" in refused.verdict.message


@pytest.mark.parametrize("namespace", ["ops", "other"])
def test_a_pool_that_is_gone_lets_nobody_join_an_address_of_its_namespaces(namespace: str) -> None:
    ops = pool("ops", "192.0.2.10", namespaces=["ops"], sharing="AnyNamespace")
    rest = pool("rest", "198.51.100.1", auto_assign=False)
    asking = shared("b", 80, {"berth.dev/ips": "192.0.2.10"}, namespace=namespace)
    expected = {"ops": Reason.Allocated, "other": Reason.NoMatchingPool}[namespace]
    book = ledger(ops, rest)
    decide(book, shared("a", 443, namespace="ops"))
    assert plan(asking, {}, book, lowest, nothing_known).verdict.reason is expected
    book.set_pools(ledger(rest).pools)
    decision = decide(book, asking)
    assert (granted(decision), decision.verdict.reason) == ([], Reason.AddressNotInPool)
    assert "pool ops, which is gone" in decision.verdict.message
    kept = decide(book, shared("a", 443, namespace="ops"))
    assert (granted(kept), kept.verdict.reason) == (["192.0.2.10"], Reason.OutsidePool)
    assert "ipPoolSelector" in kept.verdict.message


def test_a_move_that_does_not_fit_any_more_before_its_status_shows_it_is_told() -> None:
    """It holds both addresses, and shows the old one."""
    book = ledger(EDGE)
    decide(book, shared("b", 443, asks(ips="192.0.2.13")["annotations"]))
    decide(book, shared("a", 80, asks(ips="192.0.2.10")["annotations"]))
    there = asks(ips="192.0.2.13")["annotations"]
    decide(book, shared("a", 80, there, ingress=["192.0.2.10"]))
    moving = decide(book, shared("a", 443, there, ingress=["192.0.2.10"]))
    assert (granted(moving), moving.verdict.reason) == (["192.0.2.13"], Reason.SharingConflict)
    assert [str(one) for one in moving.leaving] == ["192.0.2.10"]


# Sharing: across namespaces

OPEN = pool("edge", "192.0.2.10-192.0.2.13", sharing="AnyNamespace")
WEB_PODS: dict[str, Any] = {"selector": {"app": "web"}}


@pytest.mark.parametrize("key", ["berth.dev/sharing-key", "metallb.io/allow-shared-ip"])
def test_a_key_is_good_for_one_namespace_unless_the_pool_opens_it(key: str) -> None:
    for edge, expected in ((EDGE, "192.0.2.11"), (OPEN, "192.0.2.10")):
        book = ledger(edge)
        for namespace, port in (("shop", 443), ("other", 80)):
            wish = request("web", namespace=namespace, ports=[("TCP", port)], annotations={key: "k"})
            address = granted(decide(book, wish))
        assert address == [expected]


def test_a_key_opens_no_pool_that_is_for_another_namespace() -> None:
    closed = pool("shop-only", "192.0.2.10-192.0.2.13", namespaces=["shop"], sharing="AnyNamespace")
    book = ledger(closed)
    assert granted(decide(book, shared("web", 443, namespace="shop"))) == ["192.0.2.10"]
    for wish in ({}, {"berth.dev/pool": "shop-only"}, {"berth.dev/ips": "192.0.2.10"}):
        refused = decide(book, shared("web", 80, wish, namespace="other"))
        assert (granted(refused), refused.verdict.reason) == ([], Reason.NoMatchingPool)


def test_a_pool_that_is_closed_to_a_namespace_keeps_who_shares_already() -> None:
    book = ledger(OPEN)
    wishes = [shared("web", 443, namespace="shop"), shared("web", 80, namespace="other")]
    for wish in wishes:
        decide(book, wish)
    closed = pool("edge", "192.0.2.10-192.0.2.13", namespaces=["shop"], sharing="AnyNamespace")
    book.set_pools(ledger(closed).pools)
    assert [granted(decide(book, wish)) for wish in wishes] == [["192.0.2.10"], ["192.0.2.10"]]
    assert granted(decide(book, shared("late", 25, namespace="other"))) == []


def test_who_asks_in_vain_for_an_address_of_another_namespace_is_told_why() -> None:
    book = ledger(pool("edge", "192.0.2.10"))
    first = decide(book, shared("web", 443, namespace="shop"))
    assert "shared within namespace shop only (sharing: SameNamespace)" in first.verdict.message
    asking = decide(book, shared("web", 80, {"berth.dev/ips": "192.0.2.10"}, namespace="other"))
    assert asking.verdict.reason is Reason.SharingConflict
    waiting = decide(book, shared("web", 80, namespace="other"))
    assert waiting.verdict.reason is Reason.PoolExhausted
    for verdict in (asking.verdict, waiting.verdict):
        assert "shop/web is of another namespace" in verdict.message
        assert "sharing: AnyNamespace" in verdict.message


def test_under_local_no_two_namespaces_share_though_selectors_are_equal() -> None:
    """Equal selectors choose other Pods in another namespace, so on other nodes."""
    book = ledger(OPEN)
    local = {"externalTrafficPolicy": "Local", **WEB_PODS}
    decide(book, shared("web", 443, namespace="shop", **local))
    asking = decide(book, shared("web", 80, {"berth.dev/ips": "192.0.2.10"}, namespace="evil", **local))
    assert asking.verdict.reason is Reason.SharingConflict
    assert "Local" in asking.verdict.message
    assert granted(decide(book, shared("web", 80, namespace="evil", **local))) == ["192.0.2.11"]
    assert granted(decide(book, shared("tls", 80, namespace="shop", **local))) == ["192.0.2.10"]


def test_a_pool_that_lets_nobody_share_refuses_also_those_of_one_namespace() -> None:
    book = ledger(pool("edge", "192.0.2.10", sharing="None"))
    assert "nobody else joins (sharing: None)" in decide(book, shared("a", 80)).verdict.message
    asking = decide(book, shared("b", 443, {"berth.dev/ips": "192.0.2.10"}))
    assert asking.verdict.reason is Reason.SharingConflict
    waiting = decide(book, shared("b", 443))
    for verdict in (asking.verdict, waiting.verdict):
        assert "pool edge lets nobody share an address (sharing: None)" in verdict.message


@pytest.mark.parametrize("closed", ["SameNamespace", "None"])
def test_a_pool_that_is_closed_moves_nobody_who_shares_already(closed: str) -> None:
    book = ledger(OPEN)
    wishes = [shared("web", 443, namespace="shop"), shared("web", 80, namespace="other")]
    for wish in wishes:
        decide(book, wish)
    book.set_pools(ledger(pool("edge", "192.0.2.10-192.0.2.13", sharing=closed)).pools)
    assert [granted(decide(book, wish)) for wish in wishes] == [["192.0.2.10"], ["192.0.2.10"]]
    assert granted(decide(book, shared("late", 25, namespace="other"))) == ["192.0.2.11"]


def test_the_only_holder_may_change_its_key_in_place() -> None:
    book = ledger(EDGE)
    decide(book, shared("a", 80))
    changed = decide(book, shared("a", 80, {"berth.dev/sharing-key": "other"}))
    assert granted(changed) == ["192.0.2.10"]
    assert changed.grants[0].sharing_key == "other"


def test_who_does_not_fit_where_it_is_and_gets_nothing_else_is_told_both() -> None:
    book = ledger(EDGE)
    for wish in (shared("a", 80), shared("b", 443), request("held", **asks(ips="192.0.2.11"))):
        decide(book, wish)
    wish = shared("a", 443, {"berth.dev/ips": "192.0.2.11"}, ingress=["192.0.2.10"])
    decision = decide(book, wish)
    assert (granted(decision), decision.verdict.reason) == (["192.0.2.10"], Reason.SharingConflict)
    assert "192.0.2.10 can't be shared as the Service is now" in decision.verdict.message
    assert "192.0.2.11 cannot be had" in decision.verdict.message


def test_who_fits_nowhere_is_told_why_not_where_it_is() -> None:
    book = ledger(EDGE)
    others = request("held", ports=[("TCP", 25)], **asks(ips="192.0.2.11", sharing_key="m"))
    for wish in (shared("a", 80), shared("b", 443), others):
        decide(book, wish)
    decision = decide(book, shared("a", 443, {"berth.dev/ips": "192.0.2.11"}, ingress=["192.0.2.10"]))
    assert decision.verdict.reason is Reason.SharingConflict
    assert "192.0.2.10 can't be shared as the Service is now" in decision.verdict.message
    assert "192.0.2.11" not in decision.verdict.message


def test_who_names_its_address_goes_nowhere_else_for_another_key() -> None:
    book = ledger(EDGE)
    others = request("other", ports=[("TCP", 25)], **asks(ips="192.0.2.11", sharing_key="m"))
    for wish in (shared("a", 80), shared("b", 443), others):
        decide(book, wish)
    wish = {"berth.dev/ips": "192.0.2.10", "berth.dev/sharing-key": "m"}
    decision = decide(book, shared("a", 80, wish, ingress=["192.0.2.10"]))
    assert (granted(decision), decision.verdict.reason) == (["192.0.2.10"], Reason.SharingConflict)
    del wish["berth.dev/ips"]
    assert granted(decide(book, shared("a", 80, wish, ingress=["192.0.2.10"]))) == ["192.0.2.11"]


def test_a_wish_that_can_not_be_read_keeps_nothing_that_is_being_released() -> None:
    book = ledger(EDGE)
    wish = request("a")
    decide(book, wish)
    entry = book.get(address("192.0.2.10"))
    assert entry is not None
    book.revise(entry, replace(entry.claim, releasing=True))
    assert granted(plan_refused(wish.holder, Reason.InvalidRequest, "no", book)) == []


# Quota


def test_a_namespace_gets_no_more_than_its_share() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", max_per_namespace=2))
    for name in ("a", "b"):
        decide(book, request(name))
    for wish in (request("c"), request("c", **asks(ips="192.0.2.15"))):
        decision = decide(book, wish)
        assert decision.verdict.reason is Reason.QuotaExceeded
        assert decision.waits == {QuotaIn("edge", "default")}
    assert granted(decide(book, request("c", namespace="other"))) == ["192.0.2.12"]


def test_a_move_within_the_pool_is_possible_at_the_limit() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", max_per_namespace=1))
    decide(book, request("a"))
    assert granted(decide(book, request("a", **asks(ips="192.0.2.15")))) == ["192.0.2.15"]


def test_who_leaves_an_address_to_others_of_its_namespace_frees_nothing() -> None:
    """Else a namespace gets as many as it likes: one joins, moves away, the next one joins."""
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", max_per_namespace=1, sharing="AnyNamespace"))
    for wish in (shared("a", 80), shared("b", 443)):
        decide(book, wish)
    decision = decide(book, shared("a", 80, asks(ips="192.0.2.15")["annotations"], ingress=["192.0.2.10"]))
    assert (granted(decision), decision.verdict.reason) == (["192.0.2.10"], Reason.QuotaExceeded)
    decide(book, shared("c", 25, namespace="other"))
    alone = decide(book, shared("c", 25, asks(ips="192.0.2.16")["annotations"], namespace="other"))
    assert granted(alone) == ["192.0.2.16"]


def test_who_joins_one_that_is_about_to_leave_has_an_address_more_for_the_namespace() -> None:
    """It has been granted another address, and leaves this one when its status shows that no more."""
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", max_per_namespace=1))
    first = shared("a", 80)
    decide(book, first)
    moves = shared("a", 80, asks(ips="192.0.2.15")["annotations"], ingress=["192.0.2.10"])
    assert granted(decide(book, moves)) == ["192.0.2.15"]
    for wish in (shared("b", 443, asks(ips="192.0.2.10")["annotations"]), shared("b", 443)):
        joining = decide(book, wish, others=[moves])
        assert (granted(joining), joining.verdict.reason) == ([], Reason.QuotaExceeded)
        assert QuotaIn("edge", "default") in joining.waits


def test_at_the_limit_both_addresses_of_a_service_move_at_once() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", "2001:db8::/64", max_per_namespace=2))
    first = granted(decide(book, request("a", **REQUIRE)))
    wish = asks(ips="192.0.2.15,2001:db8::15")
    moved = decide(book, request("a", **REQUIRE, **wish, ingress=first))
    assert granted(moved) == ["192.0.2.15", "2001:db8::15"]


def test_of_a_service_that_wants_another_family_the_one_that_it_leaves_does_not_count() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", "2001:db8::/64", max_per_namespace=1))
    first = granted(decide(book, request("a", families=["IPv6"])))
    assert granted(decide(book, request("a", ingress=first))) == ["192.0.2.10"]


def test_an_address_that_the_namespace_has_already_leaves_room_for_another_one() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", "2001:db8::/64", max_per_namespace=2))
    decide(book, shared("a", 80))
    assert granted(decide(book, shared("b", 443, **REQUIRE))) == ["192.0.2.10", "2001:db8::"]


def test_both_families_of_a_service_count() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", "2001:db8::/64", max_per_namespace=1))
    assert decide(book, request("a", **REQUIRE)).verdict.reason is Reason.QuotaExceeded
    assert decide(book, request("a", **PREFER)).verdict.reason is Reason.PartiallyAllocated


def test_joining_an_address_of_the_same_namespace_costs_no_quota() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.20", max_per_namespace=1))
    decide(book, shared("a", 80))
    assert granted(decide(book, shared("b", 443))) == ["192.0.2.10"]


def test_another_pool_helps_where_the_quota_of_the_first_is_used_up() -> None:
    book = ledger(pool("first", "192.0.2.10-192.0.2.20", max_per_namespace=1, priority=1), pool("next", "198.51.100.1"))
    decide(book, request("a"))
    assert granted(decide(book, request("b"))) == ["198.51.100.1"]


# Strategies, adoption, pools that change


def test_a_sticky_pool_gives_a_name_the_same_address_again() -> None:
    sticky = pool("edge", "192.0.2.0/24", "2001:db8::/64", strategy="Sticky")
    first = granted(decide(ledger(sticky), request("a", **REQUIRE)))
    other = ledger(sticky)
    assert granted(decide(other, request("b", **REQUIRE))) != first
    assert granted(decide(other, request("a", uid="new", **REQUIRE))) == first


def test_a_sticky_address_that_is_taken_is_passed_over() -> None:
    book = ledger(pool("edge", "192.0.2.0/24", strategy="Sticky"))
    first = decide(book, request("a")).grants[0].address
    again = decide(book, request("a", uid="new"))
    assert int(again.grants[0].address) in (int(first) + 1, int(address("192.0.2.0")))


def test_a_random_pool_draws_and_finds_the_last_free_address() -> None:
    book = ledger(pool("edge", "192.0.2.0/24", strategy="Random"))
    draws = iter(range(7, 10_000, 13))
    seen = []
    for number in range(256):
        decision = plan(request(f"s{number}"), {}, book, lambda size: next(draws) % size, nothing_known)
        seen.append(decision.grants[0].address)
        book.reserve(decision.grants[0])
    assert len(set(seen)) == 256
    assert seen != sorted(seen, key=int)


def test_an_address_shown_already_is_adopted_where_a_pool_for_the_service_has_it() -> None:
    book = ledger(EDGE, pool("closed", "198.51.100.1", namespaces=["ops"]))
    assert granted(decide(book, request("a", ingress=["192.0.2.12"]))) == ["192.0.2.12"]
    assert granted(decide(book, request("b", ingress=["192.0.2.12"]))) == ["192.0.2.10"]
    assert granted(decide(book, request("c", ingress=["198.51.100.1"]))) == ["192.0.2.11"]
    assert granted(decide(book, request("d", ingress=["203.0.113.1"]))) == ["192.0.2.13"]


def test_adoption_asks_neither_for_pause_nor_quota() -> None:
    book = ledger(pool("edge", "192.0.2.10-192.0.2.13", paused=True, max_per_namespace=1))
    assert granted(decide(book, request("a", ingress=["192.0.2.10"]))) == ["192.0.2.10"]
    assert granted(decide(book, request("b", ingress=["192.0.2.11"]))) == ["192.0.2.11"]


def test_an_address_that_came_into_another_pool_is_recorded_there() -> None:
    book = ledger(EDGE)
    decide(book, request("a"))
    book.set_pools(ledger(pool("renamed", "192.0.2.0/24")).pools)
    decision = decide(book, request("a"))
    assert (granted(decision), decision.grants[0].pool) == (["192.0.2.10"], "renamed")
    assert decision.verdict.reason is Reason.Allocated


def test_a_draw_is_asked_only_by_random_pools() -> None:
    assert lowest(10) == 0
