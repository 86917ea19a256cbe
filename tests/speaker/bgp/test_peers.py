"""From a BGPPeer to the configuration of a node's session, or why there can be none."""

from ipaddress import ip_address, ip_interface

import pytest

from crds.addresses import Family
from crds.bgppeer import BGPPeerSpec
from crds.conditions import Reason
from speaker.bgp.bynode import Here
from speaker.bgp.peers import resolve_peer
from speaker.bgp.surroundings import Surroundings, gateways_of
from speaker.cluster.faults import Fault
from speaker.wire.messages import Interface, RoutersOn
from tests.speaker.make import node

NOTHING_AROUND = Surroundings()


def resolve(
    password=None,
    addresses=("2001:db8::5", "192.0.2.5"),
    name="node-a",
    routers=None,
    annotations=None,
    labels=None,
    around=NOTHING_AROUND,
    **spec,
):
    has_place = "interface" in spec or "peerAddressFrom" in spec
    spec = {"myASN": 64512, "peerASN": 64513, **({} if has_place else {"peerAddress": "192.0.2.254"}), **spec}
    own = node({"rack": "1", **(labels or {})}, addresses=addresses, annotations=annotations)
    here = Here(name, own, around._replace(routers=routers or {}))
    return resolve_peer("tor", BGPPeerSpec.model_validate(spec), here, password)


@pytest.mark.parametrize(("said", "asn"), [("Internal", 64512), ("External", None), (64999, 64999)])
def test_the_peers_as_is_a_number_or_any_other(said, asn) -> None:
    assert resolve(peerASN=said).peer_asn == asn


def test_a_peer_for_other_nodes_is_none_of_ours() -> None:
    assert resolve(nodeSelector={"matchLabels": {"rack": "2"}}) is None


def test_no_session_starts_without_the_password_that_was_asked_for() -> None:
    made = resolve(passwordSecretRef={"name": "tor"})
    assert isinstance(made, Fault)
    assert (made.reason, made.object) == (Reason.PasswordUnavailable, "BGPPeer/tor")
    assert "Secret tor" in made.message


def test_the_password_is_used_and_not_shown() -> None:
    made = resolve("hush", passwordSecretRef={"name": "tor"})
    assert made.password == "hush"
    assert "hush" not in repr(made)


