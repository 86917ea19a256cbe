"""The assigner against a small API server: a Service gets its address, and keeps it."""

import pytest

from crds.names import FINALIZER, allocation_name
from kube.objects import ServiceKey
from tests.allocator.build import pool, pools, service_body
from tests.allocator.fakeapi import EDGE, FIRST, OTHER, WEB, Allocator, Body, FakeApi, settled


def test_a_service_gets_an_address_with_two_writes(api: FakeApi) -> None:
    settled(api, "web")
    assert api.log == ["create v4-192-0-2-10", "patch service default/web"]
    assert api.ingress(WEB) == ["192.0.2.10"]
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]
    condition = api.condition(WEB)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "Allocated")
    assert condition["message"] == "192.0.2.10 from pool edge"
    spec = api.allocations["v4-192-0-2-10"]["spec"]
    assert spec["holders"] == [
        {
            "namespace": "default",
            "name": "web",
            "uid": "s1",
            "ports": [{"protocol": "TCP", "port": 80}],
            "labels": {},
        }
    ]


def test_others_conditions_and_finalizers_are_kept(api: FakeApi) -> None:
    body = service_body("web")
    body["metadata"]["finalizers"] = ["example.org/theirs"]
    body["status"]["conditions"] = [{"type": "Theirs", "status": "True", "reason": "R", "message": "m"}]
    api.put_service(body)
    Allocator(api, EDGE).run()
    assert api.services[WEB]["metadata"]["finalizers"] == ["example.org/theirs", FINALIZER]
    assert [one["type"] for one in api.services[WEB]["status"]["conditions"]] == ["Theirs", "berth.dev/Allocated"]
    api.edit_service(WEB, lambda body: body["spec"].update(type="ClusterIP"))
    Allocator(api, EDGE).run()
    assert api.services[WEB]["metadata"]["finalizers"] == ["example.org/theirs"]
    assert [one["type"] for one in api.services[WEB]["status"]["conditions"]] == ["Theirs"]


def test_a_settled_cluster_needs_no_write_after_a_restart(api: FakeApi) -> None:
    settled(api, "web", "other")
    api.log.clear()
    restarted = Allocator(api, EDGE)
    restarted.run()
    assert api.log == []
    assert restarted.assigner.notices == []


@pytest.mark.parametrize("load_balancer_class", [None, "example.org/ours"])
def test_a_foreign_class_is_never_touched(api: FakeApi, load_balancer_class: str | None) -> None:
    body = service_body("web", loadBalancerClass="example.org/theirs", ingress=["192.0.2.10"])
    body["metadata"]["finalizers"] = [FINALIZER]
    api.put_service(body)
    Allocator(api, EDGE, load_balancer_class=load_balancer_class).run()
    api.delete_service(WEB)
    Allocator(api, EDGE, load_balancer_class=load_balancer_class).run()
    assert api.log == []
    assert api.services[WEB]["metadata"]["finalizers"] == [FINALIZER]


def test_with_a_class_configured_services_without_one_are_somebody_elses(api: FakeApi) -> None:
    api.put_service(service_body("web"))
    api.put_service(service_body("other", loadBalancerClass="example.org/ours"))
    Allocator(api, EDGE, load_balancer_class="example.org/ours").run()
    assert api.ingress(WEB) == []
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_another_class_takes_the_address_out_of_the_status_before_it_is_released(api: FakeApi) -> None:
    settled(api, "web")
    api.log.clear()
    allocator = Allocator(api, EDGE, load_balancer_class="example.org/ours")
    allocator.run()
    assert api.ingress(WEB) == []
    assert api.condition(WEB) is None
    assert api.services[WEB]["metadata"]["finalizers"] == []
    assert api.log[:2] == ["patch service default/web", "patch v4-192-0-2-10"]


