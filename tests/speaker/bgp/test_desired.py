"""Which routes a node advertises to a BGP peer, and with which attributes."""

from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from crds.addresses import Family
from crds.bgpadvertisement import BGPAdvertisementSpec
from crds.community import CommunitySpec
from speaker.bgp.desired import BGPView
from speaker.bgp.model import GRACEFUL_SHUTDOWN, NO_EXPORT, PeerConfig
from speaker.bgp.surroundings import NOTHING_AROUND, Surroundings
from speaker.cluster.endpoints import NOWHERE, Placement
from tests.speaker.make import allocation, node

HERE = Placement(frozenset({"node-a"}))
ELSEWHERE = Placement(frozenset({"node-b"}))


def ad(**spec):
    return BGPAdvertisementSpec.model_validate(spec)


def peer(peer_asn=64513, families=(Family.IPv4, Family.IPv6), address="192.0.2.254", **more):
    own = ip_address("192.0.2.1")
    return PeerConfig("tor", 64512, peer_asn, ip_address(address), own, frozenset(families), **more)


def desired(*addresses, to=None, own=None, communities=None, around=NOTHING_AROUND, **advertisements):
    view = BGPView(
        own or node({"rack": "1"}, addresses=("192.0.2.1", "fe80::1", "2001:db8:ffff::1")),
        own_name="node-a",
        around=around,
        pools={"edge": {"zone": "edge"}},
        advertisements=advertisements or {"all": ad()},
        communities=communities or {},
    )
    return view.desired(to or peer(), [(*each, None)[:3] for each in addresses])


def prefixes(*addresses, **parts):
    return {str(prefix) for prefix in desired(*addresses, **parts)}


def route(*addresses, **parts):
    (only,) = desired(*addresses, **parts).values()
    return only


def test_each_address_is_a_host_route() -> None:
    both = ((allocation("192.0.2.10"), ELSEWHERE), (allocation("2001:db8::1"), ELSEWHERE))
    assert prefixes(*both) == {"192.0.2.10/32", "2001:db8::1/128"}


def test_a_family_that_the_peer_does_not_exchange_is_not_sent() -> None:
    assert prefixes((allocation("2001:db8::1"), HERE), to=peer(families=(Family.IPv4,))) == set()


def test_the_next_hop_of_the_other_family_is_the_nodes_address_and_not_one_of_a_link() -> None:
    assert route((allocation("192.0.2.10"), HERE)).next_hop is None
    assert route((allocation("2001:db8::1"), HERE)).next_hop == ip_address("2001:db8:ffff::1")
    over_v6 = peer(address="2001:db8::fe")
    assert route((allocation("192.0.2.10"), HERE), to=over_v6).next_hop == ip_address("192.0.2.1")
    assert route((allocation("2001:db8::1"), HERE), to=over_v6).next_hop is None


def test_over_ipv6_an_ipv4_route_may_name_an_ipv6_next_hop_where_there_is_no_other() -> None:
    only_v6 = node({"rack": "1"}, addresses=("2001:db8:ffff::1",))
    over_v6 = peer(address="2001:db8::fe")
    assert route((allocation("192.0.2.10"), HERE), own=only_v6, to=over_v6).next_hop is None


def test_without_an_address_of_the_other_family_its_routes_are_not_sent() -> None:
    assert prefixes((allocation("2001:db8::1"), HERE), own=node(addresses=("192.0.2.1", "fe80::1"))) == set()


@pytest.mark.parametrize("flag", ["is_excluded", "is_network_unavailable", "is_out_of_service"])
def test_a_node_that_takes_no_traffic_advertises_nothing(flag) -> None:
    assert prefixes((allocation(), HERE), own=node(**{flag: True})) == set()


def test_an_address_that_is_given_back_is_withdrawn() -> None:
    assert prefixes((allocation(is_releasing=True), HERE)) == set()


def test_local_is_advertised_where_an_endpoint_is_or_may_be() -> None:
    local = allocation(is_local=True)
    assert prefixes((local, HERE)) == {"192.0.2.10/32"}
    assert prefixes((local, ELSEWHERE)) == set()
    assert prefixes((local, Placement(frozenset(), is_everywhere=True))) == {"192.0.2.10/32"}


def test_cluster_without_endpoints_is_withdrawn_unless_an_advertisement_says_otherwise() -> None:
    assert prefixes((allocation(), NOWHERE)) == set()
    always = ad(advertiseWithoutEndpoints=True, med=7)
    assert route((allocation(), NOWHERE), always=always, other=ad(med=5)).med == 7


def test_local_without_endpoints_is_withdrawn_whatever_an_advertisement_says() -> None:
    assert prefixes((allocation(is_local=True), NOWHERE), always=ad(advertiseWithoutEndpoints=True)) == set()


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


