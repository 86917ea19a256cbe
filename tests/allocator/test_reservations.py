"""An address that a pool keeps for one Service: nobody else gets it, and that Service gets it without asking."""

from typing import Any

import pytest

from allocator.ledger import Ledger
from allocator.status.pool import pool_status
from crds.conditions import ConditionType, Reason
from crds.ippool import IPPoolStatus
from crds.types import IPPool
from tests.allocator.build import address, decide, granted, ledger, pool, request
from tests.allocator.build import pools as compiled

LATER = {"address": "192.0.2.11", "namespace": "default", "name": "later"}
SIX = {"address": "2001:DB8::11", "namespace": "default", "name": "later"}
NOW = "2026-03-01T00:00:00Z"


def edge(*reservations: dict[str, str], **spec: Any) -> IPPool:
    listed = ("192.0.2.10-192.0.2.12", "2001:db8::10-2001:db8::12")
    return pool("edge", *listed, reservations=list(reservations or (LATER, SIX)), **spec)


def said_of(book: Ledger, name: str = "edge") -> IPPoolStatus:
    return pool_status(book.pools.by_name[name], book, IPPoolStatus(), NOW)


def test_nobody_else_gets_it_not_even_by_asking() -> None:
    book = ledger(edge())
    assert [granted(decide(book, request(name))) for name in ("a", "b")] == [["192.0.2.10"], ["192.0.2.12"]]
    assert decide(book, request("c")).verdict.reason is Reason.PoolExhausted
    refused = decide(book, request("c", annotations={"berth.dev/ips": "192.0.2.11"})).verdict
    assert refused.reason is Reason.AddressExcluded
    assert "reserved for Service default/later" in refused.message


@pytest.mark.parametrize("spec", [{}, {"auto_assign": False}, {"strategy": "Random"}, {"priority": -5}])
def test_its_service_gets_it_without_asking(spec: dict[str, Any]) -> None:
    book = ledger(edge(**spec), pool("other", "198.51.100.0/24", "2001:db8:1::/64"))
    got = granted(decide(book, request("later", families=("IPv4", "IPv6"), policy="RequireDualStack")))
    assert got == ["192.0.2.11", "2001:db8::11"]


def test_a_service_of_the_same_name_elsewhere_does_not() -> None:
    book = ledger(edge())
    assert granted(decide(book, request("later", namespace="else"))) == ["192.0.2.10"]


def test_a_service_that_the_pool_is_not_for_does_not() -> None:
    book = ledger(edge(namespaces=["else"]), pool("other", "198.51.100.1"))
    assert granted(decide(book, request("later"))) == ["198.51.100.1"]


def test_who_holds_it_keeps_it_and_its_service_takes_another_one_meanwhile() -> None:
    book = ledger(edge({**LATER, "name": "nobody"}))
    holder = request("web", annotations={"berth.dev/ips": "192.0.2.12"})
    assert granted(decide(book, holder)) == ["192.0.2.12"]
    book.set_pools(compiled(edge({**LATER, "address": "192.0.2.12"})))
    kept = decide(book, holder)
    assert granted(kept) == ["192.0.2.12"]
    assert kept.verdict.reason is Reason.Allocated
    assert granted(decide(book, request("later"))) == ["192.0.2.10"]
    assert all(one.type is not ConditionType.Conflicted for one in said_of(book).conditions)


def test_the_pool_counts_it_until_its_service_has_it() -> None:
    book = ledger(edge(LATER))
    (kept,) = said_of(book).kept_out
    assert (kept.reason, kept.count, kept.addresses) == ("Reserved", "1", ("192.0.2.11 (default/later)",))
    decide(book, request("later"))
    assert said_of(book).kept_out == ()
    usage = said_of(book).ipv4
    assert usage is not None
    assert (usage.capacity, usage.allocated, usage.free) == ("3", 1, "2")


def test_it_is_free_for_all_when_the_pool_says_so() -> None:
    book = ledger(edge())
    book.set_pools(compiled(pool("edge", "192.0.2.11")))
    assert granted(decide(book, request("web"))) == ["192.0.2.11"]


def test_a_reservation_of_an_address_that_another_pool_has_keeps_nothing_and_is_told() -> None:
    book = ledger(pool("other", "198.51.100.1"), edge({**LATER, "address": "198.51.100.1"}))
    assert granted(decide(book, request("web", annotations={"berth.dev/pool": "other"}))) == ["198.51.100.1"]
    part = next(one for one in said_of(book).conditions if one.type == ConditionType.Degraded)
    assert (part.status, part.reason) == ("True", Reason.InvalidAddresses)
    assert "198.51.100.1 is reserved, but the pool does not have it" in part.message
    assert granted(decide(book, request("else"))) == ["192.0.2.10"]


def test_written_twice_the_first_one_counts() -> None:
    again = {**SIX, "address": "2001:db8::11", "name": "web"}
    assert compiled(edge(SIX, again)).by_name["edge"].reserved == {address("2001:db8::11"): request("later").holder.key}
