"""External IPs in a pool that announces them: recorded for whoever names them, freed by a release, given to nobody."""

import json
from typing import Any

import pytest

from allocator.keepers import source
from allocator.objects import decode_allocation
from allocator.space.keptout import KeptBy
from allocator.space.pools import Pools
from crds.conditions import Reason
from crds.ippool import KeptOutReason
from kube.objects import ServiceKey
from tests.allocator.build import address, pool, pools, service_body
from tests.allocator.fakeapi import Allocator, Body, FakeApi

X, Y = "192.0.2.10", "192.0.2.11"
RECORD = "v4-192-0-2-10"


def edge(*addresses: str, **spec: Any) -> Pools:
    return pools(pool("edge", *(addresses or ("192.0.2.10-192.0.2.13",)), external_ips="Announce", **spec))


def naming(name: str, *external: str, **fields: Any) -> Body:
    return service_body(name, **{"type": "ClusterIP", "externalIPs": list(external or (X,)), **fields})


def key(name: str, namespace: str = "default") -> ServiceKey:
    return ServiceKey(namespace, name)


def started(api: FakeApi, *bodies: Body, of: Pools | None = None) -> Allocator:
    for body in bodies:
        api.put_service(body)
    allocator = Allocator(api, of or edge(), namespaces={"default": {}, "other": {"team": "b"}})
    allocator.run()
    return allocator


def holders(api: FakeApi, name: str = RECORD) -> list[str]:
    record = api.allocations.get(name)
    return [] if record is None else [one["name"] for one in record["spec"]["holders"]]


def refused(allocator: Allocator) -> list[str]:
    return [one.message for one in allocator.assigner.notices if one.reason is Reason.ExternalIPRefused]