def test_advertisements_of_several_lengths_give_several_routes() -> None:
    both = desired((allocation("192.0.2.10"), HERE), wide=ad(aggregationLength=24, med=1), host=ad(med=2))
    assert {str(prefix): one.med for prefix, one in both.items()} == {"192.0.2.0/24": 1, "192.0.2.10/32": 2}


def test_communities_are_numbers_well_known_names_and_aliases() -> None:
    alias = CommunitySpec.model_validate({"communities": [{"name": "gold", "value": "large:64512:1:2"}]})
    late = CommunitySpec.model_validate({"communities": [{"name": "gold", "value": "64512:9"}]})
    spec = ad(communities=["64512:100", "no-export", "graceful-shutdown", "gold"])
    made = route((allocation(), HERE), communities={"b": late, "a": alias}, one=spec)
    assert made.communities == ((64512, 100), GRACEFUL_SHUTDOWN, NO_EXPORT)
    assert made.large_communities == ((64512, 1, 2),)


def test_a_route_goes_without_a_community_that_nobody_defines() -> None:
    made = desired((allocation(), HERE), one=ad(communities=["silver"]))
    assert set(made) == {ip_network("192.0.2.10/32")}


@pytest.mark.parametrize("text", ["65536:1", "large:1:2:4294967296", "1" * 5000 + ":1", "1:2:3", "large:1:2", ":", ""])
def test_a_number_that_no_community_can_have_is_none(text) -> None:
    made = route((allocation(), HERE), one=ad(communities=[text, "64512:65535", "large:0:0:4294967295"]))
    assert (made.communities, made.large_communities) == (((64512, 65535),), ((0, 0, 4294967295),))


def test_advertisements_of_one_route_unite_and_the_first_name_counts_where_they_differ() -> None:
    only = route((allocation(), HERE), b=ad(med=5, communities=["1:2"]), a=ad(med=7, communities=["1:1"]))
    assert (only.med, only.communities) == (7, ((1, 1), (1, 2)))


def test_an_advertisement_for_other_peers_adds_nothing() -> None:
    only = route((allocation(), HERE), a=ad(med=5, peers=["other"], communities=["1:2"]), b=ad(med=7))
    assert (only.med, only.communities) == (7, ())


def test_local_preference_stays_within_the_as_and_its_confederation() -> None:
    for within in (peer(64512), peer(is_confederation_member=True)):
        assert route((allocation(), HERE), to=within, one=ad(localPref=200)).local_pref == 200
    assert route((allocation(), HERE), one=ad(localPref=200)).local_pref is None


def test_a_weight_is_in_proportion_to_endpoints_and_goes_with_local_addresses_only() -> None:
    local, weighted = allocation(is_local=True), ad(weightByEndpoints=True)
    one, three = (route((local, HERE, count), one=weighted).link_bandwidth for count in (1, 3))
    assert three == 3 * one > 0
    assert route((local, HERE, 3)).link_bandwidth is None
    assert route((local, HERE, None), one=weighted).link_bandwidth is None
    assert route((allocation(), HERE, 3), one=weighted).link_bandwidth is None


TWO_NETWORKS = Surroundings(
    addresses={
        "lo": (ip_interface("198.51.100.7/32"), ip_interface("2001:db8:7::1/128")),
        "eth0": (ip_interface("10.30.0.11/24"), ip_interface("fd00:30::11/64")),
        "eth1": (ip_interface("10.50.0.11/24"), ip_interface("fd00:50::11/64")),
        "eth2": (ip_interface("10.50.0.129/25"),),
    }
)


@pytest.mark.parametrize(
    ("router", "source", "next_hop"),
    [
        ("10.50.0.1", None, "fd00:50::11"),
        ("10.30.0.1", None, "fd00:30::11"),
        ("10.50.0.1", "10.30.0.11", "fd00:30::11"),
        ("10.99.0.1", "198.51.100.7", "2001:db8:7::1"),
        ("10.99.0.1", None, "2001:db8:ffff::1"),  # behind a gateway
        ("10.50.0.200", None, "2001:db8:ffff::1"),  # on eth2, by the longer prefix, which has no IPv6
        ("10.50.0.1", "10.77.0.1", "2001:db8:ffff::1"),  # not read yet
    ],
)
def test_the_next_hop_of_the_other_family_is_of_the_sessions_interface_first(router, source, next_hop) -> None:
    to = replace(peer(address=router), source_address=ip_address(source) if source else None)
    made = route((allocation("2001:db8::1"), ELSEWHERE), to=to, around=TWO_NETWORKS)
    assert str(made.next_hop) == next_hop
    assert route((allocation("192.0.2.10"), ELSEWHERE), to=to, around=TWO_NETWORKS).next_hop is None


def test_over_ipv6_the_sessions_interface_names_the_ipv4_next_hop() -> None:
    made = route((allocation("192.0.2.10"), ELSEWHERE), to=peer(address="fd00:50::1"), around=TWO_NETWORKS)
    assert str(made.next_hop) == "10.50.0.11"
