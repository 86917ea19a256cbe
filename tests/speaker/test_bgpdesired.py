"""Which routes a node advertises to a BGP peer, and with which attributes."""

from ipaddress import ip_address, ip_network

import pytest

from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.community import CommunitySpec
from speaker.bgp.model import GRACEFUL_SHUTDOWN, NO_EXPORT, PeerConfig
from speaker.bgpdesired import BGPView
from speaker.endpoints import NOWHERE, Placement
from tests.speaker.make import allocation, node

HERE = Placement(frozenset({"node-a"}))
ELSEWHERE = Placement(frozenset({"node-b"}))


def ad(**spec):
    return BGPAdvertisementSpec.model_validate(spec)


def peer(peer_asn=64513, families=("ipv4", "ipv6")):
    return PeerConfig("tor", 64512, peer_asn, ip_address("192.0.2.254"), ip_address("192.0.2.1"), frozenset(families))


def desired(*addresses, to=None, own=None, communities=None, needs_endpoint=True, **advertisements):
    view = BGPView(
        own or node({"rack": "1"}),
        own_name="node-a",
        pools={"edge": {"zone": "edge"}},
        advertisements=advertisements or {"all": ad()},
        communities=communities or {},
        needs_endpoint=needs_endpoint,
    )
    return view.desired(to or peer(), addresses)


def prefixes(*addresses, **parts):
    return {str(prefix) for prefix in desired(*addresses, **parts).routes}


def route(*addresses, **parts):
    (only,) = desired(*addresses, **parts).routes.values()
    return only


def test_each_address_is_a_host_route() -> None:
    both = ((allocation("192.0.2.10"), ELSEWHERE), (allocation("2001:db8::1"), ELSEWHERE))
    assert prefixes(*both) == {"192.0.2.10/32", "2001:db8::1/128"}


def test_a_family_that_the_peer_does_not_exchange_is_not_sent() -> None:
    assert prefixes((allocation("2001:db8::1"), HERE), to=peer(families=("ipv4",))) == set()


@pytest.mark.parametrize("flag", ["is_excluded", "is_network_unavailable"])
def test_a_node_that_takes_no_traffic_advertises_nothing(flag) -> None:
    assert prefixes((allocation(), HERE), own=node(**{flag: True})) == set()


def test_an_address_that_is_given_back_is_withdrawn() -> None:
    assert prefixes((allocation(is_releasing=True), HERE)) == set()


def test_local_is_advertised_where_an_endpoint_is_or_may_be() -> None:
    local = allocation(is_local=True)
    assert prefixes((local, HERE)) == {"192.0.2.10/32"}
    assert prefixes((local, ELSEWHERE)) == set()
    assert prefixes((local, Placement(frozenset(), is_everywhere=True))) == {"192.0.2.10/32"}


def test_cluster_without_endpoints_is_withdrawn_unless_the_switch_says_otherwise() -> None:
    assert prefixes((allocation(), NOWHERE)) == set()
    assert prefixes((allocation(), NOWHERE), needs_endpoint=False) == {"192.0.2.10/32"}


@pytest.mark.parametrize(
    ("spec", "is_covered"),
    [
        ({"ipPools": ["edge"]}, True),
        ({"ipPools": ["core"]}, False),
        ({"ipPoolSelector": {"matchLabels": {"zone": "edge"}}}, True),
        ({"ipPoolSelector": {"matchLabels": {"zone": "core"}}}, False),
        ({"serviceSelector": {"matchLabels": {"app": "web"}}}, True),
        ({"serviceSelector": {"matchLabels": {"app": "db"}}}, False),
        ({"nodeSelector": {"matchLabels": {"rack": "1"}}}, True),
        ({"nodeSelector": {"matchLabels": {"rack": "2"}}}, False),
        ({"peers": ["tor"]}, True),
        ({"peers": ["other"]}, False),
    ],
)
def test_an_advertisement_covers_what_all_its_selectors_choose(spec, is_covered) -> None:
    assert bool(prefixes((allocation(labels={"app": "web"}), HERE), one=ad(**spec))) is is_covered


def test_an_aggregate_stands_while_any_address_in_it_does_but_local_addresses_go_one_by_one() -> None:
    wide = ad(aggregationLength=24)
    two = [(allocation("192.0.2.10"), HERE), (allocation("192.0.2.11"), HERE)]
    assert prefixes(*two, wide=wide) == {"192.0.2.0/24"}
    assert prefixes((allocation("192.0.2.10", is_local=True), HERE), wide=wide) == {"192.0.2.10/32"}


def test_communities_are_numbers_well_known_names_and_aliases() -> None:
    alias = CommunitySpec.model_validate({"communities": [{"name": "gold", "value": "large:64512:1:2"}]})
    late = CommunitySpec.model_validate({"communities": [{"name": "gold", "value": "64512:9"}]})
    spec = ad(communities=["64512:100", "no-export", "graceful-shutdown", "gold"])
    made = route((allocation(), HERE), communities={"b": late, "a": alias}, one=spec)
    assert made.communities == ((64512, 100), GRACEFUL_SHUTDOWN, NO_EXPORT)
    assert made.large_communities == ((64512, 1, 2),)


def test_a_community_that_nobody_defines_is_complained_of_and_the_route_still_goes() -> None:
    made = desired((allocation(), HERE), one=ad(communities=["silver"]))
    assert set(made.routes) == {ip_network("192.0.2.10/32")}
    assert "no Community defines silver" in made.complaints[0].message


def test_advertisements_of_one_route_unite_and_the_first_name_counts_where_they_differ() -> None:
    made = desired((allocation(), HERE), b=ad(med=5, communities=["1:2"]), a=ad(med=7, communities=["1:1"]))
    (only,) = made.routes.values()
    assert (only.med, only.communities) == (7, ((1, 1), (1, 2)))
    assert "differ in med" in made.complaints[0].message


def test_local_preference_stays_within_the_as() -> None:
    assert route((allocation(), HERE), to=peer(64512), one=ad(localPref=200)).local_pref == 200
    made = desired((allocation(), HERE), one=ad(localPref=200))
    assert [one.local_pref for one in made.routes.values()] == [None]
    assert "localPref is not sent to tor" in made.complaints[0].message
