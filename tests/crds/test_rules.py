"""Each CEL rule takes what is good and refuses what is not, with a message that says what to write."""

from copy import deepcopy
from functools import cache
from ipaddress import IPv4Address
from typing import Any

import pytest

from allocator.space.nobodys import kinds_in
from allocator.space.ranges import AddressRange, address_at, parse_range
from crds.addresses import Family
from crds.schema import object_schema
from crds.types import (
    KINDS,
    BerthObject,
    BGPAdvertisement,
    BGPPeer,
    Community,
    IPAllocation,
    IPPool,
    L2Advertisement,
    SpeakerReport,
)
from lab.apiserver.schema.compiled import CompiledSchema
from tests.allocator.build import pool, pools


@cache
def _compiled(kind: type[BerthObject]) -> CompiledSchema:
    return CompiledSchema(object_schema(kind))


def complaints(
    kind: type[BerthObject], spec: dict[str, Any], *, name: str = "one", old: dict[str, Any] | None = None
) -> list[str]:
    """What the API server says to an object with this spec, as `field: message`."""
    written, stored = (None if each is None else _object(kind, name, each) for each in (spec, old))
    assert written is not None
    return [str(error) for error in _compiled(kind).validate(written, stored)]


def _object(kind: type[BerthObject], name: str, spec: dict[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {"apiVersion": "berth.dev/v1beta1", "kind": kind.KIND.kind, "metadata": {"name": name}}
    written["spec"] = deepcopy(spec)
    _compiled(kind).prune(written)
    _compiled(kind).default(written)
    return written


GOOD_RANGES = [
    "192.0.2.10",
    "192.0.2.0/24",
    "1.0.0.0",
    "223.255.255.255",
    "128.0.0.0/3",
    "126.0.0.0-126.255.255.255",
    "128.0.0.0-169.253.255.255",
    "169.255.0.0-223.255.255.255",
    "2000::/3",
    "::2",
    "fc00::/7",
    "fc00::-fe7f:ffff::",
    "192.0.2.0/32",
    "192.0.2.10-192.0.2.10",
    "192.0.2.9-192.0.2.10",
    "9.255.255.255-10.0.0.0",
    "2001:db8::1",
    "2001:DB8:0:0::/64",
    "2001:db8::1-2001:db8::ffff",
]
BAD_RANGES = [
    ("nonsense", "write a network (192.0.2.0/24"),
    ("192.0.2.0/33", "write a network"),
    ("192.0.2.256", "write a network"),
    ("192.0.02.1", "write a network"),
    ("192.0.2.1-", "write a network"),
    ("-192.0.2.1", "write a network"),
    ("192.0.2.1-192.0.2.2-192.0.2.3", "write a network"),
    ("192.0.2.1 - 192.0.2.9", "without spaces"),
    ("192.0.2.0/24-192.0.3.0/24", "write a network"),
    ("192.0.2.1, 192.0.2.2", "write a network"),
    ("::ffff:192.0.2.1", "write a network"),
    ("fe80::1%eth0", "write a network"),
    ("192.0.2.7/24", "write the network's first address"),
    ("2001:db8::1/64", "write the network's first address"),
    ("192.0.2.1-2001:db8::1", "one address family and ends in the other"),
    ("192.0.2.20-192.0.2.10", "write the lower address first"),
    ("10.0.0.0-9.255.255.255", "write the lower address first"),
    ("192.0.3.0-192.0.2.255", "write the lower address first"),
]


NOBODYS = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "169.254.1.1",
    "224.0.0.5",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "ff02::1",
    "0.0.0.0/0",
    "0.1.0.0/16",
    "127.1.0.0/16",
    "64.0.0.0/2",
    "128.0.0.0/1",
    "169.254.0.0/17",
    "169.0.0.0/8",
    "192.0.0.0/2",
    "224.0.0.0/24",
    "240.0.0.0/8",
    "255.255.255.255/32",
    "::/0",
    "::/64",
    "::1/128",
    "fe80::/64",
    "fc00::/6",
    "ff02::/16",
    "8000::/1",
    "0.0.0.1-1.0.0.9",
    "126.0.0.0-128.0.0.1",
    "127.0.0.1-127.0.0.9",
    "169.253.255.255-169.254.0.0",
    "169.254.255.255-169.255.0.9",
    "10.0.0.1-172.16.0.1",
    "223.255.255.250-224.0.0.1",
    "239.0.0.1-241.0.0.1",
    "::1-::9",
    "fe80::1-fe80::9",
    "fd00::1-ff02::1",
]


@pytest.mark.parametrize("text", NOBODYS)
def test_what_no_service_can_have_is_refused_by_name_in_a_pool_and_taken_as_an_exclusion(text: str) -> None:
    (complaint,) = complaints(IPPool, {"addresses": ["192.0.2.1", text]})
    assert complaint.startswith(f'spec.addresses[1]: Invalid value: "{text}": it is, or contains, what no Service')
    assert complaints(IPPool, {"addresses": ["192.0.2.1"], "exclude": [text]}) == []


@pytest.mark.parametrize("text", NOBODYS)
def test_the_allocator_leaves_the_same_out_where_no_rule_refused_it(text: str) -> None:
    edge = pools(pool("edge", text, "192.0.2.1")).by_name["edge"]
    (bad,) = edge.bad_ranges
    assert repr(text) in bad.message
    entry = parse_range(text)
    assert isinstance(entry, AddressRange)
    for number in (entry.first, entry.last):
        address = address_at(entry.family, number)
        assert edge.holds(address) == (not kinds_in(entry.family, (number, number)))
    assert edge.holds(address_at(Family.IPv4, int(IPv4Address("192.0.2.1"))))


@pytest.mark.parametrize("text", GOOD_RANGES)
def test_the_allocator_leaves_nothing_out_of_what_the_rules_take(text: str) -> None:
    assert pools(pool("edge", text)).by_name["edge"].bad_ranges == ()


@pytest.mark.parametrize("text", GOOD_RANGES)
def test_ranges_that_pools_take(text: str) -> None:
    assert complaints(IPPool, {"addresses": [text], "exclude": [text]}) == []


@pytest.mark.parametrize(("text", "advice"), BAD_RANGES)
def test_ranges_that_pools_refuse(text: str, advice: str) -> None:
    (complaint,) = complaints(IPPool, {"addresses": ["192.0.2.1", text]})
    assert complaint.startswith(f'spec.addresses[1]: Invalid value: "{text}": ')
    assert advice in complaint
    (complaint,) = complaints(IPPool, {"addresses": ["192.0.2.1"], "exclude": [text]})
    assert complaint.startswith("spec.exclude[0]: ")


def test_each_bad_range_is_named() -> None:
    found = complaints(IPPool, {"addresses": ["a", "192.0.2.1", "b"]})
    assert [complaint.partition(":")[0] for complaint in found] == ["spec.addresses[0]", "spec.addresses[2]"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"addresses": []}, "spec.addresses"),
        ({"priority": 2000000}, "spec.priority"),
        ({"strategy": "Highest"}, "spec.strategy"),
        ({"reuseAfterSeconds": -1}, "spec.reuseAfterSeconds"),
        ({"maxPerNamespace": 0}, "spec.maxPerNamespace"),
        ({"namespaces": ["Upper"]}, "spec.namespaces[0]"),
        ({"namespaces": ["a", "a"]}, "spec.namespaces[1]"),
        ({"addresses": "192.0.2.0/24"}, "spec.addresses"),
    ],
)
def test_bounds_of_pools(change: dict[str, Any], field: str) -> None:
    found = complaints(IPPool, {"addresses": ["192.0.2.1"]} | change)
    assert any(complaint.startswith(f"{field}: ") for complaint in found), found


