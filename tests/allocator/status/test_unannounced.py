"""Why no node announces an address: all that is known, the true cause first."""

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from allocator.claims import Claim
from allocator.objects import Advertisement, decode_bgp_advertisement, decode_l2_advertisement
from allocator.status.entries import Cause, Fault, Session, Sighting
from allocator.status.unannounced import Evidence, alike, causes, may_be_unreported, peers_down, unannounced
from crds.conditions import Reason
from tests.allocator.build import claim, pool, pools

EDGE = pools(pool("edge", "192.0.2.0/24"))
UP, DOWN = Session("tor1", "Established"), Session("tor1", "Active")
ALIVE = {"node-a": "", "node-b": "has stopped"}
NOBODY = "No node announces the address: "


def advertisement(decode: object = decode_bgp_advertisement, **spec: object) -> Advertisement:
    return decode(json.dumps({"metadata": {"name": "ad", "uid": "u"}, "spec": spec}).encode())  # type: ignore[operator,no-any-return]


LAN = advertisement(decode_l2_advertisement)


def evidence(*ads: Advertisement, not_alive: Mapping[str, str] = ALIVE, **known: object) -> Evidence:
    return Evidence(claim(), EDGE, ads or (LAN,), not_alive, **known)  # type: ignore[arg-type]


def message(*ads: Advertisement, **known: object) -> str:
    return unannounced(evidence(*ads, **known)).message  # type: ignore[arg-type]


def told(text: str, reason: str = "NoEligibleNode") -> Mapping[str, Cause]:
    return {"node-b": Cause("192.0.2.10", reason, text)}


def test_what_a_speaker_knows_is_said() -> None:
    said = "its only ready endpoints are on node4, which has no live speaker"
    assert message(causes=told(said)) == f"{NOBODY}{said}"


@pytest.mark.parametrize(
    ("reason", "said"),
    [("NoReadyEndpoint", Reason.NoReadyEndpoint), ("", Reason.NoEligibleNode), ("OfTomorrow", Reason.NoEligibleNode)],
)
def test_the_reason_is_the_speakers_where_it_is_known(reason: str, said: Reason) -> None:
    assert unannounced(evidence(causes=told("why", reason))).reason is said


def test_until_a_speaker_tells_it_is_said_where_to_look() -> None:
    assert message().startswith(f"{NOBODY}look at the advertisement's nodeSelector")


BGP = advertisement()
ESTABLISHED = {"tor1": {"node-a": UP}}


def test_what_nothing_keeps_from_routers_may_be_announced_and_not_reported_yet() -> None:
    assert may_be_unreported(evidence(BGP, sessions=ESTABLISHED))
    assert may_be_unreported(evidence(LAN, BGP, sessions=ESTABLISHED))


@pytest.mark.parametrize(
    "known",
    [
        evidence(LAN, sessions=ESTABLISHED),
        evidence(BGP, sessions={"tor1": {"node-a": DOWN}}),
        evidence(BGP, sessions=ESTABLISHED, causes=told("no pod is ready")),
        evidence(BGP, sessions=ESTABLISHED, not_alive={"node-a": "is silent"}),
        evidence(advertisement(ipPools=["other"]), sessions=ESTABLISHED),
        Evidence(claim(releasing=True), EDGE, (BGP,), ALIVE, sessions=ESTABLISHED),
    ],
)
def test_what_is_told_at_once_or_has_a_cause_is_not_waited_for(known: Evidence) -> None:
    assert not may_be_unreported(known)


def some_claims() -> Iterator[Claim]:
    """Each kind with two addresses and two Services."""
    gold = (("tier", "gold"),)
    for name, last in (("web", 10), ("other", 11)):
        for pool_name, policy, network, releasing, labels in itertools.product(
            ("edge", "inner"), ("Cluster", "Local"), ("192.0.2.", "2001:db8::"), (False, True), ((), gold)
        ):
            made = claim(name, pool_name, f"{network}{last}", traffic_policy=policy, releasing=releasing)
            yield replace(made, holders=(replace(made.holders[0], labels=labels),))


@pytest.mark.parametrize("not_alive", [ALIVE, {"node-a": "is silent"}])
@pytest.mark.parametrize(
    "ads",
    [
        (),
        (LAN,),
        (advertisement(),),
        (advertisement(ipPools=["inner"]), LAN),
        (advertisement(decode_l2_advertisement, serviceSelector={"matchLabels": {"tier": "gold"}}),),
        (advertisement(peers=["tor9"]),),
    ],
)
@pytest.mark.parametrize("session", [UP, DOWN])
def test_addresses_that_are_alike_have_the_same_cause(
    ads: tuple[Advertisement, ...], not_alive: Mapping[str, str], session: Session
) -> None:
    faults = {"tor1": {"node-a": [Fault("BGPPeer/tor1", "FamilyNotAgreed", "the router takes no IPv6")]}}
    found: dict[object, set[object]] = {}
    for one in some_claims():
        sessions = {"tor1": {"node-a": session}}
        known = Evidence(one, EDGE, ads, not_alive, sessions=sessions, faults=faults)
        found.setdefault(alike(one), set()).add(unannounced(known))
    assert len(found) == 32
    assert all(len(causes) == 1 for causes in found.values())


def test_a_speaker_can_write_no_book() -> None:
    assert len(message(causes=told("x" * 100_000))) < 1000


