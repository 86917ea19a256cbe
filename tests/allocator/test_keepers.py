"""What Nodes, Speakers, the API server and ServiceCIDRs keep out of pools."""

import json
from typing import Any

import pytest

from allocator.keepers import (
    MOST_EXTERNAL_IPS,
    MOST_NODE_ADDRESSES,
    cluster_networks,
    ends,
    of_api_server,
    of_node,
    of_service,
    of_speaker,
)
from allocator.release.speakers import SpeakerState, decode_speaker
from allocator.space.keptout import NOTHING, Entries
from crds.addresses import Family
from kube.objects import decode_endpoint_slice, decode_node, decode_service_cidr
from tests.allocator.build import address, service


def said(entries: Entries) -> dict[str, str]:
    return {str(one): f"{kept.reason} {kept.of}" for one, kept in entries.items()}


def speaker(*interfaces: Any, **status: Any) -> SpeakerState:
    body = {"metadata": {"name": "node1"}, "status": {"incarnation": "a", "interfaces": list(interfaces), **status}}
    return decode_speaker(json.dumps(body).encode())


def test_every_address_that_a_node_lists_is_kept_out_and_names_are_not() -> None:
    listed = [
        {"type": "InternalIP", "address": "192.0.2.11"},
        {"type": "InternalIP", "address": "2001:db8::11"},
        {"type": "ExternalIP", "address": "198.51.100.11"},
        {"type": "Hostname", "address": "node1"},
    ]
    node = decode_node(json.dumps({"metadata": {"name": "node1"}, "status": {"addresses": listed}}).encode())
    kept = dict.fromkeys(["192.0.2.11", "2001:db8::11", "198.51.100.11"], "NodeAddress node1")
    assert said(of_node(node)) == kept
    assert of_node(None) is NOTHING


def test_no_node_keeps_out_more_than_a_node_has() -> None:
    listed = [{"type": "InternalIP", "address": f"10.0.{n // 256}.{n % 256}"} for n in range(5000)]
    node = decode_node(json.dumps({"metadata": {"name": "node1"}, "status": {"addresses": listed}}).encode())
    assert len(of_node(node)) == MOST_NODE_ADDRESSES


def test_a_speaker_keeps_out_what_its_interfaces_have_the_ends_of_their_networks_and_gateways() -> None:
    eth0 = {"name": "eth0", "networks": ["192.0.2.11/24", "2001:db8::11/64"], "gateways": ["192.0.2.1", "fe80::1"]}
    assert said(of_speaker(speaker(eth0), has_node=True)) == {
        "192.0.2.0": "NetworkEnd 192.0.2.0/24",
        "192.0.2.255": "NetworkEnd 192.0.2.0/24",
        "192.0.2.1": "Gateway 192.0.2.0/24",
        "192.0.2.11": "NodeAddress node1",
        "2001:db8::": "NetworkEnd 2001:db8::/64",
        "2001:db8::11": "NodeAddress node1",
        "fe80::1": "Gateway node1",
    }


def test_the_external_ips_of_a_service_are_kept_out_as_far_as_one_service_may_name_them() -> None:
    named = [f"192.0.2.{number}" for number in range(200)]
    kept = said(of_service(service("web", externalIPs=["2001:db8::5", "no address", *named])))
    assert kept["2001:db8::5"] == "ExternalIP default/web"
    assert len(kept) == MOST_EXTERNAL_IPS - 1
    assert of_service(service("web")) is NOTHING
    assert of_service(None) is NOTHING


def test_a_network_that_stands_without_an_address_of_the_interface_gives_no_address_of_the_node() -> None:
    kept = of_speaker(speaker({"name": "eth0", "networks": ["192.0.2.0/24"]}), has_node=True)
    assert said(kept) == dict.fromkeys(["192.0.2.0", "192.0.2.255"], "NetworkEnd 192.0.2.0/24")


def test_a_gateway_in_no_network_of_its_interface_is_named_with_the_node() -> None:
    kept = of_speaker(
        speaker({"name": "eth0", "networks": ["192.0.2.9/32"], "gateways": ["198.51.100.1"]}), has_node=True
    )
    assert said(kept) == {"192.0.2.9": "NodeAddress node1", "198.51.100.1": "Gateway node1"}