@pytest.mark.parametrize("type", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_what_a_service_of_any_type_names_is_recorded_for_it(api: FakeApi, type: str) -> None:
    allocator = started(api, naming("web", type=type))
    spec = api.allocations[RECORD]["spec"]
    assert (spec["external"], spec["pool"], holders(api)) == (True, "edge", ["web"])
    assert api.ingress(key("web")) == ([Y] if type == "LoadBalancer" else [])
    if type != "LoadBalancer":
        assert api.log == [f"create {RECORD}"]  # nothing of the Service is written
    assert refused(allocator) == []


def test_no_pool_announces_them_unless_it_says_so(api: FakeApi) -> None:
    started(api, naming("web"), of=pools(pool("edge", "192.0.2.10-192.0.2.13")))
    assert api.log == []


def test_an_allocator_that_starts_again_writes_nothing(api: FakeApi) -> None:
    started(api, naming("web"), naming("other", X, ports=[("TCP", 443)]), naming("lb", Y, type="LoadBalancer"))
    api.log.clear()
    started(api)
    assert api.log == []


@pytest.mark.parametrize("end", ["deleted", "taken out", "of another kind", "not announced any more"])
def test_it_is_free_when_every_speaker_has_withdrawn_it(api: FakeApi, end: str) -> None:
    allocator = started(api, naming("web"))
    match end:
        case "deleted":
            api.delete_service(key("web"))
        case "taken out":
            api.edit_service(key("web"), lambda body: body["spec"].update(externalIPs=[]))
        case "of another kind":
            api.edit_service(key("web"), lambda body: body["spec"].update(type="ExternalName"))
        case _:
            allocator.assigner.set_pools(pools(pool("edge", "192.0.2.10-192.0.2.13")))
    api.put_service(service_body("late", annotations={"berth.dev/ips": X}))
    allocator.run(withdraw=False)
    assert api.allocations[RECORD]["spec"]["releasing"]
    assert api.ingress(key("late")) == []
    allocator.run()
    is_named_still = end in ("of another kind", "not announced any more")
    assert api.ingress(key("late")) == ([] if is_named_still else [X])


def test_no_service_gets_it_by_asking_for_it(api: FakeApi) -> None:
    allocator = started(api, naming("web"), service_body("late", annotations={"berth.dev/ips": X}))
    condition = api.condition(key("late"))
    assert condition is not None
    assert condition["reason"] == "AddressInUse"
    assert "external IP of default/web" in condition["message"]
    assert holders(api) == ["web"]
    assert refused(allocator) == []


def test_the_address_of_a_service_stays_its_own_and_is_announced_for_who_names_it_when_it_is_free(
    api: FakeApi,
) -> None:
    allocator = started(api, service_body("first"))
    assert api.ingress(key("first")) == [X]
    api.put_service(naming("web"))
    allocator.run()
    assert holders(api) == ["first"]
    (message,) = refused(allocator)
    assert "it is the address of default/first" in message
    api.delete_service(key("first"))
    allocator.run()
    assert holders(api) == ["web"]
    assert api.allocations[RECORD]["spec"]["external"]


def test_a_service_that_names_its_own_address_changes_nothing(api: FakeApi) -> None:
    allocator = started(api, service_body("web"))
    api.log.clear()
    api.edit_service(key("web"), lambda body: body["spec"].update(externalIPs=[X]))
    allocator.run()
    assert "external" not in api.allocations[RECORD]["spec"]
    assert holders(api) == ["web"]
    assert refused(allocator) == []


def test_several_that_name_it_share_it_and_the_last_one_frees_it(api: FakeApi) -> None:
    allocator = started(api, naming("a"), naming("b", ports=[("TCP", 443)]))
    assert holders(api) == ["a", "b"]
    api.delete_service(key("a"))
    allocator.run(withdraw=False)
    assert holders(api) == ["b"]
    assert not api.allocations[RECORD]["spec"]["releasing"]
    api.delete_service(key("b"))
    allocator.run()
    assert RECORD not in api.allocations


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"ports": [("TCP", 80)]}, "port TCP 80 is taken by default/a"),
        ({"ports": [("TCP", 443)], "externalTrafficPolicy": "Local"}, "its externalTrafficPolicy is Cluster"),
        ({"ports": [("TCP", 443)], "namespace": "other"}, "of another namespace"),
    ],
)
def test_who_does_not_go_together_with_the_others_is_told_once_and_comes_in_when_it_does(
    api: FakeApi, other: dict[str, Any], why: str
) -> None:
    allocator = started(api, naming("a"))
    api.put_service(naming("b", **other))
    allocator.run()
    allocator.assigner.queue.add(key("b", other.get("namespace", "default")))
    allocator.run()
    assert holders(api) == ["a"]
    (message,) = refused(allocator)
    assert message.startswith(f"External IP {X} is not announced for this Service: ")
    assert why in message
    api.delete_service(key("a"))
    allocator.run()
    assert holders(api) == ["b"]


def test_sharers_that_change_their_policy_one_after_the_other_keep_the_address(api: FakeApi) -> None:
    allocator = started(
        api, naming("a", selector={"app": "x"}), naming("b", ports=[("TCP", 443)], selector={"app": "x"})
    )
    for name in ("a", "b"):
        api.edit_service(key(name), lambda body: body["spec"].update(externalTrafficPolicy="Local"))
        allocator.run()
        assert holders(api) == ["a", "b"]
    spec = api.allocations[RECORD]["spec"]
    assert (spec["trafficPolicy"], spec["selector"], spec.get("sharingKey")) == ("Local", {"app": "x"}, None)


@pytest.mark.parametrize(
    ("spec", "body", "why"),
    [
        ({"namespaces": ["other"]}, {}, "not for this Service"),
        ({"service_selector": {"matchLabels": {"a": "b"}}}, {}, "not for this Service"),
        ({"namespace_selector": {"matchLabels": {"team": "a"}}}, {}, "not for this Service"),
        ({"paused": True}, {}, "paused"),
        ({"max_per_namespace": 1}, {"external": [X, Y]}, "maxPerNamespace"),
        ({"reservations": [{"address": X, "namespace": "a", "name": "b"}]}, {}, "reserved for Service a/b"),
        ({}, {"families": ["IPv6"]}, "the Service has no IPv4"),
    ],
)
def test_the_pool_says_for_whom_it_announces_them(
    api: FakeApi, spec: dict[str, Any], body: dict[str, Any], why: str
) -> None:
    external = body.pop("external", [X])
    allocator = started(api, naming("web", *external, **body), of=edge(**spec))
    (message,) = refused(allocator)
    assert why in message
    assert len(api.allocations) == len(external) - 1


