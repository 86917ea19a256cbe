"""Services that an upgrade leaves without their addresses, because another class is served now."""

from allocator.notices import of_class_changed
from allocator.ownership import Ownership
from crds.conditions import Reason
from crds.names import FINALIZER
from tests.allocator.build import service
from tests.allocator.fakeapi import EDGE, WEB, Allocator, settled


def test_a_service_that_is_of_another_class_now_is_told_why_it_loses_its_address(api) -> None:
    settled(api, "web")
    upgraded = Allocator(api, EDGE, load_balancer_class="example.com/inner")
    upgraded.run()
    assert api.ingress(WEB) == []
    assert not api.allocations
    assert upgraded.told == [Reason.ClassChanged]


def test_it_says_what_is_served_what_the_service_has_and_what_to_do() -> None:
    inner = Ownership("example.com/inner", FINALIZER)
    (notice,) = of_class_changed(service("web", ingress=["192.0.2.10"]), inner)
    assert notice.type == "Warning"
    assert notice.message.startswith("192.0.2.10 is withdrawn: Berth serves Services of the class example.com/inner, ")
    assert "this Service has no class" in notice.message
    assert notice.message.endswith("or create the Service anew with spec.loadBalancerClass: example.com/inner")
    (other,) = of_class_changed(service("web", loadBalancerClass="example.com/theirs"), Ownership(None, FINALIZER))
    assert "Services without a class, and those of the class berth.dev/berth" in other.message
    assert "has the class example.com/theirs" in other.message
    assert not list(of_class_changed(service("web"), Ownership(None, FINALIZER)))


def test_a_service_that_changes_its_type_is_not_told_of_a_class(api) -> None:
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run()
    assert not api.allocations
    assert allocator.told == [Reason.Allocated]
