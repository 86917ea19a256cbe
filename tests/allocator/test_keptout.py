"""Addresses of nodes, of the API server, for cluster IPs, of gateways and networks: given out by nobody.

Told on the pool and on the Service; nobody who holds one loses it.
"""

from typing import Any

import pytest

from allocator.ledger import Ledger
from allocator.space.keptout import KeptBy
from allocator.space.pools import compile_pools
from allocator.space.spans import Spans
from allocator.status.pool import pool_status
from crds.addresses import FAMILIES, Family
from crds.conditions import Reason
from crds.ippool import MOST_CHARACTERS, IPPoolStatus, KeptOutReason
from crds.types import IPPool
from kube.objects import ServiceKey
from tests.allocator.build import address, decide, granted, ledger, pool, request, service_body
from tests.allocator.fakeapi import Allocator, FakeApi

NODE = KeptBy(KeptOutReason.NodeAddress, "node1")
END = KeptBy(KeptOutReason.NetworkEnd, "192.0.2.0/24")
GATEWAY = KeptBy(KeptOutReason.Gateway, "192.0.2.0/24")
API = KeptBy(KeptOutReason.APIServer, "Service default/kubernetes")
LAN = {
    address("192.0.2.0"): END,
    address("192.0.2.1"): GATEWAY,
    address("192.0.2.2"): NODE,
    address("192.0.2.3"): END,
}
NOW = "2026-03-01T00:00:00Z"
IPS = "berth.dev/ips"


def wish(text: str, name: str = "web", **more: Any) -> Any:
    return request(name, annotations={IPS: text}, **more)


def status_of(book: Ledger, name: str = "edge", previous: IPPoolStatus | None = None) -> IPPoolStatus:
    return pool_status(book.pools.by_name[name], book, previous or IPPoolStatus(), NOW)


def kept_in(status: IPPoolStatus) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {str(one.reason): (one.count, one.addresses) for one in status.kept_out}


@pytest.mark.parametrize("strategy", ["LowestFirst", "Random", "Sticky"])
def test_a_whole_subnet_as_a_pool_gives_out_hosts_only(strategy: str) -> None:
    book = ledger(pool("edge", "192.0.2.0/29", strategy=strategy))
    book.keep_out("Speaker/node1", LAN)
    names = [f"s{number}" for number in range(8)]
    got = [one for name in names for one in granted(decide(book, request(name)))]
    assert sorted(got) == [f"192.0.2.{number}" for number in (4, 5, 6, 7)]
    assert decide(book, request("late")).verdict.reason is Reason.PoolExhausted


@pytest.mark.parametrize("kept", [NODE, API, GATEWAY, END])
def test_nobody_gets_what_is_kept_out_by_asking_for_it(kept: KeptBy) -> None:
    book = ledger(pool("edge", "192.0.2.0/29"))
    book.keep_out("a", {address("192.0.2.2"): kept})
    decision = decide(book, wish("192.0.2.2"))
    assert (granted(decision), decision.verdict.reason) == ([], Reason.AddressExcluded)
    assert str(kept) in decision.verdict.message
    assert ("by itself" in decision.verdict.message) == (kept in (GATEWAY, END))


def test_a_service_whose_status_shows_a_nodes_address_gets_another_one() -> None:
    """As k3s' ServiceLB writes it."""
    book = ledger(pool("edge", "192.0.2.2-192.0.2.9"))
    book.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    assert granted(decide(book, request(ingress=["192.0.2.2"]))) == ["192.0.2.3"]


@pytest.mark.parametrize(("kept", "is_given"), [(END, True), (GATEWAY, True), (NODE, False), (API, False)])
def test_an_address_that_a_pool_lists_by_itself_is_given_out_if_it_is_no_hosts(kept: KeptBy, is_given: bool) -> None:
    for alone in ("192.0.2.0", "192.0.2.0/32", "192.0.2.0-192.0.2.0"):
        book = ledger(pool("edge", "192.0.2.0/29", alone))
        book.keep_out("a", {address("192.0.2.0"): kept})
        assert granted(decide(book, request())) == ["192.0.2.0" if is_given else "192.0.2.1"]


def test_listing_an_end_does_not_open_it_where_a_node_has_it() -> None:
    book = ledger(pool("edge", "192.0.2.0"))
    book.keep_out("Speaker/node1", {address("192.0.2.0"): END})
    book.keep_out("Node/node2", {address("192.0.2.0"): NODE})
    assert granted(decide(book, request())) == []


