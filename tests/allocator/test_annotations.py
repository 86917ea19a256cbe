"""Annotations under our prefix and MetalLB's: which are read, and what is said of the others."""

import pytest

from allocator.annotations import MOST_SHOWN, asked_for, nearest_to, not_understood
from crds.conditions import Reason
from crds.names import ANNOTATION_IPS, ANNOTATION_POOL, ANNOTATION_SHARING_KEY
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import EDGE, OTHER, WEB, Allocator, FakeApi


@pytest.mark.parametrize("prefix", ["metallb.io", "metallb.universe.tf"])
def test_both_of_metallbs_prefixes_are_read_like_ours(prefix: str) -> None:
    given = {"loadBalancerIPs": "192.0.2.1", "address-pool": "edge", "allow-shared-ip": "k"}
    asked = asked_for({f"{prefix}/{name}": value for name, value in given.items()})
    assert asked == {ANNOTATION_IPS: "192.0.2.1", ANNOTATION_POOL: "edge", ANNOTATION_SHARING_KEY: "k"}


def test_services_of_the_former_prefix_share_the_address_that_both_ask_for(api: FakeApi) -> None:
    wish = {"metallb.universe.tf/loadBalancerIPs": "192.0.2.12", "metallb.universe.tf/allow-shared-ip": "dns"}
    for name, protocol in (("web", "UDP"), ("other", "TCP")):
        api.put_service(service_body(name, annotations=wish, ports=[(protocol, 53)]))
    Allocator(api, EDGE).run()
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.12"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("berth.dev/ip", "berth.dev/ips"),
        ("berth.dev/address-pool", "berth.dev/pool"),
        ("berth.dev/sharing_key", "berth.dev/sharing-key"),
        ("metallb.io/loadBalancerIP", "metallb.io/loadBalancerIPs"),
        ("metallb.universe.tf/loadbalancerips", "metallb.universe.tf/loadBalancerIPs"),
        ("metallb.io/sharing-key", "berth.dev/sharing-key"),
        ("berth.dev/xyz", None),
        ("berth.dev/", None),
    ],
)
def test_the_nearest_known_name_is_found_also_under_another_prefix(name: str, meant: str | None) -> None:
    assert nearest_to(name) == meant


def test_only_annotations_with_a_prefix_of_ours_or_metallbs_are_told() -> None:
    foreign = {
        "kube-vip.io/loadbalancerIPs": "",
        "berth.dev.example/ips": "",
        "ips": "",
        "example.com/berth.dev/ips": "",
    }
    assert not_understood(foreign) == ""
    assert not_understood({"metallb.universe.tf/ip-allocated-from-pool": "old"}) == "", "MetalLB wrote that itself"
    assert "berth.dev/dropped-routers" in not_understood({"berth.dev/dropped-routers": ""}), "it belongs to Speakers"


def test_what_is_said_of_them_is_bounded() -> None:
    many = {f"berth.dev/{number}{'x' * 100_000}": "" for number in range(500)}
    said = not_understood(many)
    assert "and 497 more" in said
    assert len(said) < 4 * MOST_SHOWN + 200


def test_a_service_is_told_of_an_annotation_that_is_not_understood_once_and_as_long_as_it_is_there(
    api: FakeApi,
) -> None:
    api.put_service(service_body("web", annotations={"berth.dev/ip": "192.0.2.13"}))
    allocator = Allocator(api, EDGE)
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert "did you mean berth.dev/ips?" in message(api)
    assert allocator.told == [Reason.Allocated, Reason.UnknownAnnotation]
    api.edit_service(WEB, lambda body: body["metadata"]["labels"].update({"a": "b"}))
    for one in (allocator, successor := Allocator(api, EDGE)):
        one.told.clear()
        one.run()
        assert one.told == []
    api.edit_service(WEB, lambda body: body["metadata"].update(annotations={"berth.dev/ips": "192.0.2.13"}))
    successor.run()
    assert "understood" not in message(api)
    assert successor.told == [Reason.AddressChanged]


def test_a_service_that_waits_is_told_too(api: FakeApi) -> None:
    api.put_service(service_body("web", annotations={"metallb.io/pool": "edge"}))
    Allocator(api, pools(pool("ops", "192.0.2.1", auto_assign=False))).run()
    assert "did you mean berth.dev/pool?" in message(api)
    assert not api.ingress(WEB)


def message(api: FakeApi) -> str:
    condition = api.condition(WEB)
    assert condition is not None
    return str(condition["message"])