def test_a_pool_that_is_not_for_its_service_any_more_announces_it_no_more(api: FakeApi) -> None:
    allocator = started(api, naming("web"))
    allocator.assigner.set_pools(edge(namespaces=["other"]))
    allocator.run()
    assert api.allocations == {}
    allocator.assigner.set_pools(edge())
    allocator.run()
    assert holders(api) == ["web"]


@pytest.mark.parametrize("reason", [KeptOutReason.NodeAddress, KeptOutReason.Gateway])
def test_what_a_node_or_a_gateway_has_is_announced_for_nobody_anew(api: FakeApi, reason: KeptOutReason) -> None:
    """Whoever may write Services could take the traffic of the whole segment."""
    allocator = started(api)
    allocator.assigner.keep_out(source("Node", "n1"), {address(X): KeptBy(reason, "n1")})
    api.put_service(naming("web"))
    allocator.run()
    assert api.allocations == {}
    assert len(refused(allocator)) == 1
    allocator.assigner.keep_out(source("Node", "n1"), {})
    allocator.run()
    assert holders(api) == ["web"]


@pytest.mark.parametrize("fields", [{"type": "ExternalName"}, {"clusterIPs": ["None"]}])
def test_what_no_proxy_serves_is_not_announced(api: FakeApi, fields: dict[str, Any]) -> None:
    started(api, naming("web", **fields))
    assert api.log == []


def test_a_record_that_is_deleted_or_edited_by_hand_is_put_right(api: FakeApi) -> None:
    allocator = started(api, naming("web"))
    allocator.watch()
    api.delete_by_hand(RECORD)
    allocator.run()
    assert holders(api) == ["web"]
    api.allocations[RECORD]["spec"]["trafficPolicy"] = "Local"
    api._stamp(api.allocations[RECORD])
    allocator.run()
    assert api.allocations[RECORD]["spec"]["trafficPolicy"] == "Cluster"


def test_a_service_of_another_load_balancer_keeps_its_status(api: FakeApi) -> None:
    body = naming("web", type="LoadBalancer", loadBalancerClass="example.org/theirs", ingress=["198.51.100.9"])
    allocator = started(api, body)
    assert holders(api) == ["web"]
    api.edit_service(key("web"), lambda body: body["spec"].update(externalIPs=[]))
    allocator.run()
    assert api.allocations == {}
    assert api.ingress(key("web")) == ["198.51.100.9"]


def test_what_another_load_balancer_wrote_does_not_pass_for_ours_with_an_external_ip(api: FakeApi) -> None:
    """The Service is ours and gets nothing, as the pool is full."""
    started(api, naming("web", type="LoadBalancer", ingress=["198.51.100.9"]), of=edge(X))
    assert holders(api) == ["web"]
    assert api.ingress(key("web")) == ["198.51.100.9"]
    assert not api.services[key("web")]["metadata"].get("finalizers")


def test_a_record_that_the_api_server_refuses_is_tried_again_in_a_minute(api: FakeApi) -> None:
    api.refuses = lambda spec: True
    api.put_service(naming("web"))
    allocator = Allocator(api, edge())
    allocator.run(until=30.0)
    assert len(refused(allocator)) == 1
    assert api.allocations == {}
    api.refuses = lambda spec: False
    allocator.run(until=120.0)
    assert holders(api) == ["web"]


def test_it_counts_as_in_use_and_is_no_conflict(api: FakeApi) -> None:
    allocator = started(api, naming("web"))
    ledger = allocator.assigner.ledger
    edge_pool = ledger.pools.by_name["edge"]
    (entry,) = ledger
    assert ledger.in_use_all_the_same(edge_pool) == []
    assert ledger.held_in_namespace("edge", "default") == 1
    assert ledger.held_by_uid("s1") == []
    assert ledger.named_by_uid("s1") == [entry]
    assert decode_allocation(json.dumps(api.allocations[RECORD]).encode()).claim == entry.claim