def test_who_holds_an_address_that_becomes_a_nodes_keeps_it_and_is_told_and_no_other_joins() -> None:
    book = ledger(pool("edge", "192.0.2.2-192.0.2.9"))
    key = {"berth.dev/sharing-key": "k"}
    web = request(annotations=key, ingress=["192.0.2.2"])
    assert granted(decide(book, web)) == ["192.0.2.2"]
    assert book.keep_out("Node/node1", {address("192.0.2.2"): NODE}) == [address("192.0.2.2")]
    again = decide(book, web)
    assert granted(again) == ["192.0.2.2"]
    assert (again.verdict.satisfied, again.verdict.reason) == (True, Reason.AddressTaken)
    assert "an address of node node1" in again.verdict.message
    assert granted(decide(book, request("other", annotations=key, ports=[("TCP", 81)]))) == ["192.0.2.3"]
    asked = decide(book, request("third", annotations={**key, IPS: "192.0.2.2"}, ports=[("TCP", 82)]))
    assert (granted(asked), asked.verdict.reason) == ([], Reason.AddressExcluded)
    book.keep_out("Node/node1", {})
    assert decide(book, web).verdict.reason is Reason.Allocated


def test_an_address_that_became_a_nodes_is_not_free_when_its_holder_leaves() -> None:
    book = ledger(pool("edge", "192.0.2.2"))
    decide(book, request())
    book.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    entry = book.get(address("192.0.2.2"))
    assert entry is not None
    book.free(entry, 0.0)
    assert granted(decide(book, request("other"))) == []
    book.keep_out("Node/node1", {})
    assert granted(decide(book, request("other"))) == ["192.0.2.2"]


def test_an_address_that_rests_and_is_kept_out_is_free_when_both_are_over_in_any_order() -> None:
    for rests_longer in (True, False):
        book = ledger(pool("edge", "192.0.2.2", reuse_after_seconds=10))
        decide(book, request())
        entry = book.get(address("192.0.2.2"))
        assert entry is not None
        book.keep_out("Node/node1", {address("192.0.2.2"): NODE})
        book.free(entry, 0.0)
        free = book.free_in(book.pools.by_name["edge"], Family.IPv4)
        if rests_longer:
            book.keep_out("Node/node1", {})
            assert not free.count
            assert book.wake(10.0) == [address("192.0.2.2")]
        else:
            assert book.wake(10.0) == []
            assert not free.count
            book.keep_out("Node/node1", {})
        assert free.count == 1


def test_other_pools_keep_out_the_same() -> None:
    book = ledger(pool("edge", "192.0.2.2-192.0.2.3"))
    book.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    book.set_pools(compile_pools([pool("edge", "192.0.2.2-192.0.2.4")]))
    assert granted(decide(book, request())) == ["192.0.2.3"]


def cluster_ips(*spans: tuple[str, str]) -> dict[Family, Spans]:
    found = Spans((int(address(first)), int(address(last))) for first, last in spans)
    return {Family.IPv4: found, Family.IPv6: Spans()}


def with_cluster_ips(*objects: IPPool) -> Ledger:
    book = Ledger()
    book.set_pools(compile_pools(objects, cluster_ips(("10.96.0.0", "10.96.255.255"))))
    return book


def test_cluster_ips_are_in_no_pool_however_large_their_network_is() -> None:
    book = with_cluster_ips(pool("edge", "10.96.0.0/15", "10.96.0.7"))
    assert granted(decide(book, request())) == ["10.97.0.0"]
    decision = decide(book, wish("10.96.0.7", "other"))
    assert decision.verdict.reason is Reason.AddressExcluded
    assert "for cluster IPs" in decision.verdict.message
    status = status_of(book)
    assert kept_in(status) == {"ClusterIP": ("65536", ("10.96.0.0-10.96.255.255",))}
    assert status.ipv4 is not None
    assert status.ipv4.capacity == "65536"


def test_an_address_in_use_that_comes_to_be_for_cluster_ips_is_told_on_both() -> None:
    edge = pool("edge", "10.96.0.5")
    book = ledger(edge)
    decide(book, request())
    book.set_pools(compile_pools([edge], cluster_ips(("10.96.0.0", "10.96.255.255"))))
    decision = decide(book, request())
    assert (granted(decision), decision.verdict.reason) == (["10.96.0.5"], Reason.AddressTaken)
    conflicted = next(one for one in status_of(book).conditions if one.type == "Conflicted")
    assert "10.96.0.5 of default/web is an address for cluster IPs" in conflicted.message


def test_the_pools_status_counts_what_is_kept_out_by_reason_and_names_some() -> None:
    book = ledger(pool("edge", "192.0.2.0/24"))
    nodes = {address(f"192.0.2.{number}"): KeptBy(KeptOutReason.NodeAddress, f"n{number}") for number in range(10, 30)}
    book.keep_out("Speaker/node1", LAN)
    book.keep_out("nodes", nodes)
    book.keep_out("EndpointSlice/kubernetes", {address("192.0.2.40"): API})
    decide(book, request())
    status = status_of(book)
    found = kept_in(status)
    assert list(found) == ["NodeAddress", "APIServer", "Gateway", "NetworkEnd"]
    assert found["NodeAddress"][0] == "21"
    assert found["NodeAddress"][1][:2] == ("192.0.2.2 (node1)", "192.0.2.10 (n10)")
    assert len(found["NodeAddress"][1]) == 8
    assert found["NetworkEnd"] == ("2", ("192.0.2.0 (192.0.2.0/24)", "192.0.2.3 (192.0.2.0/24)"))
    assert status.ipv4 is not None
    assert (status.ipv4.capacity, status.ipv4.allocated, status.ipv4.free) == ("231", 1, "230")


