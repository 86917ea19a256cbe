"""Services that wait are asked again when what they wait for may be had, and whoever takes the rest."""

from crds.conditions import Reason
from kube.objects import ServiceKey
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import OTHER, WEB, Allocator, FakeApi

OLDER = ServiceKey("team", "older")


def reason(api: FakeApi, key: ServiceKey) -> str:
    condition = api.condition(key)
    assert condition is not None
    return str(condition["reason"])


def test_a_quota_that_has_room_again_wakes_whoever_waits_for_it_also_where_another_namespace_took_the_address(
    api: FakeApi,
) -> None:
    """It waits for a free address then, and no more for its quota."""
    api.put_service(service_body("web"))
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10", max_per_namespace=1)))
    allocator.run(until=10.0)
    api.put_service(service_body("older", namespace="team", created="2026-01-03T00:00:00Z"))
    api.put_service(service_body("other", created="2026-01-04T00:00:00Z"))
    allocator.run(until=20.0)
    assert (reason(api, OLDER), reason(api, OTHER)) == (Reason.PoolExhausted, Reason.QuotaExceeded)
    api.delete_service(WEB)
    allocator.run(until=30.0)
    assert api.ingress(OLDER) == ["192.0.2.10"]
    assert reason(api, OTHER) == Reason.PoolExhausted
    api.delete_service(OLDER)
    allocator.run(until=40.0)
    assert api.ingress(OTHER) == ["192.0.2.10"]
