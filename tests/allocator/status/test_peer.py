"""What a BGPPeer says, from what the Speakers report."""

import json
from dataclasses import replace

from allocator.objects import StoredPeer
from allocator.status.announcers import Said, Source
from allocator.status.entries import Fault, Session
from allocator.status.faults import reported_faults
from allocator.status.peer import duplicate_fault, peer_status
from allocator.status.reports import BGPReports
from allocator.status.slices import Slice, decode_slice
from crds.types import BGPPeerStatus, Condition

NOW = "2026-01-01T00:00:00Z"


def peer(name: str = "tor1", address: str | None = "192.0.2.1", status: BGPPeerStatus | None = None) -> StoredPeer:
    return StoredPeer(name, f"uid-{name}", 3, (address, 179, None), status or BGPPeerStatus())


def speaker(node: str, *sessions: Session, faults: tuple[Fault, ...] = ()) -> Slice:
    """What it reports."""
    return Slice(node, "i1", Said(), sessions=sessions, faults=faults)


def up(peer: str = "tor1") -> Session:
    return Session(peer, "Established")


def down(error: str = "", state: str = "Active", peer: str = "tor1") -> Session:
    return Session(peer, state, error)


def reported(*slices: Slice) -> BGPReports:
    reports = BGPReports()
    for one in slices:
        update(reports, one)
    return reports


def update(reports: BGPReports, one: Slice) -> None:
    reports.update(Source(one.node, f"{one.node}.0"), one.sessions, one.faults)


def shown(reports: BGPReports, one: StoredPeer | None = None, silent: tuple[str, ...] = ()) -> tuple[str, Condition]:
    """The column Sessions and the condition Ready."""
    one = one or peer()
    status = peer_status(one, reports.sessions(one.name), reported_faults(reports, "BGPPeer", one.name), silent, NOW)
    assert status.sessions is not None
    (ready,) = status.conditions
    return status.sessions.summary, ready


def test_a_peer_is_ready_when_all_its_sessions_are_up() -> None:
    summary, ready = shown(reported(speaker("a", up()), speaker("b", up(), up("tor2"))))
    assert (summary, ready.status, ready.reason, ready.message) == (
        "2/2",
        "True",
        "SessionsUp",
        "2 of 2 sessions are up",
    )
    assert ready.observed_generation == 3


def test_some_sessions_are_enough_and_the_others_are_named_with_their_errors() -> None:
    summary, ready = shown(reported(speaker("a", up()), speaker("b", down("hold timer expired")), speaker("c", down())))
    assert (summary, ready.status, ready.reason) == ("1/3", "True", "SomeSessionsDown")
    assert ready.message == "1 of 3 sessions are up. b: hold timer expired; c: not connected yet"


def test_without_any_session_a_peer_is_not_ready() -> None:
    _, ready = shown(reported(speaker("a", down("connection refused"))))
    assert (ready.status, ready.reason) == ("False", "SessionsDown")
    summary, ready = shown(reported(speaker("a", up("tor2"))))
    assert (summary, ready.status, ready.reason) == ("0/0", "False", "NoSessions")


def test_a_speaker_that_is_silent_or_says_nothing_any_more_has_no_sessions() -> None:
    reports = reported(speaker("a", up()), speaker("b", up()))
    summary, ready = shown(reports, silent=("b",))
    assert (summary, ready.message) == ("1/2", "1 of 2 sessions are up. b: its speaker is silent")
    update(reports, speaker("b"))
    assert shown(reports)[0] == "1/1"
    update(reports, speaker("a"))
    assert shown(reports)[0] == "0/0"
    assert not list(reports.nodes)


def test_a_fault_is_shown_with_who_says_so_and_makes_the_peer_not_ready() -> None:
    fault = Fault("BGPPeer/tor1", "PasswordUnavailable", "BGPPeer tor1: the password can't be read")
    reports = reported(
        speaker("a", down(), faults=(fault, Fault("BGPPeer/tor2", "InvalidSpec", "another"))),
        speaker("b", down(), faults=(fault,)),
    )
    summary, ready = shown(reports)
    assert (summary, ready.status, ready.reason) == ("0/2", "False", "PasswordUnavailable")
    assert ready.message == "the password can't be read (says a, b). 0 of 2 sessions are up"


def test_a_fault_beside_a_session_that_is_up_is_a_part() -> None:
    fault = Fault("BGPPeer/tor1", "UnknownProfile", "BGPPeer tor1: there is no BFDProfile fast")
    reports = reported(speaker("a", up(), faults=(fault,)), speaker("b", down()))
    one = peer()
    status = peer_status(one, reports.sessions("tor1"), reported_faults(reports, "BGPPeer", "tor1"), (), NOW)
    assert {each.type: (each.status, each.reason) for each in status.conditions} == {
        "Ready": ("True", "SomeSessionsDown"),
        "Degraded": ("True", "UnknownProfile"),
    }
    assert status.observed_generation == one.generation
    assert status.conditions[0].message.endswith(". But: there is no BFDProfile fast (says a)")


