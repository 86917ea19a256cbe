"""A pool that publishes when announced: the status shows an address once a node has announced it, and from then on."""

from typing import Any

import pytest

from crds.names import allocation_name
from crds.types import IPPool
from tests.allocator.build import address, pool, pools, service_body
from tests.allocator.fakeapi import WEB, Allocator, FakeApi

SHY = pools(pool("edge", "192.0.2.10-192.0.2.13", publish="WhenAnnounced"))
BOTH = pools(pool("edge", "192.0.2.10-192.0.2.13", "2001:db8::10", publish="WhenAnnounced"))


def running(api: FakeApi, edge: object = SHY, **service: object) -> Allocator:
    api.put_service(service_body("web", **service))  # type: ignore[arg-type]
    allocator = Allocator(api, edge)  # type: ignore[arg-type]
    allocator.run()
    return allocator


def announce(api: FakeApi, allocator: Allocator, of: str = "192.0.2.10") -> None:
    """The record says that a speaker announces it, or did."""
    api.announce(allocation_name(address(of)))
    allocator.watch()
    allocator.run()


def message(api: FakeApi) -> str:
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["status"] == "True"
    return str(condition["message"])


def test_an_address_is_shown_once_it_is_announced_and_the_condition_says_why_not_before(api: FakeApi) -> None:
    allocator = running(api)
    assert api.ingress(WEB) == []
    assert message(api).endswith("192.0.2.10 is shown by the status once a node announces it (publish: WhenAnnounced)")
    announce(api, allocator)
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert message(api) == "192.0.2.10 from pool edge"
    assert api.log == ["create v4-192-0-2-10", "patch service default/web", "patch service default/web"]


def test_what_was_published_stays_whoever_announces_it_and_whoever_leads(api: FakeApi) -> None:
    announce(api, running(api))
    api.allocations["v4-192-0-2-10"]["status"] = {"conditions": []}  # as a record that was made anew
    api.log.clear()
    successor = Allocator(api, SHY)
    successor.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.log == []


def test_a_service_keeps_showing_its_old_address_until_the_new_one_is_announced(api: FakeApi) -> None:
    allocator = running(api)
    announce(api, allocator)
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.13"}))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert not api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    restarted = Allocator(api, SHY)
    restarted.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    announce(api, restarted, "192.0.2.13")
    assert api.ingress(WEB) == ["192.0.2.13"]
    assert is_let_go(api, "v4-192-0-2-10")


def is_let_go(api: FakeApi, name: str) -> bool:
    return name not in api.allocations or bool(api.allocations[name]["spec"]["releasing"])


def test_an_address_that_was_never_shown_is_let_go_at_once_when_another_is_asked_for(api: FakeApi) -> None:
    allocator = running(api)
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.13"}))
    allocator.run()
    assert api.ingress(WEB) == []
    assert is_let_go(api, "v4-192-0-2-10")


def test_what_it_leaves_is_kept_for_a_successor_of_its_own_family_alone(api: FakeApi) -> None:
    allocator = running(api, BOTH, families=("IPv4", "IPv6"), policy="RequireDualStack")
    announce(api, allocator)
    announce(api, allocator, "2001:db8::10")

    def moves_in_one_family_and_gives_up_the_other(body: dict[str, Any]) -> None:
        body["metadata"]["annotations"]["berth.dev/ips"] = "192.0.2.13"
        body["spec"] |= {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}

    api.edit_service(WEB, moves_in_one_family_and_gives_up_the_other)
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert is_let_go(api, allocation_name(address("2001:db8::10")))


def test_of_two_families_each_is_published_by_itself_in_their_order(api: FakeApi) -> None:
    allocator = running(api, BOTH, families=("IPv4", "IPv6"), policy="RequireDualStack")
    announce(api, allocator, "2001:db8::10")
    assert api.ingress(WEB) == ["2001:db8::10"]
    announce(api, allocator)
    assert api.ingress(WEB) == ["192.0.2.10", "2001:db8::10"]


def test_a_pool_that_publishes_always_again_shows_what_waits(api: FakeApi) -> None:
    allocator = running(api)
    allocator.assigner.set_pools(pools(pool("edge", "192.0.2.10-192.0.2.13")))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_a_service_that_is_deleted_before_it_was_announced_goes_as_any_other(api: FakeApi) -> None:
    allocator = running(api)
    api.delete_service(WEB)
    allocator.run()
    assert WEB not in api.services


@pytest.mark.parametrize("publish", ["Never", ""])
def test_nothing_else_can_be_said(publish: str) -> None:
    with pytest.raises(ValueError, match="publish"):
        IPPool.decode(
            f'{{"metadata": {{"name": "p"}}, "spec": {{"addresses": ["192.0.2.1"], "publish": "{publish}"}}}}'
        )


def test_a_service_of_a_pool_that_is_gone_shows_what_it_has(api: FakeApi) -> None:
    allocator = running(api)
    allocator.assigner.set_pools(pools(pool("other", "198.51.100.1", publish="WhenAnnounced")))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
