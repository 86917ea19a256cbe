"""Short stories of one session: what is written, and what is believed of it. test_session_world.py has all orders."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

from crds.addresses import Family
from crds.speaker import FOREVER_SECONDS
from speaker.bgp.exabgp import events
from speaker.bgp.exabgp.commands import EXABGP_LOCAL_PREF
from speaker.bgp.exabgp.connection import SILENT_SECONDS, start_words
from speaker.bgp.exabgp.ribout import Posture
from speaker.bgp.exabgp.session import CLOCK_MARGIN_SECONDS, STUCK_SECONDS, RouterSession
from speaker.bgp.model import PeerConfig, Prefix, Route

V4, OTHER, V6 = ip_network("10.9.0.1/32"), ip_network("10.9.0.2/32"), ip_network("fd09::1/128")
PEER = PeerConfig(
    name="tor",
    my_asn=64512,
    peer_asn=64513,
    peer_address=IPv4Address("10.0.0.2"),
    router_id=IPv4Address("10.0.0.1"),
    families=frozenset(Family),
)


def session_that_is_up(now: float = 1000.0, peer: PeerConfig = PEER, *, hold_seconds: int = 90) -> RouterSession:
    session = RouterSession(peer, now)
    session.exabgp_started(now)
    come_up(session, now, hold_seconds)
    return session


def come_up(session: RouterSession, now: float, hold_seconds: int = 90, *, ipv6_next_hops: bool = False) -> None:
    session.handle(events.Connected(), now)
    agreed = events.Negotiated(hold_seconds, session.peer.families, ipv6_next_hops=ipv6_next_hops)
    session.handle(agreed, now)
    written(session, now)
    session.handle(events.Up(), now)


def written(session: RouterSession, now: float) -> list[str]:
    """And answered."""
    lines = session.next_lines(now)
    for line in lines:
        if line.startswith("unacknowledged"):
            session.handle(events.Unacknowledged(1), now)
        session.handle(events.Answer(True), now)
    return [line for line in lines if " nlri " in line]


def advertise(session: RouterSession, now: float, *routes: Route) -> None:
    session.change({route.prefix: route for route in routes})
    written(session, now)
    session.handle(events.Sent(announced=tuple(route.prefix for route in routes)), now)


def announcing(prefix: Prefix, words: str = "") -> str:
    return f"announce attributes next-hop self{words} nlri {prefix}"


def test_each_process_is_told_how_often_to_connect_and_to_say_keepalive_and_when_that_changes() -> None:
    session = RouterSession(PEER, 1000.0)
    for _ in range(2):
        session.exabgp_started(1000.0)
        assert "pace 10 0" in session.next_lines(1000.0)
        session.configure(replace(PEER, connect_retry_seconds=60))
        assert session.next_lines(1001.0) == ["pace 60 0"]
        session.configure(replace(PEER, connect_retry_seconds=60, keepalive_seconds=5))
        assert session.next_lines(1001.5) == ["pace 60 5"]
        assert session.next_lines(1002.0) == []
        session.exabgp_ended("died", 1003.0)
        session.configure(PEER)


def test_only_what_differs_is_written() -> None:
    session = session_that_is_up()
    advertise(session, 1001.0, Route(V4), Route(OTHER), Route(V6, next_hop=IPv6Address("fd00::1")))
    session.want({V4: Route(V4), OTHER: Route(OTHER, med=1)})
    assert written(session, 1002.0) == [
        f"withdraw attributes next-hop :: nlri {V6}",
        announcing(OTHER, " med 1"),
    ]
    session.want({V4: Route(V4), OTHER: Route(OTHER, med=1)})
    assert written(session, 1003.0) == []


def test_a_silent_session_withdraws_all_and_knows_what_to_announce_afterwards() -> None:
    session = session_that_is_up()
    advertise(session, 1001.0, Route(V4))
    session.set_posture(Posture.Silent)
    session.change({OTHER: Route(OTHER)})
    assert written(session, 1002.0) == [f"withdraw attributes next-hop 0.0.0.0 nlri {V4}"]
    session.handle(events.Sent(withdrawn=(V4,)), 1002.0)
    session.handle(events.Unacknowledged(0), 1002.0)
    assert not any(session.may_be_heard(prefix) for prefix in (V4, OTHER))
    assert session.wanted == {V4: Route(V4), OTHER: Route(OTHER)}
    session.set_posture(Posture.Normal)
    assert all(session.may_be_heard(prefix) for prefix in (V4, OTHER))
    assert written(session, 1003.0) == [f"{announcing(V4)} {OTHER}"]


def test_a_draining_session_announces_all_anew_as_the_last_to_be_preferred() -> None:
    session = session_that_is_up(peer=replace(PEER, peer_asn=PEER.my_asn))
    advertise(session, 1001.0, Route(V4, local_pref=100))
    session.set_posture(Posture.Draining)
    session.set_posture(Posture.Draining)
    assert written(session, 1002.0) == [announcing(V4, " local-preference 0 community [ 65535:0 ]")]
    session.handle(events.Sent(announced=(V4,)), 1002.0)
    session.set_posture(Posture.Normal)
    assert written(session, 1003.0) == [announcing(V4, " local-preference 100")]


def test_a_session_without_a_word_about_routes_has_no_end_of_rib_unless_it_is_silent() -> None:
    session = session_that_is_up()
    assert not any("eor" in line for line in session.next_lines(1001.0))
    session.set_posture(Posture.Silent)
    assert {line for line in session.next_lines(1002.0) if "eor" in line} == {
        "announce eor ipv4 unicast",
        "announce eor ipv6 unicast",
    }
    assert session.wanted is None


def test_a_refused_route_is_not_tried_again_until_it_is_another_one() -> None:
    session = session_that_is_up()
    session.change({V4: Route(V4)})
    assert announcing(V4) in session.next_lines(1001.0)
    session.handle(events.Answer(False), 1001.0)
    assert "refused a route" in session.view().last_error
    assert written(session, 1002.0) == []
    session.change({V4: Route(V4, med=1)})
    assert written(session, 1003.0) == [announcing(V4, " med 1")]


def test_a_refused_change_leaves_the_earlier_route_to_be_withdrawn() -> None:
    session = session_that_is_up()
    advertise(session, 1001.0, Route(V4))
    session.change({V4: Route(V4, med=1)})
    assert announcing(V4, " med 1") in session.next_lines(1002.0)
    session.handle(events.Answer(False), 1002.0)
    assert session.has_sent(V4)
    session.change({V4: None})
    assert written(session, 1003.0) == [f"withdraw attributes next-hop 0.0.0.0 nlri {V4}"]


def test_a_refused_route_does_not_confirm_the_withdrawal_before_it() -> None:
    session = session_that_is_up()
    advertise(session, 1001.0, Route(V4))
    session.change({V4: None})
    written(session, 1002.0)
    session.handle(events.Sent(withdrawn=(V4,)), 1002.0)
    session.change({V4: Route(V4, med=1)})
    lines = session.next_lines(1002.5)
    for line in lines:
        session.handle(events.Answer(" nlri " not in line), 1002.5)
    session.change({V4: None})
    assert session.may_be_heard(V4)
    session.handle(events.Unacknowledged(0), 1003.0)
    assert not session.may_be_heard(V4)


OVER_IPV6 = replace(PEER, peer_address=IPv6Address("fd00::2"))


def test_an_ipv4_route_names_an_ipv6_next_hop_where_the_router_agreed_and_goes_nowhere_else() -> None:
    session = session_that_is_up(peer=OVER_IPV6)
    session.change({V4: Route(V4), OTHER: Route(OTHER, IPv4Address("10.0.0.1")), V6: Route(V6)})
    named = f"announce attributes next-hop 10.0.0.1 nlri {OTHER}"
    assert written(session, 1001.0) == [named, announcing(V6)]
    assert "can't be sent" in session.view().last_error
    session.handle(events.Down("closing connection", False), 1002.0)
    come_up(session, 1003.0, ipv6_next_hops=True)
    assert session.view().ipv6_next_hops
    assert written(session, 1003.0) == [announcing(V4)]


def test_what_a_router_does_not_agree_to_any_more_is_not_waited_for() -> None:
    """ExaBGP holds the route, and does not send it in a session without that agreement."""
    session = session_that_is_up(peer=OVER_IPV6)
    session.handle(events.Down("closing connection", False), 1000.5)
    come_up(session, 1001.0, ipv6_next_hops=True)
    advertise(session, 1001.0, Route(V4))
    session.handle(events.Down("the router said so", True), 1002.0)
    come_up(session, 1003.0)
    assert written(session, 1003.0) == [f"withdraw attributes next-hop 0.0.0.0 nlri {V4}"]
    assert session.overdue(1003.0 + 60.0) is None or "answer" in str(session.overdue(1063.0))
    session.change({V4: None})
    assert not session.may_be_heard(V4)


def test_a_route_that_loses_its_next_hop_is_withdrawn() -> None:
    session = session_that_is_up(peer=OVER_IPV6)
    advertise(session, 1001.0, Route(V4, IPv4Address("10.0.0.1")))
    session.change({V4: Route(V4)})
    assert written(session, 1002.0) == [f"withdraw attributes next-hop 0.0.0.0 nlri {V4}"]


GRACEFUL = replace(PEER, families=frozenset({"ipv4"}), hold_time_seconds=90, graceful_restart_seconds=60)
OUTLIVED_SECONDS = 90 + 60 + 1


def lost_under_graceful_restart(now: float) -> RouterSession:
    """With a route at the router that is to be withdrawn, and another that is to stay."""
    session = session_that_is_up(now - 1, GRACEFUL)
    advertise(session, now - 1, Route(V4), Route(OTHER))
    session.handle(events.Down("closing connection", False), now)
    session.change({V4: None})
    written(session, now)
    return session


def test_what_a_router_kept_through_a_restart_may_be_heard_until_it_has_end_of_rib() -> None:
    session = lost_under_graceful_restart(1000.0)
    come_up(session, 1000.0 + OUTLIVED_SECONDS - 1)
    late = 1000.0 + OUTLIVED_SECONDS + 30
    session.pass_time(late)
    assert session.may_be_heard(V4)
    session.handle(events.Sent(announced=(OTHER,)), late)
    assert "announce eor ipv4 unicast" in session.next_lines(late)
    session.handle(events.EndOfRib("ipv4"), late)
    session.pass_time(late)
    assert session.may_be_heard(V4)
    session.handle(events.Unacknowledged(0), late)
    assert not session.may_be_heard(V4)
    assert session.may_be_heard(OTHER)


def test_what_a_router_kept_is_waited_for_anew_when_the_session_is_lost_before_end_of_rib() -> None:
    session = lost_under_graceful_restart(1000.0)
    come_up(session, 1050.0)
    session.handle(events.Down("closing connection", False), 1060.0)
    session.exabgp_ended("", 1060.0)
    session.pass_time(1059.0 + OUTLIVED_SECONDS)
    assert session.may_be_heard(V4)
    session.pass_time(1060.0 + OUTLIVED_SECONDS)
    assert not session.may_be_heard(V4)


def test_a_restart_time_has_passed_only_when_exabgp_knows_of_no_session_since() -> None:
    session = lost_under_graceful_restart(1000.0)
    over = 1000.0 + OUTLIVED_SECONDS
    assert any(line.startswith("unacknowledged") for line in session.next_lines(over + 1))
    session.pass_time(over + 2)
    assert session.may_be_heard(V4)
    session.handle(events.Unacknowledged(0), over + 2)
    session.pass_time(over + 2)
    assert not session.may_be_heard(V4)


def test_what_exabgp_held_when_it_died_may_have_been_sent_unseen() -> None:
    session = session_that_is_up(1000.0)
    advertise(session, 1000.0, Route(V4))
    session.handle(events.Down("notification received", True), 1001.0)
    session.change({V4: None})
    session.exabgp_ended("died", 1010.0)
    session.pass_time(1010.0 + 90)
    assert session.may_be_heard(V4)
    session.pass_time(1010.0 + 90 + 1)
    assert not session.may_be_heard(V4)


def test_the_routes_of_a_session_that_the_router_ended_are_gone() -> None:
    session = session_that_is_up(1000.0)
    advertise(session, 1000.0, Route(V4))
    session.change({V4: None})
    session.handle(events.Down("notification received", True), 1001.0)
    assert session.may_be_heard(V4)  # ExaBGP holds it still
    assert written(session, 1002.0) == [f"withdraw attributes next-hop 0.0.0.0 nlri {V4}"]
    assert not session.may_be_heard(V4)


def test_a_session_comes_up_only_when_it_is_known_for_how_long_the_router_may_keep_its_routes() -> None:
    session = RouterSession(PEER, 1000.0)
    session.exabgp_started(1000.0)
    session.covered_seconds = 90 + 15
    session.handle(events.Connected(), 1001.0)
    session.handle(events.Negotiated(0, session.peer.families), 1001.0)  # the router never expires it
    assert session.outlives_seconds == FOREVER_SECONDS
    assert not [line for line in session.next_lines(1001.0) if line.startswith("accept")]
    assert "until the API server" in session.view().last_error
    session.covered_seconds = FOREVER_SECONDS
    assert "accept 1 0" in session.next_lines(1002.0)
    assert "accept 1 0" not in session.next_lines(1002.0)
    session.handle(events.Down("closing connection", False), 1003.0)
    session.handle(events.Connected(), 1004.0)
    session.handle(events.Negotiated(90, session.peer.families), 1004.0)
    assert "accept 2 90" in session.next_lines(1004.0)


def test_what_a_router_keeps_of_a_session_that_never_expired_it_keeps_for_ever() -> None:
    session = session_that_is_up(hold_seconds=0)
    advertise(session, 1001.0, Route(V4))
    assert session.kept_seconds(1001.0) == 0
    session.handle(events.Down("closing connection", False), 1002.0)
    assert session.outlives_seconds == 90 + 15
    assert session.kept_seconds(2000.0) == FOREVER_SECONDS
    session.router_started_anew()
    assert session.kept_seconds(2000.0) == 0


def test_what_a_notification_said_stays_the_reason_until_a_session_is_up() -> None:
    session = session_that_is_up()
    said = "the router sent: cease: administrative shutdown (6/2): rack 12 is moved"
    session.handle(events.Notified(said.removeprefix("the router sent: "), True), 1001.0)
    session.handle(events.Down("notification received (6,2)", True), 1001.0)
    assert session.view().last_error == said
    session.handle(events.Connected(), 1002.0)
    session.handle(events.Down("closing connection", False), 1002.0)
    assert session.view().last_error == f"{said} (then: the connection was closed or lost)"
    session.handle(events.Unacknowledged(0, "Connection refused"), 1003.0)
    assert session.view().last_error == f"{said} (then: no connection: Connection refused)"
    session.handle(events.Connected(), 1004.0)
    session.handle(events.Notified("cease: connection rejected (6/5)", True, is_rejection=True), 1004.0)
    session.handle(events.Down("notification received (6,5)", True), 1004.0)
    assert session.view().last_error.startswith(said)
    session.handle(events.Connected(), 1005.0)
    session.handle(events.Notified("OPEN message error: bad peer AS (2/2)", False), 1005.0)
    session.handle(events.Down("notification sent (2,2)", False), 1005.0)
    assert session.view().last_error == "we sent: OPEN message error: bad peer AS (2/2)"
    come_up(session, 1006.0)
    session.handle(events.Down("closing connection", False), 1007.0)
    assert session.view().last_error == "the connection was closed or lost"


def test_a_router_that_sees_the_confederation_otherwise_is_asked_about() -> None:
    member = replace(PEER, is_confederation_member=True)
    bad_path, bad_asn = "UPDATE message error: malformed AS_PATH (3/11)", "OPEN message error: bad peer AS (2/2)"
    for peer, said, hint in (
        (
            PEER,
            events.Notified(bad_path, True),
            "; is it in a confederation with this node? confederationMember says so",
        ),
        (member, events.Notified(bad_asn, False), "; does it know AS 64512 as a member of its confederation?"),
        (PEER, events.Notified(bad_asn, False), ""),
        (member, events.Notified(bad_asn, True), ""),
    ):
        session = session_that_is_up(peer=peer)
        session.handle(said, 1001.0)
        session.handle(events.Down("", said.by_router), 1001.0)
        assert session.view().last_error.endswith(f"sent: {said.text}{hint}")


def test_until_when_the_router_may_keep_routes_is_known_while_no_session_is_up() -> None:
    session = session_that_is_up()
    advertise(session, 1001.0, Route(V4))
    assert session.view().kept_until is None
    session.handle(events.Down("closing connection", False), 1002.0)
    assert session.view().kept_until == 1002.0 + 90 + CLOCK_MARGIN_SECONDS
    come_up(session, 1003.0)
    assert session.view().kept_until is None
    session.handle(events.Notified("cease (6/2)", True), 1004.0)
    session.handle(events.Down("notification received (6,2)", True), 1004.0)
    assert session.view().kept_until is None


def test_a_withdrawal_that_is_not_acknowledged_is_told_with_the_time_that_the_router_may_keep_it() -> None:
    session = session_that_is_up()
    advertise(session, 1001.0, Route(V4))
    session.want({})
    written(session, 1002.0)
    session.handle(events.Sent(withdrawn=(V4,)), 1002.0)
    session.pass_time(1002.0 + STUCK_SECONDS - 0.5)
    assert (session.view().kept_until, session.view().withdrawn) == (None, ())
    session.pass_time(1002.0 + STUCK_SECONDS)
    assert session.view().kept_until == 1002.0 + 90 + CLOCK_MARGIN_SECONDS
    assert session.view().withdrawn == (V4,)
    session.handle(events.Unacknowledged(0), 1005.0)
    session.pass_time(1005.0)
    assert (session.view().kept_until, session.view().withdrawn) == (None, ())


def test_what_was_sent_is_what_an_update_was_seen_of_and_not_what_is_wanted() -> None:
    session = session_that_is_up()
    session.change({V4: Route(V4, med=1)})
    written(session, 1001.0)
    assert session.sent_route(V4) is None
    session.handle(events.Sent(announced=(V4,)), 1001.0)
    session.change({V4: Route(V4, med=2)})
    session.take_changed()
    written(session, 1002.0)
    assert session.sent_route(V4) == Route(V4, med=1)
    session.take_changed()
    session.handle(events.Sent(announced=(V4,)), 1002.0)
    assert session.sent_route(V4) == Route(V4, med=2)
    assert session.take_changed() == {V4}, "others are told"
    session.handle(events.Down("closing connection", False), 1003.0)
    assert session.sent_route(V4) is None


def test_what_was_sent_has_the_attributes_of_its_session() -> None:
    session = session_that_is_up(peer=replace(OVER_IPV6, peer_asn=PEER.my_asn))
    session.handle(events.Down("closing connection", False), 1001.0)
    come_up(session, 1001.0, ipv6_next_hops=True)
    advertise(session, 1002.0, Route(V4, IPv4Address("10.0.0.1"), prepend=2))
    assert session.sent_route(V4) == Route(V4, None, EXABGP_LOCAL_PREF)


def test_a_router_that_hangs_up_before_its_open_may_not_know_this_node() -> None:
    session = RouterSession(PEER, 1000.0)
    session.exabgp_started(1000.0)
    session.handle(events.Connected(), 1000.0)
    session.handle(events.Down("closing connection", False, "10.0.0.1"), 1000.0)
    assert session.view().last_error == (
        "the connection was closed or lost before the router's OPEN: does it know this node's address 10.0.0.1? "
        "Does another program on this node peer with it?"
    )
    session.handle(events.Connected(), 1001.0)
    session.handle(events.Negotiated(90, PEER.families), 1001.0)
    session.handle(events.Down("closing connection", False), 1001.0)
    assert session.view().last_error == "the connection was closed or lost"


def test_a_router_that_takes_the_connection_and_says_nothing_is_told_while_it_does() -> None:
    session = RouterSession(PEER, 1000.0)
    session.exabgp_started(1000.0)
    session.handle(events.Connected(), 1000.0)
    session.pass_time(1000.0 + SILENT_SECONDS - 1)
    assert session.view().last_error == ""
    session.pass_time(1000.0 + SILENT_SECONDS)
    assert "ttlSecurity set on one side only" in session.view().last_error


def test_a_router_that_does_not_confirm_our_open_is_told_but_not_while_we_do_not_accept_its_own() -> None:
    session = RouterSession(PEER, 1000.0)
    session.covered_seconds = 10.0  # the API server does not know of 90 s yet
    session.exabgp_started(1000.0)
    session.handle(events.Connected(), 1000.0)
    session.handle(events.Negotiated(90, PEER.families), 1000.0)
    session.next_lines(1000.0)
    session.pass_time(1000.0 + SILENT_SECONDS)
    assert "ttlSecurity" not in session.view().last_error
    session.covered_seconds = 200.0
    session.next_lines(1006.0)
    session.pass_time(1006.0 + SILENT_SECONDS)
    assert "ttlSecurity set on one side only" in session.view().last_error


def test_a_peer_that_is_not_reached_is_told_what_it_may_need() -> None:
    def told(trouble: str, **fields: Any) -> str:
        session = RouterSession(replace(PEER, **fields), 1000.0)
        session.exabgp_started(1000.0)
        session.handle(events.Unacknowledged(0, trouble), 1000.0)
        return session.view().last_error.removeprefix("no connection: ")

    assert told("No route to host") == "No route to host; if it is more than one hop away, set ebgpMultiHop"
    for fields in ({"multihop_ttl": 5}, {"ttl_security": 2}, {"peer_asn": 64512}):
        assert told("No route to host", **fields) == "No route to host"
    assert told("timed out") == "timed out"
    assert told("timed out", password="sesame") == "timed out; with a wrong password it looks like this too"
    assert told("timed out", password="sesame\n").endswith("and ours begins or ends in white space (a newline?)")


def test_a_port_that_another_program_has_is_told_in_a_sentence() -> None:
    passive = replace(PEER, is_passive=True, source_address=IPv4Address("10.0.0.1"))
    why = "network         and check that no other daemon is already binding to port 179"
    assert start_words(why, passive) == (
        "another program on this node has TCP port 179 of 10.0.0.1, where this session waits for the router"
    )
    assert start_words("no memory", passive) == "ExaBGP can't be started: no memory"
