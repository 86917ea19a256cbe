"""The assigner and what Services show already: addresses that others gave, or of which the record is missing."""

import pytest

from crds.names import FINALIZER
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import EDGE, FIRST, OTHER, WEB, Allocator, FakeApi, settled


def test_ingress_that_others_wrote_stays_when_there_is_nothing_to_give(api: FakeApi) -> None:
    api.put_service(service_body("web", ingress=["203.0.113.5"]))
    Allocator(api, pools()).run()
    assert api.ingress(WEB) == ["203.0.113.5"]
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_an_address_in_the_status_is_adopted_before_pending_services_are_served(api: FakeApi) -> None:
    api.put_service(service_body("other", created="2026-01-01T00:00:00Z"))
    api.put_service(service_body("web", ingress=["192.0.2.10"], created="2026-01-05T00:00:00Z"))
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


@pytest.mark.parametrize("paused", [False, True])
def test_what_a_status_shows_is_adopted_from_a_pool_that_comes_later(api: FakeApi, paused: bool) -> None:
    """A Service that waits must not get what another one shows, because it is looked at first."""
    api.put_service(service_body("other", created="2026-01-01T00:00:00Z"))
    api.put_service(service_body("web", ingress=["192.0.2.10"], created="2026-01-05T00:00:00Z"))
    allocator = Allocator(api, pools())
    allocator.run()
    allocator.assigner.set_pools(pools(pool("edge", "192.0.2.10-192.0.2.20", paused=paused)))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ([] if paused else ["192.0.2.11"])


def test_what_one_status_shows_is_given_to_nobody_who_shows_an_address_of_no_pool(api: FakeApi) -> None:
    """Both show something, and the one that is older gets another address."""
    api.put_service(service_body("other", ingress=["203.0.113.5"], created="2026-01-01T00:00:00Z"))
    api.put_service(service_body("web", ingress=["192.0.2.10"], created="2026-01-05T00:00:00Z"))
    allocator = Allocator(api, pools())
    allocator.run()
    allocator.assigner.set_pools(EDGE)
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("is_there_before", [False, True])
def test_all_who_show_a_shared_address_keep_it_also_from_a_paused_pool(
    api: FakeApi, paused: bool, is_there_before: bool
) -> None:
    edge = pools(pool("edge", "192.0.2.10-192.0.2.20", paused=paused))
    key = {"metallb.universe.tf/allow-shared-ip": "k"}
    api.put_service(service_body("other", ingress=["192.0.2.12"], annotations=key))
    api.put_service(service_body("web", ingress=["192.0.2.12"], annotations=key, ports=[("TCP", 81)]))
    allocator = Allocator(api, edge if is_there_before else pools())
    allocator.run()
    allocator.assigner.set_pools(edge)
    allocator.run()
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.12"]
    assert len(api.allocations["v4-192-0-2-12"]["spec"]["holders"]) == 2


def test_of_two_statuses_with_one_address_the_older_service_keeps_it(api: FakeApi) -> None:
    api.put_service(service_body("other", ingress=["192.0.2.10"], created="2026-01-05T00:00:00Z"))
    api.put_service(service_body("web", ingress=["192.0.2.10"], created="2026-01-03T00:00:00Z"))
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.ingress(OTHER) == ["192.0.2.11"]


def test_what_a_status_shows_is_reserved_before_anybody_is_given_an_address(api: FakeApi) -> None:
    """Whoever is served first must not take an address that another Service shows, though nothing records it."""
    api.put_service(service_body("web", families=["IPv4"], ingress=["203.0.113.1"]))
    api.put_service(service_body("other", ingress=["192.0.2.10"]))
    Allocator(api, EDGE).run()
    assert api.ingress(OTHER) == ["192.0.2.10"]
    assert api.ingress(WEB) == ["192.0.2.11"]


def test_an_address_that_a_status_still_shows_is_given_to_nobody(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=pools(pool("edge", "192.0.2.10")))
    api.put_service(service_body("other"))
    api.delete_service(WEB)
    allocator.run()
    assert api.log.index("delete v4-192-0-2-10") < api.log.index("patch service default/web", 3)
    assert api.log.index("patch service default/web", 3) < len(api.log) - 1 - api.log[::-1].index(
        "create v4-192-0-2-10"
    )


def test_while_a_status_shows_an_address_the_ledger_keeps_it(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    while "delete v4-192-0-2-10" not in api.log:
        assert allocator.step()
    # The address is looked at before the Service is: it is withdrawn, but shown.
    allocator.assigner.queue.add(FIRST, first=True)
    allocator.step()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert allocator.assigner.ledger.get(FIRST) is not None
    allocator.run()
    assert allocator.assigner.ledger.get(FIRST) is None