@pytest.mark.parametrize(
    ("requirement", "is_good"),
    [
        ({"key": "tier", "operator": "In", "values": ["web"]}, True),
        ({"key": "tier", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist", "values": []}, True),
        ({"key": "tier", "operator": "In"}, False),
        ({"key": "tier", "operator": "NotIn", "values": []}, False),
        ({"key": "tier", "operator": "Exists", "values": ["web"]}, False),
    ],
)
def test_label_selectors_have_values_where_operators_want_them(requirement: dict[str, Any], is_good: bool) -> None:
    found = complaints(L2Advertisement, {"nodeSelector": {"matchExpressions": [requirement]}})
    assert (found == []) == is_good
    assert is_good or "spec.nodeSelector.matchExpressions[0]" in found[0]


ALLOCATION = {
    "address": "192.0.2.10",
    "pool": "edge",
    "holders": [{"namespace": "default", "name": "web", "uid": "u1", "ports": [{"port": 80}]}],
}


def test_an_allocation_is_named_by_its_address() -> None:
    assert complaints(IPAllocation, ALLOCATION, name="v4-192-0-2-10") == []
    (complaint,) = complaints(IPAllocation, ALLOCATION, name="v4-192-0-2-11")
    assert "the name of an IPAllocation follows from its address" in complaint
    assert complaints(IPAllocation, ALLOCATION | {"address": "2001:db8::10"}, name="v6-2001-db8-0-0-0-0-0-10") == []
    assert complaints(IPAllocation, ALLOCATION | {"address": "2001:db8::10"}, name="v4-2001-db8-0-0-0-0-0-10")


def test_the_address_of_an_allocation_never_changes() -> None:
    changed = ALLOCATION | {"address": "192.0.2.11"}
    found = complaints(IPAllocation, changed, name="v4-192-0-2-10", old=ALLOCATION)
    assert any("spec.address" in complaint and "never changes" in complaint for complaint in found)


def test_an_allocation_holds_an_address_in_canonical_form() -> None:
    (complaint,) = complaints(IPAllocation, ALLOCATION | {"address": "2001:DB8:0::10"}, name="v6-x")
    assert "canonical form" in complaint
    (complaint,) = complaints(IPAllocation, ALLOCATION | {"address": "192.0.2.0/24"}, name="v4-x")
    assert "write one IP address" in complaint


def test_a_release_can_not_be_taken_back() -> None:
    releasing = ALLOCATION | {"releasing": True}
    assert complaints(IPAllocation, releasing, name="v4-192-0-2-10", old=ALLOCATION) == []
    assert complaints(IPAllocation, releasing, name="v4-192-0-2-10", old=releasing) == []
    (complaint,) = complaints(IPAllocation, ALLOCATION, name="v4-192-0-2-10", old=releasing)
    assert "can't be taken back" in complaint


@pytest.mark.parametrize(
    "interface",
    ["eth0", "enp3s0f0.100", "br-lan", "bond4000.1000", "*", "ens*", "eth?", "eth[0-9]", "[!v]*", "e[n-pt][!0-9]?-*"],
)
def test_interfaces_that_advertisements_take(interface: str) -> None:
    assert complaints(L2Advertisement, {"interfaces": [interface]}) == []


@pytest.mark.parametrize("interface", ["", "eth 0", "a-name-of-16-byte", "[", "eth[", "eth]", "[]", "[[]", "*" * 65])
def test_interfaces_that_advertisements_refuse(interface: str) -> None:
    assert complaints(L2Advertisement, {"interfaces": [interface]})


@pytest.mark.parametrize("interface", ["/ens[0-9]+/", "//", "/", "eth0/", "/((\\w+)+)+-/", "/ens[0-9]{1,4294967295}/"])
def test_an_advertisement_with_a_regular_expression_is_told_what_to_write_instead(interface: str) -> None:
    complaint = complaints(L2Advertisement, {"interfaces": [interface]})[0]
    assert "regular expressions are not taken: write an interface's name (eth0), or a pattern" in complaint


@pytest.mark.parametrize(
    "community", ["64512:100", "0:0", "65535:65535", "large:64512:1:2", "large:4294967295:0:0", "no-export", "Backup.1"]
)
def test_communities_that_advertisements_take(community: str) -> None:
    assert complaints(BGPAdvertisement, {"communities": [community]}) == []


@pytest.mark.parametrize(
    ("community", "advice"),
    [
        ("65536:1", "at most 65535"),
        ("1:99999", "at most 65535"),
        ("large:4294967296:0:0", "at most 4294967295"),
        ("large:1:2", "write a community as"),
        ("1:2:3", "write a community as"),
        ("64512", "write a community as"),
        ("no export", "write a community as"),
    ],
)
def test_communities_that_advertisements_refuse(community: str, advice: str) -> None:
    (complaint,) = complaints(BGPAdvertisement, {"communities": [community]})
    assert complaint.startswith("spec.communities[0]: ")
    assert advice in complaint


def test_community_aliases() -> None:
    assert complaints(Community, {"communities": [{"name": "backup", "value": "64512:100"}]}) == []
    (complaint,) = complaints(Community, {"communities": [{"name": "no-export", "value": "64512:100"}]})
    assert "well-known community" in complaint
    (complaint,) = complaints(Community, {"communities": [{"name": "backup", "value": "no-export"}]})
    assert complaint.startswith("spec.communities[0].value: ")
    twice = [{"name": "a", "value": "1:1"}, {"name": "a", "value": "1:2"}]
    assert "Duplicate" in complaints(Community, {"communities": twice})[0]


PEER: dict[str, Any] = {"myASN": 64512, "peerASN": 64513, "peerAddress": "192.0.2.1"}


def changed(change: dict[str, Any]) -> dict[str, Any]:
    """None takes a field out."""
    return {field: value for field, value in (PEER | change).items() if value is not None}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"peerASN": "External", "ebgpMultiHop": 3},
        {"peerASN": "Internal"},
        {"peerASN": 4294967295},
        {"peerAddress": "2001:db8::1", "sourceAddress": "2001:db8::2"},
        {"holdTimeSeconds": 0},
        {"holdTimeSeconds": 9, "keepaliveTimeSeconds": 3},
        {"holdTimeSeconds": 0, "keepaliveTimeSeconds": 3},
        {"routerID": "192.0.2.9"},
        {"ttlSecurity": 1},
        {"gracefulRestart": {}},
        {"families": ["IPv4", "IPv6"]},
        {"peerAddress": "fe80::1", "interface": "eth0"},
        {"peerAddress": "fe80::1", "interface": "eth0", "ttlSecurity": 1, "vrf": "red"},
        {"peerAddress": "169.254.1.1"},
        {"vrf": "red", "sourceAddress": "192.0.2.9"},
        {"peerAddress": None, "peerAddressFrom": {"nodeAnnotation": "example.com/tor"}},
        {"peerAddress": None, "peerAddressFrom": {"nodeLabel": "tor"}, "vrf": "red"},
        {"peerAddress": None, "peerAddressFrom": {"defaultGateway": {"interface": "eth0"}}, "ebgpMultiHop": 2},
        {"peerAddress": None, "peerAddressFrom": {"defaultGateway": {"interface": "eth0", "family": "IPv6"}}},
        {"sourceAddressFrom": {"interface": "lo"}},
        {"confederationMember": True},
        {"confederationMember": True, "peerASN": "External", "ebgpMultiHop": 2},
        {"confederationMember": True, "myASN": None, "myASNFrom": {"nodeLabel": "asn"}},
        {"confederationMember": False, "localASN": 65010},
        {"localASN": 65010},
        {"localASN": 65010, "peerASN": "External", "myASN": None, "myASNFrom": {"nodeLabel": "asn"}},
        {"sourceAddressFrom": {"nodeAnnotation": "example.com/loopback"}, "passive": True},
        {"myASN": None, "myASNFrom": {"nodeLabel": "example.com/asn"}, "ebgpMultiHop": 2},
    ],
)
def test_peers_that_are_taken(change: dict[str, Any]) -> None:
    assert complaints(BGPPeer, changed(change)) == []


