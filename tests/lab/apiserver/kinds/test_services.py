"""Services beyond the recordings: what is handed out, kept, given back and refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.apiserver.conftest import SERVICES, Client, service

pytestmark = pytest.mark.asyncio


def fields(answer: Any) -> list[str]:
    return [cause["field"] for cause in answer["details"]["causes"]]


async def test_an_asked_cluster_ip_is_given_once_and_freed_with_the_service(api: Client) -> None:
    wish = service("a", type="ClusterIP", clusterIP="10.96.7.7")
    assert (await api.post(SERVICES, wish))[1]["spec"]["clusterIPs"] == ["10.96.7.7"]
    wish["metadata"] = {"name": "b"}
    code, answer = await api.post(SERVICES, wish)
    assert code == 422
    assert "failed to allocate IP 10.96.7.7: provided IP is already allocated" in answer["message"]
    await api.delete(f"{SERVICES}/a")
    assert (await api.post(SERVICES, wish))[0] == 201
    code, answer = await api.post(SERVICES, service("c", clusterIP="192.0.2.1"))
    assert code == 422
    assert "not in the valid range" in answer["message"]


async def test_node_ports_are_given_once_and_only_from_the_range(api: Client) -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    assert (await api.post(SERVICES, service("a", type="NodePort", ports=ports)))[0] == 201
    code, answer = await api.post(SERVICES, service("b", type="NodePort", ports=ports))
    assert (code, fields(answer)) == (422, ["spec.ports[0].nodePort"])
    assert "provided port is already allocated" in answer["message"]
    code, answer = await api.post(SERVICES, service("b", ports=[{"port": 80, "nodePort": 80}]))
    assert "The range of valid ports is 30000-32767" in answer["message"]
    await api.delete(f"{SERVICES}/a")
    assert (await api.post(SERVICES, service("b", type="NodePort", ports=ports)))[0] == 201


async def test_tcp_and_udp_of_one_port_share_their_node_port(api: Client) -> None:
    ports = [{"name": "t", "port": 53}, {"name": "u", "port": 53, "protocol": "UDP"}]
    _, answer = await api.post(SERVICES, service("dns", ports=ports))
    assert len({port["nodePort"] for port in answer["spec"]["ports"]}) == 1
    assert (await api.delete(f"{SERVICES}/dns"))[0] == 200
    assert not api.server.core.services._ports.taken


async def test_a_put_that_leaves_out_what_was_handed_out_keeps_it(api: Client) -> None:
    _, before = await api.post(SERVICES, service("a", externalTrafficPolicy="Local"))
    _, after = await api.call("PUT", f"{SERVICES}/a", service("a", externalTrafficPolicy="Local"))
    for key in ("clusterIP", "ports", "healthCheckNodePort", "ipFamilies"):
        assert after["spec"][key] == before["spec"][key]
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_cluster_ip_and_class_stay(api: Client) -> None:
    await api.post(SERVICES, service("a", loadBalancerClass="example.com/one"))
    code, answer = await api.patch(f"{SERVICES}/a", {"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}})
    assert (code, fields(answer)) == (422, ["spec.clusterIPs[0]"])
    code, answer = await api.patch(f"{SERVICES}/a", {"spec": {"loadBalancerClass": "example.com/two"}})
    assert (code, fields(answer)) == (422, ["spec.loadBalancerClass"])
    _, answer = await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}})
    assert "loadBalancerClass" not in answer["spec"]
    assert "nodePort" not in answer["spec"]["ports"][0]


async def test_a_change_of_type_keeps_conditions_and_drops_ingress(api: Client) -> None:
    await api.post(SERVICES, service("a"))
    condition = {
        "type": "berth.dev/Allocated",
        "status": "True",
        "reason": "Allocated",
        "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}, "conditions": [condition]}
    await api.patch(f"{SERVICES}/a/status", {"status": status})
    _, answer = await api.patch(f"{SERVICES}/a", {"spec": {"type": "ClusterIP"}})
    assert answer["status"] == {"loadBalancer": {}, "conditions": [condition]}


async def test_a_second_family_comes_and_goes_with_the_policy(api: Client) -> None:
    _, one = await api.post(SERVICES, service("a"))
    _, two = await api.patch(f"{SERVICES}/a", {"spec": {"ipFamilyPolicy": "RequireDualStack"}})
    assert two["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert two["spec"]["clusterIPs"][0] == one["spec"]["clusterIP"]
    body = {"spec": {"ipFamilyPolicy": "SingleStack"}}
    _, back = await api.patch(f"{SERVICES}/a", body)
    assert back["spec"]["ipFamilies"] == ["IPv4"]
    assert back["spec"]["clusterIPs"] == [one["spec"]["clusterIP"]]


async def test_a_service_may_ask_for_ipv6_alone(api: Client) -> None:
    _, answer = await api.post(SERVICES, service("a", ipFamilies=["IPv6"]))
    assert answer["spec"]["clusterIP"].startswith("fd00:10:96::")
    assert answer["spec"]["ipFamilyPolicy"] == "SingleStack"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"ports": []}, "spec.ports"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 80, "protocol": "ICMP"}]}, "spec.ports[0].protocol"),
        ({"ports": [{"port": 80}, {"port": 81}]}, "spec.ports[0].name"),
        ({"ports": [{"port": 80, "name": "a"}, {"port": 80, "name": "b"}]}, "spec.ports[1]"),
        ({"type": "Nope"}, "spec.type"),
        ({"ipFamilies": ["IPv5"]}, "spec.ipFamilies[0]"),
        ({"ipFamilyPolicy": "Some"}, "spec.ipFamilyPolicy"),
        ({"type": "ClusterIP", "externalTrafficPolicy": "Local"}, "spec.externalTrafficPolicy"),
        ({"type": "ClusterIP", "loadBalancerClass": "a.example/b"}, "spec.loadBalancerClass"),
        ({"loadBalancerClass": "not a class"}, "spec.loadBalancerClass"),
        ({"loadBalancerSourceRanges": ["300.0.0.0/8"]}, "spec.loadBalancerSourceRanges[0]"),
        ({"externalIPs": ["nope"]}, "spec.externalIPs[0]"),
        ({"type": "ExternalName"}, "spec.externalName"),
        ({"healthCheckNodePort": 30000}, "spec.healthCheckNodePort"),
    ],
)
async def test_invalid_services_are_refused_by_field(api: Client, spec: dict[str, Any], field: str) -> None:
    code, answer = await api.post(SERVICES, service("bad", **spec))
    assert code == 422
    assert field in fields(answer)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"hostname": "192.0.2.1"}, "hostname"),
        ({"hostname": "x.example", "ipMode": "VIP"}, "ipMode"),
        ({"ip": "192.0.2.1", "ipMode": "Magic"}, "ipMode"),
    ],
)
async def test_invalid_ingress_is_refused(api: Client, entry: dict[str, Any], field: str) -> None:
    await api.post(SERVICES, service("a"))
    code, answer = await api.patch(f"{SERVICES}/a/status", {"status": {"loadBalancer": {"ingress": [entry]}}})
    assert (code, fields(answer)) == (422, [f"status.loadBalancer.ingress[0].{field}"])


async def test_a_headless_service_gets_no_address(api: Client) -> None:
    _, answer = await api.post(SERVICES, service("a", type="ClusterIP", clusterIP="None"))
    assert answer["spec"]["clusterIPs"] == ["None"]


async def test_services_are_selected_by_type(api: Client) -> None:
    await api.post(SERVICES, service("a"))
    _, answer = await api.get(f"{SERVICES}?fieldSelector=spec.type%3DLoadBalancer")
    assert [one["metadata"]["name"] for one in answer["items"]] == ["a"]
