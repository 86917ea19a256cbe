"""The assigner and what a Service still shows though no record names it: kube-proxy serves it there, so it is kept."""

from typing import Any

from crds.names import FINALIZER
from kube.objects import ServiceKey
from tests.allocator.build import address, pool, pools, service_body
from tests.allocator.fakeapi import EDGE, FIRST, OTHER, WEB, Allocator, FakeApi, settled

BOTH = pools(pool("edge", "192.0.2.10-192.0.2.13", "2001:db8::10-2001:db8::13"))
DUAL: dict[str, Any] = {"families": ["IPv4", "IPv6"], "policy": "RequireDualStack"}
SIX = "2001:db8::10"
THIRD = ServiceKey("default", "third")


def wants(name: str, ip: str, **more: Any) -> dict[str, Any]:
    """A Service that asks for this very address."""
    family = "IPv6" if ":" in ip else "IPv4"
    annotations = {"berth.dev/ips": ip, **more.pop("annotations", {})}
    return service_body(name, families=[family], annotations=annotations, **more)


def half_released(api: FakeApi) -> Allocator:
    """Service web is terminating: its IPv6 address is withdrawn and has no record; a node holds the IPv4 one back."""
    api.put_service(service_body("web", **DUAL))
    allocator = Allocator(api, BOTH)
    allocator.run()
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(address(SIX))
    allocator.run(withdraw=False)
    assert list(api.allocations) == ["v4-192-0-2-10"]
    assert SIX in api.ingress(WEB)
    return allocator


def test_the_next_leader_keeps_the_family_that_a_terminating_service_still_shows(api: FakeApi) -> None:
    half_released(api)
    api.put_service(wants("other", SIX))
    successor = Allocator(api, BOTH)
    successor.run(withdraw=False)
    assert api.ingress(OTHER) == []
    condition = api.condition(OTHER)
    assert condition is not None
    assert "default/web" in condition["message"]
    successor.run()
    assert WEB not in api.services
    assert api.ingress(OTHER) == [SIX]


def test_the_next_leader_keeps_an_address_between_its_record_and_the_finalizer(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    allocator.pass_barrier(FIRST)
    while "delete v4-192-0-2-10" not in api.log:
        assert allocator.step()
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]
    api.put_service(wants("other", "192.0.2.10", created="2026-01-01T00:00:00Z"))
    successor = Allocator(api, EDGE)
    successor.assigner.queue.add(OTHER, first=True)  # as when web's last PATCH is refused
    while WEB in api.services:
        assert api.ingress(OTHER) == []
        assert successor.step()
    successor.run()
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_a_finalizer_of_the_common_name_on_another_class_keeps_nothing(api: FakeApi) -> None:
    """The name is Kubernetes' own: other load balancers take it too."""
    foreign = service_body("web", ingress=["192.0.2.10"], loadBalancerClass="example.com/other")
    foreign["metadata"]["finalizers"] = [FINALIZER]
    api.put_service(foreign)
    api.put_service(service_body("other"))
    Allocator(api, EDGE).run()
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_an_address_outside_of_every_pool_is_kept_too_since_pools_change(api: FakeApi) -> None:
    half_released(api)
    successor = Allocator(api, pools(pool("edge", "192.0.2.10-192.0.2.13")))
    successor.assigner.set_pools(BOTH)
    api.put_service(wants("other", SIX))
    successor.run(withdraw=False)
    assert api.ingress(OTHER) == []
    successor.run()
    assert api.ingress(OTHER) == [SIX]


def sharing(name: str, port: int, **more: Any) -> dict[str, Any]:
    return service_body(name, annotations={"berth.dev/sharing-key": "k"}, ports=[("TCP", port)], **more)


def test_who_left_a_shared_address_and_still_shows_it_keeps_its_port(api: FakeApi) -> None:
    """A dual-stack Service is terminating for as long as one address waits; the other is shared and stays in use."""
    api.put_service(sharing("other", 443))
    api.put_service(sharing("web", 80, **DUAL))
    allocator = Allocator(api, BOTH)
    allocator.run()
    assert "192.0.2.10" in api.ingress(WEB)
    assert api.ingress(OTHER) == ["192.0.2.10"]
    api.delete_service(WEB)
    api.put_service(sharing("third", 80))
    for _ in range(40):
        allocator.watch()
        allocator.step()
        both = [key for key in (WEB, THIRD) if key in api.services and "192.0.2.10" in api.ingress(key)]
        assert len(both) < 2
    assert WEB in api.services
    assert api.ingress(THIRD) == ["192.0.2.10"]


def test_a_finalizer_stays_recognizable_until_it_goes(api: FakeApi) -> None:
    """Of a class that is not served any more: who dies after the ingress went leaves the condition beside it."""
    settled(api, "web")
    elsewhere = Allocator(api, EDGE, load_balancer_class="example.org/x")
    while api.ingress(WEB):
        assert elsewhere.step()
    assert api.condition(WEB) is not None
    Allocator(api, EDGE, load_balancer_class="example.org/x").run()
    assert api.condition(WEB) is None
    assert api.services[WEB]["metadata"]["finalizers"] == []
    assert api.allocations == {}