def test_a_peer_on_an_interface_needs_no_address() -> None:
    on_link = {"myASN": 64512, "peerASN": "External", "interface": "eth0"}
    assert complaints(BGPPeer, on_link) == []
    (complaint,) = complaints(BGPPeer, on_link | {"passive": True})
    assert "passive is not possible" in complaint


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"interface": "eth0"}, "goes with a link-local peerAddress"),
        ({"peerAddress": "2001:db8::1", "interface": "eth0"}, "goes with a link-local peerAddress"),
        ({"peerAddress": "169.254.1.1", "interface": "eth0"}, "goes with a link-local peerAddress"),
        ({"peerAddress": "fe80::1"}, "set interface, too"),
        ({"peerAddress": "fe80::1", "interface": "eth0", "ebgpMultiHop": 2}, "one hop away"),
        ({"peerAddress": "fe80::1", "interface": "eth0", "ttlSecurity": 2}, "one hop away"),
        ({"peerAddress": "fe80::1", "interface": "eth0", "sourceAddress": "fe80::2"}, "leave sourceAddress and"),
        ({"peerAddress": "fe80::1", "interface": "eth0", "passive": True}, "passive is not possible"),
        ({"vrf": "red", "passive": True}, "passive is not possible"),
        ({"peerAddressFrom": {"nodeLabel": "tor"}}, "leave peerAddress and interface out"),
        ({"peerAddressFrom": {"nodeLabel": "tor"}, "peerAddress": None, "interface": "eth0"}, "leave peerAddress and"),
        ({"peerAddress": None, "peerAddressFrom": {}}, "set one of nodeAnnotation, nodeLabel, defaultGateway"),
        ({"peerAddress": None, "peerAddressFrom": {"nodeLabel": "a", "nodeAnnotation": "b"}}, "and only one"),
        ({"peerAddress": None, "peerAddressFrom": {"nodeLabel": "a b"}}, "nodeLabel"),
        ({"peerAddress": None, "peerAddressFrom": {"nodeAnnotation": "/tor"}}, "nodeAnnotation"),
        ({"sourceAddressFrom": {"interface": "lo"}, "sourceAddress": "192.0.2.9"}, "leave sourceAddress out"),
        ({"sourceAddressFrom": {"interface": "lo", "nodeLabel": "a"}}, "and only one"),
        ({"peerAddress": "fe80::1", "interface": "eth0", "sourceAddressFrom": {"interface": "lo"}}, "leave sourceAdd"),
        ({"myASNFrom": {"nodeLabel": "asn"}}, "set myASN, or myASNFrom"),
        ({"myASN": None}, "set myASN, or myASNFrom"),
        ({"myASN": None, "myASNFrom": {}}, "set one of nodeAnnotation, nodeLabel"),
        ({"peerAddress": "192.0.2.0/24"}, "write one IP address"),
        ({"peerAddress": "router.example"}, "write one IP address"),
        ({"localASN": 64512}, "localASN is an AS other than ours"),
        ({"localASN": 64513}, "localASN is an AS other than ours"),
        ({"localASN": 65010, "peerASN": "Internal"}, "for external peers"),
        ({"localASN": 65010, "peerASN": 64512}, "for external peers"),
        ({"confederationMember": True, "peerASN": "Internal"}, "in another member AS"),
        ({"confederationMember": True, "peerASN": 64512}, "in another member AS"),
        ({"confederationMember": True, "localASN": 65010}, "localASN is for peers outside of the confederation"),
        ({"peerASN": "external"}, "External, or Internal"),
        ({"peerASN": "64513"}, "External, or Internal"),
        ({"peerASN": 0}, "1 to 4294967295"),
        ({"peerASN": 4294967296}, "1 to 4294967295"),
        ({"sourceAddress": "2001:db8::2"}, "same family"),
        ({"holdTimeSeconds": 2}, "at least 3 seconds"),
        ({"holdTimeSeconds": 9, "keepaliveTimeSeconds": 4}, "at most a third"),
        ({"routerID": "0.0.0.0"}, "other than 0.0.0.0"),
        ({"routerID": "2001:db8::1"}, "write an IPv4 address"),
        ({"ttlSecurity": 1, "ebgpMultiHop": 2}, "exclude each other"),
        ({"peerASN": "Internal", "ebgpMultiHop": 2}, "for external peers"),
        ({"peerASN": 64512, "ebgpMultiHop": 2}, "for external peers"),
    ],
)
def test_peers_that_are_refused(change: dict[str, Any], advice: str) -> None:
    (complaint,) = complaints(BGPPeer, changed(change))
    assert advice in complaint