def test_a_peer_older_than_the_rules_of_the_api_server_is_refused() -> None:
    made = resolve(peerAddress="tor.example")
    assert (made.reason, made.object) == (Reason.InvalidSpec, "BGPPeer/tor")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"peerAddress": "fe80::1"}, "set interface, too"),
        ({"interface": "eth1", "peerAddress": "2001:db8::1"}, "leave interface out"),
        ({"peerAddress": None}, "set one of them"),
        ({"ebgpMultiHop": 2}, "one hop away"),
        ({"ttlSecurity": 2}, "one hop away"),
        ({"sourceAddress": "fe80::2"}, "leave sourceAddress out"),
        ({"passive": True}, "passive is not possible"),
        ({"peerAddress": "192.0.2.254", "vrf": "red", "passive": True}, "passive is not possible"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(spec, words) -> None:
    """In an object that is older than the rules of the API server."""
    made = resolve(**({"interface": "eth1", "peerAddress": "fe80::1"} if "peerAddress" not in spec else {}), **spec)
    assert (made.reason, made.object) == (Reason.InvalidSpec, "BGPPeer/tor")
    assert words in made.message


def test_a_peer_at_a_link_local_address_is_on_that_link_and_exchanges_both_families() -> None:
    made = resolve(peerAddress="fe80::1", interface="eth1")
    assert (str(made.peer_address), made.source_interface, made.router) == ("fe80::1", "eth1", "fe80::1%eth1")
    assert made.families == frozenset(Family)
    assert resolve(peerAddress="fe80::1", interface="eth1", families=["IPv4"]).families == {Family.IPv4}
    assert resolve(peerAddress="fe80::1", interface="eth2").router != made.router


def test_a_peer_without_an_address_is_the_router_that_is_heard_on_its_link() -> None:
    waiting = resolve(interface="eth1", routers={"eth2": RoutersOn(("fe80::2",))})
    assert (waiting.reason, waiting.object) == (Reason.NoRouter, "BGPPeer/tor")
    assert "eth1" in waiting.message
    unable = resolve(interface="eth1", routers={"eth1": RoutersOn((), "No such device")})
    assert (unable.reason, "No such device" in unable.message) == (Reason.NoRouter, True)
    made = resolve(interface="eth1", routers={"eth1": RoutersOn(("fe80::1", "fe80::3"))})
    assert made == resolve(interface="eth1", peerAddress="fe80::1")


def test_a_session_in_a_vrf_is_with_another_router_than_one_outside() -> None:
    made = resolve(vrf="red")
    assert (made.vrf, made.source_interface, made.router) == ("red", None, "192.0.2.254%red")
    assert resolve(vrf="blue").router != made.router != resolve().router
    assert resolve(vrf="red", interface="eth1", peerAddress="fe80::1").router == "fe80::1%eth1"


def test_the_router_id_is_given_or_the_nodes_address_or_made_from_its_name() -> None:
    assert resolve(routerID="10.0.0.1").router_id == ip_address("10.0.0.1")
    assert resolve().router_id == ip_address("192.0.2.5")
    made = {resolve(addresses=(), name=f"node-{number}").router_id for number in range(50)}
    assert len(made) == 50
    assert all(ip_address("1.0.0.0") <= one < ip_address("64.0.0.0") for one in made)  # as a host's address may be


def test_families_are_those_asked_for_or_that_of_the_address() -> None:
    assert resolve().families == {Family.IPv4}
    assert resolve(families=["IPv4", "IPv6"]).families == set(Family)


def test_timers_and_graceful_restart_are_passed_on() -> None:
    made = resolve(holdTimeSeconds=9, keepaliveTimeSeconds=3, gracefulRestart={"restartTimeSeconds": 60})
    assert (made.hold_time_seconds, made.keepalive_seconds, made.graceful_restart_seconds) == (9, 3, 60)


@pytest.mark.parametrize(
    ("peer", "source", "expected"),
    [
        ("198.51.100.1", None, "192.0.2.5"),
        ("2001:db8:1::1", None, "2001:db8::5"),
        ("198.51.100.1", "192.0.2.77", "192.0.2.77"),
    ],
)
def test_a_passive_peer_is_waited_for_at_an_address_of_its_family(peer, source, expected) -> None:
    config = resolve(peerAddress=peer, sourceAddress=source, passive=True)
    assert config.is_passive
    assert str(config.source_address) == expected


def test_without_an_address_to_wait_at_a_passive_peer_is_refused() -> None:
    fault = resolve(addresses=("2001:db8::5",), peerAddress="198.51.100.1", passive=True)
    assert fault.object.startswith("BGPPeer/")
    assert "sourceAddress" in fault.message


def test_who_connects_leaves_the_source_to_the_routing_table() -> None:
    assert resolve().source_address is None


# ---- by rule ----

TOR, LABEL = "example.com/tor", "example.com/rack-router"
BY_ANNOTATION = {"peerAddressFrom": {"nodeAnnotation": TOR}}
BY_LABEL = {"peerAddressFrom": {"nodeLabel": LABEL}}


def by_gateway(family="IPv4"):
    return {"peerAddressFrom": {"defaultGateway": {"interface": "eth0", "family": family}}}


def gateways(*addresses, name="eth0"):
    return Surroundings(gateways=gateways_of([Interface(name, 2, "", True, True, "", gateways=addresses)]))


def test_one_peer_is_the_router_that_each_node_names() -> None:
    assert str(resolve(**BY_ANNOTATION, annotations={TOR: "192.0.2.1"}).peer_address) == "192.0.2.1"
    assert str(resolve(**BY_ANNOTATION, annotations={TOR: "2001:DB8:0::1"}).peer_address) == "2001:db8::1"
    assert str(resolve(**BY_LABEL, labels={LABEL: "192.0.2.2"}).peer_address) == "192.0.2.2"
    assert resolve(**BY_LABEL, labels={LABEL: "192.0.2.2"}) == resolve(peerAddress="192.0.2.2")


def test_the_default_gateway_of_an_interface_can_be_the_peer() -> None:
    around = gateways("192.0.2.1", "192.0.2.2", "2001:db8::1")
    assert str(resolve(**by_gateway(), around=around).peer_address) == "192.0.2.1"
    assert str(resolve(**by_gateway("IPv6"), around=around).peer_address) == "2001:db8::1"
    on_link = resolve(**by_gateway("IPv6"), around=gateways("fe80::1"))  # as Router Advertisements give them
    assert on_link == resolve(peerAddress="fe80::1", interface="eth0")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (BY_ANNOTATION, f"node node-a has no annotation {TOR} (peerAddressFrom): put one IP address of a router"),
        ({**BY_ANNOTATION, "annotations": {TOR: "tor-7"}}, f"annotation {TOR} of node node-a is 'tor-7'"),
        ({**BY_ANNOTATION, "annotations": {TOR: ""}}, "is ''"),
        ({**BY_ANNOTATION, "annotations": {TOR: "192.0.2.1, 192.0.2.2"}}, "put one IP address"),
        ({**BY_ANNOTATION, "annotations": {TOR: "fe80::1"}}, "no link-local one"),
        ({**BY_ANNOTATION, "annotations": {TOR: "fe80::1%eth0"}}, "no link-local one"),
        ({**BY_ANNOTATION, "annotations": {TOR: "::ffff:192.0.2.1"}}, "put one IP address"),
        (BY_LABEL, f"node node-a has no label {LABEL}"),
        ({**BY_LABEL, "labels": {LABEL: "rack-1"}}, f"label {LABEL} of node node-a is 'rack-1'"),
        (by_gateway(), "node node-a has no default gateway of IPv4 on eth0"),
        ({**by_gateway(), "around": gateways("2001:db8::1")}, "has no default gateway of IPv4 on eth0"),
        ({**by_gateway(), "around": gateways("192.0.2.1", name="eth1")}, "has no default gateway of IPv4 on eth0"),
    ],
)
def test_a_node_for_which_the_rule_gives_nothing_is_named_with_what_stands_there(fields, said) -> None:
    made = resolve(**fields)
    assert (made.reason, made.object) == (Reason.NoNodeValue, "BGPPeer/tor")
    assert said in made.message


