"""What an operator is told about BGP peers and advertisements."""

import pytest

from crds.conditions import Reason
from speaker.cluster.objects import PoolFacts
from tests.speaker.bgp.test_decisions import ad, community, peer, serving
from tests.speaker.make import node


def faults(**parts):
    return serving(**parts).bgp.faults(99)


def about(**parts):
    return [(one.object, one.reason) for one in faults(**parts)]


def messages(**parts):
    return " ".join(one.message for one in faults(**parts))


INTERNAL = {"tor": peer(peerASN="Internal")}
MEMBER = {"tor": peer(confederationMember=True)}
MIXED = {"a": peer(peerASN="Internal"), "b": peer(peerAddress="192.0.2.253")}


def test_there_is_nothing_to_say_about_what_works() -> None:
    spec = ad(ipPools=["edge"], peers=["tor"], communities=["no-export", "64512:1", "large:1:2:3"], med=1)
    assert not faults(ads={"one": spec, "two": ad(med=1, asPathPrepend=1)})


@pytest.mark.parametrize(
    ("spec", "reason", "word"),
    [
        ({"peers": ["tor", "gone"]}, Reason.UnknownPeer, "no BGPPeer gone"),
        ({"ipPools": ["edge", "gone"]}, Reason.UnknownPool, "no IPPool gone"),
        ({"ipPoolSelector": {"matchLabels": {"zone": "gone"}}}, Reason.UnknownPool, "ipPoolSelector"),
        ({"communities": ["silver"]}, Reason.UnknownCommunity, "no Community defines silver"),
        ({"localPref": 5}, Reason.InvalidSpec, "localPref is not sent to tor"),
        ({"weightByEndpoints": True}, Reason.InvalidSpec, "weightByEndpoints has no effect"),
    ],
)
def test_what_an_advertisement_says_in_vain_is_said_of_it(spec, reason, word) -> None:
    (only,) = faults(ads={"one": ad(**spec)})
    assert (only.object, only.reason) == ("BGPAdvertisement/one", reason)
    assert word in only.message


def test_an_advertisement_for_other_nodes_is_left_to_them() -> None:
    spec = ad(nodeSelector={"matchLabels": {"rack": "2"}}, peers=["gone"], communities=["silver"])
    assert not faults(ads={"one": spec})


def test_what_some_peers_are_sent_is_not_in_vain() -> None:
    assert not faults(ads={"one": ad(localPref=5, asPathPrepend=2)}, peers=MIXED)
    for peers in (INTERNAL, MEMBER):
        assert "asPathPrepend is not done for tor" in messages(ads={"one": ad(asPathPrepend=2)}, peers=peers)
        assert not faults(ads={"one": ad(localPref=5)}, peers=peers)


def test_it_is_forgotten_when_what_was_missing_comes() -> None:
    speaker = serving(ads={"one": ad(communities=["gold"], peers=["late"], ipPools=["core"])})
    assert len(speaker.bgp.faults(99)) == 3
    assert len(speaker.bgp.faults(2)) == 2
    speaker.cluster.set_community("x", community(gold="1:2"))
    speaker.cluster.set_bgp_peer("late", peer(peerAddress="192.0.2.253"))
    speaker.pool("core", PoolFacts({}))
    assert not speaker.settle().bgp.faults(99)


def test_of_different_attributes_for_one_route_the_loser_is_told() -> None:
    (only,) = faults(ads={"a": ad(med=7), "b": ad(med=5), "c": ad(med=7)})
    assert only.object == "BGPAdvertisement/b"
    assert "med 5 does not count: a" in only.message


def test_different_attributes_for_different_peers_or_routes_are_no_fault() -> None:
    assert not faults(ads={"a": ad(med=7, peers=["a"]), "b": ad(med=5, peers=["b"])}, peers=MIXED)
    assert not faults(ads={"a": ad(med=7, aggregationLength=24, aggregationLengthV6=64), "b": ad(med=5)})


def test_an_aggregate_given_by_different_addresses_is_one_route() -> None:
    web, mail = ({"matchLabels": {"app": app}} for app in ("web", "mail"))
    ads = {
        "a": ad(aggregationLength=24, med=7, serviceSelector=web),
        "b": ad(aggregationLength=24, med=5, serviceSelector=mail),
    }
    speaker = serving(ads=ads)
    speaker.allocation("192.0.2.1", labels={"app": "web"})
    assert not speaker.settle().bgp.faults(99)
    speaker.allocation("192.0.2.2", labels={"app": "mail"})
    assert [one.object for one in speaker.settle().bgp.faults(99)] == ["BGPAdvertisement/b"]


def test_local_addresses_are_not_aggregated_which_is_told_and_weights_are_for_them() -> None:
    speaker = serving(ads={"one": ad(aggregationLength=24, aggregationLengthV6=64, weightByEndpoints=True)})
    speaker.allocation("192.0.2.1", is_local=True)
    (only,) = speaker.settle().bgp.faults(99)
    assert only.message.startswith("BGPAdvertisement one: aggregationLength has no effect on")


def test_blackholes_that_cannot_be_had_are_told_of_advertisements_with_aggregates() -> None:
    speaker = serving(ads={"host": ad(), "wide": ad(aggregationLength=24)})
    speaker.bgp.set_blackhole_fault("it needs NET_ADMIN")
    (only,) = speaker.bgp.faults(99)
    assert (only.object, only.reason) == ("BGPAdvertisement/wide", Reason.NoBlackhole)
    assert "NET_ADMIN" in only.message
    speaker.bgp.set_blackhole_fault("")
    assert not speaker.bgp.faults(99)


def test_a_family_without_next_hop_is_told() -> None:
    speaker = serving()
    speaker.node(node({"rack": "1"}, addresses=("192.0.2.100",)))
    (only,) = speaker.settle().bgp.faults(99)
    assert (only.object, only.reason) == ("BGPPeer/tor", Reason.NoNextHop)
    assert "node-a has no IPv6 address on the session's interface and no IPv6 InternalIP" in only.message
    assert speaker.prefixes() == {"192.0.2.1/32", "192.0.2.2/32"}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"vrf": "red", "passive": True}, Reason.InvalidSpec),
        ({"interface": "eth0", "peerAddress": None}, Reason.NoRouter),
    ],
)
def test_a_peer_that_can_have_no_session_is_told(spec, reason) -> None:
    assert about(peers={"tor": peer(**spec)}) == [("BGPPeer/tor", reason)]