def test_a_peer_needs_an_address_or_an_interface() -> None:
    (complaint,) = complaints(BGPPeer, {"myASN": 64512, "peerASN": "External"})
    assert "set peerAddress, or peerAddressFrom" in complaint


@pytest.mark.parametrize("name", ["node1", "node1.x", "node1.x.0", "node10.0", "node1.000000", "0"])
def test_a_report_is_named_after_its_node_and_slice(name: str) -> None:
    compiled = _compiled(SpeakerReport)
    assert not compiled.validate(_object(SpeakerReport, "node1.0", {"node": "node1"}))
    (complaint,) = compiled.validate(_object(SpeakerReport, name, {"node": "node1"}))
    assert "its node and its slice, such as node1.0" in str(complaint)


def test_unknown_fields_are_pruned() -> None:
    written = _object(IPPool, "one", {"addresses": ["192.0.2.1"], "adresses": 1})
    assert "adresses" not in written["spec"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_the_types_write_the_server_takes(kind: type[BerthObject]) -> None:
    samples: dict[str, tuple[str, dict[str, Any]]] = {
        "IPPool": ("one", {"addresses": ["192.0.2.0/24"]}),
        "IPAllocation": ("v4-192-0-2-10", ALLOCATION),
        "BGPPeer": ("one", PEER),
        "Community": ("one", {"communities": [{"name": "a", "value": "1:1"}]}),
        "SpeakerReport": ("node1.0", {"node": "node1"}),
        "DepartedSpeaker": ("uid", {"node": "node1", "routers": [{"address": "192.0.2.1", "outlivesSeconds": 90}]}),
    }
    name, spec = samples.get(kind.KIND.kind, ("one", {}))
    written = kind.model_validate({"metadata": {"name": name}, "spec": spec}).to_wire()
    assert _compiled(kind).prune(written) == []
    assert [str(error) for error in _compiled(kind).validate(written)] == []