def test_each_node_can_say_its_own_as() -> None:
    spec = {"myASN": None, "myASNFrom": {"nodeAnnotation": "example.com/asn"}}
    assert resolve(**spec, annotations={"example.com/asn": "4200000001"}).my_asn == 4200000001
    internal = resolve(**spec, peerASN="Internal", annotations={"example.com/asn": "65001"})
    assert internal.peer_asn == 65001
    assert resolve(myASN=None, myASNFrom={"nodeLabel": "asn"}, labels={"asn": "65002"}).my_asn == 65002
    for text in ("0", "4294967296", "65000.1", "-1", "AS65000", "٣", "1" * 64, "1" * 5000):
        made = resolve(**spec, annotations={"example.com/asn": text})
        assert (made.reason, "node node-a" in made.message) == (Reason.NoNodeValue, True), text
    assert "set one of them" in resolve(myASN=None).message


def test_each_node_can_open_sessions_from_its_loopback_address() -> None:
    own = {"lo": (ip_interface("198.51.100.7/32"), ip_interface("2001:db8:7::1/128"))}
    around, spec = Surroundings(addresses=own), {"sourceAddressFrom": {"interface": "lo"}}
    assert str(resolve(**spec, around=around).source_address) == "198.51.100.7"
    assert str(resolve(**spec, peerAddress="2001:db8::1", around=around).source_address) == "2001:db8:7::1"
    made = resolve(**spec)
    assert (made.reason, "node node-a has no IPv4 address on lo" in made.message) == (Reason.NoNodeValue, True)
    noted = {"sourceAddressFrom": {"nodeAnnotation": "a"}}
    assert str(resolve(**noted, annotations={"a": "192.0.2.9"}).source_address) == "192.0.2.9"
    assert "put one IPv4 address" in resolve(**noted, annotations={"a": "2001:db8::9"}).message


def test_all_that_the_rules_do_not_give_is_told_at_once() -> None:
    made = resolve(
        **BY_ANNOTATION, myASN=None, myASNFrom={"nodeLabel": "asn"}, sourceAddressFrom={"nodeAnnotation": "src"}
    )
    assert "peerAddressFrom" in made.message
    assert "myASNFrom" in made.message


def test_a_local_as_is_for_external_peers_and_another_one_than_those_of_both_sides() -> None:
    made = resolve(localASN=65010)
    assert (made.my_asn, made.session_asn, made.own_path, made.is_internal) == (64512, 65010, (65010, 64512), False)
    assert resolve().own_path == (64512,)
    label = {"myASN": None, "myASNFrom": {"nodeLabel": "asn"}}
    for spec in ({"localASN": 65010, "peerASN": "Internal"}, {"localASN": 64513}, {"localASN": 65010, **label}):
        assert "localASN" in resolve(**spec, labels={"asn": "65010"}).message


def test_a_member_of_the_confederation_is_in_another_as_than_ours() -> None:
    made = resolve(confederationMember=True)
    assert (made.is_confederation_member, made.is_internal, made.is_interior) == (True, False, True)
    assert resolve(confederationMember=True, peerASN="External").is_interior
    assert not resolve().is_interior
    by_label = {"myASN": None, "myASNFrom": {"nodeLabel": "asn"}, "labels": {"asn": "64513"}}
    for spec in ({"peerASN": "Internal"}, {"peerASN": 64512}, by_label):
        fault = resolve(confederationMember=True, **spec)
        assert (fault.reason, "in another member AS" in fault.message) == (Reason.InvalidSpec, True)
    assert "localASN is for peers outside" in resolve(confederationMember=True, localASN=65010).message