def test_a_speaker_counts_while_its_node_is_there_whether_it_runs_or_not() -> None:
    eth0 = {"name": "eth0", "networks": ["192.0.2.11/24"]}
    assert of_speaker(speaker(eth0, goodbye=True), has_node=True)
    assert of_speaker(speaker(eth0), has_node=False) is NOTHING
    assert of_speaker(None, has_node=True) is NOTHING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"]),
        ("192.0.2.0/30", ["192.0.2.0", "192.0.2.3"]),
        ("192.0.2.0/31", []),
        ("192.0.2.0/32", []),
        ("2001:db8::/64", ["2001:db8::"]),
        ("2001:db8::/127", []),
        ("2001:db8::/128", []),
    ],
)
def test_the_ends_of_a_network(text: str, expected: list[str]) -> None:
    from ipaddress import ip_network

    assert [str(one) for one in ends(ip_network(text))] == expected


@pytest.mark.parametrize(
    "interfaces",
    [
        None,
        "eth0",
        {"name": "eth0"},
        [None, 5, "eth0"],
        [{"name": 5, "networks": 7, "gateways": {"a": 1}}],
        [{"name": "eth0", "networks": [None, 5, "", "192.0.2.1", "192.0.2.1/99", "::ffff:192.0.2.1/96", "x/24"]}],
        [{"name": "eth0", "gateways": [None, 5, "", "router", "192.0.2.1/24"]}],
    ],
)
def test_what_can_not_be_read_of_a_speaker_keeps_out_nothing_and_hides_nothing_else(interfaces: Any) -> None:
    body = {"metadata": {"name": "node1"}, "status": {"incarnation": "a", "interfaces": interfaces}}
    state = decode_speaker(json.dumps(body).encode())
    assert state.incarnation == "a"
    assert not of_speaker(state, has_node=True)


def test_no_speaker_says_more_than_the_api_has_room_for() -> None:
    many = [{"name": f"eth{n}", "networks": [f"10.{n}.{m}.0/24" for m in range(50)]} for n in range(200)]
    assert len(of_speaker(speaker(*many), has_node=True)) == 64 * 8 * 2


def api_slice(service: str = "kubernetes", namespace: str = "default") -> bytes:
    metadata = {"name": "a", "namespace": namespace, "labels": {"kubernetes.io/service-name": service}}
    endpoints = [{"addresses": ["192.0.2.5"], "conditions": {"ready": False}}, {"addresses": ["host", "192.0.2.6"]}]
    return json.dumps({"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints}).encode()


def test_the_api_servers_endpoints_are_kept_out_ready_or_not() -> None:
    kept = of_api_server(decode_endpoint_slice(api_slice()))
    assert [(str(one), str(by.reason)) for one, by in kept.items()] == [
        ("192.0.2.5", "APIServer"),
        ("192.0.2.6", "APIServer"),
    ]
    assert of_api_server(decode_endpoint_slice(api_slice("web"))) is NOTHING
    assert of_api_server(decode_endpoint_slice(api_slice(namespace="other"))) is NOTHING
    assert of_api_server(None) is NOTHING


def test_networks_of_cluster_ips_are_those_of_all_servicecidrs_that_can_be_read() -> None:
    bodies = [
        {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": ["10.96.0.0/16", "fd00:10:96::/112"]}},
        {
            "metadata": {"name": "going", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"cidrs": ["10.97.0.0/24"]},
        },
        {"metadata": {"name": "strange"}, "spec": {"cidrs": ["nonsense"]}},
        {"metadata": {"name": "empty"}, "spec": {"cidrs": None}},
    ]
    found = cluster_networks(decode_service_cidr(json.dumps(body).encode()) for body in bodies)
    assert int(address("10.96.5.5")) in found[Family.IPv4]
    assert int(address("10.97.0.255")) in found[Family.IPv4]
    assert int(address("10.97.1.0")) not in found[Family.IPv4]
    assert found[Family.IPv6].capacity == 2**16
