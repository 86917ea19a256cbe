"""What the sessions of one node show to be wrong with a router or its BGPPeer."""

from dataclasses import replace
from ipaddress import IPv4Address

from crds.addresses import Family
from crds.conditions import Reason
from crds.speaker import BGPSessionState
from speaker.bgp.model import PeerConfig, SessionView
from speaker.bgp.sessionfaults import BFD_SECONDS, faults_in_sessions
from speaker.wire.messages import BfdState

TOR = PeerConfig("tor", 64512, 64513, IPv4Address("192.0.2.254"), IPv4Address("192.0.2.1"), frozenset(Family))
UP = SessionView("tor", TOR.peer_address, BGPSessionState.Established, 100.0, families=frozenset(Family))
NEVER_UP = BfdState("Down", "Down", 1.0, False, "", 0, 0, "")


def test_a_family_that_the_router_did_not_agree_to_is_named() -> None:
    (only,) = faults_in_sessions({"tor": TOR}, {"tor": replace(UP, families=frozenset({Family.IPv6}))}, {}, 100.0)
    assert (only.reason, only.object) == (Reason.FamilyNotAgreed, "BGPPeer/tor")
    assert "does not exchange IPv4 routes with this node" in only.message
    (only,) = faults_in_sessions({"tor": TOR}, {"tor": replace(UP, families=frozenset())}, {}, 100.0)
    assert "IPv4 and IPv6 routes" in only.message


def test_a_router_that_takes_no_ipv6_next_hops_is_told_where_there_is_no_other() -> None:
    ask = lambda view: faults_in_sessions({"tor": TOR}, {"tor": view}, {}, 100.0, without_ipv4_next_hop={"tor"})  # noqa: E731
    (only,) = ask(UP)
    assert (only.reason, only.object) == (Reason.NoNextHop, "BGPPeer/tor")
    assert "RFC 8950" in only.message
    assert not ask(replace(UP, ipv6_next_hops=True))
    assert not faults_in_sessions({"tor": TOR}, {"tor": UP}, {}, 100.0)
    (only,) = ask(replace(UP, families=frozenset({Family.IPv6})))
    assert only.reason == Reason.FamilyNotAgreed


def test_a_session_that_is_not_up_and_one_that_has_all_are_no_fault() -> None:
    down = replace(UP, state=BGPSessionState.Connect, families=frozenset())
    for view in (UP, down):
        assert not faults_in_sessions({"tor": TOR}, {"tor": view}, {}, 1000.0)
    assert not faults_in_sessions({"tor": TOR}, {}, {}, 1000.0)


def test_bfd_that_has_not_come_up_some_seconds_after_bgp_is_told() -> None:
    ask = lambda state, now: faults_in_sessions({"tor": TOR}, {"tor": UP}, {"tor": state}, now)  # noqa: E731
    assert not ask(NEVER_UP, 100.0 + BFD_SECONDS - 1)
    (only,) = ask(NEVER_UP, 100.0 + BFD_SECONDS)
    assert (only.reason, only.object) == (Reason.NoBFD, "BGPPeer/tor")
    assert "does the router speak BFD" in only.message
    for fine in ({"state": "Up"}, {"remote_state": "AdminDown"}, {"has_failed": True}):
        assert not ask(NEVER_UP._replace(**fine), 200.0)
    (only,) = ask(NEVER_UP._replace(fault="UDP port 3784: Address already in use"), 200.0)
    assert only.message == "BGPPeer tor: UDP port 3784: Address already in use"