def test_without_a_speaker_that_lives_that_is_the_cause_and_each_is_accounted_for() -> None:
    not_alive = {"node-a": "is silent", "node-b": "has stopped"}
    found = unannounced(evidence(not_alive=not_alive, causes=told("of long ago")))
    assert found.reason is Reason.NoSpeaker
    assert found.message.startswith("No speaker lives: node-a is silent, node-b has stopped, so nobody announces")
    assert message(not_alive={}).startswith("No speaker runs, so Berth announces nothing")
    many = {f"node-{number:03}": "is silent" for number in range(500)}
    assert "node-004 is silent and 495 more" in message(not_alive=many)


def test_what_no_advertisement_covers_says_which_come_close() -> None:
    def why(*ads: Advertisement) -> str:
        found = unannounced(Evidence(claim(), EDGE, ads, ALIVE))
        assert found.reason is Reason.NoAdvertisement
        return found.message

    base = "No L2Advertisement or BGPAdvertisement covers pool edge and this Service: "
    assert why() == f"{base}create one"
    assert why(advertisement(ipPools=["other"])) == (
        f"{base}BGPAdvertisement ad covers other pools; name this one there, or create another"
    )
    picky = advertisement(decode_l2_advertisement, serviceSelector={"matchLabels": {"tier": "gold"}})
    assert why(picky) == (
        f"{base}the serviceSelector of L2Advertisement ad does not choose it; change that, or the Service's labels"
    )


def test_all_causes_are_said_the_one_that_outweighs_the_others_first() -> None:
    alone = Evidence(claim(), EDGE, (), {})
    assert [one.reason for one in causes(alone)] == [Reason.NoSpeaker, Reason.NoAdvertisement]
    assert unannounced(alone).message.count("; ") == 1
    probed = {"node-a": Sighting("192.0.2.10", "02:00:00:00:00:66", "eth0", announced=False)}
    found = causes(
        evidence(LAN, advertisement(), causes=told("why"), sightings=probed, sessions={"tor1": {"node-a": DOWN}})
    )
    assert [one.reason for one in found] == [Reason.DuplicateAddress, Reason.NoEligibleNode, Reason.SessionsDown]


def test_an_address_that_is_given_back_has_no_other_cause() -> None:
    found = unannounced(Evidence(claim(releasing=True), EDGE, (), {}))
    assert found.reason is Reason.Releasing


def down(*ads: Advertisement, **sessions: list[Session]) -> str:
    by_node = {peer: {f"node-{n}": one for n, one in enumerate(of)} for peer, of in sessions.items()}
    return peers_down(claim(), EDGE, ads, by_node)


def test_peers_without_a_session_are_named_with_what_went_wrong() -> None:
    assert down(advertisement(), tor1=[DOWN, DOWN], tor2=[]) == (
        "by BGP no router hears of it: BGPPeer tor1 (0 of 2 sessions are up), tor2 (no node wants a session)"
    )
    wrong = Session("tor1", "Active", "the peer's AS number is 64999, not 64513")
    assert "0 of 2 sessions are up; node-1: the peer's AS number is 64999" in down(advertisement(), tor1=[DOWN, wrong])
    assert down(advertisement()) == "there is no BGPPeer"
    assert down(advertisement(peers=["tor9"])) == "there is no BGPPeer tor9"
    sessions = {"tor1": {"node-a": DOWN}}
    assert message(advertisement(), sessions=sessions).startswith(f"{NOBODY}by BGP no router hears of it")
    both = message(advertisement(), causes=told("on layer 2 none can"), sessions=sessions)
    assert both.startswith(f"{NOBODY}on layer 2 none can; by BGP no router")
    assert unannounced(evidence(advertisement(), sessions=sessions)).reason is Reason.SessionsDown


def test_a_peer_that_has_a_session_or_is_not_meant_is_not_the_cause() -> None:
    assert down(advertisement(), tor1=[DOWN, UP]) == ""
    assert "tor1" not in down(advertisement(peers=["tor2"]), tor1=[DOWN], tor2=[DOWN])
    assert down(LAN, tor1=[DOWN]) == ""
    assert down(advertisement(ipPools=["other"]), tor1=[DOWN]) == ""


def not_agreed(family: str) -> tuple[Fault, ...]:
    message = f"BGPPeer tor1: the router does not exchange {family} routes with this node"
    return (Fault("BGPPeer/tor1", "FamilyNotAgreed", message),)


def test_a_session_that_carries_no_routes_of_the_family_is_the_cause() -> None:
    faults = {"tor1": {"node-a": not_agreed("IPv4")}}
    [found] = causes(evidence(BGP, sessions=ESTABLISHED, faults=faults))
    assert found.reason is Reason.FamilyNotAgreed
    assert found.message.endswith("does not exchange IPv4 routes with this node")
    assert not may_be_unreported(evidence(BGP, sessions=ESTABLISHED, faults=faults))


@pytest.mark.parametrize("faults", [{"tor1": {"node-a": not_agreed("IPv6")}}, {"tor1": {"node-b": not_agreed("IPv4")}}])
def test_what_one_session_may_carry_is_waited_for(faults: Mapping[str, Mapping[str, tuple[Fault, ...]]]) -> None:
    both = {"tor1": {"node-a": UP, "node-b": UP}}
    assert may_be_unreported(evidence(BGP, sessions=both, faults=faults))


def test_who_announces_by_bgp_alone_is_not_sent_to_interfaces() -> None:
    assert message(BGP, sessions=ESTABLISHED).endswith("nodeSelector and peers")