def test_a_node_whose_name_is_as_long_as_a_name_may_be_is_named_as_far_as_the_status_has_room() -> None:
    book = ledger(pool("edge", "192.0.2.0/24"))
    book.keep_out("Node/n", {address("192.0.2.2"): KeptBy(KeptOutReason.NodeAddress, "n" * 253)})
    (named,) = kept_in(status_of(book))["NodeAddress"][1]
    assert len(named) == MOST_CHARACTERS
    assert named.startswith("192.0.2.2 (nnn")


def test_a_pool_of_which_all_is_kept_out_says_so() -> None:
    book = ledger(pool("edge", "192.0.2.2"))
    book.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    ready = next(one for one in status_of(book).conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("False", "EmptyPool")


def test_the_pool_names_addresses_in_use_that_are_somebodys_and_says_when_that_is_over() -> None:
    book = ledger(pool("edge", "192.0.2.2-192.0.2.9"))
    decide(book, request())
    assert "Conflicted" not in {one.type for one in status_of(book).conditions}
    book.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    status = status_of(book)
    conflicted = next(one for one in status.conditions if one.type == "Conflicted")
    assert (conflicted.status, conflicted.reason) == ("True", "AddressTaken")
    assert "192.0.2.2 of default/web is an address of node node1 too" in conflicted.message
    assert kept_in(status) == {}
    book.keep_out("Node/node1", {})
    over = next(one for one in status_of(book, previous=status).conditions if one.type == "Conflicted")
    assert (over.status, over.reason) == ("False", "NoConflict")


# The whole way


def started(*objects: IPPool) -> Allocator:
    return Allocator(FakeApi(), compile_pools(objects))


def test_a_node_that_joins_is_told_to_who_holds_its_address_at_once_and_as_a_warning() -> None:
    allocator = started(pool("edge", "192.0.2.2-192.0.2.9"))
    allocator.api.put_service(service_body("web"))
    allocator.watch()
    allocator.run()
    web = ServiceKey("default", "web")
    assert allocator.api.ingress(web) == ["192.0.2.2"]
    allocator.assigner.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    allocator.run()
    assert allocator.api.ingress(web) == ["192.0.2.2"]
    condition = allocator.api.condition(web)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "AddressTaken")


@pytest.mark.parametrize("is_from_us", [False, True])
def test_an_allocator_that_starts_takes_over_a_nodes_address_only_where_berth_gave_it(is_from_us: bool) -> None:
    """Other load balancers show nodes' addresses; what we gave is in use, though nothing records it."""
    api, web = FakeApi(), ServiceKey("default", "web")
    body = service_body("web", ingress=["192.0.2.2"])
    if is_from_us:
        body["status"]["conditions"] = [{"type": "berth.dev/Allocated", "status": "True", "reason": "Allocated"}]
    api.put_service(body)
    pools = compile_pools([pool("edge", "192.0.2.2-192.0.2.9")])
    Allocator(api, pools, kept_out={"Node/node1": {address("192.0.2.2"): NODE}}).run()
    assert api.ingress(web) == ["192.0.2.2" if is_from_us else "192.0.2.3"]


def test_who_waits_for_an_address_gets_it_when_its_node_is_gone() -> None:
    allocator = started(pool("edge", "192.0.2.2"))
    allocator.assigner.keep_out("Node/node1", {address("192.0.2.2"): NODE})
    for name, wanted in (("asks", {IPS: "192.0.2.2"}), ("takes", {})):
        allocator.api.put_service(service_body(name, annotations=wanted))
        allocator.watch()
        allocator.run()
    assert not allocator.api.allocations
    allocator.assigner.keep_out("Node/node1", {})
    allocator.run()
    assert list(allocator.api.allocations) == ["v4-192-0-2-2"]


def test_one_node_changes_what_it_names_and_nothing_else_is_looked_at() -> None:
    allocator = started(pool("edge", "192.0.2.0/24"))
    for number in range(20):
        allocator.api.put_service(service_body(f"s{number}"))
    allocator.watch()
    allocator.run()
    allocator.assigner.keep_out("Node/node1", {address("192.0.2.2"): NODE, address("192.0.2.200"): NODE})
    assert len(allocator.assigner.queue) == 1


def test_free_held_and_left_out_are_the_whole_pool() -> None:
    book = ledger(pool("edge", "192.0.2.0/29", "2001:db8::/125"))
    book.keep_out("Speaker/node1", {**LAN, address("2001:db8::"): END})
    decide(book, request(families=["IPv4", "IPv6"], policy="RequireDualStack"))
    edge = book.pools.by_name["edge"]
    for family in FAMILIES:
        parts = book.free_in(edge, family).count, book.held_in_pool("edge", family), len(book.left_out(edge, family))
        assert sum(parts) == edge.usable[family].capacity
