"""What Services ask for, in our words and in metallb.io's, and what is wrong with wishes that cannot be read."""

import json
from dataclasses import replace
from typing import Any

import pytest

from allocator.claims import Port, claim_from, wire_bytes, wire_spec
from allocator.request import InvalidRequest, Request, holder_of, request_of
from crds.addresses import Family
from crds.ipallocation import IPAllocationSpec
from tests.allocator.build import address, claim, request, service

DUAL = {"families": ["IPv4", "IPv6"], "policy": "RequireDualStack"}


def test_a_plain_service_asks_for_one_address_of_its_family() -> None:
    wish = request("web", ports=[("TCP", 443), ("TCP", 80), ("UDP", 443)])
    assert wish.families == (Family.IPv4,)
    assert wish.requires_all
    assert not wish.addresses
    assert (wish.pools, wish.sharing_key, wish.traffic_policy, wish.selector) == ((), None, "Cluster", ())
    assert wish.holder.ports == (Port("TCP", 80), Port("TCP", 443), Port("UDP", 443))


@pytest.mark.parametrize(
    ("annotations", "spec", "expected"),
    [
        ({"berth.dev/ips": "192.0.2.1"}, {}, ["192.0.2.1"]),
        ({"berth.dev/ips": " 192.0.2.1 , 2001:db8::1"}, DUAL, ["192.0.2.1", "2001:db8::1"]),
        ({"metallb.io/loadBalancerIPs": "2001:db8::1,192.0.2.1"}, DUAL, ["192.0.2.1", "2001:db8::1"]),
        ({}, {"loadBalancerIP": "192.0.2.1"}, ["192.0.2.1"]),
        ({"berth.dev/ips": "192.0.2.1"}, {"loadBalancerIP": "192.0.2.1"}, ["192.0.2.1"]),
        ({"berth.dev/ips": "2001:db8::1"}, {"loadBalancerIP": "192.0.2.1", **DUAL}, ["192.0.2.1", "2001:db8::1"]),
        ({"berth.dev/ips": "192.0.2.1", "metallb.io/loadBalancerIPs": "192.0.2.1"}, {}, ["192.0.2.1"]),
        ({"berth.dev/ips": ""}, {}, []),
        ({"berth.dev/ips": "192.0.2.2,192.0.2.1,192.0.2.2"}, {}, ["192.0.2.2", "192.0.2.1"]),
        ({"berth.dev/ips": "192.0.2.2,192.0.2.1"}, {"loadBalancerIP": "192.0.2.1"}, ["192.0.2.2", "192.0.2.1"]),
    ],
)
def test_addresses_are_asked_for_by_name(
    annotations: dict[str, str], spec: dict[str, Any], expected: list[str]
) -> None:
    wish = request("web", annotations=annotations, **spec)
    assert [*wish.addresses.get(Family.IPv4, ()), *wish.addresses.get(Family.IPv6, ())] == list(map(address, expected))


def test_several_pools_are_asked_for_in_order_of_preference() -> None:
    assert request("web", annotations={"berth.dev/pool": " edge ,inner,edge"}).pools == ("edge", "inner")
    assert request("web", annotations={"metallb.io/address-pool": "four,six"}).pools == ("four", "six")


def test_pool_and_sharing_key_have_aliases() -> None:
    wish = request("web", annotations={"metallb.io/address-pool": "edge", "metallb.io/allow-shared-ip": "k"})
    assert (wish.pools, wish.sharing_key) == (("edge",), "k")
    wish = request("web", annotations={"berth.dev/pool": "edge", "berth.dev/sharing-key": "k"})
    assert (wish.pools, wish.sharing_key) == (("edge",), "k")


@pytest.mark.parametrize(
    ("annotations", "spec", "advice"),
    [
        ({"berth.dev/ips": "nonsense"}, {}, "'nonsense' is not an IP address"),
        ({"berth.dev/ips": "192.0.2.1,"}, {}, "'' is not an IP address"),
        ({"berth.dev/ips": ",".join(f"192.0.2.{number}" for number in range(17))}, {}, "more than 16"),
        ({"berth.dev/pool": "a,,b"}, {}, "a comma too many"),
        ({"berth.dev/pool": ",".join(f"p{number}" for number in range(17))}, {}, "16 at most"),
        ({"berth.dev/ips": "2001:db8::1"}, {}, "the Service is IPv4 only"),
        ({"berth.dev/ips": "192.0.2.1"}, {"loadBalancerIP": "192.0.2.2"}, "keep the annotation only"),
        ({}, {"loadBalancerIP": "not-an-ip"}, "spec.loadBalancerIP"),
        ({"berth.dev/pool": "a", "metallb.io/address-pool": "b"}, {}, "contradict"),
        ({"berth.dev/ips": "192.0.2.1", "metallb.io/loadBalancerIPs": "192.0.2.2"}, {}, "contradict"),
        ({"berth.dev/sharing-key": "k" * 1025}, {}, "1024"),
        ({}, {"families": []}, "spec.ipFamilies"),
    ],
)
def test_a_wish_that_cannot_be_read_says_what_to_write(
    annotations: dict[str, str], spec: dict[str, Any], advice: str
) -> None:
    answer = request_of(service("web", annotations=annotations, **spec))
    assert isinstance(answer, InvalidRequest)
    assert advice in answer.message


def test_families_follow_the_cluster_ips_where_the_field_is_empty() -> None:
    wish = request("web", families=[], clusterIPs=["10.0.0.1", "fd00::1"], policy="PreferDualStack")
    assert wish.families == (Family.IPv4, Family.IPv6)
    assert not wish.requires_all


def test_the_selector_matters_under_local_only() -> None:
    assert request("web").selector == ()
    assert request("web", externalTrafficPolicy="Local").selector == (("app", "web"),)


def test_a_wish_is_a_value() -> None:
    assert isinstance(request("web"), Request)
    assert request("web") == request("web")


def test_with_the_policy_local_the_record_says_where_proxies_answer_for_their_health() -> None:
    local = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 30123}
    assert request("web", **local).holder.health_port == 30123
    assert request("web", healthCheckNodePort=30123).holder.health_port == 0
    assert request("web", **{**local, "healthCheckNodePort": 1 << 16}).holder.health_port == 0


def test_the_node_that_a_service_asks_for_is_in_the_record_and_comes_back_from_it() -> None:
    holder = request("web", annotations={"berth.dev/node": " node-b.example "}).holder
    assert holder.node == "node-b.example"
    assert request("web").holder.node == ""
    made = replace(claim(), holders=(holder,))
    spec = IPAllocationSpec.model_validate(wire_spec(made))
    assert claim_from(made.address, spec).holders == (holder,)
    assert wire_bytes((holder,)) >= len(json.dumps(wire_spec(made)["holders"][0], separators=(",", ":")))


@pytest.mark.parametrize("name", ["Node", "node b", "-node", "a" * 254])
def test_what_can_be_no_nodes_name_is_refused_and_does_not_reach_the_record(name: str) -> None:
    strange = service("web", annotations={"berth.dev/node": name})
    parsed = request_of(strange)
    assert isinstance(parsed, InvalidRequest)
    assert "berth.dev/node names no node" in parsed.message
    assert holder_of(strange).node == ""