def test_a_full_pool_serves_who_waited_longest_when_an_address_frees(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=pools(pool("edge", "192.0.2.10")))
    api.put_service(service_body("young", created="2026-01-09T00:00:00Z"))
    api.put_service(service_body("old", created="2026-01-03T00:00:00Z"))
    allocator.run()
    for name in ("young", "old"):
        condition = api.condition(ServiceKey("default", name))
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "PoolExhausted")
        assert api.ingress(ServiceKey("default", name)) == []
    api.delete_service(WEB)
    allocator.run()
    assert api.ingress(ServiceKey("default", "old")) == ["192.0.2.10"]
    assert api.ingress(ServiceKey("default", "young")) == []


def test_pending_services_are_served_when_a_pool_comes(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=pools())
    allocator.assigner.set_pools(EDGE)
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_nothing_is_decided_before_the_namespaces_labels_are_known(api: FakeApi) -> None:
    chosen = pools(
        pool("edge", "192.0.2.10", namespace_selector={"matchLabels": {"team": "a"}}, priority=1),
        pool("rest", "198.51.100.1"),
    )
    allocator = Allocator(api, chosen, namespaces={})
    api.put_service(service_body("web"))
    allocator.run()
    assert api.log == []
    allocator.assigner.namespace_seen("default", {"team": "a"})
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]


def test_a_bad_annotation_leaves_the_service_with_what_it_has(api: FakeApi) -> None:
    allocator = settled(api, "web")
    api.edit_service(WEB, lambda body: body["metadata"]["annotations"].update({"berth.dev/ips": "nonsense"}))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    condition = api.condition(WEB)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("False", "InvalidRequest")
    assert "keeps 192.0.2.10" in condition["message"]


def test_changed_ports_and_labels_reach_the_record(api: FakeApi) -> None:
    allocator = settled(api, "web")

    def change(body: Body) -> None:
        body["metadata"]["labels"] = {"tier": "front"}
        body["spec"]["ports"] = [{"protocol": "UDP", "port": 53}]
        body["spec"]["externalTrafficPolicy"] = "Local"
        body["spec"]["healthCheckNodePort"] = 30123

    api.edit_service(WEB, change)
    allocator.run()
    spec = api.allocations["v4-192-0-2-10"]["spec"]
    assert spec["holders"][0]["labels"] == {"tier": "front"}
    assert spec["holders"][0]["ports"] == [{"protocol": "UDP", "port": 53}]
    assert (spec["trafficPolicy"], spec["selector"]) == ("Local", {"app": "web"})
    assert spec["holders"][0]["healthCheckNodePort"] == 30123
    api.edit_service(WEB, lambda body: body["spec"].update(externalTrafficPolicy="Cluster", healthCheckNodePort=0))
    allocator.run()
    assert "healthCheckNodePort" not in api.allocations["v4-192-0-2-10"]["spec"]["holders"][0]


def test_a_pool_edit_moves_nobody(api: FakeApi) -> None:
    allocator = settled(api, "web")
    allocator.assigner.set_pools(pools(pool("edge", "198.51.100.0/24")))
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    condition = api.condition(WEB)
    assert condition is not None
    assert (condition["status"], condition["reason"]) == ("True", "OutsidePool")
    allocator.assigner.set_pools(pools())
    allocator.run()
    assert api.ingress(WEB) == ["192.0.2.10"]
    allocator.assigner.set_pools(EDGE)
    allocator.run()
    condition = api.condition(WEB)
    assert condition is not None
    assert condition["reason"] == "Allocated"


def test_a_rested_address_is_handed_on(api: FakeApi) -> None:
    allocator = settled(api, "web", edge=pools(pool("edge", "192.0.2.10", reuse_after_seconds=60)))
    api.put_service(service_body("other"))
    api.delete_service(WEB)
    allocator.run()
    assert api.ingress(OTHER) == []
    allocator.now += 61
    allocator.assigner.wake(allocator.now)
    allocator.run()
    assert api.ingress(OTHER) == ["192.0.2.10"]


def test_names_of_records_follow_from_addresses() -> None:
    assert allocation_name(FIRST) == "v4-192-0-2-10"