def test_bfd_beside_graceful_restart_is_remarked_where_both_are_set() -> None:
    def said(**fields: object) -> str:
        one = replace(peer(), **fields)
        return peer_status(one, reported(speaker("a", up())).sessions("tor1"), (), (), NOW).conditions[0].message

    assert said(bfd_profile="fast", has_graceful_restart=True).startswith(
        "1 of 1 sessions are up. But: with bfdProfile,"
    )
    assert said(bfd_profile="fast") == said(has_graceful_restart=True) == "1 of 1 sessions are up"


def test_one_router_id_for_several_nodes_is_remarked() -> None:
    def said(*nodes: str) -> str:
        one = replace(peer(), router_id="192.0.2.9")
        sessions = reported(*(speaker(node, up()) for node in nodes)).sessions("tor1")
        return peer_status(one, sessions, (), (), NOW).conditions[0].message

    assert said("a") == "1 of 1 sessions are up"
    assert "all 2 nodes have the routerID 192.0.2.9" in said("a", "b")


def test_what_keeps_no_session_from_coming_up_hides_no_cause() -> None:
    fault = Fault("BGPPeer/tor1", "UnknownProfile", "BGPPeer tor1: there is no BFDProfile fast")
    reports = reported(speaker("a", down("connection refused"), faults=(fault,)))
    one = peer()
    status = peer_status(one, reports.sessions("tor1"), reported_faults(reports, "BGPPeer", "tor1"), (), NOW)
    assert {each.type: (each.status, each.reason) for each in status.conditions} == {
        "Ready": ("False", "SessionsDown"),
        "Degraded": ("True", "UnknownProfile"),
    }
    assert "connection refused" in status.conditions[0].message


def test_a_reason_of_a_newer_speaker_is_no_error() -> None:
    reports = reported(speaker("a", faults=(Fault("BGPAdvertisement/ad", "FromTheFuture", "it is odd"),)))
    (found,) = reported_faults(reports, "BGPAdvertisement", "ad")
    assert (found.reason, found.message, found.holds) == ("InvalidSpec", "it is odd (says a)", False)


def test_two_peers_for_one_router_are_reported_only_where_a_node_has_both() -> None:
    duplicates = [peer("tor1"), peer("tor2"), peer("tor3", "192.0.2.9")]
    apart = reported(speaker("a", up("tor1"), up("tor3")), speaker("b", up("tor2")))
    assert apart.duplicates(duplicates[0], duplicates) == []
    assert duplicate_fault([]) is None
    together = reported(speaker("a", up("tor1"), down(peer="tor2"), up("tor3")))
    assert together.duplicates(duplicates[0], duplicates) == ["tor2"]
    found = duplicate_fault(["tor2"])
    assert found is not None
    assert found.reason == "DuplicatePeer"
    nowhere = [peer("eth0", None), peer("eth1", None)]
    assert reported(speaker("a", up("eth0"), up("eth1"))).duplicates(nowhere[0], nowhere) == []


def test_a_message_stays_short_whatever_speakers_say() -> None:
    many = [
        speaker(
            f"node-{number}", down(f"{number} " + "x" * 1000), faults=(Fault("BGPPeer/tor1", "", f"{number}" * 900),)
        )
        for number in range(100)
    ]
    reports = reported(*many)
    assert len(shown(reports)[1].message) < 1024
    for one in many:
        update(reports, speaker(one.node, *one.sessions))
    message = shown(reports)[1].message
    assert len(message) < 2048
    assert message.endswith("and 95 more")


def test_what_did_not_change_is_equal_and_so_not_written_again() -> None:
    reports = reported(speaker("a", up()), speaker("b", down("connection refused", "Connect")))
    first = peer_status(peer(), reports.sessions("tor1"), (), (), NOW)
    update(reports, speaker("b", down("connection refused", "Active")))
    later = "2026-01-01T00:01:00Z"
    assert peer_status(peer(status=first), reports.sessions("tor1"), (), (), later) == first


def test_bfd_sessions_are_counted_beside_and_only_where_there_are_to_be_some() -> None:
    watched = Session("tor1", "Established", "", is_watched=True)
    reports = reported(speaker("a", watched), speaker("b", watched), speaker("c", up()))
    with_bfd = peer_status(replace(peer(), bfd_profile="fast"), reports.sessions("tor1"), (), ("b",), NOW)
    assert (with_bfd.bfd.summary, with_bfd.bfd.established) == ("1/3", 1)
    assert peer_status(peer(), reports.sessions("tor1"), (), (), NOW).bfd is None


def test_a_report_says_of_each_session_whether_bfd_watches_it() -> None:
    status = {
        "bgpSessions": [{"peer": "tor1", "state": "Established"}, {"peer": "tor2", "state": "Established"}],
        "bfdSessions": [{"peer": "tor1", "state": "Up"}, {"peer": "tor2", "state": "Down"}, {"peer": "tor3"}],
    }
    one = {"metadata": {"name": "a.0", "uid": "1"}, "spec": {"node": "a"}, "status": status}
    assert [(each.peer, each.is_watched) for each in decode_slice(json.dumps(one).encode()).sessions] == [
        ("tor1", True),
        ("tor2", False),
    ]
