"""Services whose finalizer had another name when they were first served."""

from crds.names import FINALIZER, FINALIZER_BESIDE_CLOUD
from tests.allocator.build import pools, service_body
from tests.allocator.fakeapi import EDGE, WEB, Allocator, FakeApi, reasons, settled

THIRD = "example.org/third"


def finalizers(api: FakeApi) -> list[str]:
    found: list[str] = api.services[WEB]["metadata"].get("finalizers", [])
    return found


def test_a_former_finalizer_is_replaced_on_sight(api: FakeApi) -> None:
    settled(api, "web")
    assert finalizers(api) == [FINALIZER]
    allocator = Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD)
    allocator.run()
    assert finalizers(api) == [FINALIZER_BESIDE_CLOUD]
    Allocator(api, EDGE).run()
    assert finalizers(api) == [FINALIZER]
    assert reasons(allocator) == []


def test_a_former_finalizer_goes_with_the_release(api: FakeApi) -> None:
    """Of a Service that is being deleted already: it takes no other one."""
    settled(api, "web")
    api.delete_service(WEB)
    Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD).run()
    assert api.services == {}
    assert api.allocations == {}


def test_a_release_that_only_the_finalizer_is_left_of_ends_under_another_name_too(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    api.allocations.clear()
    Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD).run()
    assert api.services == {}


def test_two_finalizers_that_an_earlier_release_left_go_both_at_the_end(api: FakeApi) -> None:
    settled(api, "web")
    api.edit_service(WEB, lambda body: body["metadata"].update(finalizers=[FINALIZER, THIRD, FINALIZER_BESIDE_CLOUD]))
    Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD).run()
    assert finalizers(api) == [FINALIZER, THIRD, FINALIZER_BESIDE_CLOUD]
    api.delete_service(WEB)
    Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD).run()
    assert finalizers(api) == [THIRD]


def test_a_finalizer_that_another_load_balancer_left_stays_until_the_service_goes(api: FakeApi) -> None:
    """The common name: nothing says that it is ours when the Service is first served."""
    body = service_body("web")
    body["metadata"]["finalizers"] = [FINALIZER]
    api.put_service(body)
    nothing_to_give = Allocator(api, pools(), finalizer=FINALIZER_BESIDE_CLOUD)
    nothing_to_give.run()
    assert finalizers(api) == [FINALIZER]
    nothing_to_give.assigner.set_pools(EDGE)
    nothing_to_give.run()
    assert finalizers(api) == [FINALIZER, FINALIZER_BESIDE_CLOUD]
    Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD).run()
    assert finalizers(api) == [FINALIZER, FINALIZER_BESIDE_CLOUD]


def test_a_name_that_is_no_former_one_is_left_alone(api: FakeApi) -> None:
    settled(api, "web")
    Allocator(api, EDGE, finalizer=FINALIZER_BESIDE_CLOUD, former_finalizers=()).run()
    assert finalizers(api) == [FINALIZER, FINALIZER_BESIDE_CLOUD]
