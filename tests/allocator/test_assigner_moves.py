"""The assigner when a Service changes its address, its type or its ports, or shares an address."""

from allocator.request import key_of
from crds.names import FINALIZER
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import EDGE, OTHER, WEB, Allocator, FakeApi, settled


def share(api: FakeApi, allocator: Allocator) -> None:
    """Two Services at one address, on different ports."""
    for name, port in (("web", 80), ("other", 443)):
        api.put_service(service_body(name, ports=[("TCP", port)], annotations={"berth.dev/sharing-key": "k"}))
    allocator.run()


def test_a_move_serves_at_the_new_address_before_the_old_one_goes(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.log.clear()
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.13"}))
    allocator.run()
    assert api.log == [
        "create v4-192-0-2-13",
        "patch service default/web",
        "patch v4-192-0-2-10",
        "delete v4-192-0-2-10",
    ]
    assert api.ingress(WEB) == ["192.0.2.13"]
    assert allocator.told == ["Allocated", "AddressChanged"]


def test_an_old_address_is_not_given_up_before_the_status_names_the_new_one(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "192.0.2.13"}))
    allocator.watch()
    while "create v4-192-0-2-13" not in api.log:
        assert allocator.step()
    api.edit_service(WEB, lambda body: body["metadata"]["labels"].update({"somebody": "else"}))
    while allocator.step():  # its patch of the status meets a conflict
        pass
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert not api.allocations["v4-192-0-2-10"]["spec"]["releasing"]
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.13"]


def test_a_type_change_releases_and_takes_condition_and_finalizer_off(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run(withdraw=False)
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]
    allocator.run()
    assert api.services[WEB]["metadata"]["finalizers"] == []
    assert api.condition(WEB) is None
    assert api.allocations == {}


def test_a_type_change_while_nobody_ran_is_cleaned_up_at_start(api: FakeApi) -> None:
    settled(api, "web")
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    Allocator(api, EDGE).run()
    assert api.allocations == {}
    assert api.services[WEB]["metadata"]["finalizers"] == []


def test_a_pending_service_that_stops_being_one_loses_its_condition(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=pools())
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == "NoPools"
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run()
    assert api.condition(WEB) is None


def test_going_back_to_load_balancer_gets_another_address_at_once(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    allocator.run(withdraw=False)
    api.edit_service(WEB, lambda body: body["spec"].update(type="LoadBalancer"))
    allocator.run(withdraw=False)
    assert api.ingress(WEB) == ["192.0.2.11"]
    allocator.run()
    assert list(api.allocations) == ["v4-192-0-2-11"]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


def test_services_share_and_leave_an_address_one_by_one(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    share(api, allocator)
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.10"]
    api.delete_service(WEB)
    allocator.run(withdraw=False)
    assert WEB not in api.services
    spec = api.allocations["v4-192-0-2-10"]["spec"]
    assert [holder["name"] for holder in spec["holders"]] == ["other"]
    assert not spec["releasing"]
    api.delete_service(OTHER)
    allocator.run()
    assert api.allocations == {}


def test_a_service_that_wants_a_port_of_another_namespace_is_not_shown_until_it_gives_it_up(api: FakeApi) -> None:
    """Neither does it move, though there are other addresses."""
    key = {"berth.dev/sharing-key": "k"}
    theirs = api.put_service(service_body("web", namespace="shop", ports=[("TCP", 443)], annotations=key))
    api.put_service(service_body("web", ports=[("TCP", 80)], annotations=key))
    allocator = Allocator(api, pools(pool("edge", "192.0.2.10-192.0.2.19", sharing="AnyNamespace")))
    allocator.run()
    assert api.ingress(WEB) == api.ingress(key_of(theirs)) == ["192.0.2.10"]
    unreadable = {"berth.dev/ips": "nonsense"}
    for annotations in (key, unreadable, {**key, **unreadable}):
        api.edit_service(WEB, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": 443}]))
        api.edit_service(WEB, lambda body, its=annotations: body["metadata"].update(annotations=its))
        allocator.run()
        assert api.ingress(WEB) == []
        assert api.services[WEB]["metadata"].get("finalizers") == [FINALIZER], "it holds the address still"
        assert api.ingress(key_of(theirs)) == ["192.0.2.10"]
    api.edit_service(WEB, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": 80}]))
    api.edit_service(WEB, lambda body: body["metadata"].update(annotations=key))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert list(api.allocations) == ["v4-192-0-2-10"]


def test_a_service_that_shares_no_more_keeps_the_address_until_it_gets_what_it_asks_for(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    first = api.put_service(service_body("first"))
    share(api, allocator)
    wish = {"berth.dev/ips": "192.0.2.10"}  # which the first one holds
    api.edit_service(WEB, lambda body: body["metadata"].update(annotations=wish))
    allocator.run()
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.11"]
    api.delete_service(key_of(first))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert [one["name"] for one in api.allocations["v4-192-0-2-11"]["spec"]["holders"]] == ["other"]


def test_colliding_ports_on_a_shared_address_move_nobody(api: FakeApi) -> None:
    allocator = Allocator(api, EDGE)
    share(api, allocator)
    api.edit_service(OTHER, lambda body: body["spec"].update(ports=[{"protocol": "TCP", "port": 80}]))
    allocator.run()
    assert api.ingress(WEB) == api.ingress(OTHER) == ["192.0.2.10"]
    condition = api.condition(OTHER)
    assert condition is not None
    assert condition["reason"] == "SharingConflict"
    assert "port TCP 80 is taken by default/web" in condition["message"]
    (record,) = api.allocations.values()
    assert [[port["port"] for port in holder["ports"]] for holder in record["spec"]["holders"]] == [[443], [80]]
