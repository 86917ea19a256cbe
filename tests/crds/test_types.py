"""The types read what the API server sends and write what it takes."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crds.meta import LabelSelector, LabelSelectorRequirement, Model, ObjectMeta
from crds.names import allocation_name
from crds.types import (
    BGPAdvertisementSpec,
    BGPPeerSpec,
    Holder,
    IPAllocation,
    IPAllocationSpec,
    IPPool,
    IPPoolSpec,
    L2AdvertisementSpec,
    ServicePort,
    Speaker,
    Strategy,
    TrafficPolicy,
)


def test_names_on_the_wire() -> None:
    aliases: dict[type[Model], dict[str, str]] = {
        IPPoolSpec: {"avoid_buggy_ips": "avoidBuggyIPs", "auto_assign": "autoAssign"},
        L2AdvertisementSpec: {"ip_pools": "ipPools", "ip_pool_selector": "ipPoolSelector"},
        BGPAdvertisementSpec: {"aggregation_length_v6": "aggregationLengthV6", "as_path_prepend": "asPathPrepend"},
        BGPPeerSpec: {
            "my_asn": "myASN",
            "peer_asn": "peerASN",
            "router_id": "routerID",
            "ebgp_multi_hop": "ebgpMultiHop",
        },
    }
    for model, names in aliases.items():
        assert {name: model.model_fields[name].alias for name in names} == names


def test_unknown_fields_do_not_disturb_decoding() -> None:
    raw = b"""{"apiVersion": "berth.dev/v1beta1", "kind": "IPPool", "future": 1,
        "metadata": {"name": "edge", "uid": "u", "resourceVersion": "7", "generation": 2, "managedFields": [{}]},
        "spec": {"addresses": ["192.0.2.0/24"], "strategy": "Sticky", "future": {"x": 1}}}"""
    pool = IPPool.decode(raw)
    assert pool.metadata.name == "edge"
    assert pool.metadata.resource_version == "7"
    assert pool.spec.addresses == ("192.0.2.0/24",)
    assert pool.spec.strategy is Strategy.Sticky
    assert pool.status.ipv4 is None


def test_bounds_are_the_servers_business_but_shapes_are_ours() -> None:
    assert IPPoolSpec.model_validate({"addresses": ["anything at all"]}).addresses == ("anything at all",)
    with pytest.raises(ValidationError):
        IPPoolSpec.model_validate({"addresses": "192.0.2.0/24"})


def test_metadata_writes_only_what_is_set() -> None:
    assert ObjectMeta(name="a").to_wire() == {"name": "a"}
    written = ObjectMeta(name="a", uid="u", resource_version="7", labels={"x": "y"}).to_wire()
    assert written == {"name": "a", "uid": "u", "resourceVersion": "7", "labels": {"x": "y"}}


def test_a_new_allocation_on_the_wire() -> None:
    holder = Holder(namespace="default", name="web", uid="u1", ports=(ServicePort(port=80),))
    spec = IPAllocationSpec(address="192.0.2.10", pool="edge", holders=(holder,), traffic_policy=TrafficPolicy.Local)
    written = IPAllocation(metadata=ObjectMeta(name="v4-192-0-2-10"), spec=spec).to_wire()
    assert written["kind"] == "IPAllocation"
    assert written["metadata"] == {"name": "v4-192-0-2-10"}
    assert written["spec"]["trafficPolicy"] == "Local"
    assert written["spec"]["holders"][0]["ports"] == [{"protocol": "TCP", "port": 80}]
    assert "sharingKey" not in written["spec"]


def test_what_is_written_reads_back() -> None:
    speaker = Speaker.model_validate(
        {
            "metadata": {"name": "node1"},
            "status": {
                "incarnation": "abc",
                "fencing": {"promised": True, "fenceAfterSeconds": 60},
                "routers": [{"address": "192.0.2.250", "outlivesSeconds": 105}],
                "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "up": True, "usable": True}],
            },
        }
    )
    assert Speaker.model_validate(speaker.to_wire()) == speaker
    assert speaker.status.routers[0].outlives_seconds == 105
    assert speaker.status.fencing is not None
    assert speaker.status.fencing.promised


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError):
        IPPoolSpec(addresses=("192.0.2.1",)).__setattr__("paused", True)


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({}, {}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False),
        ({"matchLabels": {"a": "1"}}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, {"a": "2"}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]}, {}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, {"a": "1"}, False),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, {"a": ""}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, {"a": "1"}, False),
    ],
)
def test_selectors_choose_as_kubernetes_does(
    selector: dict[str, object], labels: dict[str, str], matches: bool
) -> None:
    assert LabelSelector.model_validate(selector).matches(labels) is matches


def test_a_requirement_with_an_unknown_operator_does_not_decode() -> None:
    with pytest.raises(ValidationError):
        LabelSelectorRequirement.model_validate({"key": "a", "operator": "Gt", "values": ["1"]})


def test_allocation_names() -> None:
    assert allocation_name("192.0.2.10") == "v4-192-0-2-10"
    assert allocation_name("2001:db8::10") == "v6-2001-db8-0-0-0-0-0-10"
    assert allocation_name(IPv6Address("2001:DB8:0::10")) == "v6-2001-db8-0-0-0-0-0-10"
    with pytest.raises(ValueError, match="nonsense"):
        allocation_name("nonsense")


addresses = st.ip_addresses(v=4) | st.ip_addresses(v=6)


@given(addresses)
def test_the_name_of_an_allocation_gives_its_address_back(address: IPv4Address | IPv6Address) -> None:
    family, *parts = allocation_name(address).split("-")
    assert ip_address(("." if family == "v4" else ":").join(parts)) == address
    assert len(allocation_name(address)) <= 63
