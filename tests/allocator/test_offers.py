"""Which address a Service is offered where rules meet: shown, shared, releasing, resting, paused, over quota."""

from dataclasses import replace
from typing import Any

import pytest

from allocator.adoption import adopt
from allocator.ledger import Ledger
from allocator.plan import Plan
from allocator.sharing import why_not_together
from crds.conditions import Reason
from crds.ippool import Sharing
from tests.allocator.build import address, claim, decide, granted, ledger, pool, request, service

KEY = {"berth.dev/sharing-key": "k"}
FIRST, SECOND = "192.0.2.10", "192.0.2.11"
SHOWN: dict[str, Any] = {"ingress": [FIRST]}


def shared(name: str, port: int, annotations: dict[str, str] | None = None, **spec: Any) -> Any:
    return request(name, ports=[("TCP", port)], annotations={**KEY, **(annotations or {})}, **spec)


def asks(ips: str = FIRST) -> dict[str, str]:
    return {"berth.dev/ips": ips}


def shared_by_two(**spec: Any) -> tuple[Ledger, list[Any]]:
    """192.0.2.10, by Services of two namespaces."""
    book = ledger(pool("edge", f"{FIRST}-192.0.2.13", sharing="AnyNamespace", **spec))
    wishes = [shared("web", 443, namespace="shop"), shared("web", 80, namespace="other")]
    assert [granted(decide(book, wish)) for wish in wishes] == [[FIRST], [FIRST]]
    return book, wishes


def release(book: Ledger) -> None:
    """192.0.2.10 is being withdrawn from whoever has it."""
    entry = book.get(address(FIRST))
    assert entry is not None
    book.revise(entry, replace(entry.claim, releasing=True))


def refused(decision: Plan, reason: Reason) -> bool:
    return (decision.verdict.reason, granted(decision)) == (reason, [])


# Shown in the status, recorded by nobody


def test_what_its_status_shows_is_kept_only_in_a_pool_that_it_asks_for() -> None:
    book = ledger(pool("edge", FIRST), pool("other", "198.51.100.1"))
    wish = request("a", annotations={"berth.dev/pool": "other"}, **SHOWN)
    assert granted(decide(book, wish)) == ["198.51.100.1"]


def test_what_its_status_shows_is_not_joined_while_it_is_being_released() -> None:
    book = ledger(pool("edge", f"{FIRST}-{SECOND}"))
    decide(book, shared("held", 443))
    release(book)
    assert granted(decide(book, shared("web", 80, **SHOWN))) == [SECOND]


def test_what_its_status_shows_is_not_joined_where_it_is_the_external_ip_of_another() -> None:
    """Though its record names the key: somebody edited it."""
    book = ledger(pool("edge", f"{FIRST}-{SECOND}"))
    book.reserve(claim("held", sharing_key="k", external=True))
    assert granted(decide(book, shared("web", 8080, **SHOWN))) == [SECOND]


def test_what_a_status_shows_is_taken_over_where_a_pool_for_that_service_has_it() -> None:
    """A Service that another system served: nothing of ours is in its status."""
    closed = ledger(pool("edge", FIRST, namespaces=["shop"]))
    assert adopt(service("web", **SHOWN), {}, closed) == []
    assert adopt(service("web", namespace="shop", **SHOWN), {}, closed) == [address(FIRST)]


# Shared


def test_nobody_joins_under_the_key_what_is_being_released() -> None:
    book = ledger(pool("edge", f"{FIRST}-{SECOND}"))
    decide(book, shared("held", 443))
    release(book)
    assert granted(decide(book, shared("web", 80))) == [SECOND]


def test_who_joins_in_a_paused_pool_takes_no_new_address_and_may() -> None:
    book = ledger(pool("edge", FIRST))
    decide(book, shared("a", 443))
    book.set_pools(ledger(pool("edge", FIRST, paused=True)).pools)
    assert granted(decide(book, shared("b", 80, asks()))) == [FIRST]
    assert refused(decide(book, request("c", annotations=asks())), Reason.AddressInUse)


@pytest.mark.parametrize("wish", [{}, asks()], ids=["under the key", "by its address"])
def test_to_join_an_address_that_another_namespace_has_counts_for_the_quota(wish: dict[str, str]) -> None:
    book = ledger(pool("edge", f"{FIRST}-192.0.2.13", sharing="AnyNamespace", max_per_namespace=1))
    decide(book, shared("web", 443, namespace="shop"))
    decide(book, request("own", namespace="other"))
    assert refused(decide(book, shared("web", 80, wish, namespace="other")), Reason.QuotaExceeded)


@pytest.mark.parametrize("closed", ["SameNamespace", "None"])
def test_who_shares_already_is_told_nothing_when_the_pool_closes(closed: str) -> None:
    """It shares on, and is well: what the pool says is for those who come."""
    book, wishes = shared_by_two()
    book.set_pools(ledger(pool("edge", f"{FIRST}-192.0.2.13", sharing=closed)).pools)
    for wish in wishes:
        decision = decide(book, wish)
        assert (granted(decision), decision.verdict.reason) == ([FIRST], Reason.Allocated)
        assert decision.verdict.satisfied


def test_namespaces_that_share_under_local_are_told_apart_also_when_they_hold_it_both() -> None:
    """As a record may say that somebody edited."""
    book, _ = shared_by_two()
    entry = book.get(address(FIRST))
    assert entry is not None
    local = {"externalTrafficPolicy": "Local", "selector": {"app": "web"}}
    held = replace(entry.claim, traffic_policy="Local", selector=(("app", "web"),))
    wish = shared("web", 443, namespace="shop", **local)
    why = why_not_together(held, wish, Sharing.AnyNamespace)
    assert why is not None
    assert "only one namespace shares" in why


def test_another_namespace_is_the_first_cause_that_is_told_and_the_port_the_next() -> None:
    local = {"externalTrafficPolicy": "Local", "selector": {"app": "web"}}
    book = ledger(pool("edge", FIRST, sharing="AnyNamespace"))
    decide(book, shared("web", 443, namespace="shop", **local))
    decision = decide(book, shared("web", 443, asks(), namespace="other", **local))
    assert "only one namespace shares" in decision.verdict.message


# Freed a moment ago


def test_an_address_that_rests_is_had_by_its_asking_only_by_who_shows_it_or_has_it_reserved() -> None:
    for reserved in ({}, {"reservations": [{"address": FIRST, "namespace": "default", "name": "web"}]}):
        book = ledger(pool("edge", f"{FIRST}-{SECOND}", reuse_after_seconds=10, **reserved))
        decide(book, request("web", annotations=asks()))
        entry = book.get(address(FIRST))
        assert entry is not None
        book.free(entry, 0.0)
        late = Reason.AddressExcluded if reserved else Reason.AddressInUse
        assert refused(decide(book, request("late", annotations=asks())), late)
        if reserved:
            assert granted(decide(book, request("web", annotations=asks()))) == [FIRST]
        else:
            assert refused(decide(book, request("web", annotations=asks())), Reason.AddressInUse)
            assert granted(decide(book, request("web", annotations=asks(), **SHOWN))) == [FIRST]


# A pool with an error


def test_a_pool_with_an_exclusion_that_can_not_be_read_gives_nothing_and_says_so() -> None:
    book = ledger(pool("edge", FIRST, exclude=["nonsense"]))
    assert "repair them" in decide(book, request("a")).verdict.message
    asking = decide(book, request("a", annotations=asks()))
    assert refused(asking, Reason.NoMatchingPool)
    assert "has an error and gives out nothing" in asking.verdict.message
