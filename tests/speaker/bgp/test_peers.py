"""From a BGPPeer to the configuration of a node's session, or why there can be none."""

from ipaddress import ip_address

import pytest

from crds.addresses import Family
from crds.bgppeer import BGPPeerSpec
from crds.conditions import Reason
from speaker.bgp.peers import resolve_peer
from speaker.cluster.faults import Fault
from speaker.wire.messages import RoutersOn
from tests.speaker.make import node


def resolve(password=None, addresses=("2001:db8::5", "192.0.2.5"), name="node-a", routers=None, **spec):
    spec = {"myASN": 64512, "peerASN": 64513, **({} if "interface" in spec else {"peerAddress": "192.0.2.254"}), **spec}
    own = node({"rack": "1"}, addresses=addresses)
    return resolve_peer("tor", BGPPeerSpec.model_validate(spec), name, own, password, routers or {})


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
